"""The results as a picture. Run with matplotlib, which lives in `.venv-bench`."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from bench.report import is_headline

OURS, THEIRS = "#1a6e4e", "#9aa5b1"
COLOURS = ("#1a6e4e", "#c0562f", "#d99a2b", "#5a6fb5", "#8a4f9e")


def draw(results: dict[str, Any], to: Path) -> None:
    """Write a PNG: CPU a message and memory in the headline's scenario, throughput over latency."""
    rows = results["results"]
    headline = [row for row in rows if is_headline(row)]
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    _bars(axes[0], headline, "cpu_us_per_message", "CPU a message, microseconds")
    _bars(axes[1], headline, "peak_rss_mib", "Peak memory, MiB")
    _lines(axes[2], rows)
    figure.suptitle(f"Archiving 4 KiB emails from SQS into S3, one core ({results['date']})", fontsize=10)
    figure.savefig(to.with_suffix(".png"), dpi=160)


def _bars(axes: Any, rows: list[dict[str, Any]], value: str, title: str) -> None:  # noqa: ANN401 - matplotlib's
    names = [row["subject"] for row in rows][::-1]
    values = [row[value] for row in rows][::-1]
    bars = axes.barh(names, values, color=[OURS if name == "email-processor" else THEIRS for name in names])
    axes.bar_label(bars, labels=[f"{each:,.0f}" for each in values], padding=3)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.18)


def _lines(axes: Any, rows: list[dict[str, Any]]) -> None:  # noqa: ANN401 - matplotlib's
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    for subject, colour in zip(subjects, COLOURS, strict=False):
        points = sorted(
            (row["store_latency_ms"], row["messages_per_second"])
            for row in rows
            if row["subject"] == subject
            and (row["cell"], row["size"], row["tls"], row["queue_latency_ms"]) == ("backlog", 4096, False, 0)
            and row["messages_per_second"]
        )
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=subject)
    axes.set_yscale("log")
    axes.set_xlabel("latency of a PUT, ms")
    axes.set_title("Messages a second", fontsize=9)
    axes.legend(fontsize=7, frameon=False)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    draw(json.loads(source.read_text()), source)
