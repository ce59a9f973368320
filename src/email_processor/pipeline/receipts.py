"""Receipts: what is archived and has to be deleted, taken in batches."""

import asyncio
from collections import deque

from email_processor.pipeline.ledger import Delivery
from email_processor.pipeline.waiting import pause
from email_processor.ports import BATCH


class Receipts:
    """The deliveries for which the deleter is wanted, first come first served: never more than are in flight.

    Whoever takes a batch is woken when it is full, and not by every receipt, as by an `asyncio.Queue`.
    """

    def __init__(self) -> None:
        """There is none yet."""
        self._waiting: deque[Delivery] = deque()
        self._unsettled = 0
        self._has_come, self._is_full, self._all_settled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._all_settled.set()

    def add(self, delivery: Delivery) -> None:
        """Add a receipt, to be settled."""
        self._waiting.append(delivery)
        self._unsettled += 1
        count = len(self._waiting)
        if count == 1:
            self._has_come.set()
            self._all_settled.clear()
        elif count == BATCH:
            self._is_full.set()

    async def batch(self, linger: float) -> list[Delivery]:
        """Take up to ten, once there are so many or the first has waited for `linger` seconds."""
        while not self._waiting:
            self._has_come.clear()
            await self._has_come.wait()
        if len(self._waiting) < BATCH:
            self._is_full.clear()
            await pause(linger, self._is_full)
        # mutant of the next line: collected
        return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def settle(self, count: int) -> None:
        """So many that were taken are deleted, or their lease is lost."""
        self._unsettled -= count
        if not self._unsettled:
            self._all_settled.set()

    async def settled(self) -> None:
        """Return when all are settled."""
        await self._all_settled.wait()
