"""`audit`: is a day as it should be? By its keys, and by the content of what is suspicious."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from email_processor.aws.shelf import Configured
from email_processor.domain.errors import Cause, EmailProcessorError, ForeignObjectError, StoreFaultError
from email_processor.domain.key import day_prefix, object_key, read_object_key, read_quarantine_key
from email_processor.domain.stored import read_email_document, read_quarantine_document
from email_processor.exit_codes import EXIT_FINDINGS
from email_processor.ports import Listed
from email_processor.settings import Settings
from email_processor.tools.amounts import counted, size_of
from email_processor.tools.archive.concurrently import mapped
from email_processor.tools.archive.counts import ProducerList, read_counts
from email_processor.tools.archive.day_keys import DayKeys
from email_processor.tools.archive.findings import AuditFindings, Flaw
from email_processor.tools.archive.json_text import json_bytes
from email_processor.tools.archive.output import emit, progress
from email_processor.tools.archive.reader import OBJECTS_AT_ONCE, Reader, bucket_settings, open_reader
from email_processor.tools.archive.search import SCHEMA
from email_processor.tools.archive.selection import DAY
from email_processor.tools.archive.sharing import KeyRange
from email_processor.tools.archive.text import one_line, say
from email_processor.tools.command import run_command
from email_processor.tools.expiry import expiring


@dataclass(frozen=True, slots=True)
class AuditTask:
    """What is audited: a day under two prefixes; `full` reads every object, `counts` is what a producer wrote down."""

    day: date
    prefix: str
    quarantine_prefix: str
    full: bool = False
    counts: ProducerList | None = None


@dataclass(slots=True)
class DayReport:
    """What an audit says of a day."""

    task: AuditTask
    keys: DayKeys
    findings: AuditFindings
    quarantine: Counter[str] = field(default_factory=Counter)  # by reason
    quarantined: dict[str, Listed] = field(default_factory=dict)  # by their ids
    gone: set[str] = field(default_factory=set)  # ids of those that have left the quarantine meanwhile
    not_archived: set[str] = field(default_factory=set)  # ids of those that the day's emails do not have
    hours: Counter[int] = field(default_factory=Counter)  # of these, as far as their documents say it
    late: int = 0
    remarks: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The report for machines: the members of one JSON object."""
        return {
            "schema": SCHEMA,
            "day": self.task.day.isoformat(),
            "objects": self.keys.count,
            "bytes": self.keys.bytes,
            "hours": {f"{hour:02}": self.keys.hours[hour] for hour in range(24)},
            "quarantine": dict(sorted(self.quarantine.items())),
            "found_the_day_after": self.late,
            "findings": {flaw.value: self.findings.counts[flaw] for flaw in Flaw if self.findings.counts[flaw]},
            "named": self.findings.named,
            "remarks": self.remarks,
        }

    def __str__(self) -> str:
        """For people: the verdict first."""
        total = self.findings.counts.total()
        verdict = f"{self.task.day} has {counted(total, 'finding')}" if total else f"{self.task.day} is clean"
        emails, quarantined = counted(self.keys.count, "email"), self.quarantine.total()
        lines = [f"{verdict}: {emails} ({size_of(self.keys.bytes)}), {quarantined:,} in quarantine."]
        lines += [
            f"  {one_line(reason):<16} {count:>9,} in quarantine" for reason, count in self.quarantine.most_common()
        ]
        lines += [f"  {hour:02}:00 {self.keys.hours[hour]:>9,}" for hour in sorted(self.keys.hours)]
        lines += [f"{flaw.value}: {count:,}" for flaw, count in self.findings.counts.items()]
        lines += [f"  {it['kind']}: {one_line(it['what'])}: {one_line(it['detail'])}" for it in self.findings.named]
        return "\n".join([*lines, *self.remarks, ""])


