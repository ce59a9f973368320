"""The report, written down: for people, and as JSON."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TextIO

import click
import orjson

from email_processor.tools.check.codes import Group
from email_processor.tools.check.findings import Finding, Status
from email_processor.tools.check.report import Report

MARKS = {Status.OK: "ok", Status.WARNING: "WARN", Status.FAILED: "FAIL", Status.SKIPPED: "-"}
COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "red", Status.SKIPPED: "bright_black"}
HEADINGS = {Group.KMS: "KMS"}
MARGIN = " " * len("FAIL EP101 ")
UNKNOWN = "unknown"
OPTIONAL = ("SQS at", "S3 at")


def tell(report: Report, stream: TextIO, *, as_json: bool) -> None:
    """Write it to `stream`, whatever its encoding can hold."""
    text = to_json(report) if as_json else to_text(report, colour=wants_colour(stream))
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def to_json(report: Report) -> str:
    """One document on one line."""
    document = {
        "version": report.version,
        "region": report.region,
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


def to_text(report: Report, *, colour: bool) -> str:
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


def _lines(report: Report) -> Iterator[str]:
    yield click.style(f"email-processor {report.version} check", bold=True)
    identity = report.identity
    endpoints = report.endpoints
    put = "" if endpoints["s3_put"] in {None, endpoints["s3"]} else f" (PUTs: {endpoints['s3_put']})"
    for name, value in (
        ("region", report.region),
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


def _summary(report: Report) -> str:
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
    elif any("--write" in finding.evidence for finding in report.findings if finding.status is Status.SKIPPED):
        verdict = "Nothing found that stops the service; --write receives and stores for real."
    else:
        verdict = "The service can do its work."
    return f"{', '.join(parts)}. {verdict}"
