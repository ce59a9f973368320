"""The simulation has teeth: each deliberate bug is caught, and by the rule that is about it."""

import json

import pytest

from tests.simulation.campaign import shortest
from tests.simulation.gaps import FILE
from tests.simulation.hard_days import DAYS
from tests.simulation.invent import invent
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.play import play
from tests.simulation.rules import Rule

# Bounded by seeds. A busy machine only makes it slow, and whoever waits in vain hears of a timeout, not of a verdict.
pytestmark = pytest.mark.timeout(900)

# By the name of a bug: the longest run of seeds that one of its rules missed when that was last measured.
GAPS: dict[str, int] = json.loads(FILE.read_text())


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_deliberate_bug_is_caught(mutant: Mutant) -> None:
    """On the day that was written for it, or within four times the longest run of seeds that ever missed it."""
    silent = set(mutant.rules)
    stories = map(invent, range(4 * GAPS[mutant.name])) if mutant.day is None else [DAYS[mutant.day]]
    with mutant.alive():
        for story in filter(mutant.can_show, stories):
            silent -= {violation.rule for violation in play(story).violations}
            if not silent:
                return
    pytest.fail(f"{mutant} was not noticed by {', '.join(rule.name for rule in silent)}")


def test_every_bug_was_measured() -> None:
    """`python -m tests.simulation.gaps --write` does it."""
    assert [mutant.name for mutant in MUTANTS if mutant.day is None] == list(GAPS)


def test_every_rule_has_a_bug_to_notice() -> None:
    """The silence of a rule that cannot speak would mean nothing."""
    assert set(Rule) == {rule for mutant in MUTANTS for rule in mutant.rules}


def test_a_failing_story_is_shrunk_to_a_short_one() -> None:
    """The shortest story that shows a delete before the PUT needs one message, one process and no fault."""
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "delete before PUT")
    with mutant.alive():
        outcome = next(it for it in map(play, map(invent, range(4 * GAPS[mutant.name]))) if not it.is_good)
        short = shortest(outcome)
    assert (1, 1, ()) == (len(short.story.mails), len(short.story.lives), short.story.faults)
    assert short.violations[0].rule is outcome.violations[0].rule
