"""Limiters side by side: `python -m tests.simulation.limiters` plays each in every scenario and prints a table."""

import argparse
import math
import sys
from collections.abc import Callable, Mapping

from email_processor.pipeline.level import Level
from tests.simulation.store import Policy, Run, Scenario, Spell

Clock = Callable[[], float]


class ThrottleOnly:
    """Additive increase, multiplicative decrease; only a throttle is a sign of too many."""

    def __init__(self, now: Clock, least: int, most: int) -> None:
        self._now, self._least, self._most = now, least, most
        self._exact = float(least)
        self._is_starting = True
        self._lowered_at = -math.inf

    @property
    def limit(self) -> int:
        return int(self._exact)

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> None:
        if is_full:
            self._exact = min(self._most, self._exact + (1.0 if self._is_starting else 1 / self._exact))

    def throttle(self, started_at: float) -> None:
        if started_at >= self._lowered_at:
            self._lower(0.5)

    def _lower(self, share: float) -> None:
        self._is_starting = False
        self._lowered_at = self._now()
        self._exact = max(self._least, self._exact * share)


class LatencyToo(ThrottleOnly):
    """The same, and a smoothed latency of twice the lowest of the last two minutes is one more sign."""

    def __init__(self, now: Clock, least: int, most: int) -> None:
        super().__init__(now, least, most)
        self._smooth = self._low = self._lower_low = math.inf
        self._since = 0.0

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> None:
        now = self._now()
        latency = now - started_at
        self._smooth = latency if math.isinf(self._smooth) else self._smooth + (latency - self._smooth) / 50
        if now - self._since > 60:
            self._low, self._lower_low, self._since = self._smooth, self._low, now
        self._low = min(self._low, self._smooth)
        if self._smooth > 2 * min(self._low, self._lower_low):
            if started_at >= self._lowered_at and is_full:
                self._lower(0.8)
        else:
            super().succeed(started_at, size, is_full=is_full)


class Gradient:
    """Netflix's Gradient2: the limit follows long-term over short-term latency, with room for a queue."""

    def __init__(self, now: Clock, least: int, most: int) -> None:
        self._now, self._least, self._most = now, least, most
        self._exact = float(least)
        self._long = 0.0

    @property
    def limit(self) -> int:
        return int(self._exact)

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> None:
        latency = self._now() - started_at
        self._long = latency if not self._long else self._long + (latency - self._long) * 2 / 601
        if self._long > 2 * latency:
            self._long *= 0.95
        if is_full:
            gradient = max(0.5, min(1.0, 1.5 * self._long / latency))
            self._toward(self._exact * gradient + math.sqrt(self._exact))

    def throttle(self, started_at: float) -> None:
        self._exact = max(self._least, self._exact * 0.9)

    def _toward(self, wanted: float) -> None:
        self._exact = max(self._least, min(self._most, 0.8 * self._exact + 0.2 * wanted))


class Vegas:
    """TCP Vegas as Netflix has it: keep between 3 and 6 times log10(limit) uploads in a queue."""

    def __init__(self, now: Clock, least: int, most: int) -> None:
        self._now, self._least, self._most = now, least, most
        self._exact = float(least)
        self._low = math.inf
        self._count = 0

    @property
    def limit(self) -> int:
        return int(self._exact)

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> None:
        latency = self._now() - started_at
        self._count += 1
        if self._count >= 30 * self._exact:  # forget, and probe anew
            self._count, self._low = 0, latency
        self._low = min(self._low, latency)
        if not is_full:
            return
        unit = max(1.0, math.log10(self._exact))
        queued = self._exact * (1 - self._low / latency)
        if queued <= unit:
            self._set(self._exact + 6 * unit)
        elif queued < 3 * unit:
            self._set(self._exact + unit)
        elif queued > 6 * unit:
            self._set(self._exact - unit)

    def throttle(self, started_at: float) -> None:
        self._set(self._exact - max(1.0, math.log10(self._exact)))

    def _set(self, exact: float) -> None:
        self._exact = max(self._least, min(self._most, exact))


def level(now: Clock, least: int, most: int) -> Policy:
    """Ours."""
    return Level(now, least=least, most=most)


POLICIES: Mapping[str, Callable[[Clock, int, int], Policy]] = {
    "throttle only": ThrottleOnly,
    "latency too": LatencyToo,
    "Gradient2": Gradient,
    "Vegas": Vegas,
    "ours": level,
}

SCENARIOS = (
    Scenario("near", latency=0.01),
    Scenario("usual", latency=0.04),
    Scenario("far", latency=0.1),
    Scenario("slow core, near", latency=0.001, cpu=0.0007),
    Scenario("slow core, usual", latency=0.04, cpu=0.0007),
    Scenario("slow core, far", latency=0.1, cpu=0.0007),
    Scenario("200 millicores", latency=0.04, cpu=0.0005, quota=0.2, seconds=60),
    Scenario("long tail", tail=0.05, spread=0.6),
    Scenario("four at 3,500/s", rate=3500, processes=4, seconds=180, steady_from=20),
    Scenario("one at 500/s", rate=500, queue=0.2, seconds=60),
    Scenario("step to 400 ms", seconds=80, cpu=0.0007, spells=(Spell(20, 50, slower=10),)),
    Scenario("outage", seconds=60, spells=(Spell(20, 40, is_down=True),)),
    Scenario("noisy neighbours", seconds=80, rate=3500, spells=(Spell(20, 40, neighbours=0.9),)),
    Scenario("slow spell", seconds=80, spells=(Spell(20, 40, slower=3),)),
    Scenario("sizes mixed", sizes=((0.9, 4096), (0.1, 1024 * 1024)), cpu=0.0007),
)


def play(scenario: Scenario, policy: str, seed: int = 1) -> Run:
    """One scenario with one policy."""
    make = POLICIES[policy]
    return Run(scenario, lambda now: make(now, scenario.least, scenario.most), seed).play()


def row(name: str, run: Run) -> str:
    """What was seen, as a line of a Markdown table."""
    scenario = run.scenario
    start, end = scenario.steady_from, scenario.seconds
    healed = scenario.healed_at
    during = "".join(f"{run.rate(spell.start, spell.end):,.0f}" for spell in scenario.spells)
    cells = (
        scenario.name,
        name,
        f"{run.rate(start, end):,.0f}",
        during,
        f"{run.latency(50) * 1000:,.0f}",
        f"{run.latency(99) * 1000:,.0f}",
        f"{run.throttled_share:.1%}",
        f"{run.mean_limit(start, end):,.0f}",
        f"{max((limit for when, limit in run.limits if when >= start), default=run.limits[-1][1]):,}",
        f"{run.reaches(scenario.attainable):.1f}",
        f"{run.reaches(scenario.attainable, healed):.1f}" if scenario.spells else "",
    )
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "scenario",
    "limiter",
    "PUT/s",
    "in the spell",
    "p50 ms",
    "p99 ms",
    "throttled",
    "limit",
    "most",
    "90 % after s",
    "again after s",
)


def main() -> int:
    """Play and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.limiters", description=__doc__)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--scenarios", nargs="+", default=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.stdout.write(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}\n")
    for scenario in SCENARIOS:
        for name in arguments.policies if scenario.name in arguments.scenarios else ():
            sys.stdout.write(row(name, play(scenario, name, arguments.seed)) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
