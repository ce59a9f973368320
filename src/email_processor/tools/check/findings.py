"""What a check found."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from email_processor.domain.errors import Cause
from email_processor.tools.check.codes import BY_CODE, Check, Group, codes_of
from email_processor.tools.check.inspect.asking import Fault, Unasked


class Status(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    `evidence` is what was seen in a few words (for a skipped check: why), `error` what AWS said, `fix` what to do: a
    sentence, and on lines of their own the commands or the policy statement. `about` narrows the check's title down.
    """

    code: str
    status: Status
    evidence: str
    error: str = ""
    fix: str = ""
    about: str = ""

    @property
    def check(self) -> Check:
        """The check that found it."""
        return BY_CODE[self.code]

    @property
    def title(self) -> str:
        """What it is about."""
        return self.about or self.check.title


def ok(code: str, evidence: str) -> Finding:
    """It is well, and `evidence` shows it."""
    return Finding(code, Status.OK, evidence)


def warning(code: str, evidence: str, *, fix: str, error: str = "", about: str = "") -> Finding:
    """The service works, but something is lost or in danger."""
    return Finding(code, Status.WARNING, evidence, error, fix, about)


def failed(code: str, evidence: str, *, fix: str, error: str = "", about: str = "") -> Finding:
    """The service cannot do its work."""
    return Finding(code, Status.FAILED, evidence, error, fix, about)


def skipped(code: str, why: str, *, error: str = "") -> Finding:
    """It could not be looked at, or there is nothing to look at."""
    return Finding(code, Status.SKIPPED, why, error)


def blocked(code: str, answer: Fault | Unasked, *, missing: str) -> Finding | Fault:
    """The finding of a check that hangs on something whose own check has failed; else the fault, for it to judge.

    `missing` names what is not there if AWS knows no such thing.
    """
    if isinstance(answer, Unasked):
        return skipped(code, f"needs {answer.needs}")
    needs = {
        Cause.CREDENTIALS: "credentials that AWS accepts",
        Cause.CLOCK: "the right time on this host",
        Cause.MISSING: missing,
    }.get(answer.cause)
    return skipped(code, f"needs {needs}") if needs else answer


def skip_group(group: Group, why: str) -> Iterator[Finding]:
    """All checks of a group."""
    for code in codes_of(group):
        yield skipped(code, why)
