"""The results as a table that people read."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.bars import CPU, RATE, US, lines
from bench.machine import measured_on
from bench.subjects import JAVA_WARM_UP

HEADLINE = {"cell": "backlog", "size": 4096, "queue_latency_ms": 15.0, "store_latency_ms": 40.0, "tls": True}

RESULTS = Path(__file__).parent / "results"
UNDER_WAY = ("ReceiveMessage", "PutObject", "DeleteMessageBatch", "messages")

METHOD = (
    "CPU is that of the whole process from start to end (`wait4`), divided by the messages that were stored byte for "
    "byte and then deleted; behind it what it was between the first receive and the order to stop, as are the rates. "
    f"The Java peer has {JAVA_WARM_UP:g} s to warm up before that, in which its compiler works on the same core. "
    "Server and subject each have a core of their own: how much of the time the subject used its core, and "
    "wanted it while others had it. A run in which it often had to wait tells no rates. What was under way, the server "
    "has seen: receives, PUTs, deletes, and messages in flight (medians of the second half)."
)

Row = dict[str, Any]


def is_headline(row: Row) -> bool:
    """Whether a result is of the scenario that the bar is about: 4 KiB, a backlog, as far as AWS is, over TLS."""
    return not row["store_tail_ms"] and all(row[name] == value for name, value in HEADLINE.items())


def is_loopback(row: Row) -> bool:
    """Whether a result is of the same emails without latency and without TLS."""
    near = {**HEADLINE, "queue_latency_ms": 0.0, "store_latency_ms": 0.0, "tls": False}
    return not row["store_tail_ms"] and all(row[name] == value for name, value in near.items())


def table(rows: Iterable[Row]) -> str:
    """A Markdown table, one line for each result."""
    head = (
        "scenario",
        "subject",
        "CPU us/msg",
        "after the start",
        "msg/s",
        "peak RSS MiB",
        "core used / wanted %",
        "under way",
        "sent to stored p50 / p99 ms",
    )
    return markdown(head, [_line(row) for row in rows])


def ratios(rows: Sequence[Row]) -> str:
    """CPU and rate of every subject as multiples of email-processor's, measured last before it, in Markdown."""
    found: list[tuple[str, ...]] = []
    ours: dict[str, Row] = {}
    for row in (row for row in rows if row["messages"]):
        if row["subject"] == US:
            ours[scenario(row)] = row
        elif (our := ours.get(scenario(row))) is not None:
            cpu, rate = row[CPU] / our[CPU], row[RATE] / our[RATE]
            found.append((scenario(row), row["subject"], f"{cpu:.2f}", f"{rate:.2f}"))
    return markdown(("scenario", "subject", "CPU after the start, ours = 1", "messages a second, ours = 1"), found)


def report(results: dict[str, Any]) -> str:
    """The whole report, in Markdown."""
    rows: list[Row] = results["results"]
    idle = [row for row in rows if row["cell"] == "idle"]
    parts = [
        f"# {results['date']} {results['name']}",
        measured_on(results["machine"], results["versions"]),
        METHOD,
        "What it is measured by:",
        markdown(("what", "bar", "found", ""), list(lines(rows))),
        "Everyone beside it:",
        ratios(rows),
        "At AWS's distance:",
        table(row for row in rows if is_headline(row)),
        "On loopback, and step by step from it:",
        table(row for row in rows if row["cell"] != "idle" and not is_headline(row)),
    ]
    parts += [
        f"Idle for {row['seconds']:g} s: {row['busy_percent']:.2f} % of a core, {row['peak_rss_mib']:.0f} MiB; "
        f"first receive {row['start_to_first_receive_seconds']:.2f} s after the start."
        for row in idle
    ]
    parts += [f"Not run: {name} ({why})." for name, why in results["missing"].items()]
    parts += [f"Failed: {text}" for text in results["failed"]]
    return "\n\n".join(parts) + "\n"


def kept(name: str) -> dict[str, Any]:
    """The newest run of this name whose results are kept."""
    *_, newest = sorted(RESULTS.glob(f"*-{name}.json"))
    results: dict[str, Any] = json.loads(newest.read_text())
    return results


def excerpt(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """What documents show of results: everyone in their order of CPU, and the ratio to email-processor."""
    rows = sorted((row for row in rows if row["messages"]), key=lambda row: float(row[CPU]))
    our = next(row for row in rows if row["subject"] == US)
    return [
        (
            row["subject"],
            f"{row[CPU]:,.0f}",
            f"{row[CPU] / our[CPU]:.2f}",
            f"{row[RATE]:,.0f}",
            f"{row[RATE] / our[RATE]:.2f}",
            f"{row['peak_rss_mib']:,.0f} MiB",
        )
        for row in rows
    ]


def distances(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """What email-processor does at every distance and with every size, and how much was under way."""
    return [
        (
            scenario(row),
            f"{row[RATE]:,.0f}",
            f"{row[CPU]:,.0f}",
            *(f"{row['under_way'].get(name, 0):,.0f}" for name in UNDER_WAY),
            f"{row['peak_rss_mib']:,.0f} MiB",
        )
        for row in rows
        if row["subject"] == US and row["messages"]
    ]


def _line(row: Row) -> Sequence[str]:
    under_way = row["under_way"]
    times = row["sent_to_stored_ms"]
    return (
        scenario(row),
        row["subject"],
        _number(row["cpu_us_per_message"]),
        _number(row["steady_cpu_us_per_message"]),
        _number(row["messages_per_second"]),
        _number(row["peak_rss_mib"]),
        f"{row['busy_percent']:.0f} / {row['waited_percent']:.0f}",
        " / ".join(f"{under_way.get(name, 0):,.0f}" for name in UNDER_WAY),
        f"{times['p50']:,.0f} / {times['p99']:,.0f}" if times else "-",
    )


def scenario(row: Row) -> str:
    """A scenario in a few words."""
    size = row["size"] // 1024
    words = [row["cell"], f"{size} KiB" if size < 1024 else f"{size // 1024} MiB"]  # noqa: PLR2004 - KiB in a MiB
    if row["later_size"]:
        words.append(f"then {row['later_size'] // 1024:,} KiB")
    words.append(f"SQS {row['queue_latency_ms']:g} ms")
    words.append(f"PUT {row['store_latency_ms']:g} ms")
    if row["store_tail_ms"]:
        words.append(f"in the tail {row['store_tail_ms']:g} ms")
    if row["feed"]:
        words.append(f"{row['feed']:g} msg/s sent")
    if row["put_rate"]:
        words.append(f"throttled above {row['put_rate']:g} PUT/s ({row['throttled'] / row['messages']:.2f} 503/msg)")
    if row["tls"]:
        words.append("TLS")
    return ", ".join(words)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, with numbers to the right of the first two columns."""
    rule = ["---", "---", *["---:"] * (len(head) - 2)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
