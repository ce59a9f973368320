"""`python -m tests.simulation.gaps` measures anew how many seeds each deliberate bug takes, and prints a table."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

import click

from tests.simulation.invent import invent
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.play import play

FILE = Path(__file__).with_name("gaps.json")
NOTICES = 4  # of each rule, after which a bug is measured well enough
MOST = 10_000  # seeds for one bug


def measure(mutant: Mutant) -> int:
    """The longest run of seeds that one of the bug's rules missed, until each has noticed it a few times."""
    last = dict.fromkeys(mutant.rules, -1)
    notices = dict.fromkeys(mutant.rules, 0)
    gap = 0
    with mutant.alive():
        for seed in range(MOST):
            story = invent(seed)
            broken = {violation.rule for violation in play(story).violations} if mutant.can_show(story) else set()
            for rule in broken & last.keys():
                gap = max(gap, seed - last[rule])
                last[rule] = seed
                notices[rule] += 1
            if min(notices.values()) >= NOTICES:
                return gap
    missed = ", ".join(f"{rule.name} noticed {count} times" for rule, count in notices.items())
    raise RuntimeError(f"{mutant}: in {MOST} seeds {missed}")


def by_name(name: str) -> int:
    """Measure one, in a process of its own."""
    return measure(next(mutant for mutant in MUTANTS if mutant.name == name))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--jobs", default=cpu_count() or 1, show_default=True, help="Processes to share the work.")
@click.option("--write", is_flag=True, help="Write them into gaps.json, from where the tests have them.")
def main(names: tuple[str, ...], jobs: int, write: bool) -> None:
    """Measure all bugs, or those of these NAMES."""
    known = json.loads(FILE.read_text())
    measured = [mutant.name for mutant in MUTANTS if mutant.day is None]
    wanted = [name for name in measured if not names or name in names]
    gaps: dict[str, int] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for name, gap in zip(wanted, pool.map(by_name, wanted), strict=True):
            gaps[name] = gap
            click.echo(f"{gap:6}  was {known.get(name, '-'):>6}  {name}")
    if write:
        kept = {name: gaps.get(name, known.get(name)) for name in measured}
        FILE.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
