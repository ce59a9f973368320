"""Everything that was learnt, before it is judged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeGuard

from email_processor.domain.errors import Cause
from email_processor.settings import Settings
from email_processor.tools.check.inspect.asking import Fault, Unasked
from email_processor.tools.check.inspect.bucket import BucketFacts
from email_processor.tools.check.inspect.identity import Identity, IdentityFacts
from email_processor.tools.check.inspect.key import KeyFacts
from email_processor.tools.check.inspect.queue import QueueFacts


@dataclass(frozen=True, slots=True)
class Facts:
    """What was learnt with these settings. `key` is None if no KMS key is in use."""

    settings: Settings
    configuration: Fault | Unasked | None
    provider: str | Fault | Unasked
    who: IdentityFacts | Unasked
    queue: QueueFacts | Unasked
    bucket: BucketFacts | Unasked
    key: KeyFacts | Unasked | None

    @property
    def identity(self) -> Identity | None:
        """Whose credentials they are, if STS said so."""
        answer = self.who.identity if isinstance(self.who, IdentityFacts) else None
        return answer if isinstance(answer, Identity) else None

    @property
    def skew(self) -> float | None:
        """How many seconds this host's clock is ahead of AWS's."""
        groups = (self.who, self.queue, self.bucket)
        skews = [group.skew for group in groups if not isinstance(group, Unasked) and group.skew is not None]
        return min(skews, key=abs, default=None)

    def faults(self) -> Iterator[Fault]:
        """Every fault of a request."""
        for group in (self.who, self.queue, self.bucket, self.key):
            yield from _faults(group)


def is_denied(answer: object) -> TypeGuard[Fault]:
    """Whether it is the one answer that a policy can change."""
    return isinstance(answer, Fault) and answer.cause is Cause.DENIED


def _faults(value: object) -> Iterator[Fault]:
    if isinstance(value, Fault):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _faults(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _faults(getattr(value, field.name))
