"""The deleter: receipts in, batches of deletes out."""

import asyncio
from dataclasses import dataclass

from email_processor.domain.errors import QueueFaultError
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.health import Part
from email_processor.pipeline.leases import LeaseKeeper
from email_processor.pipeline.ledger import Delivery
from email_processor.pipeline.receipts import Receipts
from email_processor.ports import Inbox, Verdict


@dataclass(frozen=True, slots=True)
class DeleteRules:
    """What the deleter needs to know of the settings.

    At most `most_in_flight` batches are deleted at once; a batch may wait `linger` seconds to be filled.
    """

    most_in_flight: int
    linger: float = 0.2


class Deleter:
    """Deletes what is archived, ten at a time or after a linger, several batches in flight."""

    def __init__(
        self,
        context: StageContext,
        inbox: Inbox,
        leases: LeaseKeeper,
        receipts: Receipts,
        rules: DeleteRules,
    ) -> None:
        """What is archived comes from `receipts`."""
        self._context = context
        self._inbox = inbox
        self._receipts = receipts
        self._leases = leases
        self._linger = rules.linger
        self._slots = asyncio.Semaphore(rules.most_in_flight)
        self._settling = 0

    async def delete(self) -> None:
        """Delete until cancelled. A receipt is settled only when its message is deleted or its lease is lost."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                batch = await self._receipts.batch(0.0 if self._context.circuit.awaits_delete else self._linger)
                tasks.create_task(self._settle(batch), name="delete batch")

    async def _settle(self, batch: list[Delivery]) -> None:
        """Delete every delivery of the batch, trying again for as long as it takes."""
        backoff = self._context.new_backoff()
        self._settling += 1
        try:
            while batch:
                left = await self._delete_once(batch)
                if len(left) == len(batch):
                    await backoff.wait()
                batch = left
                if batch:  # deletes that hang one after another leave no other moment for it
                    await self._leases.renew_due(batch)
        finally:
            self._settling -= 1
            if not self._settling:
                self._context.health.idle(Part.DELETING)
                self._context.circuit.undeleted()

    async def _delete_once(self, batch: list[Delivery]) -> list[Delivery]:
        """One request; what is left to delete. What lost its lease is only remembered, until it comes again."""
        async with self._slots, self._context.ledger.closing(batch) as ours:
            self._receipts.settle(len(batch) - len(ours))
            return await self._request(ours) if ours else []

    async def _request(self, batch: list[Delivery]) -> list[Delivery]:
        handles = [delivery.receipt_handle for delivery in batch]
        try:
            verdicts = await self._context.calls.bounded(Operation.DELETE, self._inbox.delete(handles))
        except QueueFaultError as fault:
            self._context.health.failed(Part.DELETING, fault)
            self._context.metrics.retries.labels(fault.cause).inc()
            self._context.metrics.deletes.labels("failed").inc(len(batch))
            return batch
        self._context.health.well(Part.DELETING)
        self._context.circuit.deleted()
        left = [
            delivery
            for delivery, handle, verdict in zip(batch, handles, verdicts, strict=True)
            if not self._take_in(delivery, handle, verdict)
        ]
        self._receipts.settle(len(batch) - len(left))
        return left

    def _take_in(self, delivery: Delivery, handle: str, verdict: Verdict) -> bool:
        """Take in what the queue said of one entry; whether it is settled."""
        if verdict is Verdict.FAILED:  # mutant: failed-entry
            self._context.metrics.deletes.labels("failed").inc()
            return False
        if delivery.receipt_handle != handle:
            return False  # redelivered meanwhile: only the newest handle is sure to delete it
        if verdict is Verdict.GONE:
            self._context.metrics.deletes.labels("gone").inc()
            self._context.ledger.lose(delivery, handle)
            self._context.ledger.close(delivery)
        else:
            self._context.metrics.deletes.labels("deleted").inc()
            self._context.ledger.deleted(delivery)
        return True
