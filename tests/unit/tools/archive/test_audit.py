"""The audit of a day: a clean one is clean, and each defect is found, named, and nothing else is."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.key import read_object_key
from email_processor.domain.sender import sender_folder
from email_processor.tools.archive.audit import AuditTask, DayReport, examine
from email_processor.tools.archive.counts import NoRoomError, read_counts
from email_processor.tools.archive.day_keys import DayKeys
from email_processor.tools.archive.findings import MOST_NAMED, AuditFindings, Flaw
from email_processor.tools.archive.quarantine import Rejected
from email_processor.tools.archive.reader import OBJECT_BYTES, Kind
from email_processor.tools.archive.release import ReleaseRules, release_all
from email_processor.tools.command import WrongUseError
from tests.simulation.connection import FETCH, PUT, Fate, slow
from tests.support.mail import email
from tests.unit.pipeline.kit import later
from tests.unit.tools.archive.kit import DAY, NOON, Archived, counts, made

FOLDER = "emails/2024/12/10"
BROKEN = "no JSON"
IDS = [f"m{number}" for number in range(40)]


def a_day(page_size: int = 1000) -> Archived:
    """A bucket with a day that is as it should be: senders of any script, and some in quarantine."""
    archived = Archived(page_size)
    for number, message_id in enumerate(IDS):
        sender = f"{'abz0ж日'[number % 6]}.{number % 4}@example.com"
        archived.add(message_id, sender=sender, moment=NOON + timedelta(hours=number % 3))
    archived.reject("q1", BROKEN)
    archived.reject("q2", email())
    return archived


async def report_of(archived: Archived, *, full: bool = False, sent: Path | None = None) -> DayReport:
    """The report of the day, and how often something was read."""
    with nullcontext() if sent is None else read_counts(sent, DAY) as counts:
        return await examine(archived.reader(), None, AuditTask(DAY, "emails", "quarantine", full, counts))


async def test_a_clean_day_is_clean_and_nothing_of_it_is_read() -> None:
    """But for what is in quarantine: why it is there stands in it."""
    archived = a_day(page_size=7)
    reader = archived.reader()
    report = await examine(reader, None, AuditTask(DAY, "emails", "quarantine"))
    assert {} == report.findings.counts
    assert {"not_json": 1, "missing_field": 1} == report.quarantine
    assert (40, {12: 14, 13: 13, 14: 13}) == (report.keys.count, report.keys.hours)
    assert 2 == counts(reader)[Kind.GET]
    assert "2024-12-10 is clean: 40 emails" in str(report)
    assert {} == (await report_of(archived, full=True)).findings.counts


def two_keys(archived: Archived) -> str:
    """One mail at another hour as well."""
    archived.bucket.objects[f"{FOLDER}/a.0/m0_235959.json"] = archived.bucket.objects[f"{FOLDER}/a.0/m0_120000.json"]
    return "m0"


def of_another(archived: Archived) -> str:
    """An object moved under another sender, with a second one of its id to be seen by."""
    _, document = made("m0", email("eve@example.com"))
    archived.bucket.objects[f"{FOLDER}/mallory/m0_120000.json"] = document
    return f"{FOLDER}/mallory/m0_120000.json"


def odd_folder(archived: Archived) -> str:
    """A folder that no sender can have."""
    _, document = made("m99", email("eve@example.com"))
    archived.bucket.objects[f"{FOLDER}/Eve/m99_120000.json"] = document
    return f"{FOLDER}/Eve/m99_120000.json"


def put(key: str, document: bytes) -> Callable[[Archived], str]:
    """An object."""

    def plant(archived: Archived) -> str:
        archived.bucket.objects[key] = document
        return key

    return plant


def quarantined_too(archived: Archived) -> str:
    """A message that is in both."""
    return archived.reject("m3", BROKEN)


PLANTED = {
    "two keys": (two_keys, {Flaw.TWO_KEYS: 1, Flaw.CONTRADICTION: 1}),
    "another's content": (of_another, {Flaw.TWO_KEYS: 1, Flaw.CONTRADICTION: 1}),
    "a folder of nobody": (odd_folder, {Flaw.CONTRADICTION: 1}),
    "a stranger": (put(f"{FOLDER}/report.csv", b"1,2"), {Flaw.STRANGER: 1}),
    "a stranger in quarantine": (put("quarantine/2024/12/10/a/b.json", b"1,2"), {Flaw.STRANGER: 1}),
    "a wrong suffix": (put(f"{FOLDER}/ann/m7_120000.json.bak", b"{}"), {Flaw.WRONG_SUFFIX: 1}),
    "an empty object": (put(f"{FOLDER}/ann/m98_120000.json", b""), {Flaw.EMPTY: 1}),
    "an empty object in quarantine": (put("quarantine/2024/12/10/q9.json", b""), {Flaw.EMPTY: 1}),
    "a cut object": (put(f"{FOLDER}/ann/m98_120000.json", b'{"message_id":"m98"'), {Flaw.UNREADABLE: 1}),
    "noise in quarantine": (put("quarantine/2024/12/10/q9.json", b"{}"), {Flaw.UNREADABLE: 1}),
    "both": (quarantined_too, {Flaw.QUARANTINED_AND_ARCHIVED: 1}),
}


@pytest.mark.parametrize(("plant", "flaws"), PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("page_size", [5, 1000])
async def test_each_defect_is_found_and_named(
    plant: Callable[[Archived], str], flaws: dict[Flaw, int], page_size: int
) -> None:
    """However the day is listed."""
    archived = a_day(page_size)
    what = plant(archived)
    report = await report_of(archived)
    assert flaws == report.findings.counts
    assert what in {named["what"] for named in report.findings.named}
    assert what in str(report)
    assert flaws == report.document()["findings"]


async def test_content_that_only_a_full_audit_can_see() -> None:
    """A key that looks well says nothing of what is under it."""
    archived = a_day()
    archived.bucket.objects[f"{FOLDER}/mallory/m97_120000.json"] = made("m97", email("eve@example.com"))[1]
    assert {} == (await report_of(archived)).findings.counts
    report = await report_of(archived, full=True)
    assert [f"what is in it belongs under {FOLDER}/eve/m97_120000.json"] == [
        it["detail"] for it in report.findings.named
    ]


async def test_what_leaves_the_quarantine_meanwhile_is_no_finding(tmp_path: Path) -> None:
    """A release may run beside the audit: what it has moved is not missing either."""
    archived = a_day()

    def release(subjects: tuple[str, ...]) -> Fate:
        if subjects[:2] == ("LIST", "quarantine/2024/12/10/"):
            later(0.5, archived.bucket.objects.pop, "quarantine/2024/12/10/q2.json", None)
        return slow(0.0, 1.0)

    archived.faults.always(FETCH, release)
    sent = tmp_path / "sent"
    sent.write_text("q1\nq2\n")
    report = await report_of(archived, sent=sent)
    assert {} == report.findings.counts
    assert {"not_json": 1} == report.quarantine
    assert "1 left the quarantine during the audit" in str(report)


def lists_are_slow(subjects: tuple[str, ...]) -> Fate:
    """So slow that a whole release has room behind each."""
    if subjects[0] == "LIST" and subjects[1].startswith("quarantine/2024"):
        return slow(1.0, 0.1)
    return slow(0.0, 1.0) if subjects[1].startswith("emails/2024") and subjects[0] == "LIST" else slow(0.1, 0.1)


@pytest.mark.parametrize("begins", range(0, 60, 4))
async def test_what_is_released_beside_an_audit_is_there_once(begins: int, tmp_path: Path) -> None:
    """Whenever the release runs, on this day or on the next: neither missing, nor counted in both places."""
    archived = a_day()
    archived.reject("next", email(), NOON + timedelta(days=1))
    archived.faults.always(FETCH, lists_are_slow)
    archived.faults.always(PUT, lists_are_slow)
    lists = {name: tmp_path / name for name in ("ids", "all", "more")}
    for name, text in (("ids", "q1\nq2\nnext\n"), ("all", "total 42\n"), ("more", "total 43\n")):
        lists[name].write_text(text)

    async def released() -> None:
        await asyncio.sleep(begins / 10)
        rules = ReleaseRules("emails", "1.0.0")
        await release_all(archived.reader(), rules, "quarantine", Rejected(), lambda *_: None)

    objects = dict(archived.bucket.objects)
    for name, flaws in (("ids", set()), ("all", set()), ("more", {Flaw.GAP})):
        archived.bucket.objects.clear()
        archived.bucket.objects.update(objects)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(released())
            report = await report_of(archived, sent=lists[name])
        assert flaws == report.findings.counts.keys() & {Flaw.MISSING, Flaw.GAP}, name


async def test_a_full_audit_reads_no_more_at_once_than_has_room() -> None:
    """By the sizes that the listing told, however many objects there are."""
    archived = Archived()
    for number in range(40):
        archived.add(f"m{number}", content="x" * (OBJECT_BYTES // 4))
    reading = Counter[str]()

    def read(subjects: tuple[str, ...]) -> Fate:
        if subjects[0] == "GET":
            reading["now"] += 1
            reading["most"] = max(reading["most"], reading["now"])
            later(1.0, reading.subtract, ["now"])
        return slow(0.0, 1.0)

    archived.faults.always(FETCH, read)
    assert {} == (await report_of(archived, full=True)).findings.counts
    assert 3 == reading["most"]


COUNTED = {
    "all ids": ("\n".join(["# sent", *IDS, "q1"]), {}, 0),
    "one that is nowhere": ("m1\nlost\n", {Flaw.MISSING: 1}, 0),
    "one that came late": ("m1\nlate\n", {}, 1),
    "hours that fit": ("12 14\n2024-12-10T13:00Z,13\n", {}, 0),
    "an hour with some in quarantine": ("12 16\n13 13\n", {}, 0),
    "an hour that lacks more than those": ("12 17\n13 13\n", {Flaw.GAP: 1}, 0),
    "an hour that does not": ("12 14\n14;20\n23 1\n", {Flaw.GAP: 2}, 0),
    "a total that fits": ("total 42\n", {}, 0),
    "a total that does not": ("total: 43\n", {Flaw.GAP: 1}, 0),
}


@pytest.mark.parametrize(("text", "flaws", "late"), COUNTED.values(), ids=COUNTED)
async def test_what_a_producer_sent_is_compared(text: str, flaws: dict[Flaw, int], late: int, tmp_path: Path) -> None:
    """By ids or by counts; what was sent near midnight is found on the next day."""
    archived = a_day()
    archived.add("late", moment=NOON + timedelta(days=1))
    sent = tmp_path / "sent"
    sent.write_text(text)
    report = await report_of(archived, sent=sent)
    assert flaws == report.findings.counts
    assert late == report.late


@pytest.mark.parametrize(
    ("text", "flaws"),
    [("12 16\n", {}), ("12 17\n", {}), ("12 16\n13 14\n", {}), ("12 17\n13 14\n", {Flaw.GAP: 2}), ("total 43\n", {})],
)
async def test_what_does_not_tell_its_hour_can_be_what_an_hour_lacks(
    text: str, flaws: dict[Flaw, int], tmp_path: Path
) -> None:
    """A gap is said in any case, and is a finding if it is larger than what has no hour."""
    archived = a_day()
    archived.bucket.objects["quarantine/2024/12/10/q9.json"] = b"{}"
    sent = tmp_path / "sent"
    sent.write_text(text)
    report = await report_of(archived, sent=sent)
    assert {Flaw.UNREADABLE: 1, **flaws} == report.findings.counts
    assert ("12:00: what lacks can be among the 1 of the quarantine" in str(report)) is (text == "12 17\n")


async def test_what_is_in_both_is_one_of_its_hour(tmp_path: Path) -> None:
    """So that it does not hide one that is missing."""
    archived = a_day()
    archived.reject("m3", BROKEN)
    sent = tmp_path / "sent"
    sent.write_text("12 17\n")
    report = await report_of(archived, sent=sent)
    assert {Flaw.QUARANTINED_AND_ARCHIVED: 1, Flaw.GAP: 1} == report.findings.counts
    assert "gap: 12:00: archived or in quarantine are 16 of 17 sent" in str(report)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has nothing in it"),
        ("a\n12 4\n", "ids and counts"),
        ("what is this\n", "no id and no count"),
        ("2024-12-11T12 4\n", "is about 2024-12-11"),
        (None, "cannot be read"),
    ],
)
def test_a_list_that_is_none_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    """With the form that it should have."""
    sent = tmp_path / "sent"
    if text is not None:
        sent.write_text(text)
    with pytest.raises(WrongUseError, match=said), read_counts(sent, DAY):
        pass


async def test_a_list_that_can_be_read_once_only_is_a_list() -> None:
    """As a pipe, which has nothing to say when it is asked again."""
    reading, writing = os.pipe()
    os.write(writing, b"m1\nq1\nlost\n")
    os.close(writing)
    try:
        report = await report_of(a_day(), sent=Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
    assert ["lost"] == [named["what"] for named in report.findings.named]


async def test_more_ids_than_are_kept_in_memory_are_compared_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in a temporary file; without room for one it is said where to make it."""
    monkeypatch.setattr("email_processor.tools.archive.counts.IN_MEMORY_BYTES", 20)
    sent = tmp_path / "sent"
    sent.write_text("\n".join([*IDS, "lost", "q1"]))
    report = await report_of(a_day(), sent=sent)
    assert ["lost"] == [named["what"] for named in report.findings.named]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(NoRoomError, match="Make room there, or set TMPDIR"):
        await report_of(a_day(), sent=sent)


