"""What is measured: the scenarios, and who runs in each."""

from dataclasses import dataclass, replace

from bench.world import Scenario

KIB = 1024
SIZES = (KIB, 4 * KIB, 64 * KIB, KIB * KIB)
LATENCIES = (0.0, 0.01, 0.04, 0.1)
ALONE = frozenset({"email-processor"})
OURS = ALONE | {"floor"}
QUICK = OURS | {"aws-sdk-rust", "aws-sdk-go", "bento", "node-sqs-consumer", "boto3-loop"}
USUAL = QUICK | {"aws-sdk-java"}  # what people would really pick; this one takes long to warm up
EVERY_QUICK = QUICK | {"boto3-threads", "aioboto3"}
LOOPBACK = Scenario()
SLOW_STORE = Scenario(store_latency=0.04)
AWS = Scenario(queue_latency=0.015, store_latency=0.04)  # as far as AWS is
FAR = Scenario(queue_latency=0.015, store_latency=0.1)
UNEVEN = Scenario(queue_latency=0.01, store_latency=0.03, store_tail=0.24)
ROUNDS = 5  # of what the bars compare
FEED = 200.0  # messages a second that the slowest subject can keep up with


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario for `seconds`, run by the subjects named, or by all; `pod`: within the limits of a pod."""

    name: str
    scenario: Scenario
    seconds: float
    tls: bool = False
    pod: bool = False
    subjects: frozenset[str] = frozenset()

    def is_for(self, subject: str) -> bool:
        """Whether this subject runs in it."""
        return not self.subjects or subject in self.subjects


def ours() -> list[Cell]:
    """What email-processor does at every distance and with every size, beside its floor: five minutes."""
    distances = (LOOPBACK, SLOW_STORE, AWS, FAR, UNEVEN)
    return [
        *(Cell("backlog", each, 12, subjects=OURS) for each in distances),
        *(Cell("backlog", each, 12, tls=True, subjects=OURS) for each in (LOOPBACK, AWS)),
        *(Cell("backlog", replace(AWS, size=size), 10, subjects=ALONE) for size in SIZES if size != 4 * KIB),
        Cell("jump", replace(AWS, size=KIB, later_size=KIB * KIB), 10, subjects=ALONE),
        Cell("pod", AWS, 12, tls=True, pod=True, subjects=ALONE),
        Cell("pod, jump", replace(AWS, later_size=KIB * KIB), 40, tls=True, pod=True, subjects=ALONE),
        Cell("idle", Scenario(feed=0.0), 10, subjects=ALONE),
    ]


def bars() -> list[Cell]:
    """Six minutes: short rounds of all that the bars compare, so that a machine's slow minutes meet both sides."""
    one_round = [
        Cell("backlog", LOOPBACK, 6, subjects=OURS | {"aws-sdk-rust"}),
        *(Cell("backlog", each, 6, subjects=ALONE) for each in (AWS, FAR, UNEVEN)),
        Cell("backlog", LOOPBACK, 6, tls=True, subjects=ALONE),
        Cell("backlog", AWS, 6, tls=True, subjects=ALONE | {"aws-sdk-go"}),
    ]
    sizes = [cell for cell in ours() if cell.name == "jump" or cell.scenario.size == KIB * KIB]
    return [*(one_round * ROUNDS), *sizes]


def standard() -> list[Cell]:
    """Twenty minutes: the headline and loopback by everyone whom people would pick, and ours at every distance."""
    everyone = [
        Cell("backlog", AWS, 14, tls=True, subjects=USUAL),
        Cell("backlog", LOOPBACK, 10, subjects=USUAL),
        Cell("backlog", AWS, 10, subjects=USUAL),
        Cell("paced", Scenario(feed=FEED, store_latency=0.01), 5, subjects=USUAL),
    ]
    measured = {(cell.scenario, cell.tls) for cell in everyone}
    return [*everyone, *(cell for cell in ours() if cell.pod or (cell.scenario, cell.tls) not in measured)]


def full() -> list[Cell]:
    """Every size at every latency, with and without TLS, by everyone who warms up quickly: half an hour."""
    backlog = [
        Cell(
            "backlog",
            Scenario(size=size, store_latency=latency),
            20 if is_headline else 6,
            tls=tls,
            subjects=EVERY_QUICK,
        )
        for tls in (False, True)
        for size in SIZES
        for latency in LATENCIES
        for is_headline in [size == 4 * KIB and not latency and not tls]
    ]
    backlog.sort(key=lambda cell: cell.seconds, reverse=True)
    paced = [
        Cell("paced", Scenario(feed=FEED, store_latency=latency), 8, subjects=EVERY_QUICK) for latency in LATENCIES
    ]
    throttled = [
        Cell("throttled", Scenario(store_latency=latency, put_rate=500.0), 10, subjects=OURS)
        for latency in (0.0, 0.04, 0.1)
    ]
    headline = [Cell("backlog", AWS, 20, tls=tls) for tls in (True, False)]
    return [*headline, *backlog, *paced, *throttled, *ours()]
