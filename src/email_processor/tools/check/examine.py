"""Everything that can be learnt: whatever does not hang on something that failed is asked, side by side."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeGuard

from email_processor.domain.errors import Cause
from email_processor.options import queue_options, store_options
from email_processor.settings import Problem, Settings, read_by
from email_processor.tools.check.inspect.asking import (
    Answer,
    Asker,
    Failure,
    Opened,
    Unasked,
    is_aws,
    open_aws,
    origin_of,
)
from email_processor.tools.check.inspect.bucket import BucketFacts, BucketPlan, default_encryption, inspect_bucket
from email_processor.tools.check.inspect.queue import QueueFacts, inspect_queue
from email_processor.tools.check.inspect.sts_and_kms import (
    Identity,
    IdentityFacts,
    KeyFacts,
    find_provider,
    inspect_identity,
    inspect_key,
)

WORK = ("receive", "store", "delete")  # what the service has to be able to
ONLY_ASKED_HERE = frozenset({"STS", "KMS"})  # the service itself asks neither
FOR_AWS = frozenset({"AWS_CLIENT", "AWS_REGION"})


@dataclass(frozen=True, slots=True)
class AwsFacts:
    """What was learnt with these settings. `key` is None if no KMS key is in use."""

    settings: Settings
    configuration: Failure | Unasked | None
    provider: str | Failure | Unasked
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
    def region(self) -> str:
        """The region that requests about objects are signed for: no pseudo-region, where the bucket was looked at."""
        return self.settings.aws_region if isinstance(self.bucket, Unasked) else self.bucket.region

    @property
    def skew(self) -> float | None:
        """How many seconds this host's clock is ahead of AWS's."""
        groups = (self.who, self.queue, self.bucket)
        skews = [group.skew for group in groups if not isinstance(group, Unasked) and group.skew is not None]
        return min(skews, key=abs, default=None)

    @property
    def work(self) -> Mapping[str, Answer[object]]:
        """What shows that the service can do each part of its WORK: a receive that was made, PUTs, a delete."""
        queue, bucket = self.queue, self.bucket
        receive, delete = (queue, queue) if isinstance(queue, Unasked) else (queue.receive, queue.delete)
        return dict(zip(WORK, (receive, bucket if isinstance(bucket, Unasked) else bucket.stored, delete), strict=True))

    @property
    def are_accepted(self) -> bool:
        """Whether SQS or S3 has granted a request: then the credentials are good, whatever STS and KMS say of them."""
        groups = (group for group in (self.queue, self.bucket) if not isinstance(group, Unasked))
        return any(not isinstance(answer, Failure | Unasked) for group in groups for answer in group.answers)

    def groups(self) -> Iterator[tuple[str, object]]:
        """All that was asked, and of whom: first what the service needs."""
        for group in (self.queue, self.bucket):
            yield ("" if isinstance(group, Unasked) else _server(group.endpoint)), group
        yield "STS", self.who
        yield "KMS", self.key

    def refusals(self) -> Iterator[tuple[str, Failure]]:
        """Who does not accept the credentials, and how: STS and KMS only where nobody else has accepted them."""
        for where, group in self.groups():
            if where in ONLY_ASKED_HERE and self.are_accepted:
                continue
            yield from ((where, fault) for fault in faults_of(group) if fault.cause is Cause.CREDENTIALS)

    def faults(self) -> Iterator[Failure]:
        """Every fault of a request."""
        for _, group in self.groups():
            yield from faults_of(group)


def is_denied(answer: object) -> TypeGuard[Failure]:
    """Whether it is the one answer that a policy can change."""
    return isinstance(answer, Failure) and answer.cause is Cause.DENIED


def _is_at_aws(group: QueueFacts | BucketFacts | Unasked) -> bool:
    return not isinstance(group, Unasked) and is_aws(group.endpoint)


def _server(endpoint: str) -> str:
    """How who answers there is called."""
    return "AWS" if is_aws(endpoint) else f"the server at {origin_of(endpoint)}"


def faults_of(value: object) -> Iterator[Failure]:
    """Every fault of a request in a group of facts."""
    if isinstance(value, Failure):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from faults_of(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from faults_of(getattr(value, field.name))


async def examine(ask: Asker, settings: Settings, problems: Sequence[Problem], *, write: bool) -> AwsFacts:
    """Everything that can be learnt with these settings; `problems` says which of them stand in for wrong ones."""
    async with AsyncExitStack() as stack:
        opened = await _open(ask, stack, settings, problems)
        if not isinstance(opened, Opened):
            no = lack_of(opened)
            return AwsFacts(settings, opened, no, no, no, no, no)
        provider = await find_provider(ask, opened.credentials)
        look = _Look(
            ask=ask,
            opened=opened,
            settings=settings,
            problems=problems,
            signed=not isinstance(provider, Failure),
            write=write,
        )
        async with asyncio.TaskGroup() as tasks:
            queue = tasks.create_task(look.queue(), name="queue")
            bucket = tasks.create_task(look.bucket_and_key(), name="bucket")
        who = await look.who(queue.result(), bucket.result()[0])
        return AwsFacts(settings, None, provider, who, queue.result(), *bucket.result())


async def examine_configuration(
    ask: Asker, settings: Settings, problems: Sequence[Problem]
) -> Failure | Unasked | None:
    """What keeps the service from opening all that it opens; None if nothing does. Nothing is sent."""
    async with AsyncExitStack() as stack:
        opened = await _open(ask, stack, settings, problems)
        return None if isinstance(opened, Opened) else opened


def lack_of(configuration: Failure | Unasked) -> Unasked:
    """What everything else lacks where nothing can be opened."""
    if isinstance(configuration, Unasked):
        return configuration
    return Unasked("regions of AWS" if configuration.is_setting else "a usable AWS configuration")


async def _open(
    ask: Asker, stack: AsyncExitStack, settings: Settings, problems: Sequence[Problem]
) -> Opened | Failure | Unasked:
    if no := _wrong(problems, FOR_AWS):
        return no
    # a visibility timeout of 0: should a message be received, it is given back by that
    queue_plan = replace(queue_options(settings), visibility_timeout=0)
    return await ask(open_aws(stack, settings.aws_client, queue_plan, store_options(settings)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at AWS; `signed` says that there are credentials."""

    ask: Asker
    opened: Opened
    settings: Settings
    problems: Sequence[Problem]
    signed: bool
    write: bool

    async def who(self, *groups: QueueFacts | BucketFacts | Unasked) -> IdentityFacts | Unasked:
        if not self.signed:
            return Unasked("credentials")
        return await inspect_identity(self.ask, self.opened, at_aws=any(map(_is_at_aws, groups)))

    async def queue(self) -> QueueFacts | Unasked:
        if no := _wrong(self.problems, needed_for_queue(self.settings)):
            return no
        plan = queue_options(self.settings)
        return await inspect_queue(self.ask, self.opened, plan, signed=self.signed, write=self.write)

    async def bucket_and_key(self) -> tuple[BucketFacts | Unasked, KeyFacts | Unasked | None]:
        if no := _wrong(self.problems, needed_for_bucket(self.settings)):
            return no, no
        plan = BucketPlan.of(self.settings, write=self.write)
        bucket = await inspect_bucket(self.ask, self.opened, plan, signed=self.signed)
        key_id = self._key_id(bucket)
        if not isinstance(key_id, str):
            return bucket, key_id
        if not self.signed:
            return bucket, Unasked("credentials")
        return bucket, await inspect_key(self.ask, self.opened, key_id, at_aws=_is_at_aws(bucket))

    def _key_id(self, bucket: BucketFacts) -> str | Unasked | None:
        """The KMS key that objects are encrypted with; None if they are not, or if nobody can tell."""
        if self.settings.s3_kms_key_id is not None or self.settings.s3_sse == "AES256":
            return self.settings.s3_kms_key_id
        default = default_encryption(bucket)
        if default is not None and default.key_id is not None:
            return default.key_id
        return Unasked("S3_KMS_KEY_ID or --write: the key is not named") if self.settings.s3_sse == "aws:kms" else None


def needed_for_queue(settings: Settings) -> frozenset[str]:
    """The variables that must be right for the queue to be looked at."""
    return FOR_AWS | asked_with(queue_options, settings)


def needed_for_bucket(settings: Settings) -> frozenset[str]:
    """The variables that must be right for the bucket to be looked at."""
    return FOR_AWS | asked_with(lambda it: BucketPlan.of(it, write=False), settings)


def asked_with(reader: Callable[[Settings], object], settings: Settings) -> frozenset[str]:
    """The variables behind the settings that `reader` reads, but for numbers.

    Numbers say how long something may take, or how often it is done: in place of a wrong one, the example does as well.
    Everything else says what is looked at, and how.
    """
    return frozenset(name for name in read_by(reader, settings) if not _is_number(getattr(settings, name.lower())))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(problems: Sequence[Problem], needed: frozenset[str]) -> Unasked | None:
    wrong = sorted({problem.names[0] for problem in problems if needed.issuperset(problem.names)})
    return Unasked(f"a valid {' and '.join(wrong)}") if wrong else None
