"""The endurance run's judge: what grows is noticed, what only swings is not."""

import random

import pytest

from bench.endurance.judge import judge, series
from bench.endurance.verdicts import ALLOWED, ceiling
from email_processor.ports import BATCH

SECONDS = 400


def points(value: object, seed: int = 1) -> list[tuple[float, float]]:
    """A value a second, from a function of the second and of a random source."""
    source = random.Random(seed)
    return [(1000.0 + second, value(second, source)) for second in range(SECONDS)]  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(20))
def test_a_flat_noisy_series_does_not_grow(seed: int) -> None:
    """Whatever the noise of the day."""
    noisy = points(lambda _, source: source.gauss(500, 100), seed)
    assert not judge("rss", noisy, allowed=20).grows


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_within_the_noise_is_noticed(seed: int) -> None:
    """It adds up to five times the noise, as a leak does if one waits long enough."""
    leaking = points(lambda second, source: source.gauss(500, 100) + 2 * second, seed)
    assert judge("rss", leaking, allowed=20).grows


def test_a_slow_and_steady_leak_is_noticed() -> None:
    """One entry in four seconds, in a table that is otherwise still."""
    assert judge("table", points(lambda second, _: 10 + second // 4), allowed=20).grows


def test_a_leak_in_steps_is_noticed() -> None:
    """A table that doubles now and then is flat most of the time."""
    assert judge("table", points(lambda second, _: 1000 * 2 ** (second // 100)), allowed=20).grows


def test_a_swing_that_comes_back_does_not_grow() -> None:
    """In flight: nothing to a thousand, every thirty seconds."""
    assert not judge("in flight", points(lambda second, _: second % 30 * 33), allowed=20).grows


def test_peaks_of_the_same_height_do_not_grow() -> None:
    """Those who wait in a storm: hundreds for a moment, now a little more and now a little less."""
    stormy = points(lambda second, source: 400 + source.randrange(200) if second % 40 == 7 else 0)
    assert not judge("waiting", stormy, allowed=20).grows


def test_peaks_that_get_higher_are_noticed() -> None:
    """Even though it falls back to nothing in between, and no line through it rises."""
    verdict = judge("waiting", points(lambda second, _: second * 3 if second % 40 == 7 else 0), allowed=20)
    assert (0, True) == (verdict.rise, verdict.grows)


def test_peaks_below_what_the_settings_allow_may_come_late() -> None:
    """How many connections a storm finds is chance; one more than there can be is not."""
    peaks = points(lambda second, _: second if second % 40 == 7 else 0)
    highest = 367
    assert not judge("sockets", peaks, allowed=20, ceiling=highest).grows
    assert judge("sockets", peaks, allowed=20, ceiling=highest - 140).grows


def test_a_storm_may_fill_what_the_ceilings_allow_and_no_more() -> None:
    """Each message in flight is in the tables, each ten of them in two tasks at most."""
    in_flight = ALLOWED.budget.max_messages
    workers = ALLOWED.uploads + ALLOWED.receives
    assert in_flight == ceiling("table Ledger._deliveries")
    assert workers < ceiling("tasks") - 2 * in_flight // BATCH < 2 * workers
    assert workers < ceiling("sockets") < 2 * workers
    assert [0, 0, 0] == [ceiling(name) for name in ("rss_kib", "objects Delivery", "table botocore Config._cache")]


def test_what_happens_while_it_warms_up_does_not_count() -> None:
    """Caches fill and pools open."""
    assert not judge("rss", points(lambda second, _: min(second, 100) * 50), allowed=20).grows


def test_what_shrinks_does_not_grow() -> None:
    """However fast."""
    assert not judge("rss", points(lambda second, _: 5000 - 10 * second), allowed=20).grows


def test_the_rise_is_from_the_end_of_the_warm_up_to_the_end() -> None:
    """In the units of the series."""
    verdict = judge("blocks", points(lambda second, _: 3 * second), allowed=20, warm_up=0.5)
    assert 3 * 199 == pytest.approx(verdict.rise)


def test_too_few_values_are_no_verdict() -> None:
    """Nobody is acquitted for want of evidence."""
    with pytest.raises(ValueError, match="tell nothing"):
        judge("rss", [(0, 1), (1, 1), (2, 1)], allowed=20)


def test_a_verdict_is_in_words() -> None:
    """With what rose, and what was allowed."""
    verdict = judge("table", points(lambda second, _: second), allowed=20, warm_up=0)
    assert "GROWS table: about 199.5, rise +399.0 (allowed 20.0), new height +200.0 (allowed 59.8)" == str(verdict)


def test_samples_become_series() -> None:
    """A table that is not there yet is empty."""
    samples = [{"at": 1.0, "a": 5.0}, {"at": 2.0, "a": 6.0, "b": 7.0}]
    assert {"a": [(1, 5), (2, 6)], "b": [(1, 0), (2, 7)]} == series(samples)
