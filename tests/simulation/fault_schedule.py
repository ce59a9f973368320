"""What becomes of every call in a story: its latency, the faults that are aimed at it, and the spells it falls into."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from email_processor.domain.errors import Cause
from email_processor.metrics import Operation
from tests.simulation.connection import RECEIVE, Entry, Facts, Fate, What
from tests.simulation.loop import Driver
from tests.simulation.story import Fault, Kind, Story, draw

SQS = ("RECEIVE", "DELETE", "CHANGE_VISIBILITY", "QUEUE_STATE")
S3 = ("PUT", "FETCH")
GROUPS = {"sqs": SQS, "s3": S3, "all": SQS + S3}
GRID = 0.005  # latencies are multiples of it, so that things happen at the same time
MOST_ENTRIES = 10

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
        self._spells = [fault for fault in story.faults if fault.kind is Kind.SPELL]

    def fate(self, operation: Operation, who: str, subjects: tuple[str, ...]) -> Fate:
        """The fate of a call."""
        name = operation.name
        self.calls[name] += 1
        key = (name, who if operation is RECEIVE else "", " ".join(subjects))
        self._tries[key] += 1
        fate = self._fair(*key, self._tries[key])
        if self.over:
            return fate
        fault = self._aimed.get((name, self.calls[name])) or self._spell(*key)
        if fault is None:
            return fate
        fate = self._faulty(fate, fault, operation, key)
        self._facts.add(What.EXCUSED, who, *subjects, operation=name)
        self._act(fault, who, subjects)
        return fate

    def is_bad_for(self, name: str) -> bool:
        """Whether a spell is on for an operation."""
        return any(name in meant(spell) for spell in self._active())

    def _active(self) -> list[Fault]:
        now = self._driver.seconds
        return [] if self.over else [spell for spell in self._spells if spell.at <= now < spell.at + spell.seconds]

    def _spell(self, name: str, who: str, subject: str) -> Fault | None:
        for index, spell in enumerate(self._active()):
            if name in meant(spell):
                roll = draw(self.story.seed, "spell", index, name, who, subject, self._tries[name, who, subject])
                if roll < spell.share:
                    return replace(spell, kind=Kind(spell.mode))
        return None

    def _fair(self, name: str, who: str, subject: str, attempt: int) -> Fate:
        settings = self.story.settings
        key = (self.story.seed, name, who, subject, attempt)
        before, after = (GRID * round(2 * settings.latency * draw(*key, half) / GRID) for half in ("before", "after"))
        if settings.tail and draw(*key, "tail") < settings.tail:
            after += GRID * round(2.0 * draw(*key, "length") / GRID)
        return Fate(before, after)

    def _faulty(self, fate: Fate, fault: Fault, operation: Operation, key: tuple[str, str, str]) -> Fate:
        match fault.kind:
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
