"""`python -m tests.simulation`: play seeds, shrink the first that fails, or replay a story."""

import sys
import time
from os import cpu_count
from pathlib import Path
from secrets import randbelow

import click

from tests.simulation.campaign import Campaign, runs, shortest
from tests.simulation.invent import invent
from tests.simulation.play import play
from tests.simulation.situations import Seen
from tests.simulation.story import dump, load

FRESH = "fresh:"
FRESH_FROM, FRESH_UNTIL = 10**6, 10**9  # beyond those that a campaign begins with


class Seeds(click.ParamType[range]):
    """Which seeds: `A:B` from A to before B, or `fresh:N` so many from a random place."""

    name = "A:B or fresh:N"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> range:
        """Read it."""
        try:
            if value.startswith(FRESH):
                first = FRESH_FROM + randbelow(FRESH_UNTIL - FRESH_FROM)
                return range(first, first + int(value.removeprefix(FRESH)))
            first_text, _, last = value.partition(":")
            return range(int(first_text), int(last))
        except ValueError:
            self.fail(f"{value} is not {self.name}.", param, context)


@click.command()
@click.option("--seeds", type=Seeds(), default="0:1000", show_default=True, help="The seeds to play.")
@click.option("--jobs", default=cpu_count() or 1, show_default=True, help="Processes to share the work.")
@click.option(
    "--story", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Replay this story instead."
)
@click.option(
    "--report-only", is_flag=True, help="Print the stories that fail as they are, and exit with 0 all the same."
)
def main(seeds: range, jobs: int, story: Path | None, report_only: bool) -> None:
    """Play bad days, and say which of them broke a promise."""
    if story is not None:
        replay(story)
    click.echo(f"seeds {seeds.start}:{seeds.stop}")
    campaign = run(seeds, jobs)
    if report_only:
        for seed in campaign.failed:
            report(seed)
        return
    for seen in Seen:
        click.echo(f"  {'seen ' if seen in campaign.situations else 'NEVER'} {seen.value}")
    if campaign.failed:
        outcome = shortest(play(invent(campaign.failed[0])))
        click.echo(f"\nThe shortest story of seed {campaign.failed[0]}:\n{outcome}\n\nAs JSON:\n{dump(outcome.story)}")
        sys.exit(1)


def replay(path: Path) -> None:
    """Play a story that was saved, and exit."""
    outcome = play(load(path.read_text()))
    click.echo(f"{outcome}\ndigest {outcome.digest}, {outcome.steps} steps, {outcome.seconds:g} virtual seconds")
    sys.exit(0 if outcome.is_good else 1)


def run(seeds: range, jobs: int) -> Campaign:
    """Play them all."""
    campaign, began = Campaign(), time.monotonic()
    for seed, is_good, situations in runs(seeds, jobs):
        campaign.add(seed, is_good, situations)
        if not is_good:
            click.echo(f"seed {seed} failed")
    click.echo(f"{campaign.seeds} seeds in {time.monotonic() - began:.0f} s, {len(campaign.failed)} failed")
    return campaign


def report(seed: int) -> None:
    """Say what a seed broke, how to play it again, and what it is made of."""
    outcome = play(invent(seed))
    click.echo(
        f"\nA PROMISE WAS BROKEN by seed {seed}:\n{outcome}\n"
        f"replay: python -m tests.simulation --seeds {seed}:{seed + 1}\nAs JSON:\n{dump(outcome.story)}"
    )


if __name__ == "__main__":
    main()
