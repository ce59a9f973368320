"""The limiter in a world whose S3 throttles, doubles, queues and slows down, and whose core may be the bottleneck."""

import pytest

from bench.limiters.conditions import FAR, HEALED, NEAR, NOISY, POD, QUEUEING, SLOWER, SPLITTING, UNEVEN, USUAL, play
from bench.limiters.model import Conditions, Observed

pytestmark = pytest.mark.timeout(900)  # it plays in virtual time, and a busy machine only makes it slow

CORE = 1 / USUAL.cpu  # PUTs a second that fill it


def ours(conditions: Conditions, window: int = 0) -> Observed:
    """What was seen under these conditions with the limiter that is in use."""
    return play(conditions, "ours").observed(window)


@pytest.mark.parametrize("conditions", [NEAR, USUAL, FAR], ids=str)
def test_a_core_is_filled_at_any_latency_with_few_uploads_more_than_that_takes(conditions: Conditions) -> None:
    """A hundred times the latency makes a hundred times the uploads, not more: those would only wait for the core."""
    seen = ours(conditions)
    needed = conditions.latency / conditions.cpu
    assert seen.rate >= 0.99 * CORE
    assert needed < seen.limit < 2.5 * needed + 20


def test_only_a_throttle_as_a_sign_lets_a_busy_core_hold_all_it_may() -> None:
    """What was before: the same throughput with three times as many under way, and three times the latency."""
    before, now = play(USUAL, "AIMD, throttles").observed(), ours(USUAL)
    assert USUAL.most == before.limit
    assert now.limit * 3 < before.limit
    assert now.p50 * 3 < before.p50
    assert now.rate >= 0.99 * before.rate


@pytest.mark.parametrize("policy", ["AIMD, latency", "Gradient2"])
def test_the_known_limiters_collapse_when_latency_is_noisy_and_ours_does_not(policy: str) -> None:
    """One PUT in twenty takes five to fifty times as long."""
    assert play(NOISY, policy).observed().rate < 0.3 * CORE
    assert ours(NOISY).rate >= 0.9 * CORE


def test_a_core_is_filled_where_latencies_differ_much() -> None:
    """A few uploads can be a third faster by chance: held to be what the store takes, they held the limit down."""
    assert ours(UNEVEN).rate >= 0.97 / UNEVEN.cpu


def test_a_core_that_may_run_a_fifth_of_the_time_is_filled_too() -> None:
    """The default pod: 200 millicores, stopped for 80 of every 100 ms."""
    seen = ours(POD)
    assert seen.rate >= 0.95 * POD.quota * CORE
    assert seen.limit < 100


@pytest.mark.parametrize(("window", "rate"), [(1, 3500), (2, 7000)], ids=["before", "after"])
def test_throttling_is_kept_rare_and_the_capacity_used_before_and_after_it_doubles(window: int, rate: int) -> None:
    """Two processes that could do three times what the prefix takes, until ten seconds of demand have split it."""
    seen = ours(SPLITTING, window)
    assert seen.rate >= 0.9 * rate
    assert seen.throttled < 0.01
    assert play(SPLITTING, "AIMD, latency").observed(window).rate < 0.5 * rate
    assert play(SPLITTING, "Gradient2").observed(window).throttled > 0.02


@pytest.mark.parametrize("window", range(3), ids=["before", "meanwhile", "after"])
def test_a_store_four_times_slower_for_a_minute_costs_no_throughput(window: int) -> None:
    """The limit grows to what that latency takes, where latency as the only sign makes it collapse."""
    assert ours(SLOWER, window).rate >= 0.97 * CORE
    assert play(SLOWER, "AIMD, latency").observed(window).rate < 0.2 * CORE


def test_a_slow_spell_is_forgotten() -> None:
    """Our own queue hides that it is over; the latency at ease is found anew, and with it the level."""
    before, soon_after, long_after = (ours(HEALED, window) for window in range(3))
    assert soon_after.limit > 2 * before.limit
    assert long_after.limit < 1.2 * before.limit
    assert long_after.rate >= 0.97 / HEALED.cpu


def test_a_store_that_queues_without_throttling_is_given_what_it_can_do() -> None:
    """Latency alone says that it is too much: full throughput, at three times the latency at most."""
    seen = ours(QUEUEING)
    assert seen.rate >= 0.98 * QUEUEING.rate
    assert seen.p50 <= 3 * QUEUEING.latency
    assert play(QUEUEING, "AIMD, throttles").observed().p50 > 10 * QUEUEING.latency


def test_a_run_can_be_repeated() -> None:
    """Chance is seeded by the name of the conditions: what is compared is the limiters, not their luck."""
    assert play.__wrapped__(QUEUEING, "ours").observed() == ours(QUEUEING)
