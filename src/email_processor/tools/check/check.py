"""The check from end to end."""

import os
import sys
from collections.abc import Iterator

from email_processor.domain.errors import SettingsError
from email_processor.exit_codes import EXIT_FAILED, EXIT_SETTINGS
from email_processor.settings import examine as examine_settings
from email_processor.tools.check.examine import AwsFacts, examine, examine_configuration
from email_processor.tools.check.findings import Finding, Status
from email_processor.tools.check.inspect.asking import Asker
from email_processor.tools.check.judge.bucket import judge_bucket
from email_processor.tools.check.judge.host import judge_clock, judge_credentials, judge_regions, judge_settings
from email_processor.tools.check.judge.key import judge_key
from email_processor.tools.check.judge.queue import judge_queue
from email_processor.tools.check.report import CheckReport, print_report, report_of, unreadable
from email_processor.tools.command import run_coroutine


def run_check(*, write: bool, offline: bool, strict: bool, as_json: bool) -> int:
    """Look at everything, print the report and return the exit code."""
    report = run_coroutine(check(write=write, offline=offline))
    print_report(report, sys.stdout, as_json=as_json)
    return exit_code(report, strict=strict)


async def check(*, write: bool, offline: bool) -> CheckReport:
    """Look at everything; `write` allows a PUT and a receive, `offline` keeps to the settings, and sends nothing."""
    try:
        settings, problems = examine_settings()
    except SettingsError as error:
        return unreadable(error)
    about_settings = list(judge_settings(settings, problems, os.environ))
    if offline:
        configuration = await examine_configuration(Asker(), settings, problems)
        return report_of(settings, problems, None, [*about_settings, judge_regions(settings, configuration)])
    facts = await examine(Asker(), settings, problems, write=write)
    about_settings.append(judge_regions(settings, facts.configuration))
    return report_of(settings, problems, facts, [*about_settings, *judge(facts)])


def judge(facts: AwsFacts) -> Iterator[Finding]:
    """Every finding about AWS, in the order of the report."""
    yield from judge_credentials(facts)
    yield from judge_queue(facts)
    yield from judge_bucket(facts)
    yield from judge_key(facts)
    yield from judge_clock(facts)


def exit_code(report: CheckReport, *, strict: bool) -> int:
    """2 for wrong settings, 1 for any failure (with `strict`: any warning), else 0."""
    if report.settings_are_wrong:
        return EXIT_SETTINGS
    bad = (Status.FAILED, Status.WARNING) if strict else (Status.FAILED,)
    return EXIT_FAILED if any(report.counts[status] for status in bad) else 0
