"""How many uploads may run at once: additive increase, multiplicative decrease, and never too many bytes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from email_processor.metrics import Metrics
from email_processor.ports import Clock

DECREASE = 0.5


class Limiter:
    """A semaphore whose size follows the store: up while uploads succeed at full use, half at a throttle.

    Until the first throttle it doubles with every round of successes (slow start), then adds one a round. Beside that,
    documents under way are bounded by their bytes: the HTTP client buffers each of them once more.
    """

    def __init__(self, clock: Clock, metrics: Metrics, *, start: int, most: int, most_bytes: int) -> None:
        """Begin at `start` uploads at once; never allow more than `most`, and more than `most_bytes` only for one."""
        self._now = clock.monotonic
        self._gauge = metrics.upload_limit
        self._most = most
        self._most_bytes = most_bytes
        self._limit = float(min(start, most))
        self._has_been_throttled = False
        self._decreased_at = float("-inf")
        self._running = 0
        self._bytes = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._gauge.set(self.limit)

    @property
    def limit(self) -> int:
        """Uploads allowed at once."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self, size: int) -> AsyncIterator[float]:
        """Hold a slot for `size` bytes, first come first served; the value is when it was got (monotonic seconds)."""
        await self._take(size)
        try:
            yield self._now()
        finally:
            self._give(size)

    async def _take(self, size: int) -> None:
        if self._fits(size) and not self._waiting:
            self._running += 1
            self._bytes += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was our turn: pass it on
                self._give(size)
            raise

    def _give(self, size: int) -> None:
        self._running -= 1
        self._bytes -= size
        self._wake()

    def _fits(self, size: int) -> bool:
        return self._running < self.limit and (not self._running or self._bytes + size <= self._most_bytes)

    def _wake(self) -> None:
        while self._waiting and (self._waiting[0][0].done() or self._fits(self._waiting[0][1])):
            turn, size = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                self._bytes += size
                turn.set_result(None)

    def succeed(self) -> None:
        """An upload that held a slot succeeded: allow more, if all that is allowed was in use."""
        if self._running >= self.limit and self._limit < self._most:
            self._limit = min(self._most, self._limit + (1 / self._limit if self._has_been_throttled else 1))
            self._gauge.set(self.limit)
            self._wake()

    def throttle(self, started_at: float) -> None:
        """The store asked an upload that got its slot at `started_at` to slow down: allow half.

        Uploads that started before the last decrease say nothing new.
        """
        if started_at < self._decreased_at:
            return
        self._has_been_throttled = True
        self._decreased_at = self._now()
        self._limit = max(1.0, self._limit * DECREASE)
        self._gauge.set(self.limit)
