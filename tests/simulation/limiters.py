"""Limiters side by side: `python -m tests.simulation.limiters` plays each in every scenario and prints a table."""

import math
import sys
from collections.abc import Callable, Mapping
from functools import cache

from email_processor.pipeline.adaptive_limit import AdaptiveLimit
from tests.simulation.store import Policy, Run, Scenario

Clock = Callable[[], float]


class ThrottlesOnly:
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


class LatencyToo(ThrottlesOnly):
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
        if self._smooth <= 2 * min(self._low, self._lower_low):
            super().succeed(started_at, size, is_full=is_full)
        elif started_at >= self._lowered_at and is_full:
            self._lower(0.8)


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
            wanted = self._exact * gradient + math.sqrt(self._exact)
            self._exact = max(self._least, min(self._most, 0.8 * self._exact + 0.2 * wanted))

    def throttle(self, started_at: float) -> None:
        self._exact = max(self._least, self._exact * 0.9)


def ours(now: Clock, least: int, most: int) -> Policy:
    """What the pipeline has."""
    return AdaptiveLimit(now, start=least, least=1, most=most)


POLICIES: Mapping[str, Callable[[Clock, int, int], Policy]] = {
    "AIMD, throttles": ThrottlesOnly,
    "AIMD, latency": LatencyToo,
    "Gradient2": Gradient,
    "ours": ours,
}

NEAR = Scenario("0 ms", latency=0.0002)
USUAL = Scenario("40 ms")
FAR = Scenario("100 ms", latency=0.1)
POD = Scenario("40 ms, 200 millicores", quota=0.2, windows=(("", 5, 40),))
NOISY = Scenario("40 ms, noisy", tail=0.05, spread=0.6)
SLOWER = Scenario(
    "40 ms, four times that for a minute",
    windows=(("before", 5, 15), ("meanwhile", 15, 75), ("after", 75, 85)),
    slow=(15, 75),
    slower=4,
)
SPLITTING = Scenario(
    "throttles at 3,500/s, doubles",
    windows=(("start", 0, 3), ("before", 3, 10), ("after", 16, 21)),
    rate=3500,
    cpu=0.0002,
    processes=2,
)
HEALED = Scenario(
    "400 ms, four times that for a while",
    windows=(("before", 50, 100), ("soon after", 220, 300), ("long after", 1200, 1500)),
    latency=0.4,
    slow=(100, 200),
    slower=4,
    cpu=0.01,
)
QUEUEING = Scenario("queues at 500/s", rate=500, queue=10)
SCENARIOS = (NEAR, USUAL, FAR, POD, NOISY, SLOWER, SPLITTING, QUEUEING)


@cache
def play(scenario: Scenario, policy: str) -> Run:
    """One scenario with one policy; the same run each time."""
    return Run(scenario, lambda now: POLICIES[policy](now, scenario.least, scenario.most))


def rows(scenario: Scenario) -> list[str]:
    """What was seen, as lines of a Markdown table: one for each window."""
    lines = []
    for index, (window, _, _) in enumerate(scenario.windows):
        cells = [f"{scenario.name}: {window}" if window else scenario.name]
        for policy in POLICIES:
            seen = play(scenario, policy).seen(index)
            cells.append(f"{seen.rate:,.0f}; {100 * seen.throttled:.2g} %; {seen.p99 * 1000:,.0f}; {seen.limit:,.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Play all and print."""
    sys.stdout.write(f"| | {' | '.join(POLICIES)} |\n| --- |{' ---: |' * len(POLICIES)}\n")
    for scenario in SCENARIOS:
        sys.stdout.write("".join(f"{line}\n" for line in rows(scenario)))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
