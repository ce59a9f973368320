"""Run the benchmark: `make bench`, or `python -m bench --help`."""

import argparse
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import plan
from bench.machine import machine, versions
from bench.measure import BenchmarkError, measure
from bench.processes import Cores
from bench.report import report, scenario
from bench.subjects import HERE, subjects

PLOTTER = HERE.parent / ".venv-bench" / "bin" / "python"


def main() -> int:
    """Measure, and write the results as JSON, Markdown and a picture; 1 if a measurement failed."""
    arguments = _arguments()
    wanted = [each for each in subjects() if not arguments.subjects or each.name in arguments.subjects]
    here = [each for each in wanted if not each.missing]
    results: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "name": arguments.name,
        "machine": machine(),
        "versions": versions(),
        "missing": {each.name: each.missing for each in wanted if each.missing},
        "failed": [],
        "results": [],
    }
    for name, why in results["missing"].items():
        print(f"skipped: {name}: {why}", file=sys.stderr)
    cores = Cores.of_this_machine()
    for cell in arguments.plan():
        for subject in here:
            if not cell.is_for(subject.name):
                continue
            try:
                result = measure(subject, cell, cores)
            except BenchmarkError as error:
                results["failed"].append(f"{cell.name} {subject.name}: {error}")
                print(results["failed"][-1], file=sys.stderr)
                continue
            row = result.as_dict()
            results["results"].append(row)
            print(
                f"{scenario(row)}: {subject.name}: {row['cpu_us_per_message'] or 0:,.0f} us/msg, "
                f"{row['messages_per_second'] or 0:,.0f} msg/s, {row['peak_rss_mib']:.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    _write(results, arguments.output)
    return 1 if results["failed"] else 0


def _write(results: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / f"{results['date']}-{results['name']}"
    base.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    text = report(results)
    base.with_suffix(".md").write_text(text)
    print(text)
    if PLOTTER.exists():
        subprocess.run([PLOTTER, "-m", "bench.plot", base.with_suffix(".json")], cwd=HERE.parent, check=True)
    print(f"Written: {base}.json, .md and, if matplotlib is there, .png", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.set_defaults(plan=plan.standard)
    for each in (plan.ours, plan.bars, plan.full):
        name, text = each.__name__, (each.__doc__ or "").rstrip(".")
        parser.add_argument(f"--{name}", dest="plan", action="store_const", const=each, help=text)
    parser.add_argument(
        "--subjects", nargs="+", metavar="NAME", help="only these: " + ", ".join(s.name for s in subjects())
    )
    parser.add_argument("--name", default="local", help="a short name for the results' files")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="where the results go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
