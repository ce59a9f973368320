"""The report: what was found, written down for people and as JSON."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TextIO

import click
import orjson

from email_processor import __version__
from email_processor.aws.faults import without_passwords
from email_processor.domain.errors import SettingsError
from email_processor.settings import Problem, Settings, queue_region
from email_processor.tools.check.codes import Group
from email_processor.tools.check.examine import WORK, AwsFacts
from email_processor.tools.check.findings import Finding, Status, failed
from email_processor.tools.check.inspect.asking import WITHOUT_WRITE, Failure, Unasked, origin_of
from email_processor.tools.check.inspect.bucket import BucketFacts
from email_processor.tools.check.inspect.queue import QueueFacts
from email_processor.tools.check.inspect.sts_and_kms import Identity

ENDPOINTS = ("sqs", "s3", "s3_put")
MARKS = {Status.OK: "ok", Status.WARNING: "WARN", Status.FAILED: "FAIL", Status.SKIPPED: "-"}
COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "red", Status.SKIPPED: "bright_black"}
HEADINGS = {Group.KMS: "KMS"}
MARGIN = " " * len("FAIL EP101 ")
UNKNOWN = "unknown"
OPTIONAL = ("SQS at", "S3 at")
QUEUE_PLACE = frozenset({"AWS_REGION", "SQS_QUEUE_URL", "SQS_REGION"})  # what the region of the queue follows from


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Where and as whom was looked, and what was found. What is not known is None.

    `unshown` is what of the service's work nothing has shown that it can do; with `try_write`, --write tries it.
    """

    version: str
    region: str | None
    queue_region: str | None
    queue: str | None
    bucket: str | None
    identity: Identity | None
    endpoints: Mapping[str, str | None]
    findings: Sequence[Finding]
    unshown: Sequence[str]
    try_write: bool

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many findings there are of each status."""
        found = Counter(finding.status for finding in self.findings)
        return {status: found[status] for status in Status}

    @property
    def settings_are_wrong(self) -> bool:
        """Whether the service would not even start."""
        return any(
            finding.check.group is Group.SETTINGS and finding.status is Status.FAILED for finding in self.findings
        )


def report_of(
    settings: Settings, problems: Iterable[Problem], facts: AwsFacts | None, findings: Iterable[Finding]
) -> CheckReport:
    """Put it together; `facts` is None if only the settings were looked at."""
    wrong = {problem.names[0] for problem in problems}
    endpoints: dict[str, str | None] = dict.fromkeys(ENDPOINTS)
    if facts is not None and isinstance(facts.queue, QueueFacts):
        endpoints["sqs"] = origin_of(facts.queue.endpoint)
    if facts is not None and isinstance(facts.bucket, BucketFacts):
        endpoints |= {"s3": facts.bucket.endpoint, "s3_put": facts.bucket.put_endpoint}
    unshown: Mapping[str, object] = dict.fromkeys(WORK)
    if facts is not None:
        unshown = {what: answer for what, answer in facts.work.items() if isinstance(answer, Failure | Unasked)}
    return CheckReport(
        version=__version__,
        region=None if "AWS_REGION" in wrong else settings.aws_region,
        queue_region=None if wrong & QUEUE_PLACE else queue_region(settings),
        queue=None if "SQS_QUEUE_URL" in wrong else settings.sqs_queue_url,
        bucket=None if "S3_BUCKET_NAME" in wrong else settings.s3_bucket_name,
        identity=facts.identity if facts is not None else None,
        endpoints=endpoints,
        findings=[_clean(finding) for finding in findings],
        unshown=list(unshown),
        try_write=WITHOUT_WRITE in unshown.values(),
    )


def unreadable(error: SettingsError) -> CheckReport:
    """Not even the settings could be read."""
    finding = failed("EP101", "cannot be read", error=error.detail, fix=error.fix, about="settings")
    endpoints = dict.fromkeys(ENDPOINTS)
    return CheckReport(
        __version__, None, None, None, None, None, endpoints, [_clean(finding)], unshown=WORK, try_write=False
    )


def _clean(finding: Finding) -> Finding:
    return replace(
        finding,
        evidence=clean(finding.evidence),
        error=clean(finding.error),
        fix="\n".join(clean(line) for line in finding.fix.splitlines()),
    )


def clean(text: str) -> str:
    """One line that may be printed: no control characters (AWS's words are not ours), no passwords in URLs."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return without_passwords(" ".join(printable.split()))


def print_report(report: CheckReport, stream: TextIO, *, as_json: bool) -> None:
    """Write it to `stream`, whatever its encoding can hold."""
    text = to_json(report) if as_json else to_text(report, colour=wants_colour(stream))
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def to_json(report: CheckReport) -> str:
    """One document on one line."""
    document = {
        "version": report.version,
        "region": report.region,
        "queue_region": report.queue_region,
        "account": report.identity.account if report.identity else None,
        "identity": report.identity.arn if report.identity else None,
        "queue": report.queue,
        "bucket": report.bucket,
        "endpoint": report.endpoints,
        "findings": [
            {
                "code": finding.code,
                "group": finding.check.group,
                "title": finding.title,
                "status": finding.status,
                "evidence": finding.evidence,
                "error": finding.error,
                "fix": finding.fix,
                "docs": finding.check.docs,
            }
            for finding in report.findings
        ],
        "summary": report.counts,
    }
    return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS).decode()


