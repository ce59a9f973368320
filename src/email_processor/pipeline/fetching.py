"""Fetching: bodies that were too big for the queue are read from the bucket that their message points to."""

import asyncio
import logging
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import inf

from email_processor.domain.email import Pointer
from email_processor.domain.errors import (
    Cause,
    ObjectRefusedError,
    PayloadMissingError,
    PayloadTooLargeError,
    Reason,
    StoreFaultError,
    UnarchivableError,
)
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.health import Part
from email_processor.pipeline.jobs import Jobs
from email_processor.pipeline.leases import LeaseKeeper
from email_processor.pipeline.ledger import LEASE_MAX_SECONDS, Delivery, Job
from email_processor.pipeline.payload_bucket import Offloaded, PayloadBucket
from email_processor.pipeline.room import Budget
from email_processor.pipeline.waiting import pause
from email_processor.ports import SLOWEST_BYTES_PER_SECOND, Payloads

log = logging.getLogger(__name__)

STALLED_SECONDS = 30.0  # without an answer to any GET: then all that waits is held to wait for a bucket that fails
HEAD_WAIT_SECONDS = 10.0  # that a body may stay on its socket for want of memory: servers hang up on who does not read
HIDING_SECONDS = 10.0  # in which the queue has to hide what is over the share, or it comes when its lease runs out
HIDDEN_SECONDS = 300  # for which, at most, what is over the share is hidden at its first receive ...
HIDDEN_GROWTH = 3  # ... and so many times longer at each further one ...
HIDDEN_GROWTHS = 5  # ... until it is longer than SQS allows
NOTHING = Budget(max_messages=0, max_bytes=0)
LEASE_END_SECONDS = 600.0  # before a lease has run as long as it can: time to see the message through


@dataclass(frozen=True, slots=True)
class FetchRules:
    """How payloads are fetched.

    At most `most` GETs are made at once, `most_of_bucket` of them to one bucket: so one that does not answer holds up
    no other. `most_bytes` of payloads are in memory together, or a single one.
    """

    most: int = 16
    most_of_bucket: int = 4
    most_bytes: int = 16 * 1024 * 1024


class PayloadMemory:
    """How many bytes of payloads are in memory, first come first served."""

    def __init__(self, most_bytes: int, freed: asyncio.Event) -> None:
        """`most_bytes` together, or a single one; when some are given back, `freed` is set."""
        self._most_bytes = most_bytes
        self._bytes = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._freed = freed

    @property
    def is_crowded(self) -> bool:
        """Whether there is no room, or somebody waits for it already."""
        return self._turn.locked() or self._bytes >= self._most_bytes

    async def take(self, size: int) -> None:
        """Wait for room; whoever has it gives it back."""
        async with self._turn:
            while self._bytes and self._bytes + size > self._most_bytes:
                self._room.clear()
                await self._room.wait()
            self._bytes += size

    def give(self, size: int) -> None:
        """Give room back."""
        self._bytes -= size
        self._room.set()
        self._freed.set()


