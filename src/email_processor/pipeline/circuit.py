"""The circuit: whether S3 is held to be up. A failure of S3 is never a failure of a message."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext

from email_processor.domain.errors import StoreFaultError
from email_processor.metrics import Metrics
from email_processor.pipeline.health import Health, Part
from email_processor.pipeline.waiting import Backoff, pause
from email_processor.ports import Clock

FAILURES_TO_OPEN = 5


class Circuit:
    """Closed, in doubt after a failure, or open after five in a row (at once when it takes a person to mend it).

    In doubt, no new receive is made until a PUT succeeds: so an outage burns no receive beyond what is in flight.
    Open, one upload at a time is the probe, further and further apart; the first success closes it. Should nobody be
    left to try (each had reasons of its own to give up), it closes and receiving goes on: that brings the next one.
    """

    def __init__(self, clock: Clock, metrics: Metrics, health: Health, backoff: Backoff) -> None:
        """`backoff` spaces the probes."""
        self._now = clock.monotonic
        self._metrics = metrics
        self._health = health
        self._backoff = backoff
        self._failures_in_a_row = 0
        self._is_open = False
        self._probe_at = 0.0
        self._probing = asyncio.Lock()
        self._trying = 0
        self._closed = asyncio.Event()
        self._opened = asyncio.Event()
        self._trusted = asyncio.Event()
        self._closed.set()
        self._trusted.set()

    @property
    def is_open(self) -> bool:
        """Whether S3 is held to be down."""
        return self._is_open

    @property
    def is_trusted(self) -> bool:
        """Whether more may be received: S3's last answer was a good one, or nobody is left to hear a better one."""
        return self._trusted.is_set()

    async def trusted(self) -> None:
        """Return when it is trusted."""
        await self._trusted.wait()

    async def stays_open(self, seconds: float) -> None:
        """Return when it is open and no probe has closed it for so long."""
        while True:
            await self._opened.wait()
            if not await pause(seconds, self._closed):
                return

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Take part for as long as it takes to get one object stored."""
        self._trying += 1
        try:
            yield
        finally:
            self._trying -= 1
            if not self._trying:  # mutant: nobody-left
                self._close()
                self._health.idle(Part.STORING)

    def admitted(self) -> AbstractAsyncContextManager[None]:
        """Run a PUT: at once while closed; while open one at a time, when the next probe is due."""
        return self._probe() if self._is_open else nullcontext()

    @asynccontextmanager
    async def _probe(self) -> AsyncIterator[None]:
        async with self._probing:
            if self._is_open:
                await pause(self._probe_at - self._now(), self._closed)
                self._probe_at = self._now()
                yield
                return
        yield

    def succeed(self) -> None:
        """A PUT succeeded."""
        self._health.well(Part.STORING)
        if self._failures_in_a_row:
            self._close()

    def fail(self, fault: StoreFaultError) -> None:
        """A PUT failed, for a reason that is not its message's."""
        self._failures_in_a_row += 1
        self._trusted.clear()  # mutant: in-doubt
        self._health.failed(Part.STORING, fault)
        if self._is_open and self._now() < self._probe_at:
            return  # it was under way when the circuit opened, and says nothing new
        if self._is_open or fault.cause.needs_a_person or self._failures_in_a_row >= FAILURES_TO_OPEN:
            self._probe_at = self._now() + self._backoff.next()
            self._set_open(is_open=True)

    def _close(self) -> None:
        self._failures_in_a_row = 0
        self._backoff.reset()
        self._set_open(is_open=False)  # mutant: closed
        self._trusted.set()

    def _set_open(self, *, is_open: bool) -> None:
        self._is_open = is_open
        self._health.circuit(is_open=is_open)
        self._metrics.circuit_open.set(is_open)
        if is_open:
            self._closed.clear()
            self._opened.set()
        else:
            self._opened.clear()
            self._closed.set()