def audit(day: date, output: str, *, counts: Path | None, full: bool, most_requests: int) -> int:
    """Print the report of a day; the exit code is 3 if there are findings."""

    async def work(settings: Settings) -> int:
        with nullcontext() if counts is None else read_counts(counts, day) as sent:
            task = AuditTask(day, settings.s3_key_prefix, settings.s3_quarantine_prefix, full, sent)
            async with open_reader(settings, most_requests) as (reader, configured):
                report = await examine(reader, configured, task)
        say(str(reader.tally))
        emit(json_bytes(report.document(), is_indented=True) if output == "json" else str(report).encode())
        return EXIT_FINDINGS if report.findings.counts else 0

    return run_command(work, reads=bucket_settings, only_prints=True)


async def examine(reader: Reader, configured: Configured | None, task: AuditTask) -> DayReport:
    """Look at all of a day: its keys, what is suspicious, its quarantine, what a producer counted, and lifecycles."""
    findings = AuditFindings()
    report = DayReport(task, DayKeys(task.prefix, task.day, findings), findings)
    # The quarantine first: what is released meanwhile is stored and then deleted there, so that one of both has it.
    await _list_quarantine(reader, report)
    with progress(f"Listing {task.day}") as advance:

        def take(page: Sequence[Listed]) -> None:
            report.keys.add(page)
            advance(len(page))

        await reader.each_page([KeyRange(day_prefix(task.prefix, task.day))], take)
    for message_id, objects in report.keys.doubles().items():
        findings.add(Flaw.TWO_KEYS, message_id, " and ".join(each.key for each in objects))
        report.keys.suspicious += objects
    await _read_suspicious(reader, report)
    await _read_quarantine(reader, report)
    if report.gone:
        report.remarks.append(f"{len(report.gone):,} left the quarantine during the audit: run it again after that.")
    if task.counts is not None:
        await _compare(reader, report, task.counts)
    if configured is not None:
        await _lifecycles(reader, configured, report)
    return report


async def _documents(reader: Reader, objects: Iterable[Listed]) -> AsyncGenerator[tuple[str, bytes | None], None]:
    """Keys and what is stored under them, in their order."""

    async def source() -> AsyncGenerator[Listed, None]:
        for each in objects:
            yield each

    async def get(each: Listed) -> tuple[str, bytes | None]:
        return each.key, await reader.get(each.key, each.size)

    async with mapped(source(), get, OBJECTS_AT_ONCE, lambda each: each.size) as answers:
        async for answer in answers:
            yield answer


async def _read_suspicious(reader: Reader, report: DayReport) -> None:
    """Does what is in an object fit its key?"""
    task, findings = report.task, report.findings
    suspicious: Iterable[Listed] = {each.key: each for each in report.keys.suspicious}.values()
    if task.full:
        suspicious = (listed for listed, _ in report.keys.named())
    async for key, document in _documents(reader, suspicious):
        if not document:
            continue  # empty, which was said, or gone meanwhile
        try:
            stored = read_email_document(document)
        except ForeignObjectError as error:
            findings.add(Flaw.UNREADABLE, key, error.detail)
            continue
        expected = object_key(task.prefix, stored.moment, stored.sender, stored.message_id)
        if expected != key:
            findings.add(Flaw.CONTRADICTION, key, f"what is in it belongs under {expected}")


async def _list_quarantine(reader: Reader, report: DayReport) -> None:
    """What is in there?"""
    task, findings = report.task, report.findings
    async for page in reader.objects([KeyRange(day_prefix(task.quarantine_prefix, task.day))]):
        for listed in page:
            place = read_quarantine_key(task.quarantine_prefix, listed.key)
            if place is None:
                findings.add(Flaw.STRANGER, listed.key, "a key that the service does not make")
            elif not listed.size:
                findings.add(Flaw.EMPTY, listed.key, "an object without a byte in it")
            else:
                report.quarantined[place.message_id] = listed


