"""Slots for uploads: first come first served, no more than the level allows, and never too many bytes."""

import asyncio

from email_processor.pipeline.adaptive_limit import MEASURED_LEAST
from email_processor.pipeline.limiter import Limiter
from tests.simulation.loop import simulate
from tests.unit.pipeline.kit import new_metrics, virtual_clock


def new_limiter(start: int = 2, most: int = 8) -> Limiter:
    """A limiter on the running loop."""
    return Limiter(virtual_clock(), new_metrics(), start=start, most=most, most_bytes=100)


def test_no_more_run_at_once_than_the_limit() -> None:
    """The high-water mark of uploads in a slot is the limit."""

    async def story() -> int:
        limiter = new_limiter(start=3)
        running = high = 0

        async def upload() -> None:
            nonlocal running, high
            async with limiter.slot(1):
                running += 1
                high = max(high, running)
                await asyncio.sleep(1)
                running -= 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(upload())
        return high

    assert simulate(story()) == 3


def test_slots_go_to_those_who_wait_in_order() -> None:
    """First come, first served: nobody overtakes."""

    async def story() -> list[int]:
        limiter = new_limiter(start=1)
        order: list[int] = []

        async def upload(number: int) -> None:
            async with limiter.slot(1):
                order.append(number)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(upload(number))
        return order

    assert [0, 1, 2, 3, 4] == simulate(story())


def test_a_limit_that_grows_lets_those_in_who_wait_and_is_told() -> None:
    """After a round of successes at full use: nobody need give back a slot first."""

    async def story() -> tuple[int, float | None]:
        metrics, entered = new_metrics(), list[int]()
        limiter = Limiter(virtual_clock(), metrics, start=1, most=4, most_bytes=100)

        async def upload(number: int) -> None:
            async with limiter.slot(1):
                entered.append(number)
                await asyncio.sleep(10)

        async with asyncio.TaskGroup() as tasks, limiter.slot(1):
            for number in range(3):
                tasks.create_task(upload(number))
            await asyncio.sleep(1)
            for _ in range(MEASURED_LEAST + 2):
                limiter.succeed(0.0, 1)
            await asyncio.sleep(1)
            seen = len(entered)
        return seen, metrics.registry.get_sample_value("email_processor_upload_concurrency_limit")

    assert (2, 3) == simulate(story())


def test_a_throttle_lowers_the_limit_and_is_told() -> None:
    """Half, once for uploads that ran together."""

    async def story() -> tuple[list[int], float | None]:
        metrics = new_metrics()
        limiter = Limiter(virtual_clock(), metrics, start=1, most=8, most_bytes=100)
        for _ in range(MEASURED_LEAST):
            limiter.succeed(-1.0, 1)
        limits = [limiter.limit]
        async with limiter.slot(1):
            limiter.succeed(-1.0, 1)
        limits.append(limiter.limit)
        await asyncio.sleep(1)
        limiter.throttle(0.5)
        limiter.throttle(0.5)
        limits.append(limiter.limit)
        return limits, metrics.registry.get_sample_value("email_processor_upload_concurrency_limit")

    assert ([1, 2, 1], 1) == simulate(story())


def test_no_more_bytes_are_under_way_than_allowed_and_one_upload_always_is() -> None:
    """Sizes of 60 and 40 run together, 41 waits, and what is larger than all that is allowed runs alone."""

    async def story() -> tuple[int, list[int]]:
        limiter = new_limiter(start=8)
        running = high = 0
        order: list[int] = []

        async def upload(size: int) -> None:
            nonlocal running, high
            async with limiter.slot(size):
                order.append(size)
                running += size
                high = max(high, running) if size <= 100 else high
                await asyncio.sleep(1)
                running -= size

        async with asyncio.TaskGroup() as tasks:
            for size in (60, 40, 41, 250, 5):
                tasks.create_task(upload(size))
        return high, order

    assert (100, [60, 40, 41, 250, 5]) == simulate(story())


def test_a_slot_is_not_lost_with_the_one_who_was_cancelled() -> None:
    """Cancelled while waiting, or in the very tick in which its turn came: the next one gets the slot."""

    async def story() -> list[str]:
        limiter = new_limiter(start=1)
        done: list[str] = []

        async def upload(name: str) -> None:
            async with limiter.slot(1):
                done.append(name)

        async with asyncio.TaskGroup() as tasks:
            async with limiter.slot(1):
                waiting = tasks.create_task(upload("cancelled while waiting"))
                chosen = tasks.create_task(upload("cancelled when chosen"))
                tasks.create_task(upload("last"))
                await asyncio.sleep(1)
                waiting.cancel()
            chosen.cancel()  # its turn has just come, and it has not run yet
        return done

    assert ["last"] == simulate(story())
