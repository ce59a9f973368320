"""Between a process and the world: when a call takes effect, what it is answered, and whether it is answered at all."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Generic, NamedTuple, Protocol, TypeVar

from email_processor.domain.errors import Cause, QueueFaultError, ServiceFaultError, StoreFaultError
from email_processor.metrics import Operation
from tests.simulation.loop import Driver

T = TypeVar("T")

RECEIVE = Operation.RECEIVE
DELETE = Operation.DELETE
CHANGE_VISIBILITY = Operation.CHANGE_VISIBILITY
QUEUE_STATE = Operation.QUEUE_STATE
PUT = Operation.PUT
FETCH = Operation.FETCH


class Entry(Enum):
    """What becomes of one entry of a batch."""

    DONE = auto()
    REFUSED = auto()  # no effect, a `Failed` entry
    UNANSWERED = auto()  # it takes effect, and the answer does not mention it
    GONE = auto()  # no effect, answered as if the receipt handle were no longer good
    CORRUPT = auto()  # received with another body than was sent


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one call. Times in seconds.

    It reaches the service `before` seconds from now and is answered `after` seconds later: with `fault`, if there is
    one. `entries` are those of a batch, in order; what they do not name is done.
    """

    before: float = 0.0
    after: float = 0.0
    fault: Cause | None = None
    takes_effect: bool = True
    is_answered: bool = True
    entries: tuple[Entry, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing went wrong."""
        return self.fault is None and self.takes_effect and self.is_answered and not self.entries


def slow(before: float, after: float = 0.0) -> Fate:
    """It takes its time."""
    return Fate(before, after)


def refused(cause: Cause = Cause.SERVER, after: float = 0.0) -> Fate:
    """The service answers with a fault and does nothing."""
    return Fate(after=after, fault=cause, takes_effect=False)


def lost(cause: Cause = Cause.NETWORK, after: float = 0.0) -> Fate:
    """It takes effect; the caller hears of a fault."""
    return Fate(after=after, fault=cause)


def hung() -> Fate:
    """It never reaches the service, and no answer ever comes."""
    return Fate(takes_effect=False, is_answered=False)


def unanswered() -> Fate:
    """It takes effect, and no answer ever comes."""
    return Fate(is_answered=False)


def partly(*entries: Entry) -> Fate:
    """A batch of which some entries fail."""
    return Fate(entries=entries)


class What(StrEnum):
    """A fact of the world."""

    SENT = "sent"
    CALLED = "called"
    HEARD = "heard"  # the caller has its answer: `ok`, a cause, or `cancelled`
    HANDED_OUT = "handed out"
    TAKEN = "taken"  # its receiver has heard of it
    EXTENDED = "extended"
    GIVEN_BACK = "given back"
    LAPSED = "lapsed"
    DELETED = "deleted"
    DELETE_IGNORED = "delete ignored"
    CAME_BACK = "came back"
    DEAD_LETTERED = "dead-lettered"
    STORED = "stored"
    FOUND = "found"
    OVERWRITTEN = "overwritten"
    EXCUSED = "excused"
    STARTED = "started"
    STOPPING = "stopping"
    ENDED = "ended"
    KILLED = "killed"
    PAUSED = "paused"
    RESUMED = "resumed"
    FAULTS_OVER = "faults over"


class Fact(NamedTuple):
    """Something that happened: when (ticks), to or by which process, to which messages, handles or keys, and more."""

    tick: int
    what: What
    who: str
    subjects: tuple[str, ...]
    operation: str
    detail: str

    @property
    def subject(self) -> str:
        """The first of the subjects."""
        return self.subjects[0] if self.subjects else ""


Listener = Callable[[Fact], None]


def message_id_of(subject: str) -> str:
    """The message id in a receipt handle or a key."""
    if "#" in subject:
        return subject.rpartition("#")[0]
    return subject.rpartition("/")[2].removesuffix(".json").partition("_")[0]


@dataclass(slots=True)
class Facts:
    """Everything that happened, in order; listeners hear of it at once."""

    driver: Driver
    log: list[Fact] = field(default_factory=list)
    listeners: defaultdict[What, list[Listener]] = field(default_factory=lambda: defaultdict(list))

    def add(self, what: What, who: str = "", *subjects: str, operation: str = "", detail: str = "") -> None:
        """Note a fact."""
        fact = Fact(self.driver.now, what, who, subjects, operation, detail)
        self.log.append(fact)
        for listener in self.listeners[what]:
            try:
                listener(fact)
            except Exception as error:  # noqa: BLE001 - it must not surface inside the service, which might swallow it
                self.driver.errors.append(f"{listener!r} raised {error!r}")


class Fates(Protocol):
    """Decides what becomes of calls."""

    def fate(self, operation: Operation, who: str, subjects: tuple[str, ...]) -> Fate:
        """The fate of a call that `who` makes about `subjects` (receipt handles or a key)."""
        ...


class Script:
    """Fates for tests: the fates of the next calls of an operation, and one that stands for all others."""

    def __init__(self) -> None:
        self._next: defaultdict[Operation, deque[Fate]] = defaultdict(deque)
        self._standing: dict[Operation, Fate | Callable[[tuple[str, ...]], Fate]] = {}

    def next(self, operation: Operation, *fates: Fate) -> None:
        """The next calls of this operation meet these fates, in order."""
        self._next[operation].extend(fates)

    def always(self, operation: Operation, fate: Fate | Callable[[tuple[str, ...]], Fate]) -> None:
        """From now on every call of this operation meets this fate, or the one that its subjects deserve."""
        self._standing[operation] = fate

    def clear(self, *operations: Operation) -> None:
        """From now on nothing goes wrong (with these operations)."""
        for operation in operations or Operation:
            self._next[operation].clear()
            self._standing.pop(operation, None)

    def fate(self, operation: Operation, who: str, subjects: tuple[str, ...]) -> Fate:
        """The next scripted fate, or the standing one."""
        if self._next[operation]:
            return self._next[operation].popleft()
        standing = self._standing.get(operation, Fate())
        return standing if isinstance(standing, Fate) else standing(subjects)


class PendingReply(Generic[T]):
    """How the service answers one call."""

    def __init__(self, connection: "Connection", operation: Operation, subject: str, fate: Fate) -> None:
        """Made by `Connection.call`."""
        self._connection = connection
        self._operation = operation
        self._subject = subject
        self._loop = asyncio.get_running_loop()
        self.fate = fate
        self._future: asyncio.Future[T | Exception] = self._loop.create_future()

    @property
    def is_awaited(self) -> bool:
        """Whether somebody still waits for it: a process that was killed or that gave up has closed its connection."""
        return not self._future.done() and not getattr(self._loop, "is_killed", False)

    async def answer(self) -> T:
        """Wait for the answer.

        A fault is a result of the future, too, and raised here. A future that raised would resume all its callers by
        `throw`, after which Python 3.11 traces none of their lines: they would seem to be covered by no test.
        """
        result = await self._future
        if isinstance(result, Exception):
            raise result
        return result

    def __call__(self, result: T | Exception) -> None:
        """Send the answer on its way, or the fault that takes its place."""
        if self.fate.fault is not None:
            result = _fault(self._operation, self.fate.fault, self._subject)
        if self.fate.is_answered:
            self._connection.driver.later(self.fate.after, self._deliver, result)

    def _deliver(self, result: T | Exception) -> None:
        if not self._future.done():
            self._future.set_result(result)


@dataclass(frozen=True, slots=True)
class Connection:
    """One process's connection to one service."""

    driver: Driver
    facts: Facts
    fates: Fates
    who: str

    async def call(
        self, operation: Operation, subjects: tuple[str, ...], effect: Callable[[PendingReply[T]], T | Exception | None]
    ) -> T:
        """Make a call. `effect` runs when it reaches the service; None means that it replies later.

        A call that has been sent takes effect whatever becomes of the caller.
        """
        fate = self.fates.fate(operation, self.who, subjects)
        reply: PendingReply[T] = PendingReply(self, operation, " ".join(subjects), fate)

        def arrive() -> None:
            if not fate.takes_effect:
                reply(_NOTHING)
                return
            result = effect(reply)
            if result is not None:
                reply(result)

        self.facts.add(What.CALLED, self.who, *subjects, operation=operation.name)
        self.driver.later(fate.before, arrive)
        heard = "cancelled"
        try:
            result = await reply.answer()
        except ServiceFaultError as fault:
            heard = fault.cause.value
            raise
        except Exception as error:
            heard = type(error).__name__
            raise
        else:
            heard = "ok"
            return result
        finally:
            self.facts.add(What.HEARD, self.who, *subjects, operation=operation.name, detail=heard)


_NOTHING = RuntimeError("a call without effect needs a fault, or no answer")


def _fault(operation: Operation, cause: Cause, subject: str) -> ServiceFaultError:
    fault = StoreFaultError if operation.service == "s3" else QueueFaultError
    return fault(cause, f"{operation} {subject}: simulated.", fix="Wait.")
