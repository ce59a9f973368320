"""Waits end early, and retries spread out."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from email_processor.pipeline.waiting import Backoff, pause
from tests.unit.pipeline.kit import highest, later, now


async def test_a_pause_lasts_as_long_as_it_was_told() -> None:
    """Without the event it is the interval that ends it."""
    assert not await pause(30, asyncio.Event())
    assert 30 == now()


async def test_a_pause_ends_with_its_event() -> None:
    """What is waited for is the event or the interval, whichever comes first."""
    stop = asyncio.Event()
    later(7, stop.set)
    assert await pause(30, stop)
    assert 7 == now()


async def test_a_pause_of_nothing_still_lets_others_run() -> None:
    """An interval that has gone by is no error."""
    assert not await pause(-1, asyncio.Event())


def test_a_backoff_doubles_up_to_its_cap_and_begins_anew_after_success() -> None:
    """Exponential, bounded, and reset by a success."""
    backoff = Backoff(highest, base=1, cap=5)
    assert [1, 2, 4, 5, 5] == [backoff.next() for _ in range(5)]
    backoff.reset()
    assert 1 == backoff.next()


@given(st.floats(0, 1), st.integers(1, 20))
def test_a_backoff_is_jittered_but_never_a_busy_loop(chance: float, tries: int) -> None:
    """Full jitter: anything from a tenth of the ceiling to the ceiling."""
    backoff = Backoff(lambda low, high: low + chance * (high - low))
    waits = [backoff.next() for _ in range(tries)]
    assert all(0.01 <= wait <= 30 for wait in waits)


@given(st.floats(0, 1))
def test_what_is_spread_is_late_by_half_at_most(chance: float) -> None:
    """Anything from half of the time to all of it."""
    assert 150 <= Backoff(lambda low, high: low + chance * (high - low)).spread(300) <= 300


async def test_a_backoff_waits() -> None:
    """Without an event it is the interval that ends it."""
    await Backoff(highest).wait()
    assert 0.1 == now()


async def test_a_backoff_is_cut_short() -> None:
    """Waiting for the next try ends early with the event, if there is one."""
    stop = asyncio.Event()
    later(0.05, stop.set)
    await Backoff(highest).wait(stop)
    assert 0.05 == now()