class Fetching:
    """Reads payloads; their jobs go on with what was read, or with what is wrong.

    A payload that cannot be read now waits under its lease: whether that is to be blamed on its message is asked bucket
    by bucket. But what waits for a bucket that fails must not come to fill what may be in flight, for then nothing else
    is received: it has a share of it. What is over the share leaves the flight, and the queue hides it for some
    minutes, longer each time: so its receives are used up slowly, and only as long as the bucket fails.
    """

    def __init__(
        self,
        context: StageContext,
        payloads: Payloads,
        leases: LeaseKeeper,
        jobs: Jobs,
        rules: FetchRules,
    ) -> None:
        """What is fetched goes back to `jobs`; by `leases` the queue hides what is over the share."""
        self._context = context
        self._payloads = payloads
        self._leases = leases
        self._jobs = jobs
        self._rules = rules
        self._is_draining = False
        self._changed = asyncio.Event()
        self._memory = PayloadMemory(rules.most_bytes, self._changed)
        self._buckets: dict[str, PayloadBucket] = {}
        self._numbers = count()
        self._under_way = 0
        self._answered_at = 0.0
        self._is_deferring = False
        self._backoff = context.new_backoff()
        context.metrics.payload_circuits_open.set_function(
            lambda: sum(bucket.is_open for bucket in self._buckets.values())
        )

    def add(self, job: Job, pointer: Pointer) -> None:
        """Fetch what this job points to."""
        if not self._buckets:
            self._answered_at = self._context.clock.monotonic()
        new_backoff = self._context.new_backoff
        if pointer.bucket not in self._buckets:
            self._buckets[pointer.bucket] = PayloadBucket(new_backoff(), self._rules.most_of_bucket)
        self._buckets[pointer.bucket].add(Offloaded(job, pointer, next(self._numbers), new_backoff()))
        self._changed.set()

    def drain(self) -> None:
        """Keep nothing any more that waits for a bucket that fails."""
        self._is_draining = True
        self._changed.set()

    async def fetch(self) -> None:
        """Fetch what may be fetched, and defer what is over the share, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                self._hand_back_lost()
                self._start(tasks)
                if not self._is_deferring and (surplus := self._take_surplus()):
                    self._is_deferring = True
                    tasks.create_task(self._defer(surplus), name="defer payloads")
                self._tidy()
                was_crowded = self._memory.is_crowded
                seconds = self._next_at() - self._context.clock.monotonic()
                await pause(None if seconds == inf else seconds, self._changed)
                if was_crowded:  # nobody was asked meanwhile
                    self._answered_at = self._context.clock.monotonic()

    def _hand_back_lost(self) -> None:
        """What is another's by now waits no longer: it would take turns of what is ours, and its place in the share."""
        for bucket in self._buckets.values():
            lost = [it for it in bucket if it.delivery.lost]
            if lost:
                bucket.remove(set(lost))
                for it in lost:
                    self._jobs.put_back(it.job)

    def _start(self, tasks: asyncio.TaskGroup) -> None:
        """Make the GETs that may be made, the buckets taking turns."""
        now = self._context.clock.monotonic()
        for name, bucket in tuple(self._buckets.items()):
            while self._may_start and bucket.next_at() <= now:
                self._under_way += 1
                tasks.create_task(self._fetch_one(bucket, bucket.take(now)), name="fetch payload")
                self._buckets[name] = self._buckets.pop(name)  # behind the others

    @property
    def _may_start(self) -> bool:
        return self._under_way < self._rules.most and not self._memory.is_crowded

    def _next_at(self) -> float:
        """When there is something to do, if nothing changes before."""
        times = [bucket.next_at() for bucket in self._buckets.values()] if self._may_start else []
        return min([*times, inf if self._is_stalled else self._stalled_at])

    @property
    def _is_stalled(self) -> bool:
        """Whether no bucket answers."""
        return self._context.clock.monotonic() >= self._stalled_at

    @property
    def _stalled_at(self) -> float:
        """Until when a bucket has to answer. That there is no memory is the fault of none."""
        return self._answered_at + STALLED_SECONDS if self._buckets and not self._memory.is_crowded else inf

    def _tidy(self) -> None:
        """Forget the buckets that nobody waits for."""
        for name, bucket in tuple(self._buckets.items()):
            if not len(bucket):
                del self._buckets[name]
        if not self._buckets:
            self._context.health.idle(Part.FETCHING)

    async def _fetch_one(self, bucket: PayloadBucket, it: Offloaded) -> None:
        is_probe = bucket.is_open
        try:
            payload = await self._read(it.pointer)
        except StoreFaultError as fault:
            self._failed(bucket, it, fault, is_probe=is_probe)
        except PayloadMissingError as error:
            self._answered(bucket)
            self._hand_on(it, flaw=UnarchivableError(Reason.PAYLOAD_MISSING, f"{error.detail} does not exist"))
        except PayloadTooLargeError as error:
            self._answered(bucket)
            self._hand_on(it, flaw=error.anew())  # its traceback holds what was read
        except Exception as error:  # a bug of ours: the uploaders see to it, as to one that an email meets
            log.error("unexpected_error", exc_info=error, extra={"message_id": it.delivery.message_id})
            self._hand_on(it, flaw=RuntimeError(repr(error)))
        else:
            self._answered(bucket)
            if payload is None:
                bucket.add(it)
                return
            it.delivery.free_payload = partial(self._memory.give, len(payload))
            self._hand_on(it, payload=payload)
        finally:
            bucket.release(it)
            self._under_way -= 1
            self._changed.set()

    def _hand_on(self, it: Offloaded, *, payload: bytes | None = None, flaw: Exception | None = None) -> None:
        self._jobs.put_back(it.job._replace(pointer=it.pointer, payload=payload, flaw=flaw))

    async def _read(self, pointer: Pointer) -> bytes | None:
        """One GET, whose body is read when there is memory for all of it; None if that took too long."""
        bounded = self._context.calls.bounded
        async with AsyncExitStack() as stack:
            head = stack.enter_async_context(self._payloads.opened(pointer))
            opened = await bounded(Operation.FETCH, head, is_whole=False)
            try:
                async with asyncio.timeout(HEAD_WAIT_SECONDS):
                    await self._memory.take(opened.size)
            except TimeoutError:
                return None
            size = 0
            try:
                payload = await bounded(Operation.FETCH, opened.read(), longer=opened.size / SLOWEST_BYTES_PER_SECOND)
                size = len(payload)
            finally:
                self._memory.give(opened.size - size)
        return payload

    def _answered(self, bucket: PayloadBucket) -> None:
        bucket.answered()
        self._answered_at = self._context.clock.monotonic()
        if not any(other.is_failing for other in self._buckets.values()):
            self._context.health.well(Part.FETCHING)

    def _failed(self, bucket: PayloadBucket, it: Offloaded, fault: StoreFaultError, *, is_probe: bool) -> None:
        now = self._context.clock.monotonic()
        bucket.failed(it, now, is_probe=is_probe, is_evidence=fault.cause is not Cause.THROTTLED)
        if bucket.is_open or not fault.cause.needs_a_person:  # one that is denied among others is not the bucket
            self._context.health.failed(Part.FETCHING, fault)
        if bucket.blames(it):  # mutant: payload-blamed
            detail = f"{it.failures} tries failed while others succeeded: {fault.detail}"
        elif now > it.delivery.received_at + LEASE_MAX_SECONDS - LEASE_END_SECONDS:
            detail = f"It could not be read for as long as a lease can run: {fault.detail}"
        else:
            self._context.metrics.retries.labels(fault.cause).inc()
            return
        bucket.remove({it})
        self._hand_on(it, flaw=ObjectRefusedError(detail, fix=fault.fix))

    def _take_surplus(self) -> list[Delivery]:
        """Those over the share, who wait no longer: neither on their last receive, nor untried, if it can be helped."""
        is_stalled = self._is_stalled
        failing = [bucket for bucket in self._buckets.values() if bucket.is_open or is_stalled]
        waiting = [it for bucket in failing for it in bucket]
        share = NOTHING if self._is_draining else self._context.ledger.room.share
        messages = share.max_messages - sum(bucket.under_way for bucket in failing)
        left = share.max_bytes - sum(it.delivery.size for it in waiting)
        if len(waiting) <= messages and left >= 0:  # mutant: share-of-payloads
            return []
        surplus: list[Offloaded] = []
        for it in sorted(waiting, key=self._precedence, reverse=True):
            if len(waiting) - len(surplus) <= messages and left >= 0:
                break
            surplus.append(it)
            left += it.delivery.size
        chosen = set(surplus)
        for bucket in failing:
            bucket.remove(chosen)
        return [it.delivery for it in surplus]

    def _precedence(self, it: Offloaded) -> tuple[bool, bool, int, int]:
        """Who is to be kept sorts before who is not."""
        receives = it.delivery.receive_count
        return not self._is_last(it.delivery), it.tries > 0, -receives, it.number

    def _is_last(self, delivery: Delivery) -> bool:
        limit = self._context.ledger.max_receive_count
        return limit is not None and delivery.receive_count >= limit

    def _hidden_seconds(self, delivery: Delivery) -> int:
        """For how long the queue is to hide what is over the share; on its last receive as long as it does.

        What is hidden together does not come back together: else the same few would again and again be the first to
        ask, and where those are denied the others would never have their turn.
        """
        longest = delivery.received_at + LEASE_MAX_SECONDS - self._context.clock.monotonic()
        if not self._is_last(delivery):
            growths = min(delivery.receive_count - 1, HIDDEN_GROWTHS)
            longest = min(longest, self._backoff.spread(HIDDEN_SECONDS * HIDDEN_GROWTH**growths))
        return max(0, int(longest / 60) * 60)  # to the minute, for many are hidden in one request

    async def _defer(self, deliveries: list[Delivery]) -> None:
        """Let the queue hide them for a while."""
        by_seconds: defaultdict[int, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            by_seconds[self._hidden_seconds(delivery)].append(delivery)
        async with asyncio.TaskGroup() as tasks:
            for seconds, batch in by_seconds.items():
                tasks.create_task(self._hide(batch, seconds), name="defer payloads")
        self._is_deferring = False
        self._changed.set()

    async def _hide(self, batch: list[Delivery], seconds: int) -> None:
        """Hide a batch; the leases of what the queue does not hide, or not soon, run out instead."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HIDING_SECONDS):  # mutant: hidden-in-time
                await self._leases.give_back(batch, seconds, reason="deferred")
        for delivery in batch:
            self._jobs.task_done()
            if delivery.is_in_flight:
                self._context.metrics.released.labels("deferred").inc()
                self._context.ledger.close(delivery)
