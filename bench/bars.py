"""What email-processor is measured by, and how far it is: ratios within one run, and memory."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

Row = Mapping[str, Any]

US, FLOOR, GO, RUST = "email-processor", "floor", "aws-sdk-go", "aws-sdk-rust"
CPU, RATE, MEMORY = "steady_cpu_us_per_message", "messages_per_second", "peak_rss_mib"
KIB, MIB = 1024, 1024 * 1024


class Place(NamedTuple):
    """Which result: of a backlog, far from AWS or near, over TLS or not; of emails of `size`, which may change."""

    queue: float = 0.0
    store: float = 0.0
    tail: float = 0.0
    tls: bool = False
    size: int = 4 * KIB
    later_size: int = 0

    def found(self, rows: Sequence[Row], subject: str) -> list[Row]:
        """The results of this subject that archived anything, in the order in which they were measured."""
        names = ("queue_latency_ms", "store_latency_ms", "store_tail_ms", "tls", "size", "later_size")
        ours = (
            row for row in rows if row["subject"] == subject and row["messages"] and row["cell"] in {"backlog", "jump"}
        )
        return [row for row in ours if tuple(row[name] for name in names) == self]


LOOPBACK, AWS = Place(), Place(queue=15, store=40)
AWS_TLS = AWS._replace(tls=True)


class Bar(NamedTuple):
    """A ratio, or a size if there is nothing to compare with, and its bound."""

    text: str
    value: str
    place: Place
    bound: float
    is_least: bool = False
    against: Place | None = None
    subject: str = US  # that it is compared with


BARS = (
    Bar("rate at 15 and 40 ms, to that on loopback", RATE, AWS, 0.8, is_least=True, against=LOOPBACK),
    Bar("rate at 15 and 100 ms", RATE, Place(15, 100), 0.6, is_least=True, against=LOOPBACK),
    Bar("rate at 10 and 30 ms, p99 240 ms", RATE, Place(10, 30, 240), 0.7, is_least=True, against=LOOPBACK),
    Bar("CPU on loopback, to the floor's", CPU, LOOPBACK, 1.7, against=LOOPBACK, subject=FLOOR),
    Bar("CPU at 15 and 40 ms, to that on loopback", CPU, AWS, 4 / 3, against=LOOPBACK),
    Bar("CPU over TLS, to that without", CPU, Place(tls=True), 4 / 3, against=LOOPBACK),
    Bar("CPU on loopback, to Rust's", CPU, LOOPBACK, 1.0, against=LOOPBACK, subject=RUST),
    Bar("CPU at 15 and 40 ms over TLS, to Go's", CPU, AWS_TLS, 1.0, against=AWS_TLS, subject=GO),
    Bar("MiB on loopback", MEMORY, LOOPBACK, 128),
    Bar("MiB at 15 and 40 ms", MEMORY, AWS, 160),
    Bar("MiB with emails of 1 MiB", MEMORY, AWS._replace(size=MIB), 256),
    Bar("MiB with a jump from 1 KiB to 1 MiB", MEMORY, AWS._replace(size=KIB, later_size=MIB), 256),
)


def lines(rows: Sequence[Row]) -> Iterator[tuple[str, str, str, str]]:
    """Every bar that this run has measured: what it is about, its bound, what was found, and whether it is met.

    Where both sides were measured in several rounds it is the median of the rounds' ratios, and the most memory.
    """
    for bar in BARS:
        values = [row[bar.value] for row in bar.place.found(rows, US)]
        digits = 0
        if bar.against is not None:
            others = [row[bar.value] for row in bar.against.found(rows, bar.subject)]
            values = [ours / other for ours, other in zip(values, others, strict=False)]
            digits = 2
        if not values:
            continue
        found = max(values) if bar.against is None else median(values)
        is_met = found >= bar.bound if bar.is_least else found <= bar.bound
        bound = f"{'at least' if bar.is_least else 'at most'} {bar.bound:.{digits}f}"
        yield bar.text, bound, f"{found:.{digits}f}", "met" if is_met else "**missed**"
