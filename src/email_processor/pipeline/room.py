"""Room for what is received: reserved for what a receive is likely to bring, and for what its answer then announces."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from email_processor.domain.message import MESSAGE_MAX_BYTES, Message

LEARNT_LEAST_BYTES = 64 * 1024  # of a batch: less is read without being announced
LEARNT_MARGIN = 2  # times what the largest batch of late has brought
LEARNT_FADES = 0.9  # at each receive: a batch that was larger than the others is soon forgotten
BATCHES_AHEAD = 10  # that may wait for an upload, at least; they keep a store busy that answers in no time


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be in flight at once: so many messages, and so many bytes of their bodies and attributes."""

    max_messages: int
    max_bytes: int


class Reservation:
    """The room of one receive that is under way. `answered_at` is when a large answer was announced, if one was."""

    def __init__(self, room: "Room", size: int) -> None:
        """`size` bytes are reserved; nothing is known of its answer."""
        self._room = room
        self.size = size
        self.is_announced = False
        self.answered_at: float | None = None

    async def admit(self, size: int) -> None:
        """Return when there is room for an answer of `size` bytes."""
        await self._room.announce(self, size)


class Room:
    """Counts what is in flight, and says when more may be received: within the budget, and no more than is of use.

    How many bytes a receive will bring is not known, only how many it can. Room is reserved for what it is likely to
    bring, as learnt from those before it: the most of late, with a margin. If it brings more, the answer says so before
    its body is read, and waits on its socket until there is room for all of it. One such answer always finds room in
    the end, because it needs no more than the budget, and what is in flight becomes less.

    How many messages are received ahead of the uploads follows from their number: as many as there are uploads at once.
    So there is always work for the next, and in an outage of the store there is little that waits for its end.
    """

    def __init__(self, budget: Budget, batch: int) -> None:
        """`batch` is how many messages one receive may bring; ten of 1 MiB must be within the budget."""
        self._budget = budget
        self._batch = batch
        self._batch_max_bytes = batch * MESSAGE_MAX_BYTES
        self._learnt_bytes = self._batch_max_bytes  # that a receive is likely to bring
        self._uploads: Callable[[], int] = lambda: budget.max_messages
        self._messages = self._queued = self._bytes = 0
        self._receives = 0  # that are under way
        self._likely_bytes = self._announced_bytes = 0  # what is reserved for them, by what is known of their answers
        self._holding = 0  # answers that wait for room
        self._first_in_line = asyncio.Lock()
        self._changed = asyncio.Event()

    def follow(self, uploads: Callable[[], int]) -> None:
        """`uploads` tells how many may run at once."""
        self._uploads = uploads

    def resize(self, budget: Budget) -> None:
        """Have another budget from now on. What is in flight beyond it stays."""
        self._budget = budget
        self._tell()

    @property
    def share(self) -> Budget:
        """What may wait for something else than the store: a fifth, and only as much as leaves room for a receive."""
        messages, size = self._budget.max_messages, self._budget.max_bytes
        return Budget(min(messages // 5, messages - self._batch), min(size // 5, size - self._batch_max_bytes))

    @property
    def reserved_bytes(self) -> int:
        """Bytes in flight, and what is reserved."""
        return self._bytes + self._announced_bytes + self._likely_bytes

    @property
    def is_free(self) -> bool:
        """Whether one more receive may be made."""
        messages = (self._receives + 1) * self._batch  # mutant: room-for-one-more
        queued = self._queued + messages
        return (
            not self._holding
            and self._messages + messages <= self._budget.max_messages
            and (queued <= BATCHES_AHEAD * self._batch or queued <= self._uploads())
            and self.reserved_bytes + self._learnt_bytes <= self._budget.max_bytes
        )

    async def free(self) -> None:
        """Return when one more receive may be made: to who has waited longest, who alone is woken by what changes."""
        async with self._first_in_line:
            await self._until(lambda: self.is_free)

    @contextmanager
    def reserved(self) -> Iterator[Reservation]:
        """Reserve room while one batch is being received. Count what came after leaving, before any await."""
        reservation = Reservation(self, self._learnt_bytes)
        self._receives += 1  # mutant: receive-reserved
        self._likely_bytes += reservation.size
        try:
            yield reservation
        finally:
            self._receives -= 1
            if reservation.is_announced:
                self._announced_bytes -= reservation.size
            else:
                self._likely_bytes -= reservation.size
            self._tell()

    async def announce(self, reservation: Reservation, size: int) -> None:
        """Reserve room for an answer of `size` bytes in place of a likely one; return when there is room."""
        size = min(size, self._batch_max_bytes)
        self._holding += 1
        try:
            await self._until(lambda: self._has_room_for(size, reservation.size))
        finally:
            self._holding -= 1
        self._likely_bytes -= reservation.size
        self._announced_bytes += size
        reservation.size, reservation.is_announced = size, True

    def _has_room_for(self, size: int, reserved: int) -> bool:
        """Whether such an answer has room, beside what others may bring or, if no other is being read, anyway."""
        others = self._likely_bytes - reserved if self._announced_bytes else 0
        return self._bytes + self._announced_bytes + size + others <= self._budget.max_bytes

    def learn(self, messages: Sequence[Message]) -> None:
        """A receive has brought these messages."""
        if messages:
            size = sum(message.size for message in messages) * self._batch // len(messages)
            likely = max(LEARNT_LEAST_BYTES, LEARNT_MARGIN * size, int(self._learnt_bytes * LEARNT_FADES))
            self._learnt_bytes = min(likely, self._batch_max_bytes)

    def enter(self, size: int, *, is_queued: bool) -> None:
        """One more message of `size` bytes is in flight; `is_queued` if it waits for an upload."""
        self._messages += 1
        self._queued += is_queued
        self._bytes += size

    def start(self) -> None:
        """One that was queued waits no longer."""
        self._queued -= 1
        self._tell()

    def let_go(self, size: int) -> None:
        """So many bytes are held no longer, though their message is in flight."""
        self._bytes -= size
        self._tell()

    def leave(self, size: int, *, is_queued: bool) -> None:
        """One message of `size` bytes is no longer in flight."""
        self._messages -= 1
        self._queued -= is_queued
        self.let_go(size)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _tell(self) -> None:
        """Something was let go of: tell those who wait for it."""
        if not self._changed.is_set() and (self._holding or self.is_free):
            self._changed.set()
