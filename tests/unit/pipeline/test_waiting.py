"""Waits end early, and retries spread out."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.pipeline.waiting import Backoff, pause
from tests.simulation.loop import simulate
from tests.unit.pipeline.kit import highest


def test_a_pause_lasts_as_long_as_it_was_told() -> None:
    """Without the event it is the interval that ends it."""

    async def story() -> tuple[bool, float]:
        return await pause(30, asyncio.Event()), asyncio.get_running_loop().time()

    assert (False, 30.0) == simulate(story())


def test_a_pause_ends_with_its_event() -> None:
    """What is waited for is the event or the interval, whichever comes first."""

    async def story() -> tuple[bool, float]:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(7, stop.set)
        return await pause(30, stop), asyncio.get_running_loop().time()

    assert (True, 7.0) == simulate(story())


def test_a_pause_of_nothing_still_lets_others_run() -> None:
    """An interval that has gone by is no error."""

    async def story() -> bool:
        return await pause(-1, asyncio.Event())

    assert simulate(story()) is False


def test_a_backoff_doubles_up_to_its_cap_and_begins_anew_after_success() -> None:
    """Exponential, bounded, and reset by a success."""
    backoff = Backoff(highest, base=1, cap=5)
    assert [1, 2, 4, 5, 5] == [backoff.next() for _ in range(5)]
    backoff.reset()
    assert backoff.next() == 1


@given(st.floats(0, 1), st.integers(1, 20))
def test_a_backoff_is_jittered_but_never_a_busy_loop(chance: float, tries: int) -> None:
    """Full jitter: anything from a tenth of the ceiling to the ceiling."""
    backoff = Backoff(lambda low, high: low + chance * (high - low))
    waits = [backoff.next() for _ in range(tries)]
    assert all(0.01 <= wait <= 30 for wait in waits)


@pytest.mark.parametrize(("stops_at", "expected"), [(None, 0.1), (0.05, 0.05)])
def test_a_backoff_waits_or_is_cut_short(stops_at: float | None, expected: float) -> None:
    """Waiting for the next try ends early with the event, if there is one."""

    async def story() -> float:
        stop = asyncio.Event()
        if stops_at is None:
            await Backoff(highest).wait()
        else:
            asyncio.get_running_loop().call_later(stops_at, stop.set)
            await Backoff(highest).wait(stop)
        return asyncio.get_running_loop().time()

    assert expected == simulate(story())
