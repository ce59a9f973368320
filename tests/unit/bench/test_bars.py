"""What the benchmark says of a run: which bars are met."""

from collections.abc import Callable
from typing import Any

import pytest

from bench import plan
from bench.bars import BARS, lines
from bench.subjects import subjects


def row(subject: str, cpu: float, rate: float, **place: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of a result
    """A result on loopback, unless `place` says where else."""
    where = {"queue_latency_ms": 0.0, "store_latency_ms": 0.0, "store_tail_ms": 0.0, "tls": False, "size": 4096}
    figures = {"messages": 1000, "steady_cpu_us_per_message": cpu, "messages_per_second": rate, "peak_rss_mib": 100.0}
    return {"cell": "backlog", "subject": subject, "later_size": 0, **where, **figures, **place}


@pytest.mark.parametrize(("rate", "verdict"), [(800.0, "met"), (790.0, "**missed**")])
def test_a_rate_far_from_aws_is_compared_with_that_on_loopback(rate: float, verdict: str) -> None:
    """Of the same run."""
    rows = [
        row("email-processor", 100, 1000),
        row("email-processor", 120, rate, queue_latency_ms=15.0, store_latency_ms=40.0),
    ]
    found = {text: (value, met) for text, _, value, met in lines(rows)}
    assert (f"{rate / 1000:.2f}", verdict) == found["rate at 15 and 40 ms, to that on loopback"]


def test_the_floor_is_compared_with_in_the_same_place() -> None:
    """And what was not measured is not judged."""
    found = {
        text: (value, met) for text, _, value, met in lines([row("email-processor", 180, 1), row("floor", 100, 1)])
    }
    assert ("1.80", "**missed**") == found["CPU on loopback, to the floor's"]
    assert "CPU on loopback, to Rust's" not in found


def test_a_slow_minute_meets_both_sides() -> None:
    """A round's results are compared with each other, and the middle one of the rounds counts."""
    rounds = [
        row(name, cpu * slow, 1) for slow in (1, 3, 2) for name, cpu in (("email-processor", 150), ("floor", 100))
    ]
    rounds[0] = row("email-processor", 400, 1)
    found = {text: value for text, _, value, _ in lines(rounds)}
    assert "1.50" == found["CPU on loopback, to the floor's"]


@pytest.mark.parametrize("cells", [plan.standard, plan.bars])
def test_every_bar_is_measured_by_a_plain_run(cells: Callable[[], list[plan.Cell]]) -> None:
    """Each of them has its results, of everyone it is compared with."""
    names = {subject.name for subject in subjects()}
    rows = [
        row(
            name,
            1,
            1,
            cell=cell.name,
            queue_latency_ms=cell.scenario.queue_latency * 1000,
            store_latency_ms=cell.scenario.store_latency * 1000,
            store_tail_ms=cell.scenario.store_tail * 1000,
            tls=cell.tls,
            size=cell.scenario.size,
            later_size=cell.scenario.later_size,
        )
        for cell in cells()
        for name in names
        if cell.is_for(name)
    ]
    assert [bar.text for bar in BARS] == [text for text, *_ in lines(rows)]