async def _read_quarantine(reader: Reader, report: DayReport) -> None:
    """Why is what in there, and is any of it archived as well?"""
    findings, ids = report.findings, {listed.key: message_id for message_id, listed in report.quarantined.items()}
    hours: dict[str, int] = {}  # by their ids
    async for key, document in _documents(reader, report.quarantined.values()):
        if document is None:
            report.gone.add(ids[key])
            continue
        try:
            quarantined = read_quarantine_document(document)
        except ForeignObjectError as error:
            findings.add(Flaw.UNREADABLE, key, error.detail)
        else:
            report.quarantine[quarantined.reason] += 1
            hours[ids[key]] = quarantined.moment.hour
    archived = report.keys.keys_of(report.quarantined.keys())
    for message_id, keys in archived.items():
        if message_id not in report.gone:
            what = report.quarantined[message_id].key
            findings.add(Flaw.QUARANTINED_AND_ARCHIVED, what, f"archived as {keys[0]}")
    report.not_archived = report.quarantined.keys() - archived.keys()
    report.hours = Counter(hour for message_id, hour in hours.items() if message_id not in archived)


async def _compare(reader: Reader, report: DayReport, counts: ProducerList) -> None:
    """What a producer has sent and the archive does not have."""
    findings = report.findings
    if counts.ids:
        missing = dict.fromkeys(it for it in report.keys.missing(counts.each_id()) if it not in report.quarantined)
        for message_id in await _found_on(reader, report.task, report.task.day + DAY, missing) if missing else ():
            del missing[message_id]
            report.late += 1
        for message_id in missing:
            findings.add(Flaw.MISSING, message_id, "sent, says the producer; neither archived nor in quarantine")
        return
    _compare_hours(report, counts.hours)
    there = report.keys.count + len(report.not_archived)
    if counts.total is not None and there < counts.total:
        findings.add(
            Flaw.GAP, report.task.day.isoformat(), f"archived or in quarantine are {there:,} of {counts.total:,} sent"
        )


def _compare_hours(report: DayReport, sent: Mapping[int, int]) -> None:
    """In which hours the archive has fewer than were sent; in quarantine is there, too."""
    there = report.keys.hours + report.hours
    gaps = {hour: f"{there[hour]:,} of {count:,} sent" for hour, count in sorted(sent.items()) if there[hour] < count}
    lacking = sum(sent[hour] - there[hour] for hour in gaps)
    of_any_hour = len(report.not_archived) - report.hours.total()
    if gaps and lacking <= of_any_hour:
        said = ", ".join(f"{what} at {hour:02}:00" for hour, what in gaps.items())
        report.remarks.append(
            f"{said}: what lacks can be among the {of_any_hour:,} of the quarantine that do not tell their hour."
        )
        return
    for hour, what in gaps.items():
        report.findings.add(Flaw.GAP, f"{hour:02}:00", f"archived or in quarantine are {what}")


async def _found_on(reader: Reader, task: AuditTask, day: date, wanted: Mapping[str, None]) -> set[str]:
    """Those of the ids that are there on another day: what is sent near midnight is received on the next."""
    found: set[str] = set()
    for prefix in (task.quarantine_prefix, task.prefix):  # one after the other, in this order: see `examine`
        async for page in reader.objects([KeyRange(day_prefix(prefix, day))]):
            for key, _ in page:
                place = read_object_key(task.prefix, key) or read_quarantine_key(task.quarantine_prefix, key)
                if place is not None and place.message_id in wanted:
                    found.add(place.message_id)
    return found


async def _lifecycles(reader: Reader, configured: Configured, report: DayReport) -> None:
    """Does the bucket delete it by itself? Whatever comes of the question, what was found before is reported."""
    try:
        rules = await reader.setting(configured.lifecycle)
    except EmailProcessorError as error:
        is_denied = isinstance(error, StoreFaultError) and error.cause is Cause.DENIED
        why = "without s3:GetLifecycleConfiguration they are not readable" if is_denied else error.detail
        report.remarks.append(f"Lifecycle rules could not be read: {one_line(why).removesuffix('.')}.")
        return
    for prefix in (f"{report.task.prefix}/", f"{report.task.quarantine_prefix}/"):
        for rule in expiring(rules, prefix):
            report.findings.add(Flaw.EXPIRES, prefix, str(rule))
