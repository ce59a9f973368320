"""Run the service through hundreds of thousands of messages with faults, and see that nothing grows.

`make endurance`, or `python -m bench.endurance --help`. Exit code 1 if a message was lost, damaged or stored twice, if
the service did not stop cleanly, or if memory, descriptors, tasks or any table grew.
"""

import argparse
import datetime as dt
import subprocess
import sys
from pathlib import Path

from bench.endurance.report import as_json, report
from bench.endurance.run import EnduranceRun, run
from bench.endurance.verdicts import verdicts
from bench.machine import machine, versions
from bench.subjects import HERE

# An upload that failed before an outage too, and nearly alone at its beginning, can be blamed for it and left to the
# queue: a known limit (docs/reliability.md), and hardly ever to be seen.
BLAMED = "refused"
FEWEST_TO_ONE_BLAMED = 50_000
PLOTTER = HERE.parent / ".venv-bench" / "bin" / "python"


def main() -> int:
    """Run, judge, and write JSON, Markdown and a picture."""
    arguments = _arguments()
    before = machine()
    found = run(arguments.messages, arguments.stages, minutes=arguments.minutes)
    wrong = faults(found)
    judged = verdicts(found)
    base = arguments.output / f"{dt.datetime.now(dt.UTC).date().isoformat()}-{arguments.name}"
    arguments.output.mkdir(parents=True, exist_ok=True)
    base.with_suffix(".json").write_text(as_json(found, judged, wrong, before, versions()))
    text = report(found, judged, wrong, before, versions())
    base.with_suffix(".md").write_text(text)
    print(text)
    if PLOTTER.exists():
        subprocess.run([PLOTTER, "-m", "bench.endurance.plot", base.with_suffix(".json")], cwd=HERE.parent, check=True)
    print(f"Written: {base}.json, .md and, if matplotlib is there, .png", file=sys.stderr)
    return 1 if wrong or any(verdict.grows for verdict in judged) else 0


def faults(found: EnduranceRun) -> list[str]:
    """What the server says is wrong, and what the service's log and exit code say."""
    truth = found.report
    wrong = [f"{truth[name]} {name}" for name in ("lost", "damaged", "overwritten", "twice", "left") if truth[name]]
    if truth["counted"] != found.messages:
        wrong.append(f"{truth['counted']} of {found.messages} messages were stored and deleted")
    if truth["quarantined"] != found.broken:
        wrong.append(f"{truth['quarantined']} of {found.broken} broken messages are in quarantine")
    if truth["requests"].get("unsigned"):
        wrong.append(f"{truth['requests']['unsigned']} requests were not signed")
    if found.exit_code != 0:
        wrong.append(f"exit code {found.exit_code}")
    if found.events[BLAMED] > found.messages // FEWEST_TO_ONE_BLAMED:
        wrong.append(f"{found.events[BLAMED]} messages were blamed for an outage")
    return [*wrong, *(f"logged: {line}" for line in found.bad_lines if f'"{BLAMED}"' not in line)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="how many (default: 200,000)")
    parser.add_argument("--stages", type=int, default=8, help="with a rest after each, at least 6 (default: 8)")
    parser.add_argument("--minutes", type=float, default=60, help="give up after so many (default: 60)")
    parser.add_argument("--name", default="endurance", help="a short name for the results' files")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="where the results go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
