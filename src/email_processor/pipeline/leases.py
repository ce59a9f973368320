"""Leases: renewed while a message is in flight, and given back when it will not be worked on."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from email_processor.domain.errors import Cause, QueueFaultError
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.health import Part
from email_processor.pipeline.ledger import LEASE_MAX_SECONDS, Delivery
from email_processor.pipeline.waiting import Backoff
from email_processor.ports import BATCH, Inbox, Verdict

LOOK_SECONDS = 10.0  # apart at most, while renewals fail, to see whether there is still something to renew
MOST_REQUESTS = 64  # at once: at 100 ms each they renew 10,000 leases within two seconds


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """What the lease keeper needs to know of the settings: how many seconds a fresh lease runs."""

    visibility_timeout: int


class LeaseKeeper:
    """Renews every lease at half its life, in batches of ten: as many requests at once as what is due takes.

    Whatever fails waits by itself: an entry for its own backoff, a request that failed as a whole in its own slot.
    So a few leases that cannot be renewed slow no other, and a queue that is down is not asked by all of them at once.
    """

    def __init__(self, context: StageContext, inbox: Inbox, rules: LeaseRules) -> None:
        """`rules` say how long a lease runs anew."""
        self._context = context
        self._inbox = inbox
        self._visibility_timeout = rules.visibility_timeout
        self._half_life = rules.visibility_timeout / 2
        self._backoff = context.new_backoff()
        self._slots = asyncio.Semaphore(MOST_REQUESTS)
        self._releases = asyncio.Semaphore(MOST_REQUESTS)  # of their own: a stop does not wait for a backoff

    async def keep(self) -> None:
        """Renew until cancelled, looking often enough for what arrives with much of its lease spent in a long poll."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                pause = min(max(self._until_due(), self._half_life / 10), self._half_life / 5)
                if self._has_failed:
                    pause = min(pause, LOOK_SECONDS)
                await asyncio.sleep(pause)  # noqa: TID251 - until the next is due, and nothing else is waited for
                self._context.ledger.count_expired()  # mutant: only-renewed
                if not self._has_failed:
                    self._context.health.idle(Part.RENEWING)
                if self._until_due() > 0:
                    continue
                due = self._due(self._context.ledger)
                if not self._context.ledger.may_renew:
                    due = due[:BATCH]  # enough to find out whether it is allowed again
                for start in range(0, len(due), BATCH):
                    await self._slots.acquire()
                    tasks.create_task(self._use_slot(due[start : start + BATCH]), name="renew batch")

    @property
    def _has_failed(self) -> bool:
        """Whether there is a lease left whose renewal has failed last."""
        return any(it.backoff is not None and it.is_in_flight and not it.lost for it in self._context.ledger)

    def _until_due(self) -> float:
        """In how many seconds the next renewal is due."""
        times = (self._due_at(it) for it in self._context.ledger if self._is_renewable(it))
        return min(times, default=inf) - self._context.clock.monotonic()

    async def _use_slot(self, batch: list[Delivery]) -> None:
        """Renew a batch; after a fault of the queue keep the slot for a while, so that fewer ask a queue that fails."""
        try:
            if await self._renew_batch(batch):
                self._backoff.reset()
            else:
                await asyncio.sleep(self._pause(self._backoff))  # noqa: TID251 - nothing but time is waited for
        finally:
            self._slots.release()

    def _pause(self, backoff: Backoff) -> float:
        """The pause after a failure: there are several tries before a lease that was due runs out."""
        return backoff.next(self._half_life / 5)

    async def renew_due(self, deliveries: Iterable[Delivery]) -> None:
        """Renew those of them that are due, once, if it is permitted and not all slots are busy with just that."""
        if self._context.ledger.may_renew and not self._slots.locked():
            async with self._slots:
                await self._renew_batch(self._due(deliveries))

    def _due(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """A little ahead of time, so that messages received together are renewed together; the most urgent first."""
        now = self._context.clock.monotonic()
        soon = now + self._half_life / 5
        due = [
            it
            for it in deliveries
            if self._is_renewable(it) and it.lease_until - self._half_life <= soon and it.not_before <= now
        ]
        return sorted(due, key=lambda it: it.lease_until)

    def _is_renewable(self, delivery: Delivery) -> bool:
        if not delivery.is_renewable:
            return False
        return self._longest_lease(delivery) > max(delivery.lease_until, self._context.clock.monotonic()) + 1

    def _due_at(self, delivery: Delivery) -> float:
        return max(delivery.lease_until - self._half_life, delivery.not_before)

    def _longest_lease(self, delivery: Delivery) -> float:
        """Until when a renewal could reach: SQS hides no message for more than 12 hours from its receive."""
        return min(self._context.clock.monotonic() + self._visibility_timeout, delivery.received_at + LEASE_MAX_SECONDS)

    async def _renew_batch(self, batch: list[Delivery]) -> bool:
        """One request for those of at most ten that may be renewed; whether the queue answered it.

        Those that may not be hidden for as long as others have a request of their own.
        """
        is_answered = True
        while by_seconds := self._by_seconds(batch):
            seconds, some = by_seconds.popitem()
            batch = [delivery for delivery in batch if delivery not in some]
            with self._context.ledger.renewing(some):
                is_answered = await self._extend(some, seconds) and is_answered
        return is_answered

    def _by_seconds(self, batch: Iterable[Delivery]) -> dict[int, list[Delivery]]:
        """Those that may be renewed, by how long they may be hidden."""
        now = self._context.clock.monotonic()
        by_seconds: defaultdict[int, list[Delivery]] = defaultdict(list)
        for delivery in batch:
            if self._is_renewable(delivery):
                by_seconds[int(self._longest_lease(delivery) - now)].append(delivery)
        return by_seconds

    async def _extend(self, batch: list[Delivery], seconds: int) -> bool:
        # counted from before the request: never later than the queue's own count
        lease_until = self._context.clock.monotonic() + seconds
        handles = [delivery.receipt_handle for delivery in batch]
        try:
            verdicts = await self._change_visibility(handles, seconds)
        except QueueFaultError as fault:
            self._context.metrics.retries.labels(fault.cause).inc()
            for delivery in batch:
                self._postpone(delivery)
            return False
        for delivery, handle, verdict in zip(batch, handles, verdicts, strict=True):
            if verdict is Verdict.GONE:
                self._context.ledger.lose(delivery, handle)
            elif verdict is Verdict.FAILED:
                self._postpone(delivery)
            else:
                self._context.metrics.lease_extensions.inc()
                if delivery.receipt_handle == handle:
                    self._context.ledger.renewed(delivery, lease_until)
        return True

    def _postpone(self, delivery: Delivery) -> None:
        """Its renewal failed: it is due again after a backoff of its own."""
        delivery.backoff = delivery.backoff or self._context.new_backoff()
        # mutant of the next line: waits-alone
        delivery.not_before = self._context.clock.monotonic() + self._pause(delivery.backoff)

    async def give_back(self, deliveries: Sequence[Delivery], after: int = 0, *, reason: str = "shutdown") -> None:
        """Make messages visible to others: many requests at a time, the messages of a FIFO group in order.

        They become visible at once, or `after` so many seconds, and are counted as released for this `reason`. It is
        tried for as long as it takes, unless it is not permitted: so whoever calls it sets a deadline. What is not
        given back stays in flight; the queue hands it out again when its lease runs out.
        """
        lanes = _lanes(deliveries)
        if lanes and not self._context.ledger.may_renew:
            # Is it denied still? If all that comes is given back, there never is a renewal that would find out.
            lanes[0] = await self._release(lanes[0][:BATCH], reason, after) + lanes[0][BATCH:]
        async with asyncio.TaskGroup() as tasks:
            for lane in lanes:
                tasks.create_task(self._give_back_in_order(lane, reason, after), name="give back")

    async def _give_back_in_order(self, left: list[Delivery], reason: str, after: int) -> None:
        backoff = self._context.new_backoff()
        while left:
            async with self._releases:
                if not self._context.ledger.may_renew:
                    return  # it would be denied again
                failed = await self._release(left[:BATCH], reason, after)
            left = failed + left[BATCH:]
            if failed:
                await backoff.wait()

    async def _release(self, batch: list[Delivery], reason: str, after: int) -> list[Delivery]:
        """One request, for those whose lease is still ours; what is left to give back."""
        async with self._context.ledger.closing(batch) as ours:
            return await self._request_release(ours, reason, after) if ours else []

    async def _request_release(self, batch: list[Delivery], reason: str, after: int) -> list[Delivery]:
        handles = [delivery.receipt_handle for delivery in batch]
        try:
            verdicts = await self._change_visibility(handles, after)
        except QueueFaultError as fault:
            if self._context.ledger.may_renew:
                self._context.metrics.retries.labels(fault.cause).inc()
            return batch
        left = []
        for delivery, handle, verdict in zip(batch, handles, verdicts, strict=True):
            if verdict is Verdict.FAILED or delivery.receipt_handle != handle:  # or redelivered meanwhile
                left.append(delivery)
                continue
            if verdict is Verdict.DONE:
                self._context.metrics.released.labels(reason).inc()
            self._context.ledger.close(delivery)
        return left

    async def _change_visibility(self, handles: Sequence[str], seconds: int) -> Sequence[Verdict]:
        """One request; the ledger and the health hear how it went, and whether it is permitted."""
        try:
            verdicts = await self._context.calls.bounded(
                Operation.CHANGE_VISIBILITY, self._inbox.change_visibility(handles, seconds)
            )
        except QueueFaultError as fault:
            if fault.cause is Cause.DENIED:
                self._context.ledger.permit_renewals(is_permitted=False)
            self._context.health.failed(Part.RENEWING, fault)
            raise
        self._context.ledger.permit_renewals(is_permitted=True)
        self._context.health.well(Part.RENEWING)
        return verdicts


def _lanes(deliveries: Iterable[Delivery]) -> list[list[Delivery]]:
    """Deliveries in the order in which they came, split so that each lane is a request, if no FIFO group needs more."""
    groups: dict[tuple[str, str], list[Delivery]] = {}
    for delivery in deliveries:
        groups.setdefault(delivery.order_key, []).append(delivery)
    lanes: list[list[Delivery]] = []
    for group in groups.values():
        if lanes and len(lanes[-1]) + len(group) <= BATCH:
            lanes[-1] += group
        else:
            lanes.append(group)
    return lanes
