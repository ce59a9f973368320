"""Receipts: what is archived and has to be deleted, taken in batches."""

import asyncio

from email_processor.pipeline.ledger import Delivery
from email_processor.pipeline.waiting import pause
from email_processor.ports import BATCH


class Receipts(asyncio.Queue[Delivery]):
    """The deliveries for which the deleter is wanted, first come first served.

    Whoever takes a batch is woken when it is full, and not by every receipt.
    """

    def __init__(self, most: int) -> None:
        """There are never more than `most` receipts, being those of messages in flight."""
        super().__init__(most)
        self._is_full = asyncio.Event()

    def put_nowait(self, delivery: Delivery) -> None:
        """Add a receipt."""
        super().put_nowait(delivery)
        if self.qsize() >= BATCH - 1:  # the first of the batch was taken before
            self._is_full.set()

    async def batch(self, linger: float) -> list[Delivery]:
        """Take up to ten, once there are so many or the first has waited for `linger` seconds."""
        batch = [await self.get()]
        self._is_full.clear()
        if self.qsize() < BATCH - 1:
            await pause(linger, self._is_full)
        while len(batch) < BATCH and not self.empty():
            batch.append(self.get_nowait())
        return batch  # mutant: collected
