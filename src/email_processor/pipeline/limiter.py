"""Slots for uploads: no more at once than the level that the store bears, and never too many bytes."""

import asyncio
from collections import deque
from collections.abc import Awaitable

from email_processor.metrics import Metrics
from email_processor.pipeline.adaptive_limit import AdaptiveLimit
from email_processor.ports import Clock


class Limiter:
    """A semaphore whose size is a `AdaptiveLimit`, first come first served.

    Beside that, documents under way are bounded by their bytes: the HTTP client buffers each of them once more.
    """

    def __init__(self, clock: Clock, metrics: Metrics, *, start: int, most: int, most_bytes: int) -> None:
        """Begin at `start` uploads at once; never allow more than `most`, and more than `most_bytes` only for one."""
        self._adaptive = AdaptiveLimit(clock.monotonic, start=start, least=1, most=most)
        self._gauge = metrics.upload_limit
        self._most_bytes = most_bytes
        self._running = 0
        self._bytes = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._gauge.set(self.limit)

    @property
    def limit(self) -> int:
        """Uploads allowed at once."""
        return self._adaptive.limit

    def slot(self, size: int) -> "_Slot":
        """A slot for `size` bytes, held by `async with`."""
        return _Slot(self, size)

    async def take(self, size: int) -> None:
        """Wait for a slot; whoever has it gives it back."""
        if not self._waiting and self._fits(size):
            self._running += 1
            self._bytes += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was our turn: pass it on
                self.give(size)
            raise

    def give(self, size: int) -> None:
        """Give a slot back."""
        self._running -= 1  # mutant: slot-given-back
        self._bytes -= size
        if self._waiting:
            self._wake()

    def _fits(self, size: int) -> bool:
        running = self._running
        return running < self._adaptive.limit and (not running or self._bytes + size <= self._most_bytes)

    def _wake(self) -> None:
        while self._waiting and (self._waiting[0][0].done() or self._fits(self._waiting[0][1])):
            turn, size = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                self._bytes += size
                turn.set_result(None)

    def succeed(self, started_at: float, size: int) -> None:
        """An upload of `size` bytes that holds a slot, and was sent at `started_at` (monotonic), succeeded."""
        adaptive = self._adaptive
        if adaptive.succeed(started_at, size, is_full=self._running >= adaptive.limit):
            self._gauge.set(adaptive.limit)
            self._wake()

    def throttle(self, started_at: float) -> None:
        """The store told an upload that was sent at `started_at` (monotonic) to slow down."""
        if self._adaptive.throttle(started_at):
            self._gauge.set(self.limit)


class _Slot:
    __slots__ = ("_limiter", "_size")

    def __init__(self, limiter: Limiter, size: int) -> None:
        self._limiter = limiter
        self._size = size

    def __aenter__(self) -> Awaitable[None]:
        return self._limiter.take(self._size)

    async def __aexit__(self, *_: object) -> None:
        self._limiter.give(self._size)
