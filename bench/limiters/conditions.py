"""The conditions under which limiters are compared, and what was observed of each."""

from functools import cache

from bench.limiters.model import Conditions, LimiterRun
from bench.limiters.policies import POLICIES

NEAR = Conditions("0 ms", latency=0.0002)
USUAL = Conditions("40 ms")
FAR = Conditions("100 ms", latency=0.1)
POD = Conditions("40 ms, 200 millicores", quota=0.2, windows=(("", 5, 40),))
NOISY = Conditions("40 ms, noisy", tail=0.05, spread=0.6)
UNEVEN = Conditions("30 ms, p99 240 ms", latency=0.03, spread=0.89, tail=0, cpu=0.00014, most=1024)
SLOWER = Conditions(
    "40 ms, four times that for a minute",
    windows=(("before", 5, 15), ("meanwhile", 15, 75), ("after", 75, 85)),
    slow=(15, 75),
    slower=4,
)
SPLITTING = Conditions(
    "throttles at 3,500/s, doubles",
    windows=(("start", 0, 3), ("before", 3, 10), ("after", 16, 21)),
    rate=3500,
    cpu=0.0002,
    processes=2,
)
HEALED = Conditions(
    "400 ms, four times that for a while",
    windows=(("before", 50, 100), ("soon after", 220, 300), ("long after", 1200, 1500)),
    latency=0.4,
    slow=(100, 200),
    slower=4,
    cpu=0.01,
)
QUEUEING = Conditions("queues at 500/s", rate=500, queue=10)
ALL = (NEAR, USUAL, FAR, POD, NOISY, UNEVEN, SLOWER, SPLITTING, QUEUEING)


@cache
def play(conditions: Conditions, policy: str) -> LimiterRun:
    """One of them with one policy; the same run each time."""
    return LimiterRun(conditions, lambda now: POLICIES[policy](now, conditions.least, conditions.most))


def rows(conditions: Conditions) -> list[str]:
    """What was seen, as lines of a Markdown table: one for each window."""
    lines = []
    for index, (window, _, _) in enumerate(conditions.windows):
        cells = [f"{conditions.name}: {window}" if window else conditions.name]
        for policy in POLICIES:
            seen = play(conditions, policy).observed(index)
            cells.append(f"{seen.rate:,.0f}; {100 * seen.throttled:.2g} %; {seen.p99 * 1000:,.0f}; {seen.limit:,.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines
