"""Listing and reading: in order, bounded, tried again, counted, priced, and nothing left running."""

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from datetime import date, timedelta
from typing import Literal

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.errors import Cause, Reason, StoreFaultError
from email_processor.metrics import Operation
from email_processor.ports import Clock
from email_processor.tools.archive.audit import AuditTask, examine
from email_processor.tools.archive.concurrently import MOST_BYTES, mapped
from email_processor.tools.archive.quarantine import Rejected, held
from email_processor.tools.archive.reader import SILENCE_SECONDS, Kind, Reader, RequestTally, Silence
from email_processor.tools.archive.release import ReleaseRules, release_all
from email_processor.tools.archive.search import Search
from email_processor.tools.archive.selection import RequestPlan, Selection, days_of, pattern_of, sender_of
from email_processor.tools.archive.sharing import PLACES, SIGNS, SPLITS, KeyRange, halfway, order
from email_processor.tools.command import WrongUseError
from tests.simulation.connection import FETCH, PUT, Fate, refused, slow
from tests.support.mail import email
from tests.unit.tools.archive.kit import ALL_DAY, DAY, NOON, Archived, counts

KEYS = st.text(st.characters(codec="utf-8") | st.sampled_from(SIGNS), max_size=9)
MONTH = Selection(date(2024, 12, 1), date(2024, 12, 31), folder="ann")


async def found(reader: Reader, selection: Selection, after: str = "") -> list[str]:
    """The keys of a selection."""
    async with Search(reader, selection, "emails").mails(after=after) as mails:
        return [mail.listed.key async for mail in mails]


async def test_a_senders_month_is_one_list_a_day_in_key_order() -> None:
    """However S3 orders its answers; another's mails are not listed."""
    archived = Archived()
    archived.faults.always(FETCH, lambda subjects: slow(0.3 if "10/" in subjects[1] else 0.0, 0.1))
    expected = [archived.add(f"m{day}", moment=NOON.replace(day=day)) for day in range(1, 32)]
    archived.add("other", sender="bob@example.com")
    reader = archived.reader()
    assert expected == await found(reader, MONTH)
    assert {Kind.LIST: 31} == counts(reader)
    assert "listed 31 pages, $0.0002" == str(reader.tally)


async def test_many_mails_of_a_day_are_a_list_for_each_page() -> None:
    """And one can begin behind any key, as an export that goes on does."""
    archived = Archived(page_size=10)
    keys = sorted(archived.add(f"m{number:03}") for number in range(95))
    reader = archived.reader()
    assert keys == await found(reader, ALL_DAY)
    assert {Kind.LIST: 10} == counts(reader)
    assert keys[42:] == await found(archived.reader(), ALL_DAY, after=keys[41])
    assert [] == await found(archived.reader(), Selection(DAY - timedelta(1), DAY - timedelta(1)), after=keys[41])


async def test_an_id_with_its_sender_is_one_request() -> None:
    """Nothing else is listed; an id that only begins like it is another."""
    archived = Archived()
    key = archived.add("m1")
    archived.add("m10")
    reader = archived.reader()
    assert [key] == await found(reader, Selection(DAY, DAY, folder="ann", message_id="m1"))
    assert [key] == await found(archived.reader(), Selection(DAY, DAY, message_id="m1"))
    assert {Kind.LIST: 1} == counts(reader)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Selection(DAY, DAY, folder="ann", address="ann@example.com"), ["a", "c"]),
        (Selection(DAY, DAY, folder="ann", address="ANN@other.example"), ["b"]),
        (Selection(DAY, DAY, subject=re.compile("invoice")), ["c"]),
        (Selection(DAY, DAY, text=re.compile("two")), ["b"]),
    ],
)
async def test_what_the_key_does_not_say_is_read(wanted: Selection, expected: list[str]) -> None:
    """The folder is only the local part."""
    archived = Archived()
    archived.add("a")
    archived.add("b", sender='"Ann" <ann@other.example>', content="two")
    archived.add("c", sender="Ann <ann@example.com>", email_subject="an invoice")
    archived.bucket.objects["emails/2024/12/10/ann/odd_000000.json"] = b"{"
    archived.bucket.objects["emails/2024/12/10/ann/notes.txt"] = b"not ours"
    reader = archived.reader()
    search = Search(reader, wanted, "emails")
    async with search.mails() as mails:
        assert expected == [mail.place.message_id async for mail in mails]
    assert {Kind.LIST: 1, Kind.GET: 4} == counts(reader)
    assert 1 == search.strangers
    assert ["emails/2024/12/10/ann/odd_000000.json"] == search.unreadable


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
async def test_an_address_is_found_in_either_form_of_its_accents(
    typed: Literal["NFC", "NFD"], written: Literal["NFC", "NFD"]
) -> None:
    """Its folder is the same, so that keys and addresses agree on whose mail it is."""
    archived = Archived()
    key = archived.add("m1", sender=f"José <{unicodedata.normalize(written, 'josé@example.com')}>")
    folder, address = sender_of(unicodedata.normalize(typed, "josé@example.com"))
    assert [key] == await found(archived.reader(), Selection(DAY, DAY, folder))
    assert [key] == await found(archived.reader(), Selection(DAY, DAY, folder, address))