async def test_ids_whose_hashes_meet_are_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are compared by name before anything is said."""
    monkeypatch.setattr("email_processor.tools.archive.day_keys.hash", lambda _: 7, raising=False)
    assert {} == (await report_of(a_day())).findings.counts


def test_ten_thousand_findings_are_counted_and_a_thousand_named() -> None:
    """So that a bucket that somebody else uses as well does not fill the memory."""
    findings = AuditFindings()
    for number in range(10_000):
        findings.add(Flaw.STRANGER, str(number))
    assert (10_000, MOST_NAMED) == (findings.counts[Flaw.STRANGER], len(findings.named))


FOLDERS = st.from_regex(r"[a-z0-9._A-Zж \n-]{1,66}", fullmatch=True)
IDS_AND_TIMES = st.from_regex(r"[a-zA-Z0-9._~%/-]{1,9}_[0-9]{6}\.json\n?", fullmatch=True)


@given(folder=FOLDERS, rest=IDS_AND_TIMES)
def test_a_key_is_read_the_quick_way_as_the_way_back_reads_it(folder: str, rest: str) -> None:
    """Of every key: whether it is ours, its id and hour, and whether the folder is one that a sender can have."""
    key = f"{FOLDER}/{folder}/{rest}"
    place = read_object_key("emails", key)
    says = DayKeys("emails", DAY, AuditFindings()).read(key)
    expected = place and (place.message_id, place.moment.hour, sender_folder(place.folder) != place.folder)
    assert expected == says
