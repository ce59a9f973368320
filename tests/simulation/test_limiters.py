"""The limiter in a world whose S3 throttles, queues, doubles and fails, and whose core may be the bottleneck."""

import pytest

from tests.simulation.limiters import play
from tests.simulation.store import Run, Scenario, Spell

QUARTER = 0.0028  # seconds of CPU a PUT: a quarter of a slow core, so that a minute is played in a second


def ours(scenario: Scenario) -> Run:
    """A scenario with the limiter that is in use."""
    return play(scenario, "ours")


@pytest.mark.parametrize("latency", [0.001, 0.01, 0.04, 0.1])
def test_a_core_is_filled_at_any_latency_with_few_uploads_more_than_that_takes(latency: float) -> None:
    """1,429 PUTs a second: a hundred times the latency makes a hundred times the uploads."""
    run = ours(Scenario("fill", seconds=20, latency=latency, cpu=0.0007))
    needed = latency / run.scenario.cpu
    assert run.rate(10, 20) >= 0.99 * run.scenario.attainable
    assert needed < run.mean_limit(10, 20) < 2.5 * needed + 20
    assert run.reaches(run.scenario.attainable) <= 2


def test_only_a_throttle_as_a_sign_lets_a_busy_core_hold_all_it_may() -> None:
    """What was before: the same throughput, with five times as many under way and five times the latency."""
    scenario = Scenario("busy", seconds=20, latency=0.04, cpu=0.0007)
    before, now = play(scenario, "throttle only"), ours(scenario)
    assert 512 == before.mean_limit(10, 20)
    assert now.latency(50) * 4 < before.latency(50)
    assert abs(before.rate(10, 20) - now.rate(10, 20)) < 0.01 * before.rate(10, 20)


@pytest.mark.parametrize("policy", ["latency too", "Gradient2", "Vegas"])
def test_the_known_limiters_collapse_under_a_long_tail_and_ours_does_not(policy: str) -> None:
    """One PUT in twenty takes five to fifty times as long."""
    scenario = Scenario("tail", seconds=30, tail=0.05, spread=0.6, cpu=0.001)
    assert play(scenario, policy).rate(10, 30) < 0.5 * scenario.attainable
    assert ours(scenario).rate(10, 30) >= 0.95 * scenario.attainable


def test_a_core_that_may_run_a_fifth_of_the_time_is_filled_too() -> None:
    """The default pod: 200 millicores, stopped for 80 of every 100 ms."""
    run = ours(Scenario("quota", seconds=30, quota=0.2, cpu=0.0005))
    assert run.rate(10, 30) >= 0.95 * run.scenario.attainable
    assert run.mean_limit(10, 30) < 100


def test_throttling_is_kept_rare_and_the_capacity_used_before_and_after_it_doubles() -> None:
    """Two processes that could do three times what the prefix takes, until a minute of demand has split it."""
    run = ours(Scenario("split", seconds=240, rate=700, queue=0.02, processes=2, cpu=0.001))
    assert run.rate(10, 60) >= 0.8 * 700
    assert run.rate(200, 240) >= 0.8 * 1400
    assert run.throttled_share < 0.02


def test_a_store_that_queues_without_throttling_is_given_what_it_can_do() -> None:
    """Latency alone says that it is too much: full throughput, at three times the latency at most."""
    run = ours(Scenario("queue", seconds=40, rate=500, queue=10))
    assert run.rate(10, 40) >= 0.98 * 500
    assert run.latency(50) <= 0.12


def test_a_step_to_ten_times_the_latency_and_back_is_no_collapse() -> None:
    """It grows tenfold within seconds; five minutes later the core's own queue no longer hides that it is over."""
    run = ours(Scenario("step", seconds=420, cpu=QUARTER, spells=(Spell(20, 50, slower=10),)))
    assert run.rate(30, 50) >= 0.9 * run.scenario.attainable
    assert run.reaches(run.scenario.attainable, after=50) <= 1
    assert run.rate(300, 420) >= 0.98 * run.scenario.attainable
    assert run.mean_limit(400, 420) < 1.5 * run.mean_limit(10, 20)


@pytest.mark.parametrize(
    ("spell", "seconds"),
    [(Spell(20, 40, is_down=True), 1), (Spell(20, 40, neighbours=0.9), 15), (Spell(20, 40, slower=3), 1)],
    ids=["outage", "noisy neighbours", "slow neighbours"],
)
def test_it_is_back_soon_after_a_bad_spell(spell: Spell, seconds: float) -> None:
    """Nine tenths of what it was, within seconds of its end."""
    run = ours(Scenario("spell", seconds=70, rate=1000, cpu=0.0008, spells=(spell,)))
    assert run.reaches(run.rate(10, 20), after=40) <= seconds


def test_objects_of_all_sizes_do_not_fool_it() -> None:
    """One in ten is of 1 MiB and takes twice as long."""
    run = ours(Scenario("sizes", seconds=20, cpu=0.0007, sizes=((0.9, 4096), (0.1, 1024 * 1024))))
    assert run.rate(10, 20) >= 0.99 * run.scenario.attainable
    assert run.mean_limit(10, 20) < 160


def test_it_keeps_its_level_for_hours() -> None:
    """A busy core and nothing else: the level of the last ten minutes is that of the first."""
    run = ours(Scenario("hours", seconds=3600, cpu=0.02, latency=0.4))
    assert run.mean_limit(3000, 3600) < 1.2 * run.mean_limit(60, 660) < 60
