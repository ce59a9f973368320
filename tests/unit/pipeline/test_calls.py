"""Calls: each ends by its own deadline, a cancellation from outside stays one, and health sees what is under way."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from email_processor.domain.errors import StoreFaultError
from email_processor.metrics import Operation
from email_processor.pipeline.calls import Calls, Timeouts
from email_processor.pipeline.health import Health, Part
from tests.unit.pipeline.kit import later, new_metrics, now, virtual_clock

Answer = TypeVar("Answer")


class Caller:
    """One who makes calls that may take as long as each says, and no longer."""

    def __init__(self) -> None:
        self.health = Health(virtual_clock(), patience=60)
        self.calls = Calls(new_metrics(), self.health, Timeouts(queue=0, store=0))

    async def call(self, seconds: float, request: Coroutine[None, None, Answer]) -> Answer:
        """Make a call to the store."""
        return await self.calls.bounded(Operation.PUT, request, seconds)

    async def call_in_vain(self, seconds: float, request: Coroutine[None, None, object]) -> None:
        """Make a call that takes too long."""
        with pytest.raises(StoreFaultError, match=f"no answer within {seconds:g} s"):
            await self.call(seconds, request)

    def state(self, part: Part) -> object:
        """What `/healthz` says of a part."""
        return self.health.alive().parts[part]


async def never() -> None:
    """Wait for what does not come."""
    await asyncio.Event().wait()


def cancellations() -> int:
    """How many cancellations of the running task are still to be acted upon."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


@pytest.mark.parametrize("order", [(2, 5, 1, 3), (5, 3, 2, 1), (1, 2, 3, 5)])
async def test_each_call_has_a_deadline_of_its_own(order: tuple[float, ...]) -> None:
    """Whatever the order in which they begin; the same deadlines again serve those that come later."""
    caller = Caller()

    async def call_twice(seconds: float) -> None:
        await caller.call_in_vain(seconds, asyncio.sleep(100))
        assert seconds == now()
        assert "answer" == await caller.call(seconds, asyncio.sleep(seconds / 2, "answer"))
        assert seconds * 1.5 == now()

    async with asyncio.TaskGroup() as tasks:
        for seconds in order:
            tasks.create_task(call_twice(seconds))


async def test_a_late_call_is_cancelled_and_its_task_is_not() -> None:
    """What the call cleans up is cleaned up; the task works on, and a later timeout of its own still works."""
    is_cleaned_up = False

    async def slow() -> None:
        nonlocal is_cleaned_up
        try:
            await never()
        finally:
            is_cleaned_up = True

    await Caller().call_in_vain(1, slow())
    assert is_cleaned_up
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await never()
    assert 0 == cancellations()


async def test_time_that_a_call_waits_for_something_of_ours_does_not_count() -> None:
    """Two seconds of three are left after one, be the wait that follows short or long; others go on meanwhile."""
    caller = Caller()

    async def request() -> None:
        await asyncio.sleep(1)
        with caller.calls.suspended():
            await asyncio.sleep(10)
        await never()

    async def ends_at(request: Coroutine[None, None, None], seconds: float) -> None:
        await caller.call_in_vain(3, request)
        assert seconds == now()

    async with asyncio.TaskGroup() as tasks:
        for each, ends in ((request(), 13), (never(), 3)):
            tasks.create_task(ends_at(each, ends))


async def test_nor_does_it_count_against_the_patience_of_health() -> None:
    """It begins anew after that."""
    caller = Caller()

    async def request() -> None:
        await asyncio.sleep(50)
        with caller.calls.suspended():
            await asyncio.sleep(100)
            assert {"status": "working", "under_way": 1, "oldest_seconds": 0} == caller.state(Part.RECEIVING)
        await asyncio.sleep(59)
        assert {"status": "working", "under_way": 1, "oldest_seconds": 59} == caller.state(Part.RECEIVING)
        await asyncio.sleep(2)
        assert {"status": "stuck", "under_way": 1, "oldest_seconds": 61} == caller.state(Part.RECEIVING)

    await caller.calls.bounded(Operation.RECEIVE, request(), longer=1000)
    assert {"status": "idle", "under_way": 0, "oldest_seconds": 0} == caller.state(Part.RECEIVING)


@pytest.mark.parametrize(
    ("operation", "part", "seconds"), [(Operation.RECEIVE, Part.RECEIVING, 10), (Operation.PUT, Part.STORING, 0)]
)
async def test_health_has_more_patience_with_a_large_object_but_not_with_a_long_poll(
    operation: Operation, part: Part, seconds: float
) -> None:
    """The patience with all calls is for the longest poll; how large an object is, it cannot know."""
    caller = Caller()

    async def request() -> None:
        await asyncio.sleep(10)
        assert {"status": "working", "under_way": 1, "oldest_seconds": seconds} == caller.state(part)

    await caller.calls.bounded(operation, request(), longer=20)


@pytest.mark.parametrize("cancelled_at", [1, 2])
async def test_a_cancellation_from_outside_is_no_timeout(cancelled_at: float) -> None:
    """Before the deadline, and in the very same moment."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Caller().call(2, never()))
        later(cancelled_at, task.cancel)
    assert task.cancelled()


async def test_a_call_that_ends_well_in_spite_of_it_leaves_no_trace() -> None:
    """It swallowed the cancellation and has an answer: that is the answer."""

    async def stubborn() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            return "answer"
        raise AssertionError

    assert "answer" == await Caller().call(1, stubborn())
    assert 0 == cancellations()


async def test_an_error_of_the_call_passes_through() -> None:
    """As it is, and nothing is left waiting."""
    caller = Caller()

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await caller.call(1, broken())
    assert {"status": "idle", "under_way": 0, "oldest_seconds": 0} == caller.state(Part.STORING)
