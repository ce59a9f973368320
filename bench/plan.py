"""What is measured: the scenarios, and who runs in each."""

from dataclasses import dataclass, replace

from bench.world import Scenario

KIB = 1024
SIZES = (KIB, 4 * KIB, 64 * KIB, KIB * KIB)
LATENCIES = (0.0, 0.01, 0.04, 0.1)
OURS = frozenset({"email-processor", "floor"})
AWS = Scenario(queue_latency=0.015, store_latency=0.04)  # as far as AWS is
FAR = Scenario(queue_latency=0.015, store_latency=0.1)
UNEVEN = Scenario(queue_latency=0.01, store_latency=0.03, store_tail=0.24)
FEED = 200.0  # messages a second that the slowest subject can keep up with


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario, run by every subject or by email-processor and its floor alone, for `seconds` each."""

    name: str
    scenario: Scenario
    seconds: float
    tls: bool = False
    ours_only: bool = False

    def is_for(self, subject: str) -> bool:
        """Whether this subject runs in it."""
        return not self.ours_only or subject in OURS


def standard() -> list[Cell]:
    """A few minutes: the headline, and one step in every direction from it."""
    return [
        Cell("backlog", AWS, 20, tls=True),
        Cell("backlog", Scenario(), 12),
        Cell("backlog", Scenario(), 6, tls=True, ours_only=True),
        *(Cell("backlog", each, 20, ours_only=True) for each in (AWS, FAR, UNEVEN)),
        Cell("jump", replace(AWS, size=KIB, later_size=KIB * KIB), 12, ours_only=True),
        Cell("backlog", Scenario(store_latency=0.04), 6),
        *(Cell("backlog", Scenario(size=size), 5, ours_only=True) for size in SIZES if size != 4 * KIB),
        *(Cell("backlog", Scenario(store_latency=each), 5, ours_only=True) for each in (0.01, 0.1)),
        Cell("paced", Scenario(feed=FEED, store_latency=0.01), 5),
        Cell("idle", Scenario(feed=0.0), 12, ours_only=True),
    ]


def full() -> list[Cell]:
    """Every size at every latency, with and without TLS, by everyone: about half an hour."""
    backlog = [
        Cell("backlog", Scenario(size=size, store_latency=latency), 20 if is_headline else 6, tls=tls)
        for tls in (False, True)
        for size in SIZES
        for latency in LATENCIES
        for is_headline in [size == 4 * KIB and not latency and not tls]
    ]
    backlog.sort(key=lambda cell: cell.seconds, reverse=True)
    paced = [Cell("paced", Scenario(feed=FEED, store_latency=latency), 8) for latency in LATENCIES]
    throttled = [
        Cell("throttled", Scenario(store_latency=latency, put_rate=500.0), 10, ours_only=True)
        for latency in (0.0, 0.04, 0.1)
    ]
    return [*backlog, *paced, *throttled, Cell("idle", Scenario(feed=0.0), 30, ours_only=True)]
