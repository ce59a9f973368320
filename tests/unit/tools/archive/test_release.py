"""The quarantine ends well: released as the live path would have archived it, whatever ends the command and when.

The process is killed at each of its requests, before or after it has taken effect, and begun again. Rules look at the
bucket all the while; deliberate bugs show that they notice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from email_processor.domain.errors import Cause, Reason, StoreFaultError
from email_processor.domain.stored import read_quarantine_document
from email_processor.tools.archive import release
from email_processor.tools.archive.quarantine import HeldMessage, Rejected, verdict
from email_processor.tools.archive.release import (
    DiscardTally,
    ReleaseOutcome,
    ReleaseRules,
    discard_batch,
    facts_of,
    release_all,
)
from tests.simulation.connection import FETCH, PUT, Fate, hung, lost, refused, unanswered
from tests.simulation.mutants import Change, Mutant, before, instead, reading
from tests.support.mail import email
from tests.unit.tools.archive.kit import NOON, Archived, made

RULES = ReleaseRules("emails", "1.0.0")
ALL = Rejected()
BROKEN = "{"
KILLED_AFTER_SECONDS = 10
REQUESTS = 26  # of a run without a kill: a list, four for each of six emails, one for what is none


@dataclass
class KillAt:
    """Fates that let the call with this number be the last one of the process."""

    number: int
    fate: Fate
    calls: int = 0

    def __call__(self, _subjects: tuple[str, ...]) -> Fate:
        """The fate of one call."""
        self.calls += 1
        return Fate() if self.calls < self.number else self.fate if self.calls == self.number else hung()


@dataclass
class Watched:
    """A bucket with six emails and something broken in quarantine, and what must be true of it at any time."""

    archived: Archived = field(default_factory=Archived)

    def __post_init__(self) -> None:
        self.bodies = {f"m{number}": email(f"ann.{number}@example.com") for number in range(6)}
        self.kept = {message_id: self.archived.reject(message_id, body) for message_id, body in self.bodies.items()}
        self.broken = self.archived.reject("broken", BROKEN)

    def violations(self, *, at_the_end: bool) -> Iterator[str]:
        """What is wrong with the bucket."""
        objects = self.archived.bucket.objects
        expected = dict(made(message_id, body) for message_id, body in self.bodies.items())
        for message_id, body in self.bodies.items():
            key, document = made(message_id, body)
            if objects.get(key) != document and self.kept[message_id] not in objects:
                yield "lost"
        if {key for key in objects if key.startswith("emails/")} - expected.keys():
            yield "under another key"
        if self.broken not in objects:
            yield "lost"
        if at_the_end and objects.keys() != {*expected, self.broken}:
            yield "not done"

    async def run(self, module: ModuleType = release, fates: Callable[[tuple[str, ...]], Fate] | None = None) -> None:
        """Run the command until it ends, or is killed because it will never hear of a request."""
        for operation in (FETCH, PUT):
            if fates is None:
                self.archived.faults.clear(operation)
            else:
                self.archived.faults.always(operation, fates)
        try:
            async with asyncio.timeout(KILLED_AFTER_SECONDS):
                await module.release_all(self.archived.reader(), RULES, "quarantine", Rejected(), lambda *_: None)
        except TimeoutError:
            assert fates is not None


async def killed_everywhere(module: ModuleType = release) -> set[str]:
    """What rules notice when the process is killed at each of its requests, and begun again."""
    noticed: set[str] = set()
    for number in range(1, REQUESTS + 2):
        for last in (hung(), unanswered()):
            watched = Watched()
            await watched.run(module, KillAt(number, last))
            noticed |= set(watched.violations(at_the_end=False))
            await watched.run(module)
            noticed |= set(watched.violations(at_the_end=True))
    return noticed


async def test_a_kill_at_any_request_loses_nothing_and_stores_nothing_twice() -> None:
    """Begun again it ends as if it had never been killed."""
    assert set() == await killed_everywhere()


async def test_twenty_kills_in_a_row_end_as_none() -> None:
    """However far each run comes."""
    watched = Watched()
    for number in range(20):
        await watched.run(fates=KillAt(1 + number % 9, unanswered() if number % 2 else hung()))
        assert [] == list(watched.violations(at_the_end=False))
    await watched.run()
    assert [] == list(watched.violations(at_the_end=True))


def forgetful(objects: dict[str, bytes]) -> Callable[[tuple[str, ...]], Fate]:
    """Forget what was stored, before it is read back."""

    def fate(subjects: tuple[str, ...]) -> Fate:
        if subjects[0] == "GET" and subjects[1].startswith("emails/"):
            objects.pop(subjects[1], None)
        return Fate()

    return fate


async def forgotten(module: ModuleType = release) -> set[str]:
    """What rules notice when the store loses what it was given."""
    watched = Watched()
    await watched.run(module, forgetful(watched.archived.bucket.objects))
    return set(watched.violations(at_the_end=False))


async def test_what_was_not_stored_after_all_stays_in_quarantine() -> None:
    """It is read back before anything is deleted."""
    assert set() == await forgotten()


def mutated(marker: str, change: Change) -> ModuleType:
    """The module with a deliberate bug in it."""
    source = Mutant(marker, "release", marker, change, ()).apply(Path(release.__file__).read_text())
    module = ModuleType(release.__name__)
    vars(module)["__file__"] = release.__file__
    exec(compile(source, f"<{marker}>", "exec"), vars(module))  # noqa: S102 - our own source
    return module


DELETE = "await reader.delete(held_message.key)"
BUGS = {
    "released under a new key": (
        "under-its-key",
        reading("rules.prefix", 'f"{rules.prefix}/new"'),
        "under another key",
    ),
    "deleted before it is stored": ("stored-first", before(DELETE), "lost"),
    "deleted before it is read back": ("read-back", before(DELETE), "lost"),
    "deleted though it was not read back": ("conflict-kept", instead("pass"), "lost"),
}


@pytest.mark.parametrize(("marker", "change", "rule"), BUGS.values(), ids=BUGS)
async def test_a_deliberate_bug_is_noticed(marker: str, change: Change, rule: str) -> None:
    """The silence of a rule that cannot speak would mean nothing."""
    bug = mutated(marker, change)
    assert rule in await killed_everywhere(bug) | await forgotten(bug)


async def endings_of(archived: Archived, rules: ReleaseRules = RULES, which: Rejected = ALL) -> Counter[ReleaseOutcome]:
    """What became of the messages in quarantine."""
    endings: Counter[ReleaseOutcome] = Counter()

    def ended(_: HeldMessage, ending: ReleaseOutcome) -> None:
        endings[ending] += 1

    await release_all(archived.reader(), rules, "quarantine", which, ended)
    return endings


async def test_each_ending_is_told() -> None:
    """What is there already, what is still no email, and what must not be touched."""
    archived = Archived()
    for message_id in ("new", "there", "taken", "refused"):
        archived.reject(message_id, email())
    archived.bucket.refuses.add("refused")
    archived.reject("broken", BROKEN)
    archived.bucket.objects["quarantine/2024/12/10/noise.json"] = b"{}"
    archived.bucket.objects["quarantine/2024/12/10/other.json"] = archived.bucket.objects[
        "quarantine/2024/12/10/new.json"
    ]
    archived.bucket.objects["quarantine/check/probe-1.json"] = b"{}"  # of `check --write`
    key, document = made("there", email())
    archived.bucket.objects[key] = document.replace(b'"1.0.0"', b'"0.9"')
    archived.bucket.objects[made("taken", email())[0]] = b"of somebody else"
    dry = await endings_of(archived, ReleaseRules("emails", "1.0.0", dry=True))
    assert {ReleaseOutcome.WOULD: 4, ReleaseOutcome.STILL: 1, ReleaseOutcome.UNREADABLE: 2} == dry
    expected = {
        ReleaseOutcome.RELEASED: 1,
        ReleaseOutcome.THERE: 1,
        ReleaseOutcome.CONFLICT: 1,
        ReleaseOutcome.REFUSED: 1,
        ReleaseOutcome.STILL: 1,
        ReleaseOutcome.UNREADABLE: 2,
    }
    assert expected == await endings_of(archived)
    del expected[ReleaseOutcome.RELEASED], expected[ReleaseOutcome.THERE]
    assert document.replace(b'"1.0.0"', b'"0.9"') == archived.bucket.objects[key]
    assert b"of somebody else" == archived.bucket.objects[made("taken", email())[0]]
    assert expected == await endings_of(archived)


async def test_a_spoiled_body_is_only_released_if_that_is_asked_for() -> None:
    """It can be read as an email, and yet is not what was sent; `ls` and `show` say so, too."""
    archived = Archived()
    key = archived.reject("spoiled", email(), reason=Reason.CORRUPT)
    quarantined = read_quarantine_document(archived.bucket.objects[key])
    assert "--reason corrupt" in verdict(quarantined, "emails", ALL)
    assert {ReleaseOutcome.CORRUPT: 1} == await endings_of(archived)
    assert [key] == list(archived.bucket.objects)
    asked = Rejected(reason="corrupt")
    assert "" == verdict(quarantined, "emails", asked)
    assert {ReleaseOutcome.RELEASED: 1} == await endings_of(archived, which=asked)


async def test_only_what_is_meant_is_released() -> None:
    """By reason, by day, by id; with `keep` it stays where it was, too."""
    archived = Archived()
    archived.reject("a", email())
    archived.reject("b", email(), NOON.replace(day=11))
    archived.reject("c", BROKEN)
    assert {ReleaseOutcome.STILL: 1} == await endings_of(archived, which=Rejected(reason="not_json"))
    eleventh = NOON.replace(day=11).date()
    assert {ReleaseOutcome.RELEASED: 1} == await endings_of(archived, which=Rejected(days=(eleventh, eleventh)))
    keeping = ReleaseRules("emails", "1.0.0", keep=True)
    assert {ReleaseOutcome.RELEASED: 1} == await endings_of(archived, keeping, Rejected(message_id="a"))
    assert {ReleaseOutcome.THERE: 1} == await endings_of(archived, keeping, Rejected(message_id="a"))


async def test_a_store_without_conditional_writes_is_looked_at_first() -> None:
    """What is there keeps its bytes."""
    archived = Archived()
    archived.bucket.is_conditional = False
    archived.reject("a", email())
    key, document = made("a", email())
    archived.bucket.objects[key] = older = document.replace(b'"1.0.0"', b'"0.9"')
    assert {ReleaseOutcome.THERE: 1} == await endings_of(archived, ReleaseRules("emails", "1.0.0", conditional=False))
    assert older == archived.bucket.objects[key]


@dataclass
class DeletesEnd:
    """Fates by which all deletes but the last `done` never end, or are refused a second later."""

    fate: Fate
    done: int
    left: int = 6

    def __call__(self, subjects: tuple[str, ...]) -> Fate:
        """The fate of one call."""
        if subjects[0] != "DELETE":
            return Fate()
        self.left -= 1
        return self.fate if self.left >= self.done else Fate()


@pytest.mark.parametrize("done", [0, 2])
@pytest.mark.parametrize("fate", [hung(), refused(Cause.DENIED, after=1)], ids=["interrupted", "denied"])
async def test_what_was_done_is_told_whatever_ends_it(fate: Fate, done: int) -> None:
    """What is stored and not deleted is told apart, though what came first never ended."""
    watched = Watched()
    watched.archived.faults.always(PUT, DeletesEnd(fate, done))
    endings: Counter[ReleaseOutcome] = Counter()
    with pytest.raises((TimeoutError, StoreFaultError)):
        async with asyncio.timeout(KILLED_AFTER_SECONDS):
            await release_all(
                watched.archived.reader(), RULES, "quarantine", ALL, lambda _, ending: endings.update([ending])
            )
    expected = {ReleaseOutcome.STORED: 6 - done, ReleaseOutcome.RELEASED: done, ReleaseOutcome.STILL: 1}
    assert Counter(expected) == endings
    assert 6 - done + 1 == sum(key.startswith("quarantine/") for key in watched.archived.bucket.objects)


async def test_of_what_was_archived_before_an_interrupted_release_tells_nothing() -> None:
    """It has done nothing to it."""
    watched = Watched()
    for message_id, body in watched.bodies.items():
        key, document = made(message_id, body)
        watched.archived.bucket.objects[key] = document
    watched.archived.faults.always(PUT, DeletesEnd(refused(Cause.DENIED), done=0))
    endings: Counter[ReleaseOutcome] = Counter()
    with pytest.raises(StoreFaultError):
        await release_all(
            watched.archived.reader(), RULES, "quarantine", ALL, lambda _, ending: endings.update([ending])
        )
    assert not endings.keys() & {ReleaseOutcome.STORED, ReleaseOutcome.RELEASED, ReleaseOutcome.THERE}


async def test_faults_that_pass_are_passed() -> None:
    """Answers that are lost, throttles, errors: tried again, and nothing is twice."""
    watched = Watched()
    watched.archived.faults.next(PUT, lost(), refused(Cause.THROTTLED), lost(), refused(), lost())
    await endings_of(watched.archived)
    assert [] == list(watched.violations(at_the_end=True))


async def test_what_is_discarded_is_on_record_before_it_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    """With what it was, but none of its content; a kill before the record is read back deletes nothing."""
    archived = Archived()
    key = archived.reject("a", BROKEN)
    facts = facts_of(HeldMessage(key, archived.bucket.objects[key], None))
    archived.faults.always(PUT, hung())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await discard_batch(archived.reader(), Rejected(), [facts], "a load test", DiscardTally())
    assert [key] == list(archived.bucket.objects)
    archived.faults.clear(PUT)
    await discard_batch(archived.reader(), Rejected(), [facts], "a load test", DiscardTally())
    ((record, document),) = archived.bucket.objects.items()
    assert record.startswith("access-records/")
    assert all(part in document for part in (key.encode(), b'"a load test"', b'"quarantine discard"', b'"sha256"'))
    assert '"event":"archive_accessed"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("done", "said"),
    [(0, "0 discarded, 6 more on record and perhaps gone"), (4, "4 discarded, 2 more on record and perhaps gone")],
)
async def test_what_was_discarded_is_told_whatever_ends_it(done: int, said: str) -> None:
    """Each is counted when it is gone, not when all of its record are."""
    archived = Archived()
    facts = [{"key": archived.reject(f"m{number}", BROKEN)} for number in range(6)]
    archived.faults.always(PUT, DeletesEnd(hung(), done))
    tally = DiscardTally()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(KILLED_AFTER_SECONDS):
            await discard_batch(archived.reader(), ALL, facts, "a load test", tally)
    assert said == str(tally)
    assert 6 - done == sum(key.startswith("quarantine/") for key in archived.bucket.objects)