async def test_a_throttle_and_an_error_that_passes_are_tried_again() -> None:
    """What needs a person is not, nor what never ends."""
    archived = Archived()
    key = archived.add("a")
    archived.faults.next(FETCH, refused(Cause.THROTTLED), refused(Cause.SERVER))
    reader = archived.reader()
    assert [key] == await found(reader, ALL_DAY)
    assert {Kind.LIST: 3} == counts(reader)
    for cause, tries in {Cause.DENIED: 1, Cause.NETWORK: 10}.items():
        archived.faults.always(FETCH, refused(cause))
        reader = archived.reader()
        with pytest.raises(StoreFaultError, match="simulated"):
            await found(reader, ALL_DAY)
        assert tries == counts(reader)[Kind.LIST]


async def test_more_requests_than_allowed_are_not_made() -> None:
    """It stops, and says what to do."""
    archived = Archived(page_size=1)
    for number in range(10):
        archived.add(f"m{number}")
    reader = archived.reader(most_requests=5)
    with pytest.raises(WrongUseError, match="more than 5 requests"):
        await found(reader, ALL_DAY)
    assert {Kind.LIST: 5} == counts(reader)


async def test_a_listing_that_is_left_early_leaves_nothing_running() -> None:
    """Nor does one that is cancelled."""
    archived = Archived()
    archived.add("a", moment=NOON.replace(day=1))
    archived.faults.always(FETCH, lambda subjects: Fate() if "12/01/" in subjects[1] else slow(1000))
    before = asyncio.all_tasks()
    async with aclosing(archived.reader().objects(MONTH.ranges("emails"))) as pages:
        async for page in pages:
            assert ["emails/2024/12/01/ann/a_120000.json"] == [each.key for each in page]
            break
    assert before == asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await found(archived.reader(), MONTH)
    assert before == asyncio.all_tasks()


async def test_work_is_done_ahead_but_not_without_a_bound() -> None:
    """Whoever is slow to take results holds up the rest."""
    begun: list[int] = []

    async def source() -> AsyncGenerator[int, None]:
        for number in range(100):
            yield number

    async def work(number: int) -> int:
        begun.append(number)
        await asyncio.sleep(1)
        return number

    async with mapped(source(), work, 4) as results:
        async for number in results:
            await asyncio.sleep(10)
            assert len(begun) <= number + 7
            if number == 20:
                break
    assert begun == sorted(begun)


