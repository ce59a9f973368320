"""Slots for uploads: first come first served, no more than the level allows, and never too many bytes."""

import asyncio

from email_processor.pipeline.adaptive_limit import MEASURED_UPLOADS
from email_processor.pipeline.limiter import Limiter
from tests.unit.pipeline.kit import new_backoff, new_metrics, now, virtual_clock


class Uploads:
    """Uploads of a second each through a limiter, and what was seen of them."""

    def __init__(self, start: int = 2, most: int = 8) -> None:
        self.metrics = new_metrics()
        self.limiter = Limiter(virtual_clock(), self.metrics, new_backoff(), start=start, most=most, most_bytes=100)
        self.order: list[object] = []
        self.running: list[int] = []
        self.high = self.high_bytes = 0

    async def upload(self, name: object, size: int = 1) -> None:
        """Wait for a slot and keep it for a second."""
        async with self.limiter.slot(size):
            self.order.append(name)
            self.running.append(size)
            self.high = max(self.high, len(self.running))
            if len(self.running) > 1:
                self.high_bytes = max(self.high_bytes, sum(self.running))
            await asyncio.sleep(1)
            self.running.remove(size)

    async def run(self, *sizes: int) -> None:
        """Run uploads of such sizes, all at once, named by their number."""
        async with asyncio.TaskGroup() as tasks:
            for number, size in enumerate(sizes):
                tasks.create_task(self.upload(number, size))

    def assert_limit(self, expected: int) -> None:
        """The limit, as it is and as it is told."""
        assert expected == self.limiter.limit
        assert expected == self.metrics.registry.get_sample_value("email_processor_upload_concurrency_limit")


async def test_no_more_run_at_once_than_the_limit() -> None:
    """The high-water mark of uploads in a slot is the limit."""
    uploads = Uploads(start=3)
    await uploads.run(*[1] * 20)
    assert 3 == uploads.high


async def test_slots_go_to_those_who_wait_in_order() -> None:
    """First come, first served: nobody overtakes."""
    uploads = Uploads(start=1)
    await uploads.run(*[1] * 5)
    assert [0, 1, 2, 3, 4] == uploads.order


async def test_a_limit_that_grows_lets_those_in_who_wait_and_is_told() -> None:
    """After a round of successes at full use: nobody need give back a slot first."""
    uploads = Uploads(start=1, most=4)
    async with asyncio.TaskGroup() as tasks, uploads.limiter.slot(1):
        for number in range(3):
            tasks.create_task(uploads.upload(number))
        higher = tasks.create_task(uploads.limiter.above(lambda: 2))
        await asyncio.sleep(1)
        for _ in range(2 * 1 + 2):  # a first round, and two more
            uploads.limiter.succeed(0.0, 1)
        await asyncio.sleep(0.5)
        assert [0, 1] == uploads.order
        assert higher.done()
        uploads.assert_limit(3)


async def test_a_throttle_lowers_the_limit_and_is_told() -> None:
    """Half, once for uploads that ran together."""
    uploads = Uploads(start=1)
    limiter = uploads.limiter
    for _ in range(MEASURED_UPLOADS):
        limiter.succeed(-1.0, 1)
    uploads.assert_limit(1)
    async with limiter.slot(1):
        limiter.succeed(-1.0, 1)
    uploads.assert_limit(2)
    await asyncio.sleep(1)
    limiter.throttle(0.5)
    limiter.throttle(0.5)
    uploads.assert_limit(1)


async def test_no_more_bytes_are_under_way_than_allowed() -> None:
    """Sizes of 60 and 40 run together, and 41 waits for them."""
    uploads = Uploads(start=8)
    await uploads.run(60, 40, 41, 5)
    assert 100 == uploads.high_bytes
    assert [0, 1, 2, 3] == uploads.order


async def test_what_is_larger_than_all_that_is_allowed_stops_nobody_and_waits_for_nobody() -> None:
    """It runs beside the others at once; a second one waits for the first, and only for that."""
    uploads = Uploads(start=8)
    await uploads.run(60, 40, 250, 101, 41, 5)
    assert 350 == uploads.high_bytes
    assert [0, 1, 2, 4, 5, 3] == uploads.order
    assert 2 == now()


async def test_large_and_small_ones_take_turns_where_there_is_one_slot() -> None:
    """Whoever came first goes first: neither starves the other."""
    uploads = Uploads(start=1)
    await uploads.run(1, 250, 1, 250, 1)
    assert [0, 1, 2, 3, 4] == uploads.order


async def test_a_slot_is_not_lost_with_the_one_who_was_cancelled() -> None:
    """Cancelled while waiting, or in the very tick in which its turn came: the next one gets the slot."""
    uploads = Uploads(start=1)
    async with asyncio.TaskGroup() as tasks:
        async with uploads.limiter.slot(1):
            waiting = tasks.create_task(uploads.upload("cancelled while waiting"))
            chosen = tasks.create_task(uploads.upload("cancelled when chosen"))
            tasks.create_task(uploads.upload("last"))
            await asyncio.sleep(1)
            waiting.cancel()
        chosen.cancel()  # its turn has just come, and it has not run yet
    assert ["last"] == uploads.order
