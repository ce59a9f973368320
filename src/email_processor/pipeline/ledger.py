"""What is in flight: since when, and until when its lease runs. The one place that knows."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from email_processor.domain.email import Pointer
from email_processor.domain.errors import UnarchivableError
from email_processor.domain.message import Message
from email_processor.metrics import Metrics
from email_processor.pipeline.evidence import History
from email_processor.pipeline.room import Room
from email_processor.pipeline.waiting import Backoff
from email_processor.ports import Clock

LEASE_MAX_SECONDS = 43_200 - 60  # SQS lets no message be hidden for more than 12 hours from its receive
REMEMBERED_MAX = 10_000


class State(Enum):
    """How far a delivery has come."""

    QUEUED = auto()
    STARTED = auto()
    FAILED = auto()  # the last try to store it: it waits for another one
    ARCHIVED = auto()


@dataclass(slots=True, eq=False)
class Delivery:
    """A message in flight, without its body. Times are of the monotonic clock, in seconds.

    `receipt_handle` and `receive_count` are always the newest; `size` is what its body and its attributes take of the
    budget. `renewal` and `is_closing` are the ledger's own: see `renewing` and `closing` there. After a renewal that
    failed, `backoff` says how much later the next one is: `not_before`. `group` is that of a FIFO queue. `free_payload`
    gives back the room that its payload takes in memory.
    """

    message_id: str
    receipt_handle: str
    receive_count: int
    size: int
    received_at: float
    lease_until: float
    state: State = State.QUEUED
    is_in_flight: bool = True
    lost: bool = False
    is_closing: bool = False
    renewal: asyncio.Event | None = None
    not_before: float = 0.0
    backoff: Backoff | None = None
    is_counted_lost: bool = False
    group: str | None = None
    free_payload: Callable[[], None] | None = None

    @property
    def order_key(self) -> tuple[str, str]:
        """Deliveries that have it in common stay in order: those of one group of a FIFO queue."""
        return ("message", self.message_id) if self.group is None else ("group", self.group)

    @property
    def is_renewable(self) -> bool:
        """Whether a renewal may start: its lease is ours, and no other request is about its receipt handle.

        One that has waited for its turn may come too late: what was deleted or given back meanwhile is not in flight.
        """
        is_ours = self.is_in_flight and not self.lost  # mutant: renewable
        return is_ours and not self.is_closing and self.renewal is None


class Job(NamedTuple):
    """What an uploader works on: the delivery and its message, which nobody else keeps.

    `payload` is what the message points to, once it is fetched: whatever becomes of the message, it has to be kept too.
    If it cannot be fetched, or the body is not what the queue hashed, `flaw` says so. `aside` is why an email is to be
    quarantined all the same, and `history` is that of its tries that failed.
    """

    delivery: Delivery
    message: Message
    pointer: Pointer | None = None
    payload: bytes | None = None
    flaw: Exception | None = None
    aside: UnarchivableError | None = None
    history: History | None = None

    @property
    def size(self) -> int:
        """About how many bytes its document has in quarantine, where everything is kept."""
        return self.delivery.size + len(self.payload or b"")


class Ledger:
    """The deliveries in flight, each of which takes part of the `room`."""

    def __init__(self, clock: Clock, metrics: Metrics, room: Room, *, visibility_timeout: int) -> None:
        """`visibility_timeout` (seconds) is how long a fresh lease runs."""
        self.room = room
        self._clock = clock
        self._metrics = metrics
        self._visibility_timeout = visibility_timeout
        self._deliveries: dict[str, Delivery] = {}
        self._remembered: OrderedDict[str, None] = OrderedDict()
        self._may_renew = True
        self._max_receive_count: int | None = None
        self._on_closed: Callable[[], None] | None = None
        metrics.in_flight_messages.set_function(lambda: len(self._deliveries))
        metrics.in_flight_bytes.set_function(lambda: room.reserved_bytes)

    def __len__(self) -> int:
        """How many messages are in flight."""
        return len(self._deliveries)

    def __iter__(self) -> Iterator[Delivery]:
        """The deliveries in flight, oldest receive first."""
        return iter(tuple(self._deliveries.values()))

    @property
    def has_failed(self) -> bool:
        """Whether something waits for another try to store it."""
        return any(delivery.state is State.FAILED for delivery in self._deliveries.values())

    def on_closed(self, callback: Callable[[], None]) -> None:
        """Call this whenever something is in flight no more, whoever closed it."""
        self._on_closed = callback

    def admit(
        self, message: Message, asked_at: float | None = None, answered_at: float | None = None
    ) -> Delivery | None:
        """Keep account of a message that was received by a request made at `asked_at`, or just now.

        `answered_at` is when the answer came, if it then had to wait.

        None if it is in flight already, which then goes on with the newest receipt handle: that of the receive with the
        highest count, and among equals the one that came last. A message that was archived before and not deleted comes
        back as `ARCHIVED`: only its delete is left to do.
        """
        now = self._clock.monotonic()
        received_at = now if answered_at is None else answered_at
        # Somewhere between request and answer the queue has hidden it, and nobody knows when: an answer may have
        # waited long for its message, or long for its way. The earlier is the safe one. After a long poll a lease can
        # look up to 20 s older than it is: that costs a renewal that was not needed yet, the other way costs the lease.
        lease_until = (now if asked_at is None else asked_at) + self._visibility_timeout
        known = self._deliveries.get(message.message_id)
        if known is not None:
            self._metrics.duplicates.labels("in_flight").inc()
            # An answer can be overtaken by that of a later receive, whose receipt handle alone is sure to delete it.
            if message.receive_count >= known.receive_count:  # mutant: overtaken
                known.receipt_handle = message.receipt_handle  # mutant: newest-handle
                known.receive_count = message.receive_count
                known.received_at = received_at
                known.lost = False
                self.renewed(known, lease_until)
            return None
        delivery = Delivery(
            message_id=message.message_id,
            receipt_handle=message.receipt_handle,
            receive_count=message.receive_count,
            size=message.size,
            received_at=received_at,
            lease_until=lease_until,
            group=message.attributes.get("MessageGroupId"),
        )
        if message.message_id in self._remembered:  # mutant: remembered
            delivery.state = State.ARCHIVED
            self._metrics.duplicates.labels("remembered").inc()
        self._deliveries[message.message_id] = delivery
        self.room.enter(delivery.size, is_queued=delivery.state is State.QUEUED)
        return delivery

    @property
    def may_renew(self) -> bool:
        """Whether leases may be renewed: they may until the queue denies it."""
        return self._may_renew

    def permit_renewals(self, *, is_permitted: bool) -> None:
        """The queue did or did not permit a change of visibility."""
        self._may_renew = is_permitted

    @property
    def max_receive_count(self) -> int | None:
        """How often the queue hands a message out before its dead-letter queue has it; None if there is none known."""
        return self._max_receive_count

    def expect_redrive(self, max_receive_count: int | None) -> None:
        """The queue told its redrive policy."""
        self._max_receive_count = max_receive_count

    def may_start(self, delivery: Delivery, needed: float) -> bool:
        """Whether its lease outlasts the work: any lease will do that can be renewed, else it must last `needed` s."""
        if delivery.lost:
            return False
        left = self._runs_until(delivery) - self._clock.monotonic()
        return left > (0 if self._may_renew else needed)

    def start(self, delivery: Delivery) -> None:
        """It is tried, or its payload is fetched."""
        if delivery.state is State.QUEUED:
            self.room.start()
        delivery.state = State.STARTED

    def archived(self, delivery: Delivery) -> None:
        """Its object is durable: remember that until it is deleted, whatever becomes of the lease. Its body is gone."""
        delivery.state = State.ARCHIVED
        self.room.let_go(delivery.size)
        delivery.size = 0
        self.free_payload(delivery)
        self._remembered[delivery.message_id] = None
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def deleted(self, delivery: Delivery) -> None:
        """The queue has deleted it: nothing more to do or to remember."""
        self._remembered.pop(delivery.message_id, None)
        self.close(delivery)

    def close(self, delivery: Delivery) -> None:
        """It is no longer in flight."""
        if self._deliveries.get(delivery.message_id) is delivery:
            self._count_if_expired(delivery)
            del self._deliveries[delivery.message_id]
            delivery.is_in_flight = False
            self.free_payload(delivery)
            self.room.leave(delivery.size, is_queued=delivery.state is State.QUEUED)
            if self._on_closed is not None:
                self._on_closed()

    def free_payload(self, delivery: Delivery) -> None:
        """The payload that was fetched for it is held no longer."""
        if delivery.free_payload is not None:
            delivery.free_payload()
            delivery.free_payload = None

    def lose(self, delivery: Delivery, receipt_handle: str) -> None:
        """The queue no longer honours this receipt handle. Counted once; a newer handle is not affected."""
        if delivery.receipt_handle == receipt_handle and not delivery.lost:
            delivery.lost = True
            self._count_lost(delivery)

    def renewed(self, delivery: Delivery, lease_until: float) -> None:
        """Its lease runs anew."""
        delivery.lease_until = lease_until
        delivery.not_before = 0.0
        delivery.backoff = None
        delivery.is_counted_lost = False

    def count_expired(self) -> None:
        """Count the leases that have passed unrenewed, each once.

        They are not given up: as long as nobody else has received the message, the queue honours the receipt handle.
        """
        for delivery in self._deliveries.values():
            self._count_if_expired(delivery)

    def _count_if_expired(self, delivery: Delivery) -> None:
        if self._runs_until(delivery) <= self._clock.monotonic():
            self._count_lost(delivery)

    def _count_lost(self, delivery: Delivery) -> None:
        if not delivery.is_counted_lost:
            delivery.is_counted_lost = True
            self._metrics.leases_lost.inc()

    def _runs_until(self, delivery: Delivery) -> float:
        """When its lease is over, even if the queue has counted the first one from its answer."""
        return max(delivery.lease_until, delivery.received_at + self._visibility_timeout)

    @contextmanager
    def renewing(self, batch: Sequence[Delivery]) -> Iterator[None]:
        """Renew the leases of a batch, all of which are renewable: meanwhile none of them is deleted or given back."""
        finished = asyncio.Event()
        for delivery in batch:
            delivery.renewal = finished
        try:
            yield
        finally:
            for delivery in batch:
                delivery.renewal = None
            finished.set()

    @asynccontextmanager
    async def closing(self, batch: Sequence[Delivery]) -> AsyncIterator[list[Delivery]]:
        """Delete a batch or give it back: meanwhile no renewal of it starts, and one under way is waited for.

        A renewal that came after the other request would hide a message that is to be seen, or hold a lease for nobody.
        A renewal waits for nothing but its own answer, which has a deadline: so this wait has an end.

        What comes out are those whose lease is still ours. The others are no longer in flight.
        """
        for delivery in batch:
            delivery.is_closing = True  # mutant: no-renewal-from-here
        try:
            for delivery in batch:
                if delivery.renewal is not None:  # mutant: renewal-awaited
                    await delivery.renewal.wait()
            for delivery in batch:
                if delivery.lost:
                    self.close(delivery)
            yield [delivery for delivery in batch if not delivery.lost]
        finally:
            for delivery in batch:
                delivery.is_closing = False
