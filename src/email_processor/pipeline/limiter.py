"""Slots for uploads: no more at once, and no faster, than the store bears, and never too many bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from typing import NamedTuple

from email_processor.metrics import Metrics
from email_processor.pipeline.adaptive_limit import AdaptiveLimit
from email_processor.pipeline.waiting import Backoff
from email_processor.ports import Clock

REST_SECONDS_MAX = 1.0  # so that a spell of throttling is noticed to be over soon after


class _Turn(NamedTuple):
    """An upload that waits for its slot: the one that is `since` the earliest is the first, then who came first."""

    since: float
    number: int
    size: int
    future: asyncio.Future[None]


class _Lane:
    """Uploads that share a number of bytes, oldest first: a single one may always run, however large."""

    def __init__(self, most_bytes: int) -> None:
        self.waiting: list[_Turn] = []  # a heap
        self._most_bytes = most_bytes
        self._running = 0
        self._bytes = 0

    def fits(self, size: int) -> bool:
        return not self._running or self._bytes + size <= self._most_bytes

    def enter(self, size: int) -> None:
        self._running += 1
        self._bytes += size

    def leave(self, size: int) -> None:
        self._running -= 1
        self._bytes -= size

    def next_turn(self) -> _Turn | None:
        """Whose turn it is, if there is room; those who have stopped waiting are passed over."""
        while self.waiting and self.waiting[0].future.done():
            heappop(self.waiting)
        return self.waiting[0] if self.waiting and self.fits(self.waiting[0].size) else None


class Limiter:
    """A semaphore whose size is an `AdaptiveLimit`, oldest first.

    All retries of what is throttled are paced here: such an upload waits for its next turn where it was in the line.
    Where the store asks a single one at a time to slow down, they rest in between, longer each time.

    Beside that, documents under way are bounded by their bytes: the HTTP client buffers each of them once more. What is
    larger than all of these bytes goes by a lane of its own, one after another. So it does not wait until nothing else
    is under way, and nothing else waits for it: the memory that is taken is at most the bytes and one large document.
    """

    def __init__(
        self, clock: Clock, metrics: Metrics, backoff: Backoff, *, start: int, most: int, most_bytes: int
    ) -> None:
        """Begin at `start` uploads at once; never allow more than `most`, and `most_bytes` beside a larger one.

        `backoff` says how long to rest.
        """
        self._adaptive = AdaptiveLimit(clock.monotonic, start=start, least=1, most=most)
        self._gauge = metrics.upload_limit
        self._backoff = backoff
        self._is_resting = False
        self._most_bytes = most_bytes
        self._running = 0
        self._came = 0
        self._workers: Callable[[], int] = lambda: most
        self._usual, self._large = _Lane(most_bytes), _Lane(0)
        self._grown = asyncio.Event()
        self._gauge.set(self.limit)

    @property
    def limit(self) -> int:
        """Uploads allowed at once."""
        return self._adaptive.limit

    def resize(self, most: int) -> None:
        """Never allow more than `most` at once from now on."""
        self._adaptive.resize(most)
        self._gauge.set(self.limit)

    def follow(self, workers: Callable[[], int]) -> None:
        """`workers` tells how many may take slots: with all of those busy it is full, however many more are allowed."""
        self._workers = workers

    async def above(self, workers: Callable[[], int]) -> None:
        """Return when more uploads are allowed at once than there are `workers`."""
        while self.limit <= workers():
            self._grown.clear()
            await self._grown.wait()

    @asynccontextmanager
    async def slot(self, size: int) -> AsyncIterator[None]:
        """Hold a slot for `size` bytes, before all that waits since some time."""
        if not self.take(size):
            await self.turn(size, since=0.0)
        try:
            yield
        finally:
            self.give(size)

    def take(self, size: int) -> bool:
        """Take a slot if there is one, and nobody waits for it; whoever has it gives it back."""
        lane = self._lane(size)
        if lane.waiting or not (self._has_slot and lane.fits(size)):
            return False
        self._running += 1
        lane.enter(size)
        return True

    async def turn(self, size: int, since: float) -> None:
        """Wait for a slot, for what is in flight `since` then (monotonic), and take it."""
        self._came += 1
        turn = _Turn(since, self._came, size, asyncio.get_running_loop().create_future())
        heappush(self._lane(size).waiting, turn)
        try:
            await turn.future
        except asyncio.CancelledError:
            if turn.future.done() and not turn.future.cancelled():  # it was our turn: pass it on
                self.give(size)
            raise

    def give(self, size: int) -> None:
        """Give a slot back."""
        self._running -= 1  # mutant: slot-given-back
        self._lane(size).leave(size)
        self._wake()

    @property
    def _has_slot(self) -> bool:
        return self._running < self._adaptive.limit and not self._is_resting

    def _lane(self, size: int) -> _Lane:
        return self._usual if size <= self._most_bytes else self._large

    def _wake(self) -> None:
        """Let in whoever has room; if there is one slot for two lanes, the oldest."""
        while (self._usual.waiting or self._large.waiting) and self._has_slot:
            turns = [turn for turn in (self._usual.next_turn(), self._large.next_turn()) if turn is not None]
            if not turns:
                return
            turn = min(turns)
            lane = self._lane(turn.size)
            heappop(lane.waiting)
            self._running += 1
            lane.enter(turn.size)
            turn.future.set_result(None)

    def succeed(self, started_at: float, size: int) -> None:
        """An upload of `size` bytes that holds a slot, and was sent at `started_at` (monotonic), succeeded."""
        adaptive = self._adaptive
        if adaptive.succeed(started_at, size, is_full=self._running >= min(adaptive.limit, self._workers())):
            self._gauge.set(adaptive.limit)
            self._grown.set()
            self._wake()

    def throttle(self, started_at: float) -> None:
        """The store told an upload that holds a slot, and was sent at `started_at` (monotonic), to slow down."""
        if self._running > 1 or not self._adaptive.is_starved:
            self._backoff.reset()
        if self._running == 1 and not self._is_resting:  # fewer at once there cannot be, however many are allowed
            self._is_resting = True
            asyncio.get_running_loop().call_later(self._backoff.next(REST_SECONDS_MAX), self._go_on)
        if self._adaptive.throttle(started_at):
            self._gauge.set(self.limit)

    def _go_on(self) -> None:
        self._is_resting = False
        self._wake()
