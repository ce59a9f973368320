"""`python -m tests.simulation`: play seeds, shrink the first that fails, or replay a story."""

import sys
import time
from os import cpu_count
from pathlib import Path

import click

from tests.simulation.campaign import Campaign, runs, shortest
from tests.simulation.invent import invent
from tests.simulation.play import play
from tests.simulation.situations import Seen
from tests.simulation.story import dump, load


@click.command()
@click.option("--seeds", default="0:1000", show_default=True, help="First and last (not included) seed, as A:B.")
@click.option("--jobs", default=cpu_count() or 1, show_default=True, help="Processes to share the work.")
@click.option(
    "--story", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Replay this story instead."
)
def main(seeds: str, jobs: int, story: Path | None) -> None:
    """Play bad days, and say which of them broke a promise."""
    if story is not None:
        outcome = play(load(story.read_text()))
        click.echo(f"{outcome}\ndigest {outcome.digest}, {outcome.steps} steps, {outcome.seconds:g} virtual seconds")
        sys.exit(0 if outcome.is_good else 1)
    first, _, last = seeds.partition(":")
    campaign, began = Campaign(), time.monotonic()
    for seed, is_good, situations in runs(range(int(first), int(last)), jobs):
        campaign.add(seed, is_good, situations)
        if not is_good:
            click.echo(f"seed {seed} failed")
    click.echo(f"{campaign.seeds} seeds in {time.monotonic() - began:.0f} s, {len(campaign.failed)} failed")
    for seen in Seen:
        click.echo(f"  {'seen ' if seen in campaign.situations else 'NEVER'} {seen.value}")
    if campaign.failed:
        outcome = shortest(play(invent(campaign.failed[0])))
        click.echo(f"\nThe shortest story of seed {campaign.failed[0]}:\n{outcome}\n\nAs JSON:\n{dump(outcome.story)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
