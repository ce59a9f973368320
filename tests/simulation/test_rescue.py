"""An operator's commands, killed before each of their steps in turn."""

import pytest

from tests.simulation.hard_days import DEAD
from tests.simulation.play import play
from tests.simulation.rescue import Command, CommandRun, Leftover, Rescue
from tests.simulation.story import Mail, Story, StorySettings

# Bounded by stories. A busy machine only makes it slow, and whoever waits in vain hears of a timeout, not of a verdict.
pytestmark = pytest.mark.timeout(900)

STRIDE = {Command.RELEASE: 1, Command.DEAD_ARCHIVE: 5}  # the steps of a pipeline are many
STEPS = {Command.RELEASE: 60, Command.DEAD_ARCHIVE: 180}  # after which nothing is under way any more


@pytest.mark.parametrize("command", Command)
def test_an_operator_killed_at_any_step_loses_nothing_and_stores_nothing_twice(command: Command) -> None:
    """One that is stored already, one that is new, and one in both places; another operator does the same beside it."""
    leftovers = (Leftover(is_stored=True), Leftover(sender=1), Leftover(dead=True), DEAD)
    for step in range(1, STEPS[command], STRIDE[command]):
        runs = (CommandRun(command, at=1.0, kills=(step,)), CommandRun(command, at=1.02))
        story = Story(
            shuffled=False,
            faults_until=5.0,
            settings=StorySettings(wait=2, poll_interval=1.0),
            mails=(Mail(),),
            rescue=Rescue(leftovers, runs),
        )
        outcome = play(story)
        assert outcome.is_good, str(outcome)
