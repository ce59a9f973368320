"""SQS and S3 as AWS documents them, in virtual time, and the clock of a process.

`SimQueue` and `SimBucket` are the truth, which tests read and change at will; their `client()` is what a process is
given as its ports. What becomes of a client's calls is decided by its `Fates`: by default a `Script`.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from email_processor.domain.email import Pointer
from email_processor.domain.errors import (
    Cause,
    ObjectRefusedError,
    PayloadMissingError,
    QueueFaultError,
    StoreFaultError,
)
from email_processor.domain.message import Attribute, Message
from email_processor.metrics import Operation
from email_processor.ports import BATCH, Admission, Clock, QueueState, Stored, Verdict
from tests.simulation.connection import (
    CHANGE_VISIBILITY,
    DELETE,
    FETCH,
    PUT,
    QUEUE_STATE,
    RECEIVE,
    Connection,
    Entry,
    Facts,
    Fates,
    PendingReply,
    Script,
    What,
)
from tests.simulation.loop import TICKS, Driver, ticks

EPOCH = 1_733_841_000  # 2024-12-10T14:30:00Z: the wall clock when a run begins
HIDDEN_MAX_SECONDS = 43_200  # from its receive, SQS hides a message for at most 12 hours
NOBODY = ""


@dataclass(slots=True)
class SimClock:
    """The clock of one process: `offset` is how wrong its wall clock is, in seconds."""

    driver: Driver
    offset: float = 0.0

    def clock(self) -> Clock:
        """As the pipeline takes it."""
        return Clock(monotonic=lambda: self.driver.seconds, wall=lambda: EPOCH + self.driver.seconds + self.offset)


@dataclass(slots=True, eq=False)
class SimMessage:
    """A message on the queue. Times in ticks; `holder` has the newest receipt handle.

    `first_received_at` is when it was first handed out, and `first_receive_told` what the queue tells of that.
    """

    message_id: str
    body: bytes
    md5: str
    sent_at: int
    group: str | None
    message_attributes: Mapping[str, Attribute]
    receives: int = 0
    first_received_at: int = 0
    first_receive_told: int = 0
    received_at: int = 0
    visible_at: int = 0
    holder: str = NOBODY
    is_deleted: bool = False
    is_dead: bool = False

    @property
    def handle(self) -> str:
        """The newest receipt handle."""
        return f"{self.message_id}#{self.receives}"


@dataclass(slots=True)
class _Poll:
    """A long poll that waits for messages."""

    who: str
    limit: int
    reply: PendingReply[Sequence[Message]]


class SimQueue:
    """An SQS queue."""

    def __init__(
        self,
        driver: Driver,
        *,
        visibility_timeout: int = 30,
        max_receive_count: int | None = None,
        in_flight_max: int = 120_000,
        is_fifo: bool = False,
        deletes_stale: bool = False,
        notices_hang_up: bool = True,
        rank: Callable[[str], float] = lambda _: 0.0,
        facts: Facts | None = None,
    ) -> None:
        """Times in seconds. What AWS leaves open is a parameter.

        `deletes_stale`: an old receipt handle may delete after all. `notices_hang_up`: a poll whose caller is gone
        receives nothing. `rank` orders what a standard queue hands out, by receipt handle.
        """
        self.driver = driver
        self.facts = facts or Facts(driver)
        self.script = Script()
        self.messages: dict[str, SimMessage] = {}
        self._sent = 0
        self._live: dict[str, SimMessage] = {}
        self._polls: list[_Poll] = []
        self._visibility_timeout = visibility_timeout
        self._max_receive_count = max_receive_count
        self._in_flight_max = in_flight_max
        self._is_fifo = is_fifo
        self._deletes_stale = deletes_stale
        self._notices_hang_up = notices_hang_up
        self._rank = rank

    def client(self, who: str = "main", fates: Fates | None = None) -> "QueueClient":
        """The queue as a process sees it."""
        return QueueClient(self, Connection(self.driver, self.facts, fates or self.script, who))

    def send(
        self,
        body: bytes,
        *,
        group: str | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        delay: float = 0.0,
    ) -> str:
        """Put a message on the queue, to be seen `delay` seconds from now; its id."""
        message_id = self.next_id
        self._sent += 1
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        message = SimMessage(message_id, body, digest, self.driver.now, group, attributes or {})
        message.visible_at = self.driver.now + ticks(delay) if delay else 0
        self.messages[message_id] = self._live[message_id] = message
        self.facts.add(What.SENT, NOBODY, message_id)
        self.driver.later(delay, self._serve)
        return message_id

    @property
    def next_id(self) -> str:
        """The id of the message that is sent next."""
        return f"m{self._sent + 1}"

    def take_over(self, message: SimMessage) -> None:
        """Be given what another queue has dead-lettered, with its id and all that it tells."""
        moved = replace(message, is_dead=False, visible_at=0, holder=NOBODY)
        self.messages[message.message_id] = self._live[message.message_id] = moved
        self._serve()

    @property
    def visible(self) -> list[str]:
        """Ids of the messages that wait to be received."""
        return [message.message_id for message in self._live.values() if message.visible_at <= self.driver.now]

    @property
    def in_flight(self) -> list[str]:
        """Ids of the messages that are hidden because somebody has received them."""
        hidden = (message for message in self._live.values() if message.visible_at > self.driver.now)
        return [message.message_id for message in hidden if message.receives]

    @property
    def delayed(self) -> list[str]:
        """Ids of the messages that were sent to be seen later."""
        hidden = (message for message in self._live.values() if message.visible_at > self.driver.now)
        return [message.message_id for message in hidden if not message.receives]

    @property
    def deleted(self) -> list[str]:
        """Ids of the messages that are deleted."""
        return [message.message_id for message in self.messages.values() if message.is_deleted]

    @property
    def dead_lettered(self) -> list[str]:
        """Ids of the messages that the dead-letter queue has."""
        return [message.message_id for message in self.messages.values() if message.is_dead]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left, visible or in flight."""
        return not self._live

    def holds(self, message_id: str) -> bool:
        """Whether a message is left, visible or in flight."""
        return message_id in self._live

    def live(self) -> Iterator[SimMessage]:
        """What is left, visible or in flight."""
        return iter(tuple(self._live.values()))

    def duplicate(self, message_id: str, *, is_copy: bool = False) -> None:
        """Hand out a message once more, though it is in flight or was deleted: delivery is at least once.

        A copy knows nothing of its first receive, and will tell another one.
        """
        message = self.messages[message_id]
        if message.is_dead:
            return
        if is_copy:
            message.first_receive_told = 0
        message.is_deleted = False
        message.visible_at = 0
        self._live[message_id] = message
        self.facts.add(What.CAME_BACK, message.holder, message.handle)
        self._serve()

    def poll(
        self, who: str, limit: int, wait: float, reply: PendingReply[Sequence[Message]]
    ) -> Sequence[Message] | None:
        """Hand out messages now, or reply when some become visible within `wait` seconds."""
        taken = self._take(who, limit, reply.fate.entries)
        if taken or wait <= 0:
            return taken
        poll = _Poll(who, limit, reply)
        self._polls.append(poll)
        self.driver.later(wait, self._give_up, poll)
        return None

    def delete(self, who: str, handle: str) -> Verdict:
        """Delete a message by a receipt handle."""
        message = self._of(handle)
        if message is None:
            return Verdict.GONE
        is_newest = handle == message.handle
        if message.is_deleted or (not is_newest and not self._deletes_stale):
            self.facts.add(What.DELETE_IGNORED, who, handle)
            return Verdict.DONE
        if self._is_fifo and (not is_newest or message.visible_at <= self.driver.now):
            self.facts.add(What.DELETE_IGNORED, who, handle)
            return Verdict.GONE
        message.is_deleted = True
        self._live.pop(message.message_id, None)
        self.facts.add(What.DELETED, who, handle)
        self._serve()  # another message of its group may be free now
        return Verdict.DONE

    def change_visibility(self, who: str, handle: str, seconds: int) -> Verdict:
        """Hide a message for `seconds` from now."""
        message, now = self._of(handle), self.driver.now
        if message is None or message.is_deleted or handle != message.handle or message.visible_at <= now:
            return Verdict.GONE
        visible_at = now + ticks(seconds)
        if visible_at > message.received_at + ticks(HIDDEN_MAX_SECONDS):
            return Verdict.GONE  # SQS answers InvalidParameterValue
        if seconds == 0:
            message.visible_at = 0  # and not now, at which a lease that it had before may have ended
            self.facts.add(What.GIVEN_BACK, who, handle)
            self.driver.later(0, self._serve)
        else:
            self.facts.add(What.EXTENDED, who, handle)
            self._hide(message, visible_at)
        return Verdict.DONE

    def state(self) -> QueueState:
        """What it says of itself."""
        return QueueState(len(self.visible), len(self.in_flight), len(self.delayed), self._max_receive_count)

    def _of(self, handle: str) -> SimMessage | None:
        return self.messages.get(handle.rpartition("#")[0])

    def _take(self, who: str, limit: int, entries: Sequence[Entry]) -> list[Message]:
        now = self.driver.now
        hidden = [message for message in self._live.values() if message.visible_at > now and message.receives]
        room = min(limit, self._in_flight_max - len(hidden))
        locked = {message.group for message in hidden} if self._is_fifo else set()
        candidates = [message for message in self._live.values() if message.visible_at <= now]
        if not self._is_fifo:
            candidates.sort(key=lambda message: self._rank(message.handle))
        taken: list[Message] = []
        for message in candidates:
            if len(taken) >= room:
                break
            if message.group is not None and message.group in locked:
                continue
            if self._max_receive_count is not None and message.receives >= self._max_receive_count:
                message.is_dead = True
                del self._live[message.message_id]
                self.facts.add(What.DEAD_LETTERED, NOBODY, message.message_id)
                continue
            is_corrupt = entries[len(taken)] is Entry.CORRUPT if len(taken) < len(entries) else False
            taken.append(self._hand_out(who, message, is_corrupt=is_corrupt))
        return taken

    def _hand_out(self, who: str, message: SimMessage, *, is_corrupt: bool) -> Message:
        now = self.driver.now
        message.receives += 1
        message.received_at = now
        message.first_received_at = message.first_received_at or now or 1
        message.first_receive_told = message.first_receive_told or now or 1
        message.holder = who
        self.facts.add(What.HANDED_OUT, who, message.handle)
        self._hide(message, now + ticks(self._visibility_timeout))
        return Message(
            message_id=message.message_id,
            receipt_handle=message.handle,
            body=message.body + b"?" * message.receives if is_corrupt else message.body,
            md5_of_body=message.md5,
            attributes={
                "ApproximateReceiveCount": str(message.receives),
                "ApproximateFirstReceiveTimestamp": _milliseconds(message.first_receive_told),
                "SentTimestamp": _milliseconds(message.sent_at),
            },
            message_attributes=message.message_attributes,
        )

    def _hide(self, message: SimMessage, until: int) -> None:
        message.visible_at = until
        self.driver.later((until - self.driver.now) / TICKS, self._lapse, message, until)

    def _lapse(self, message: SimMessage, due: int) -> None:
        if message.visible_at == due and not message.is_deleted:
            self.facts.add(What.LAPSED, message.holder, message.handle)
            self._serve()

    def _serve(self) -> None:
        """Give what is visible to the polls that wait."""
        for poll in tuple(self._polls):
            if self._notices_hang_up and not poll.reply.is_awaited:
                self._polls.remove(poll)
                continue
            taken = self._take(poll.who, poll.limit, poll.reply.fate.entries)
            if not taken:
                return
            self._polls.remove(poll)
            poll.reply(taken)

    def _give_up(self, poll: _Poll) -> None:
        if poll in self._polls:
            self._polls.remove(poll)
            poll.reply([])


