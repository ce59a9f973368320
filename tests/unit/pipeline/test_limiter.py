"""How many uploads run at once: up with success at full use, half at a throttle."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

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


def test_the_limit_grows_only_while_all_of_it_is_used() -> None:
    """A success with slots to spare says nothing of what the store could bear."""

    async def story() -> tuple[int, int]:
        limiter = new_limiter(start=2)
        async with limiter.slot(1):
            limiter.succeed()
        spare = limiter.limit
        async with limiter.slot(1), limiter.slot(1):
            limiter.succeed()
        return spare, limiter.limit

    assert (2, 3) == simulate(story())


def test_a_throttle_halves_the_limit_and_growth_is_slow_from_then_on() -> None:
    """Multiplicative decrease, additive increase: one more for a whole round of successes."""

    async def story() -> list[int]:
        limiter = new_limiter(start=8)
        seen = []
        async with limiter.slot(1) as started:
            await asyncio.sleep(1)
            limiter.throttle(started)
        seen.append(limiter.limit)
        for _ in range(5):
            async with limiter.slot(1), limiter.slot(1), limiter.slot(1), limiter.slot(1):
                limiter.succeed()
            seen.append(limiter.limit)
        return seen

    assert [4, 4, 4, 4, 4, 5] == simulate(story())


def test_one_burst_of_throttles_is_one_decrease() -> None:
    """Uploads that began before the last decrease say nothing new."""

    async def story() -> int:
        limiter = new_limiter(start=8)
        async with limiter.slot(1) as one, limiter.slot(1) as two:
            await asyncio.sleep(1)
            limiter.throttle(one)
            limiter.throttle(two)
        return limiter.limit

    assert simulate(story()) == 4


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


@given(st.lists(st.booleans(), max_size=60))
def test_the_limit_stays_between_one_and_the_most(is_throttled: list[bool]) -> None:
    """Whatever the store answers."""

    async def story() -> list[int]:
        limiter = new_limiter(start=4, most=6)
        seen = []
        for each in is_throttled:
            async with limiter.slot(1) as started:
                await asyncio.sleep(1)
                if each:
                    limiter.throttle(started)
                else:
                    limiter.succeed()
            seen.append(limiter.limit)
        return seen

    assert all(1 <= limit <= 6 for limit in simulate(story()))


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