async def test_what_waits_behind_a_slow_one_is_bounded_by_its_bytes() -> None:
    """One item may be larger than the bound, and is alone then."""
    begun: list[int] = []
    is_answered = asyncio.Event()
    sizes = [MOST_BYTES // 4] * 10 + [MOST_BYTES * 2] * 2

    async def source() -> AsyncGenerator[int, None]:
        for size in sizes:
            yield size

    async def work(size: int) -> int:
        begun.append(size)
        await is_answered.wait()
        return size

    async with mapped(source(), work, 96, lambda size: size) as results:
        await asyncio.sleep(1)
        assert sizes[:4] == begun
        is_answered.set()
        used = 0
        async for size in results:
            assert sum(begun) - used <= MOST_BYTES + max(begun)
            used += size
            await asyncio.sleep(1)
    assert sizes == begun


async def search(reader: Reader) -> None:
    """Read the mails of a day, as an export does."""
    async with Search(reader, ALL_DAY, "emails").mails(read=True) as mails:
        async for _ in mails:
            pass


async def audit(reader: Reader) -> None:
    """Audit a day, with the content of each mail."""
    await examine(reader, None, AuditTask(DAY, "emails", "quarantine", full=True))


async def look_into_quarantine(reader: Reader) -> None:
    """Read what is in quarantine, as all commands on it do."""
    async with held(reader, "quarantine", Rejected()) as messages:
        async for _ in messages:
            pass


async def release(reader: Reader) -> None:
    """Release what is in quarantine."""
    await release_all(reader, ReleaseRules("emails", "1"), "quarantine", Rejected(), lambda *_: None)


@pytest.mark.parametrize(
    ("command", "read", "slow_one", "most"),
    [
        (search, "emails/", FETCH, 16),
        (audit, "emails/", FETCH, 16),
        (look_into_quarantine, "quarantine/", FETCH, 16),
        (release, "quarantine/", PUT, 2 * 16),
    ],
)
async def test_a_command_that_waits_for_one_object_does_not_fill_the_memory(
    command: Callable[[Reader], Coroutine[None, None, None]], read: str, slow_one: Operation, most: int
) -> None:
    """It reads what has room beside it, and goes on when that is answered."""
    archived = Archived()
    for number in range(50):
        archived.add(f"m{number:02}", content="x" * (MOST_BYTES // 16))
        archived.reject(f"r{number:02}", email(content="x" * (MOST_BYTES // 16)), reason=Reason.NOT_JSON)
    keys = set[str]()

    def fate(subjects: tuple[str, ...]) -> Fate:
        operation, key, *_ = subjects
        if operation == "GET" and key.startswith(read):
            keys.add(key)
        is_slow = operation == ("PUT" if slow_one is PUT else "GET") and ("m00" in key or "r00" in key)
        return slow(1000) if is_slow else Fate()

    archived.faults.always(FETCH, fate)
    archived.faults.always(PUT, fate)
    working = asyncio.create_task(command(archived.reader()))
    await asyncio.sleep(500)
    assert 8 < len(keys) <= most + 2
    await working
    assert 50 == len(keys)


async def test_ranges_that_are_split_have_every_object_once() -> None:
    """As an audit lists a day: several parts at a time, in no order."""
    archived = Archived(page_size=3)
    keys = {archived.add(f"m{number}", sender=f"{'abcxyz'[number % 6]}@example.com") for number in range(60)}
    day = "emails/2024/12/10/"
    ranges = [KeyRange(day, "", f"{day}b"), KeyRange(day, f"{day}b", f"{day}y"), KeyRange(day, f"{day}y")]
    seen: list[str] = []
    await archived.reader().each_page(ranges, lambda page: seen.extend(each.key for each in page))
    assert sorted(keys) == sorted(seen)


@pytest.mark.parametrize("folder", ["s{0:03}", "ann", "{1}.{0:03}", "ж{0:03}", "{1}~{0:03}"])
async def test_a_day_is_listed_by_many_wherever_its_mails_are(folder: str) -> None:
    """Each object once, many pages at a time, and with few requests more than there are pages."""
    archived = Archived(page_size=3)
    archived.faults.always(FETCH, lambda _: slow(1))
    keys = [
        archived.add(f"{number * 7 % 300:03}-4000", sender=f"{folder.format(number, 'abcz0_'[number % 6])}@example.com")
        for number in range(300)
    ]
    reader, seen = archived.reader(), list[str]()
    began = asyncio.get_running_loop().time()
    await reader.each_page([KeyRange("emails/2024/12/10/")], lambda page: seen.extend(each.key for each in page))
    assert sorted(keys) == sorted(seen)
    assert counts(reader)[Kind.LIST] <= 100 + 1 + SPLITS + 100 // 32
    assert asyncio.get_running_loop().time() - began <= 60


@given(low=KEYS, high=KEYS)
def test_halfway_is_between(low: str, high: str) -> None:
    """In the order of S3; if there is nothing between, it says so."""
    low, high = sorted((low, high), key=order)
    middle = halfway(low, high)
    assert not middle or order(low) < order(middle) < order(high)


def test_a_halfway_that_is_empty_halves_what_is_left() -> None:
    """So a handful of requests finds where in a day its mails are."""
    low, high = "emails/2024/12/10/s0000/x", f"emails/2024/12/10/{SIGNS[-1] * PLACES}"
    steps = 0
    while high > "emails/2024/12/10/s5" and steps < 99:
        high = halfway(low, high)
        steps += 1
    assert steps <= 12


@pytest.mark.parametrize("fate", [slow(1000), refused(Cause.NETWORK)])
async def test_who_waits_for_s3_hears_so_once(fate: Fate) -> None:
    """Within five seconds, whether it is silent or cannot be reached; not if it is only slow."""
    archived = Archived()
    archived.faults.always(FETCH, lambda _: slow(3))
    reader = archived.reader(tell=(told := list[str]()).append)
    await reader.page("emails/")
    await reader.page("emails/")
    assert [] == told
    archived.faults.always(FETCH, lambda _: fate)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await reader.page("emails/")
    assert 1 == len(told)
    assert "Waiting for S3, which has answered nothing for 4 s" in told[0]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(25):
            await reader.page("emails/")
    assert 1 == len(told)


async def test_who_reads_slowly_is_not_told_that_s3_does_not_answer() -> None:
    """A pager holds up the whole command, and the answers have come meanwhile."""
    now = 0.0
    told: list[str] = []
    silence = Silence(Clock(lambda: now, lambda: now), told.append)
    with silence.listened_to():
        now = 100.0
        await asyncio.sleep(SILENCE_SECONDS + 1)
    assert [] == told


def test_requests_are_priced() -> None:
    """A thousand LISTs or PUTs cost half a cent, a thousand GETs a twelfth of that; deletes are free."""
    tally = RequestTally()
    tally.counts.update({Kind.LIST: 1000, Kind.GET: 10_000, Kind.PUT: 1000, Kind.DELETE: 7})
    assert 0.014 == pytest.approx(tally.dollars)
    assert "listed 1,000 pages, read 10,000 objects, wrote 1,000 objects, deleted 7 objects, $0.0140" == str(tally)


OCTOBER = Selection(date(2026, 10, 1), date(2026, 10, 31), folder="john.doe", address="john.doe@example.com")


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (OCTOBER, "31 lists or a few more, then 1 read for each of john.doe's mails to compare the full address"),
        (ALL_DAY, "1 prefix, 1 list and 1 for each further 1,000 mails\nabout $0.0000 and 1 s for the lists"),
        (replace(ALL_DAY, message_id="m"), "with --from it would be 1 list a day, however many mails the day has"),
    ],
)
def test_a_plan_says_what_it_takes(selection: Selection, said: str) -> None:
    """Before anything is asked."""
    assert said in str(RequestPlan.of(selection, reads=False))


def test_a_plan_that_is_bound_to_be_too_much_is_refused() -> None:
    """By its lists alone."""
    plan = RequestPlan.of(Selection(date(2000, 1, 1), DAY), reads=False)
    plan.stay_below(plan.lists)
    with pytest.raises(WrongUseError, match="at least 9,111 requests"):
        plan.stay_below(plan.lists - 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("John.Doe@Example.com", ("john.doe", "John.Doe@Example.com")),
        ("John Doe", ("john_doe", "")),
        ("unknown", ("unknown", "")),
    ],
)
def test_a_sender_is_an_address_or_a_name(text: str, expected: tuple[str, str]) -> None:
    """An address is compared as a whole, a name is its folder."""
    assert expected == sender_of(text)


@pytest.mark.parametrize(
    "text", ["", " ", "a\x1b[2Jb", "john*", "j?hn", "@example.com", "???", "<a@b>", "!!!", "A <a@b>"]
)
def test_what_is_no_sender_is_refused(text: str) -> None:
    """Nothing, control characters, patterns, domains, whole mailboxes."""
    with pytest.raises(click.UsageError, match="--from"):
        sender_of(text)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ((None, None, None), "Which days"),
        ((DAY, DAY, None), "--day is one day"),
        ((None, None, DAY), "Which days"),
        ((None, DAY, DAY - timedelta(1)), "is after"),
    ],
)
def test_days_that_contradict_each_other_are_refused(days: tuple[date | None, ...], said: str) -> None:
    """And so is no day at all."""
    with pytest.raises(click.UsageError, match=said):
        days_of(*days)


def test_a_pattern_that_is_none_is_refused() -> None:
    """With what is wrong with it."""
    with pytest.raises(click.BadParameter, match="unterminated"):
        pattern_of("[", "--text")