def _milliseconds(tick: int) -> str:
    return str(EPOCH * 1000 + tick * 1000 // TICKS)


@dataclass(frozen=True, slots=True)
class QueueClient:
    """The queue as one process sees it: `Inbox` and `QueueGauge`."""

    queue: SimQueue
    connection: Connection

    async def receive(self, limit: int, wait: int, admit: Admission | None = None) -> Sequence[Message]:
        """Take up to `limit` messages, waiting up to `wait` seconds for the first.

        `admit` is asked about every answer, however small.
        """
        who = self.connection.who
        messages = await self.connection.call(RECEIVE, (), lambda reply: self.queue.poll(who, limit, wait, reply))
        if admit is not None and messages:
            await admit(sum(message.size for message in messages))
        for message in messages:
            self.queue.facts.add(What.TAKEN, who, message.receipt_handle, detail="" if message.is_intact else "corrupt")
        return messages

    async def delete(self, receipt_handles: Sequence[str]) -> Sequence[Verdict]:
        """Delete a batch."""
        return await self._batch(receipt_handles, DELETE, self.queue.delete)

    async def change_visibility(self, receipt_handles: Sequence[str], seconds: int) -> Sequence[Verdict]:
        """Hide a batch for `seconds` from now."""
        return await self._batch(
            receipt_handles,
            CHANGE_VISIBILITY,
            lambda who, handle: self.queue.change_visibility(who, handle, seconds),
        )

    async def state(self) -> QueueState:
        """Read the queue's figures."""
        return await self.connection.call(QUEUE_STATE, (), lambda _: self.queue.state())

    async def _batch(
        self, handles: Sequence[str], operation: Operation, change: Callable[[str, str], Verdict]
    ) -> Sequence[Verdict]:
        if not 1 <= len(handles) <= BATCH:
            raise QueueFaultError(Cause.CONFIGURATION, f"{operation.name}: a batch of {len(handles)}")

        def effect(reply: PendingReply[Sequence[Verdict]]) -> Sequence[Verdict] | Exception:
            entries = reply.fate.entries[: len(handles)]
            entries += (Entry.DONE,) * (len(handles) - len(entries))
            if all(entry is Entry.REFUSED for entry in entries):  # not one went through: as the port has it
                return QueueFaultError(Cause.SERVER, f"{operation.name}: every entry failed")
            return [self._entry(entry, handle, change) for entry, handle in zip(entries, handles, strict=True)]

        return await self.connection.call(operation, tuple(handles), effect)

    def _entry(self, entry: Entry, handle: str, change: Callable[[str, str], Verdict]) -> Verdict:
        if entry is Entry.REFUSED:
            return Verdict.FAILED
        if entry is Entry.GONE:
            return Verdict.GONE
        verdict = change(self.connection.who, handle)
        return Verdict.FAILED if entry is Entry.UNANSWERED else verdict


@dataclass(slots=True)
class SimBucket:
    """An S3 bucket, and the bucket of offloaded payloads.

    `payloads` are by bucket and key. `refuses` are parts of keys that it will never take, `fails` those that it answers
    with a fault, `denied` parts of payloads' keys that nobody may read.
    """

    driver: Driver
    facts: Facts
    is_conditional: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    payloads: dict[tuple[str, str], bytes] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)
    fails: dict[str, Cause] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    script: Script = field(default_factory=Script)

    def client(self, who: str = "main", fates: Fates | None = None) -> "BucketClient":
        """The bucket as a process sees it."""
        return BucketClient(self, Connection(self.driver, self.facts, fates or self.script, who))

    def put(self, who: str, key: str, document: bytes) -> Stored | Exception:
        """Store an object."""
        if any(part in key for part in self.refuses):
            return ObjectRefusedError(f"PutObject {key}: simulated")
        for part, cause in self.fails.items():
            if part in key:
                return StoreFaultError(cause, f"PutObject {key}: simulated")
        if key not in self.objects:
            self.objects[key] = document
            self.facts.add(What.STORED, who, key)
            return Stored.CREATED
        if self.is_conditional:
            self.facts.add(What.FOUND, who, key)
            return Stored.ALREADY_THERE
        self.facts.add(What.OVERWRITTEN, who, key, detail="" if self.objects[key] == document else "changed")
        self.objects[key] = document
        return Stored.CREATED

    def fetch(self, pointer: Pointer) -> bytes | Exception:
        """Read a payload."""
        if any(part in pointer.key for part in self.denied):
            return StoreFaultError(Cause.DENIED, f"GetObject {pointer.key}: simulated")
        payload = self.payloads.get((pointer.bucket, pointer.key))
        return PayloadMissingError(f"s3://{pointer.bucket}/{pointer.key}") if payload is None else payload


@dataclass(frozen=True, slots=True)
class BucketClient:
    """The bucket as one process sees it: `Archive` and `Payloads`."""

    bucket: SimBucket
    connection: Connection

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already."""
        who = self.connection.who
        return await self.connection.call(PUT, (key,), lambda _: self.bucket.put(who, key, document))

    @asynccontextmanager
    async def opened(self, pointer: Pointer) -> AsyncIterator["SimPayload"]:
        """Ask for a payload."""
        what = (f"{pointer.bucket}/{pointer.key}",)
        yield SimPayload(await self.connection.call(FETCH, what, lambda _: self.bucket.fetch(pointer)))


@dataclass(frozen=True, slots=True)
class SimPayload:
    """A payload, as `Payload`."""

    payload: bytes

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.payload)

    async def read(self) -> bytes:
        """Read it."""
        return self.payload
