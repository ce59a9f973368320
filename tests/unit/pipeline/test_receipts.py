"""Receipts: taken by the batch, settled by the batch, and none is lost."""

import asyncio

from email_processor.pipeline.ledger import Delivery
from email_processor.pipeline.receipts import Receipts
from email_processor.ports import BATCH
from tests.unit.pipeline.kit import Kit, later, now


def receipts(count: int) -> tuple[Receipts, list[Delivery]]:
    """So many receipts that wait, and what they are of."""
    kit, all_of_them = Kit.new(), Receipts()
    deliveries = [kit.in_flight(f"m{number}") for number in range(count)]
    for delivery in deliveries:
        all_of_them.add(delivery)
    return all_of_them, deliveries


async def test_a_batch_that_is_full_is_taken_at_once_and_another_when_it_has_waited() -> None:
    """Eleven: ten, and one."""
    waiting, deliveries = receipts(BATCH + 1)
    assert deliveries[:BATCH] == await waiting.batch(linger=1)
    assert 0 == now()
    assert deliveries[BATCH:] == await waiting.batch(linger=1)
    assert 1 == now()


async def test_a_batch_that_becomes_full_waits_no_longer() -> None:
    """The tenth wakes whoever waits for it."""
    waiting, deliveries = receipts(BATCH - 1)
    later(0.5, waiting.add, deliveries[0])
    assert [*deliveries, deliveries[0]] == await waiting.batch(linger=1)
    assert 0.5 == now()


async def test_whoever_stops_waiting_leaves_all_to_the_next() -> None:
    """Also in the middle of the linger."""
    waiting, deliveries = receipts(3)
    async with asyncio.TaskGroup() as tasks:
        batch = tasks.create_task(waiting.batch(linger=1))
        later(0.5, batch.cancel)
    assert deliveries == await waiting.batch(linger=0)


async def test_they_are_settled_when_each_is() -> None:
    """Those that were taken and those that wait."""
    waiting, _ = receipts(BATCH + 1)
    await waiting.batch(linger=1)
    waiting.settle(BATCH)
    later(3, waiting.settle, 1)
    await waiting.settled()
    assert 3 == now()
