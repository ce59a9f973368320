"""Deadlines: each call ends by its own, and a cancellation from outside stays one."""

import asyncio
from typing import Any

import pytest

from email_processor.pipeline.deadlines import Deadlines
from tests.simulation.loop import simulate


async def never() -> None:
    """Wait for what does not come."""
    await asyncio.Event().wait()


async def outcome(deadlines: Deadlines, seconds: float, takes: float) -> tuple[str, float]:
    """How a call that takes so long ends, and when."""
    try:
        answer = await deadlines.within(seconds, asyncio.sleep(takes, "answer"))
    except TimeoutError:
        answer = "late"
    return answer, round(asyncio.get_running_loop().time(), 3)


@pytest.mark.parametrize("order", [(2, 5, 1, 3), (5, 3, 2, 1), (1, 2, 3, 5)])
def test_each_call_has_a_deadline_of_its_own(order: tuple[float, ...]) -> None:
    """Whatever the order in which they begin; the same deadlines again serve those that come later."""

    async def story() -> dict[float, list[tuple[str, float]]]:
        deadlines = Deadlines()
        ends: dict[float, list[tuple[str, float]]] = {}
        start = asyncio.get_running_loop().time()

        async def call_twice(seconds: float) -> None:
            ends[seconds] = [await outcome(deadlines, seconds, 100), await outcome(deadlines, seconds, seconds / 2)]

        async with asyncio.TaskGroup() as tasks:
            for seconds in order:
                tasks.create_task(call_twice(seconds))
        return {seconds: [(what, when - start) for what, when in told] for seconds, told in ends.items()}

    expected: dict[float, Any] = {seconds: [("late", seconds), ("answer", seconds * 1.5)] for seconds in order}
    assert expected == {
        seconds: [(what, pytest.approx(when)) for what, when in told] for seconds, told in simulate(story()).items()
    }


def test_a_late_call_is_cancelled_and_its_task_is_not() -> None:
    """What the call cleans up is cleaned up; the task works on, and a later timeout of its own still works."""

    async def story() -> tuple[list[str], int]:
        told: list[str] = []

        async def slow() -> None:
            try:
                await never()
            finally:
                told.append("cleaned up")

        deadlines = Deadlines()
        with pytest.raises(TimeoutError):
            await deadlines.within(1, slow())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await never()
        told.append("went on")
        task = asyncio.current_task()
        assert task is not None
        return told, task.cancelling()

    assert (["cleaned up", "went on"], 0) == simulate(story())


def test_a_cancellation_from_outside_is_no_timeout() -> None:
    """Before the deadline, and in the very same moment."""

    async def story(cancelled_at: float) -> tuple[bool, bool]:
        deadlines = Deadlines()
        timed_out = False

        async def call() -> None:
            nonlocal timed_out
            try:
                await deadlines.within(2, never())
            except TimeoutError:
                timed_out = True

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(call())
            asyncio.get_running_loop().call_later(cancelled_at, task.cancel)
        return task.cancelled(), timed_out

    for cancelled_at in (1, 2):
        assert (True, False) == simulate(story(cancelled_at))


def test_a_call_that_ends_well_in_spite_of_it_leaves_no_trace() -> None:
    """It swallowed the cancellation and has an answer: that is the answer."""

    async def story() -> tuple[str, int]:
        async def stubborn() -> str:
            try:
                await never()
            except asyncio.CancelledError:
                return "answer"
            raise AssertionError

        answer = await Deadlines().within(1, stubborn())
        task = asyncio.current_task()
        assert task is not None
        return answer, task.cancelling()

    assert ("answer", 0) == simulate(story())


def test_an_error_of_the_call_passes_through() -> None:
    """As it is, and nothing is left waiting."""

    async def story() -> int:
        deadlines = Deadlines()

        async def broken() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await deadlines.within(1, broken())
        return len(deadlines._waiters)

    assert simulate(story()) == 0
