"""The clock."""

from collections.abc import Iterator

from email_processor.domain.errors import Cause
from email_processor.tools.check.facts import Facts
from email_processor.tools.check.findings import Finding, failed, ok, skipped, warning
from email_processor.tools.check.inspect.asking import Unasked

SECONDS_TO_WARN = 60
FIX = "Set the clock of this host, and keep it by NTP (chrony, systemd-timesyncd)."


def judge_clock(facts: Facts) -> Iterator[Finding]:
    """AWS refuses requests that were signed too long ago, or too early."""
    refused = [fault for fault in facts.faults() if fault.cause is Cause.CLOCK]
    if facts.skew is None and not refused:
        offline = facts.configuration if isinstance(facts.configuration, Unasked) else Unasked("an answer of AWS")
        yield skipped("EP601", f"needs {offline.needs}")
        return
    difference = "too much" if facts.skew is None else _words(facts.skew)
    if refused:
        yield failed("EP601", difference, error=refused[0].error, fix=FIX)
    elif facts.skew is not None and abs(facts.skew) > SECONDS_TO_WARN:
        yield warning("EP601", difference, fix=FIX)
    else:
        yield ok("EP601", difference)


def _words(skew: float) -> str:
    seconds = round(abs(skew))
    if seconds <= 1:
        return "none to speak of"
    return f"{seconds} s {'ahead' if skew > 0 else 'behind'}"
