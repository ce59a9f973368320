"""The circuit: whether S3 is held to be up, and how much more may be received. It has one owner, and that is here."""

import asyncio
from enum import IntEnum
from math import inf

from email_processor.domain.errors import StoreFaultError
from email_processor.metrics import Metrics
from email_processor.pipeline.health import Health, Part
from email_processor.pipeline.waiting import EARLY_SECONDS, Backoff, pause
from email_processor.ports import Clock

FAILURES_TO_OPEN = 5
THROTTLED_SECONDS = 30.0  # of nothing but that: from then on it is an outage
THROTTLED_PROBE_SECONDS = 2.0  # between probes at most: S3 is there, and this is no load


class Allowance(IntEnum):
    """How much more may be received."""

    NOTHING = 0
    ONE_MESSAGE = 1
    EVERYTHING = 2


class Circuit:
    """Closed, in doubt, or open.

    It begins in doubt, as if the last PUT had failed, and any PUT that fails puts it in doubt: nothing more is received
    until one succeeds. So an outage burns no receive beyond what is in flight, and none at all by those who start in
    it. If the only PUT that succeeds is that of the probe object, then the store is up, and what is in flight may fail
    for reasons of its own: one message may be received, to see how it fares.

    At the start the queue has to answer a delete, too, before more than the first message is received: a process that
    starts while deletes fail would take what it cannot get rid of.

    It opens when different objects fail and none is stored between: at least five, and as many as are still under way;
    or the probe object after any other failure; or when S3 has long said nothing but to slow down. That one object
    fails again and again says nothing, but in between another is stored. Open, only the prober tries; the first success
    closes it.
    """

    def __init__(self, clock: Clock, metrics: Metrics, health: Health, backoff: Backoff) -> None:
        """`backoff` spaces the probes."""
        self._now = clock.monotonic
        self._metrics = metrics
        self._health = health
        self._backoff = backoff
        self._failed: set[str] = set()  # keys of objects that failed since the last success
        self._is_open = False
        self.openings = 0  # how often it was opened
        self._allowance = Allowance.NOTHING
        self._trying = 0
        self._is_spent = False  # the one message that was allowed is on its way
        self._is_stored = False  # the last PUT of a message's object succeeded
        self._throttled_since: float | None = None  # and nothing was stored since
        self._has_deleted = False
        self._probe_at = self._now()
        self._closed = asyncio.Event()
        self._opened = asyncio.Event()
        self._probe_wanted = asyncio.Event()
        self._probe_unwanted = asyncio.Event()
        self._allowed = {least: asyncio.Event() for least in Allowance}
        self._closed.set()
        self._allow(Allowance.NOTHING)  # mutant: begun-in-doubt

    @property
    def is_open(self) -> bool:
        """Whether S3 is held to be down."""
        return self._is_open

    @property
    def allowance(self) -> Allowance:
        """How much more may be received."""
        return self._allowance

    @property
    def awaits_delete(self) -> bool:
        """Whether the queue has answered no delete yet: until it does, not much more is received."""
        return not self._has_deleted

    async def allowed(self, least: Allowance) -> None:
        """Return when at least so much may be received."""
        await self._allowed[least].wait()

    async def closed(self) -> None:
        """Return when it is not open."""
        await self._closed.wait()

    async def stays_open(self, seconds: float) -> None:
        """Return when it is open and no probe has closed it for so long."""
        while True:
            await self._opened.wait()
            if not await pause(seconds, self._closed):
                return

    async def probe_due(self) -> None:
        """Return when somebody has to probe: nobody else tries anything, and the last failure is long enough ago."""
        while True:
            await self._probe_wanted.wait()
            seconds = self._probe_at - self._now()
            if seconds <= EARLY_SECONDS:
                return
            await pause(seconds, self._probe_unwanted)

    def begin(self) -> None:
        """A PUT is tried: while one is under way it will tell, and nobody has to probe. Call `end` when it is over."""
        self._trying += 1
        if self._allowance is Allowance.NOTHING:
            self._tell_prober()

    def end(self) -> None:
        """A PUT that was begun is over, however it went."""
        self._trying -= 1
        if self._allowance is Allowance.NOTHING:
            self._tell_prober()

    def spend(self) -> None:
        """A message was received: if it was the one that was allowed, no other is."""
        if self._allowance is Allowance.ONE_MESSAGE:
            self._doubt()
            self._is_spent = True

    def refund(self) -> None:
        """A message came to nothing that S3 has a part in: if it was the one that was allowed, another one is."""
        if self._is_spent:
            self._allow(Allowance.ONE_MESSAGE)

    def deleted(self) -> None:
        """The queue has answered a delete."""
        self._has_deleted = True
        if self._is_stored:
            self._allow(Allowance.EVERYTHING)

    def undeleted(self) -> None:
        """Nothing is left to delete. If no delete was answered yet, the lease was lost before: another message may."""
        if self._is_stored and not self._has_deleted:
            self._allow(Allowance.ONE_MESSAGE)

    def probed(self) -> None:
        """A probe is over: the next one is later, unless all is well now."""
        if self._allowance is not Allowance.EVERYTHING:
            most = inf if self._throttled_since is None else THROTTLED_PROBE_SECONDS
            self._probe_at = self._now() + self._backoff.next(most)

    def succeed(self, *, is_probe_object: bool = False) -> None:
        """A PUT succeeded."""
        self._throttled_since = None
        if self._allowance is Allowance.EVERYTHING:
            return
        self._failed.clear()
        if self._is_open:
            self._set_open(is_open=False)  # mutant: closed
        if is_probe_object:
            self._allow(Allowance.ONE_MESSAGE)  # mutant: probe-object-stored
        else:
            self._backoff.reset()
            self._is_stored = True
            self._allow(Allowance.EVERYTHING if self._has_deleted else Allowance.NOTHING)

    def fail(self, key: str, fault: StoreFaultError, *, is_news: bool = True, is_probe_object: bool = False) -> None:
        """The PUT of an object failed.

        It is no news of an object that has failed before, if something else was stored since then.
        """
        if self._allowance is not Allowance.NOTHING or self._is_stored:
            self._doubt()  # mutant: in-doubt
        self._is_spent = False
        self._throttled_since = None
        if not is_news:
            return
        is_confirmed = is_probe_object and bool(self._failed)
        if not self._is_open:
            self._failed.add(key)
        # Of many that were sent together, those that are refused can be answered first.
        is_outage = len(self._failed) >= max(FAILURES_TO_OPEN, self._trying)
        if self._is_open or is_confirmed or is_outage:
            self._open(fault)

    def throttle(self, fault: StoreFaultError) -> None:
        """S3 asked to slow down, which is no failure unless it has answered nothing else for long."""
        now = self._now()
        if self._throttled_since is None:
            self._throttled_since = now
        elif now - self._throttled_since >= THROTTLED_SECONDS:
            if not self._is_open:
                self._doubt()
            self._open(fault)

    def _open(self, fault: StoreFaultError) -> None:
        self._health.failed(Part.STORING, fault)
        self.openings += not self._is_open
        self._set_open(is_open=True)

    def _doubt(self) -> None:
        self._is_stored = False
        self._probe_at = self._now() + self._backoff.next()
        self._allow(Allowance.NOTHING)

    def _allow(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._is_spent = False
        for least, event in self._allowed.items():
            if least <= allowance:
                event.set()
            else:
                event.clear()
        self._tell_prober()

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
        self._tell_prober()

    def _tell_prober(self) -> None:
        # mutant of the next line: probe-wanted
        if self._is_open or (self._allowance is Allowance.NOTHING and not self._trying and not self._is_stored):
            self._probe_unwanted.clear()
            self._probe_wanted.set()
        else:
            self._probe_wanted.clear()
            self._probe_unwanted.set()
