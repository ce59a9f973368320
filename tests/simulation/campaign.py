"""Many stories: which fail, and what was seen."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.invent import invent
from tests.simulation.play import Played, play
from tests.simulation.shrink import shrink
from tests.simulation.story import Story

CHUNK = 20


@dataclass
class Campaign:
    """What came of many seeds."""

    seeds: int = 0
    failed: list[int] = field(default_factory=list)
    situations: set[str] = field(default_factory=set)

    def add(self, seed: int, is_good: bool, situations: Iterable[str]) -> None:
        """Count one run."""
        self.seeds += 1
        self.situations.update(situations)
        if not is_good:
            self.failed.append(seed)


def run(seed: int) -> tuple[int, bool, frozenset[str]]:
    """Play one seed."""
    outcome = play(invent(seed))
    return seed, outcome.is_good, outcome.situations


def runs(seeds: range, jobs: int) -> Iterator[tuple[int, bool, frozenset[str]]]:
    """Play many seeds on so many cores, in order."""
    if jobs == 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run, seeds, chunksize=CHUNK)


def shortest(outcome: Played) -> Played:
    """The shortest story that breaks the same rule as this one."""
    rule = outcome.violations[0].rule

    def fails(story: Story) -> bool:
        return any(violation.rule is rule for violation in play(story).violations)

    return play(shrink(outcome.story, fails))
