"""The endurance run as a picture. Run with matplotlib, which lives in `.venv-bench`."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = ("#1a6e4e", "#c0562f", "#5a6fb5", "#d99a2b", "#8a4f9e", "#4a9aa8")
REST = "#e9edf0"
PANELS = (
    ("Resident memory, MiB", {"rss_kib": "resident"}, 1024),
    ("Messages stored and deleted, thousands", {"messages": "messages"}, 1000),
    ("Descriptors", {"descriptors": "descriptors", "sockets": "of them sockets", "threads": "threads"}, 1),
    ("asyncio tasks", {"tasks": "tasks"}, 1),
    ("Objects and allocated blocks, thousands", {"objects": "objects", "blocks": "blocks"}, 1000),
    (
        "Tables",
        {
            "table Ledger._deliveries": "in flight",
            "table Uploader._jobs": "jobs",
            "table Deleter._receipts": "receipts",
            "table Limiter._waiting": "waiting for a slot",
            "table Ledger._remembered": "remembered",
        },
        1,
    ),
)


def draw(results: dict[str, Any], to: Path) -> None:
    """Write a PNG: memory, descriptors, tasks, objects and tables over time; the rests are grey."""
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(3, 2, figsize=(11, 7.2), layout="constrained", sharex=True)
    for panel, (title, wanted, unit) in zip(axes.flat, PANELS, strict=True):
        for rest in results["rests"]:
            panel.axvspan(rest - results["rest_seconds"], rest, color=REST, linewidth=0)
        for (name, label), colour in zip(wanted.items(), COLOURS, strict=False):
            points = results["series"].get(name, ())
            times, values = [at for at, _ in points], [value / unit for _, value in points]
            panel.plot(times, values, color=colour, linewidth=0.9, label=label)
        panel.set_title(title, fontsize=9)
        panel.set_ylim(bottom=0)
        if len(wanted) > 1:
            panel.set_ylim(top=1.25 * panel.get_ylim()[1])  # room for the names
            panel.legend(fontsize=7, frameon=False, loc="upper left", ncols=len(wanted))
    for panel in axes[-1]:
        panel.set_xlabel("seconds since the first receive")
    figure.suptitle(f"{results['messages']:,} messages with faults on ({to.name[:10]})", fontsize=10)
    figure.savefig(to.with_suffix(".png"), dpi=140)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    draw(json.loads(source.read_text()), source)
