"""Leases: renewed while a message is in flight, and given back when it will not be worked on."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from email_processor.domain.errors import Cause, QueueFaultError
from email_processor.metrics import Operation
from email_processor.pipeline.common import Common
from email_processor.pipeline.health import Part
from email_processor.pipeline.ledger import LEASE_MAX_SECONDS, Delivery
from email_processor.ports import BATCH, Inbox, Verdict

REQUESTS_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """What the lease keeper needs to know of the settings: how many seconds a fresh lease runs."""

    visibility_timeout: int


class LeaseKeeper:
    """Renews every lease at half its life, in batches of ten."""

    def __init__(self, common: Common, inbox: Inbox, rules: LeaseRules) -> None:
        """`rules` say how long a lease runs anew."""
        self._common = common
        self._inbox = inbox
        self._visibility_timeout = rules.visibility_timeout
        self._half_life = rules.visibility_timeout / 2
        self._backoff = common.new_backoff()
        self._slots = asyncio.Semaphore(REQUESTS_IN_FLIGHT)

    async def keep(self) -> None:
        """Renew until cancelled. What arrives meanwhile is due no sooner than half a lease from now."""
        while True:
            now = self._common.clock.monotonic()
            next_due = min((self._due_at(it) for it in self._common.ledger), default=now + self._half_life)
            pause = min(max(next_due - now, self._half_life / 10), self._half_life)
            await asyncio.sleep(pause)  # noqa: TID251 - until the next is due, and nothing else is waited for
            due = self._due(self._common.ledger)  # mutant: only-renewed
            if not self._common.ledger.may_renew:
                due = due[:BATCH]  # enough to find out whether it is allowed again
            if await self._renew(due):
                self._backoff.reset()
            else:
                await self._backoff.wait()

    async def renew_due(self, deliveries: Iterable[Delivery]) -> None:
        """Renew those of them that are due, once, if it is permitted."""
        if self._common.ledger.may_renew:
            await self._renew(self._due(deliveries))

    def _due(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """A little ahead of time, so that messages received together are renewed together."""
        soon = self._common.clock.monotonic() + self._half_life / 5
        return [it for it in deliveries if self._is_renewable(it) and self._due_at(it) <= soon]

    def _is_renewable(self, delivery: Delivery) -> bool:
        return delivery.is_renewable and self._longest_lease(delivery) > delivery.lease_until + 1

    def _due_at(self, delivery: Delivery) -> float:
        return delivery.lease_until - self._half_life

    def _longest_lease(self, delivery: Delivery) -> float:
        """Until when a renewal could reach: SQS hides no message for more than 12 hours from its receive."""
        return min(self._common.clock.monotonic() + self._visibility_timeout, delivery.received_at + LEASE_MAX_SECONDS)

    async def _renew(self, due: list[Delivery]) -> bool:
        async with asyncio.TaskGroup() as tasks:
            calls = [
                tasks.create_task(self._renew_batch(due[start : start + BATCH]), name="renew batch")
                for start in range(0, len(due), BATCH)
            ]
        return all(call.result() for call in calls)

    async def _renew_batch(self, batch: list[Delivery]) -> bool:
        """One request; whether everything in it went well."""
        async with self._slots:
            batch = [delivery for delivery in batch if self._is_renewable(delivery)]
            if not batch:
                return True
            seconds = int(min(self._longest_lease(delivery) for delivery in batch) - self._common.clock.monotonic())
            with self._common.ledger.renewing(batch):
                return await self._extend(batch, seconds)

    async def _extend(self, batch: list[Delivery], seconds: int) -> bool:
        # counted from before the request: never later than the queue's own count
        lease_until = self._common.clock.monotonic() + seconds
        handles = [delivery.receipt_handle for delivery in batch]
        try:
            verdicts = await self._change_visibility(handles, seconds)
        except QueueFaultError as fault:
            self._common.metrics.retries.labels(fault.cause).inc()
            return False
        for delivery, handle, verdict in zip(batch, handles, verdicts, strict=True):
            if verdict is Verdict.GONE:
                self._common.ledger.lose(delivery, handle)
            elif verdict is Verdict.DONE:
                self._common.metrics.lease_extensions.inc()
                if delivery.receipt_handle == handle:
                    delivery.lease_until = lease_until
        return Verdict.FAILED not in verdicts

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Make messages visible to others at once, in the order in which they came, so that FIFO groups stay in order.

        It is tried for as long as it takes, unless it is not permitted: whoever calls it sets a deadline. What is not
        given back stays in flight; the queue hands it out again when its lease runs out.
        """
        backoff = self._common.new_backoff()
        async with self._common.ledger.closing(deliveries) as ours:
            left = ours
            while left:
                batch, later = left[:BATCH], left[BATCH:]
                failed = await self._release(batch)
                if not self._common.ledger.may_renew:
                    return  # it would be denied again
                if failed:
                    await backoff.wait()
                left = failed + later

    async def _release(self, batch: list[Delivery]) -> list[Delivery]:
        """One request; what is left to give back."""
        try:
            verdicts = await self._change_visibility([delivery.receipt_handle for delivery in batch], 0)
        except QueueFaultError as fault:
            if self._common.ledger.may_renew:
                self._common.metrics.retries.labels(fault.cause).inc()
            return batch
        left = []
        for delivery, verdict in zip(batch, verdicts, strict=True):
            if verdict is Verdict.FAILED:
                left.append(delivery)
                continue
            if verdict is Verdict.DONE:
                self._common.metrics.released.labels("shutdown").inc()
            self._common.ledger.close(delivery)
        return left

    async def _change_visibility(self, handles: Sequence[str], seconds: int) -> Sequence[Verdict]:
        """One request; the ledger and the health hear how it went, and whether it is permitted."""
        try:
            verdicts = await self._common.calls.bounded(
                Operation.CHANGE_VISIBILITY, self._inbox.change_visibility(handles, seconds)
            )
        except QueueFaultError as fault:
            self._common.ledger.permit_renewals(is_permitted=fault.cause is not Cause.DENIED)
            self._common.health.failed(Part.RENEWING, fault)
            raise
        self._common.ledger.permit_renewals(is_permitted=True)
        self._common.health.well(Part.RENEWING)
        return verdicts
