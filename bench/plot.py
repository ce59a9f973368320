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


def draw(results: dict[str, Any], to: Path) -> None:
    """Write a PNG of the headline's scenario: CPU a message, memory, and messages a second."""
    rows = results["results"]
    headline = [row for row in rows if is_headline(row)]
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    _bars(axes[0], headline, "cpu_us_per_message", "CPU a message, microseconds")
    _bars(axes[1], headline, "peak_rss_mib", "Peak memory, MiB")
    _bars(axes[2], headline, "messages_per_second", "Messages a second on a core")
    figure.suptitle(
        f"Archiving 4 KiB emails from SQS into S3 at AWS's distance, over TLS ({results['date']})", fontsize=10
    )
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


if __name__ == "__main__":
    source = Path(sys.argv[1])
    draw(json.loads(source.read_text()), source)
