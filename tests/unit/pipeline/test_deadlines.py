"""Deadlines: each call ends by its own, and a cancellation from outside stays one."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from email_processor.pipeline.deadlines import Deadlines
from email_processor.pipeline.health import Part
from tests.unit.pipeline.kit import later, now

Answer = TypeVar("Answer")


async def within(deadlines: Deadlines, seconds: float, request: Coroutine[None, None, Answer]) -> Answer:
    """The answer to a request."""
    call = deadlines.begin(Part.STORING, seconds)
    try:
        return await request
    except asyncio.CancelledError:
        if call.takes_back_cancellation():
            raise TimeoutError from None
        raise
    finally:
        deadlines.end(call)


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
    deadlines = Deadlines()

    async def call_twice(seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await within(deadlines, seconds, asyncio.sleep(100))
        assert seconds == now()
        assert "answer" == await within(deadlines, seconds, asyncio.sleep(seconds / 2, "answer"))
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

    with pytest.raises(TimeoutError):
        await within(Deadlines(), 1, slow())
    assert is_cleaned_up
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await never()
    assert 0 == cancellations()


async def test_time_that_a_call_waits_for_something_of_ours_does_not_count() -> None:
    """Two seconds of three are left after one, be the wait that follows short or long; others go on meanwhile."""
    deadlines = Deadlines()

    async def call() -> None:
        await asyncio.sleep(1)
        with deadlines.suspended():
            await asyncio.sleep(10)
        await never()

    async with asyncio.TaskGroup() as tasks:
        for request, ends in ((call(), 13), (never(), 3)):
            tasks.create_task(ends_at(deadlines, request, ends))


async def ends_at(deadlines: Deadlines, request: Coroutine[None, None, None], seconds: float) -> None:
    """Give a call three seconds."""
    with pytest.raises(TimeoutError):
        await within(deadlines, 3, request)
    assert seconds == now()


@pytest.mark.parametrize("cancelled_at", [1, 2])
async def test_a_cancellation_from_outside_is_no_timeout(cancelled_at: float) -> None:
    """Before the deadline, and in the very same moment."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(within(Deadlines(), 2, never()))
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

    assert "answer" == await within(Deadlines(), 1, stubborn())
    assert 0 == cancellations()


async def test_an_error_of_the_call_passes_through() -> None:
    """As it is, and nothing is left waiting."""
    deadlines = Deadlines()

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await within(deadlines, 1, broken())
    assert [] == list(deadlines)
