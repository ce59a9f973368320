"""Running the check in this process, and reading what it found."""

from email_processor.settings import examine as examine_settings
from email_processor.tools.check.check import check, judge
from email_processor.tools.check.examine import examine
from email_processor.tools.check.findings import Status
from email_processor.tools.check.inspect.asking import Asker
from email_processor.tools.check.report import CheckReport


async def look(*, write: bool = False) -> CheckReport:
    """Everything, as the command does it."""
    return await check(write=write, offline=False)


async def look_briefly(*, per_question: float = 0.3, in_all: float = 60.0) -> dict[str, str]:
    """The same with --write, of an AWS that hangs, without the patience for it: status by code."""
    settings, problems = examine_settings()
    facts = await examine(Asker(per_question, in_all), settings, problems, write=True)
    return {finding.code: finding.status.value for finding in judge(facts)}


def bad(report: CheckReport) -> dict[str, str]:
    """The status of every check that is neither well nor skipped."""
    return {
        finding.code: finding.status.value
        for finding in report.findings
        if finding.status in {Status.FAILED, Status.WARNING}
    }


def told(report: CheckReport, code: str) -> str:
    """Status and evidence of one check."""
    (finding,) = (finding for finding in report.findings if finding.code == code)
    return f"{finding.status.value}: {finding.evidence}"


def error_of(report: CheckReport, code: str) -> str:
    """What AWS said to one check."""
    (finding,) = (finding for finding in report.findings if finding.code == code)
    return finding.error