def to_text(report: CheckReport, *, colour: bool) -> str:
    """Lines that can be pasted into a ticket."""
    text = "\n".join(_lines(report))
    return text if colour else click.unstyle(text)


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """NO_COLOR (no-color.org) beats FORCE_COLOR, which beats what the stream is."""
    if environment.get("NO_COLOR"):
        return False
    if forced := environment.get("FORCE_COLOR"):
        return forced.lower() not in {"0", "false", "no"}
    return stream.isatty() and environment.get("TERM") != "dumb"


def _lines(report: CheckReport) -> Iterator[str]:
    yield click.style(f"email-processor {report.version} check", bold=True)
    identity = report.identity
    endpoints = report.endpoints
    put = "" if endpoints["s3_put"] in {None, endpoints["s3"]} else f" (PUTs: {endpoints['s3_put']})"
    for name, value in (
        ("region", _regions(report)),
        ("account", identity.account if identity else None),
        ("identity", identity.arn if identity else None),
        ("queue", report.queue),
        ("bucket", report.bucket),
        ("SQS at", endpoints["sqs"]),
        ("S3 at", f"{endpoints['s3']}{put}" if endpoints["s3"] else None),
    ):
        if value or name not in OPTIONAL:
            yield f"  {name:9} {value or UNKNOWN}"
    width = max(len(finding.title) for finding in report.findings)
    for group, findings in groupby(report.findings, key=lambda finding: finding.check.group):
        yield ""
        yield click.style(HEADINGS.get(group, group.capitalize()), bold=True)
        for _, alike in groupby(findings, key=_why_skipped):
            yield from _entry(list(alike), width)
    yield ""
    yield _summary(report)


def _regions(report: CheckReport) -> str | None:
    """The region of the bucket, and that of the queue if it is another."""
    if report.region is None or report.queue_region in {None, report.region}:
        return report.region
    return f"{report.region} (the queue's: {report.queue_region})"


def _why_skipped(finding: Finding) -> object:
    """Equal for findings that can share a line: skipped for the same reason."""
    return finding.evidence if finding.status is Status.SKIPPED else finding


def _entry(findings: Sequence[Finding], width: int) -> Iterator[str]:
    first = findings[0]
    title = first.title if len(findings) == 1 else f"to {findings[-1].code}"
    mark = click.style(f"{MARKS[first.status]:4}", fg=COLOURS[first.status], bold=first.status is Status.FAILED or None)
    evidence = f"skipped: {first.evidence}" if first.status is Status.SKIPPED else first.evidence
    yield f"{mark} {first.code} {title:{width}}  {evidence}".rstrip()
    if first.status in {Status.OK, Status.SKIPPED}:
        return
    if first.error:
        yield f"{MARGIN}error: {first.error}"
    for index, line in enumerate(first.fix.splitlines()):
        yield f"{MARGIN}{'fix:  ' if index == 0 else '      '} {line}"
    yield f"{MARGIN}docs:  {first.check.docs}"


def _summary(report: CheckReport) -> str:
    counts = report.counts
    warnings = counts[Status.WARNING]
    parts = [
        f"{counts[Status.FAILED]} failed",
        f"{warnings} warning{'' if warnings == 1 else 's'}",
        f"{counts[Status.OK]} ok",
        f"{counts[Status.SKIPPED]} skipped",
    ]
    if report.settings_are_wrong:
        verdict = "The service does not start with these settings."
    elif counts[Status.FAILED]:
        verdict = "The service cannot do its work until what failed is mended."
    elif report.unshown:
        *rest, last = report.unshown
        unshown = f"{', '.join(rest)} and {last}" if rest else last
        verdict = f"Nothing found that stops the service, but it is not shown that it can {unshown}"
        verdict += "; --write receives and stores for real." if report.try_write else "."
    else:
        verdict = "The service can do its work."
    return f"{', '.join(parts)}. {verdict}"
