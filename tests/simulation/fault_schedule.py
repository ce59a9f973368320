"""What becomes of every call in a story: its latency, the faults that are aimed at it, and the spells it falls into."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from email_processor.domain.errors import Cause
from email_processor.metrics import Operation
from tests.simulation.connection import CHANGE_VISIBILITY, DELETE, RECEIVE, Entry, Facts, Fate, What, message_id_of
from tests.simulation.loop import Driver
from tests.simulation.story import Fault, Kind, Story, draw

SQS = ("RECEIVE", "DELETE", "CHANGE_VISIBILITY", "QUEUE_STATE")
S3 = ("PUT", "FETCH")
GROUPS = {"sqs": SQS, "s3": S3, "all": SQS + S3}
GRID = 0.005  # latencies are multiples of it, so that things happen at the same time
MOST_ENTRIES = 10
BATCHES = frozenset({DELETE, CHANGE_VISIBILITY})
SPELLS = frozenset({Kind.SPELL, Kind.CUT_OFF, Kind.OUTAGE, Kind.STUCK})

AIMED = frozenset(
    {
        Kind.REFUSE,
        Kind.LOSE,
        Kind.HANG,
        Kind.MUTE,
        Kind.DELAY_REQUEST,
        Kind.DELAY_ANSWER,
        Kind.PARTLY,
        Kind.CORRUPT,
        Kind.KILL_UNSENT,
        Kind.KILL_SENT,
        Kind.STOP_MEANWHILE,
        Kind.PAUSE_MEANWHILE,
        Kind.DUPLICATE_MEANWHILE,
    }
)


def meant(fault: Fault) -> tuple[str, ...]:
    """The operations that a fault is about."""
    return GROUPS.get(fault.operation, (fault.operation,))


class StoryFaultSchedule:
    """The faults of a story, until they are `over`."""

    def __init__(
        self, story: Story, driver: Driver, facts: Facts, act: Callable[[Fault, str, tuple[str, ...]], None]
    ) -> None:
        """`act(fault, who, subjects)` does to the caller or its messages what is not done to the call."""
        self.story = story
        self.over = False
        self.calls: Counter[str] = Counter()
        self._driver = driver
        self._facts = facts
        self._act = act
        self._tries: Counter[tuple[str, str, str]] = Counter()
        self._aimed = {(fault.operation, fault.nth): fault for fault in story.faults if fault.kind in AIMED}
        self._spells = [fault for fault in story.faults if fault.kind in SPELLS]

    def fate(self, operation: Operation, who: str, subjects: tuple[str, ...]) -> Fate:
        """The fate of a call."""
        name = operation.name
        self.calls[name] += 1
        key = (name, who if operation is RECEIVE else "", " ".join(subjects))
        self._tries[key] += 1
        fate = self._fair(*key, self._tries[key])
        if self.over:
            return fate
        fault = self._aimed.get((name, self.calls[name])) or self._spell(key, who, subjects)
        if fault is None:
            return fate
        if fault.kind is Kind.STUCK:
            return self._stuck(fate, fault, operation, who, subjects)
        fate = self._faulty(fate, fault, operation, key)
        self._facts.add(What.EXCUSED, who, *subjects, operation=name, detail=fault.kind)
        self._act(fault, who, subjects)
        return fate

    def _active(self) -> list[Fault]:
        now = self._driver.seconds
        return [] if self.over else [spell for spell in self._spells if spell.at <= now < spell.at + spell.seconds]

    def _spell(self, key: tuple[str, str, str], who: str, subjects: tuple[str, ...]) -> Fault | None:
        for index, spell in enumerate(self._active()):
            if key[0] not in meant(spell) or not key[2].startswith(spell.where):
                continue
            match spell.kind:
                case Kind.STUCK:
                    is_met = any(self._is_stuck(spell, subject) for subject in subjects)
                case Kind.CUT_OFF:
                    is_met = who == spell.process
                case _:
                    is_met = draw(self.story.seed, "spell", index, *key, self._tries[key]) < spell.share
            if is_met:
                return spell
        return None

    def _is_stuck(self, spell: Fault, subject: str) -> bool:
        """Whether a message is one of those that a spell keeps stuck; `subject` is a receipt handle or a key."""
        if subject.startswith("quarantine/"):
            return False
        return draw(self.story.seed, "stuck", spell.operation, spell.at, message_id_of(subject)) < spell.share

    def _stuck(self, fate: Fate, spell: Fault, operation: Operation, who: str, subjects: tuple[str, ...]) -> Fate:
        """Only what is about the messages that are stuck is refused, and only that is excused."""
        stuck = [self._is_stuck(spell, subject) for subject in subjects]
        met = [subject for subject, is_stuck in zip(subjects, stuck, strict=True) if is_stuck]
        self._facts.add(What.EXCUSED, who, *met, operation=operation.name, detail=spell.kind)
        if operation in BATCHES:
            return replace(fate, entries=tuple(Entry.REFUSED if is_stuck else Entry.DONE for is_stuck in stuck))
        return replace(fate, fault=Cause(spell.cause), takes_effect=False)

    def _fair(self, name: str, who: str, subject: str, attempt: int) -> Fate:
        settings = self.story.settings
        key = (self.story.seed, name, who, subject, attempt)
        before, after = (GRID * round(2 * settings.latency * draw(*key, half) / GRID) for half in ("before", "after"))
        if settings.tail and draw(*key, "tail") < settings.tail:
            after += GRID * round(2.0 * draw(*key, "length") / GRID)
        return Fate(before, after)

    def _faulty(self, fate: Fate, fault: Fault, operation: Operation, key: tuple[str, str, str]) -> Fate:
        match Kind(fault.mode) if fault.kind in SPELLS else fault.kind:
            case Kind.REFUSE:
                fate = replace(fate, fault=Cause(fault.cause), takes_effect=False)
            case Kind.LOSE:
                fate = replace(fate, fault=Cause(fault.cause))
            case Kind.HANG | Kind.KILL_UNSENT:
                fate = replace(fate, takes_effect=False, is_answered=False)
            case Kind.MUTE:
                fate = replace(fate, is_answered=False)
            case Kind.DELAY_REQUEST:
                fate = replace(fate, before=fate.before + fault.seconds)
            case Kind.DELAY_ANSWER:
                fate = replace(fate, after=fate.after + fault.seconds)
            case Kind.PARTLY | Kind.CORRUPT:
                fate = replace(fate, entries=self._entries(operation, key))
            case _:  # it happens to the process or to the messages
                pass
        return fate

    def _entries(self, operation: Operation, key: tuple[str, str, str]) -> tuple[Entry, ...]:
        bad = (Entry.CORRUPT,) if operation is RECEIVE else (Entry.REFUSED, Entry.UNANSWERED)
        rolls = [draw(self.story.seed, "entry", *key, self._tries[key], n) for n in range(MOST_ENTRIES)]
        return tuple(bad[int(roll * 4) % len(bad)] if roll < 0.5 else Entry.DONE for roll in rolls)
