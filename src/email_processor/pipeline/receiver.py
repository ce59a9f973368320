"""Receivers: the first of them watches an idle queue; full batches wake more, up to a limit."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from email_processor.domain.errors import QueueFaultError
from email_processor.domain.message import Message
from email_processor.metrics import Operation
from email_processor.pipeline.circuit import Allowance
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.corruption import Corruption
from email_processor.pipeline.health import Part
from email_processor.pipeline.jobs import Jobs
from email_processor.pipeline.ledger import Job
from email_processor.pipeline.room import Reservation
from email_processor.pipeline.waiting import pause
from email_processor.ports import Inbox

log = logging.getLogger(__name__)

WAIT_AFTER_FAULT_SECONDS = 1  # of a long poll: on an empty queue it is known sooner that it works again
CUT_SHORT_FIX = (
    "What this receive may still bring comes again after its visibility timeout, with one receive more. Give "
    "SHUTDOWN_GRACE_SECONDS some seconds more than SQS_WAIT_TIME_SECONDS; if it has them, the queue did not answer."
)


NO_ROOM_FIX = (
    "There was no room to read the answer while S3 took nothing. Its messages come again after their visibility "
    "timeout, with one receive more."
)


@dataclass(frozen=True, slots=True)
class ReceiveRules:
    """What receivers need to know of the settings. Times in seconds.

    At `most` so many tasks receive up to `batch` messages each, waiting `wait` for the first. While the queue is
    empty, receives start `poll_interval` apart.
    """

    most: int
    batch: int
    wait: int
    poll_interval: float


class Receiver:
    """Receives messages. `receive(0)` watches the queue; `receive(1)` and on sleep until there is enough for them."""

    def __init__(self, context: StageContext, inbox: Inbox, jobs: Jobs, rules: ReceiveRules) -> None:
        """What is received goes to `jobs`."""
        self._context = context
        self._inbox = inbox
        self._jobs = jobs
        self._rules = rules
        self._corruption = Corruption()
        self._stopping = asyncio.Event()
        self._turns = [asyncio.Event() for _ in range(rules.most)]
        self._lives: dict[asyncio.Timeout, bool] = {}  # of each task; whether it has a receive under way
        self._held: set[asyncio.Timeout] = set()  # of those whose answer waits for room
        self._wanted = 0
        self._has_failed = False
        self._want(1)

    @property
    def under_way(self) -> int:
        """How many receives are under way."""
        return sum(self._lives.values())

    def stop(self, deadline: float) -> None:
        """Make no new receive; one that is under way may come back until `deadline` (of the event loop's clock)."""
        self._stopping.set()
        now = asyncio.get_running_loop().time()
        for life, is_polling in self._lives.items():
            life.reschedule(deadline if is_polling else now)

    def let_go(self) -> None:
        """Give up the answers that wait for room."""
        now = asyncio.get_running_loop().time()
        for life in self._held:
            life.reschedule(now)

    async def receive(self, index: int) -> None:
        """Receive until stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as life:
                self._lives[life] = False
                try:
                    await self._receive(index, life)
                finally:
                    del self._lives[life]
                    self._held.discard(life)

    async def _receive(self, index: int, life: asyncio.Timeout) -> None:
        rules = self._rules
        backoff = self._context.new_backoff()
        while not self._stopping.is_set():
            await self._cleared(index)
            # mutant of the next line: stopped-meanwhile
            if self._stopping.is_set():  # a request that was cut off at once could still be handed messages
                return
            limit = 1 if self._in_doubt else rules.batch
            wait = min(rules.wait, WAIT_AFTER_FAULT_SECONDS) if self._has_failed else rules.wait
            started = self._context.clock.monotonic()
            self._lives[life] = True
            try:
                with self._context.ledger.room.reserved() as reservation:
                    admit = partial(self._admit, reservation, life)
                    messages = await self._context.calls.bounded(
                        Operation.RECEIVE, self._inbox.receive(limit, wait, admit), longer=wait
                    )
            except QueueFaultError as fault:  # mutant: receive-failed
                self._context.health.failed(Part.RECEIVING, fault)
                self._has_failed = True
                self._want(1)
                await backoff.wait(self._stopping)
                if not self._stopping.is_set():
                    self._context.metrics.retries.labels(fault.cause).inc()
                continue
            except asyncio.CancelledError:
                if self._stopping.is_set():
                    fix = NO_ROOM_FIX if life in self._held else CUT_SHORT_FIX
                    log.warning("receive_cut_short", extra={"receiver": index, "fix": fix})
                raise
            finally:
                self._lives[life] = False
            self._take(messages, started, reservation.answered_at)  # mutant: taken-at-once
            count = len(messages)
            del messages  # or a receiver would keep its last batch, outside of the budget, until the next one comes
            self._context.health.well(Part.RECEIVING)
            backoff.reset()
            self._has_failed = False
            if count == rules.batch:
                self._want(self._wanted + 1)
            elif not count:
                self._want(min(self._wanted, index))  # an empty answer wakes nobody
                if index == 0:
                    await pause(started + rules.poll_interval - self._context.clock.monotonic(), self._stopping)

    async def _cleared(self, index: int) -> None:
        """Return when this task is wanted, may receive and has room for it: all three at the same time."""
        turn, least = self._turns[index], Allowance.EVERYTHING if index else Allowance.ONE_MESSAGE
        # mutant of the next line: cleared
        while not (turn.is_set() and self._context.circuit.allowance >= least and self._context.ledger.room.is_free):
            await turn.wait()
            await self._context.circuit.allowed(least)
            await self._context.ledger.room.free()

    @property
    def _in_doubt(self) -> bool:
        """Whether to receive one message only: to see how it fares in S3, or because the last receive failed.

        An answer that was lost has cost a receive of each message in it.
        """
        return self._has_failed or self._context.circuit.allowance is not Allowance.EVERYTHING

    def _want(self, receivers: int) -> None:
        """Let so many tasks receive; the first always may."""
        before, self._wanted = self._wanted, max(1, min(receivers, len(self._turns)))
        self._context.metrics.receivers.set(self._wanted)
        for turn in self._turns[before : self._wanted]:
            turn.set()
        for turn in self._turns[self._wanted : before]:
            turn.clear()

    async def _admit(self, reservation: Reservation, life: asyncio.Timeout, size: int) -> None:
        """Wait for room for a large answer; the queue has no part in how long that takes."""
        reservation.answered_at = self._context.clock.monotonic()
        self._held.add(life)
        with self._context.calls.suspended():
            await reservation.admit(size)
        self._held.discard(life)

    def _take(self, messages: Sequence[Message], asked_at: float, answered_at: float | None) -> None:
        """Give a batch to the ledger, without an await: between the queue's answer and there nothing may be lost."""
        self._context.metrics.received.inc(len(messages))
        self._context.ledger.room.learn(messages)
        for message in messages:
            self._context.metrics.receive_count.observe(message.receive_count)
            flaw = None
            if not message.is_intact:  # mutant: intact
                self._context.metrics.corrupt.inc()
                flaw = self._corruption.flaw_of(message, self._context.ledger.max_receive_count)
                if flaw is None:
                    log.warning("corrupt_message", extra={"message_id": message.message_id})
                    continue
            delivery = self._context.ledger.admit(message, asked_at, answered_at)
            if delivery is not None:
                self._context.circuit.spend()
                self._jobs.put_nowait(Job(delivery, message, flaw=flaw))
