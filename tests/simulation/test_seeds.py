"""A thousand bad days, and nothing lost; the same seed is the same day everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.campaign import run
from tests.simulation.invent import invent
from tests.simulation.play import play
from tests.simulation.situations import Seen
from tests.simulation.story import Fault, Kind, Mail, Story, StorySettings, dump, load

# Bounded by seeds. A busy machine only makes it slow, and whoever waits in vain hears of a timeout, not of a verdict.
pytestmark = pytest.mark.timeout(900)

SEEDS, BLOCK = 1000, 50
STORIES = sorted((Path(__file__).parent / "stories").glob("*.json"))
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_what_failed_once_never_fails_again(path: Path) -> None:
    """Each a story that broke a promise before a bug was mended."""
    outcome = play(load(path.read_text()))
    assert outcome.is_good, str(outcome)


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_no_bad_day_breaks_a_promise(first: int) -> None:
    """Fifty seeds, each with outages, kills, duplicates, lost answers and settings of its own."""
    failed = [seed for seed in range(first, first + BLOCK) if not run(seed)[1]]
    assert [] == failed, (
        f"{play(invent(failed[0]))}\nreplay: python -m tests.simulation --seeds {failed[0]}:{failed[0] + 1}"
    )


def test_a_campaign_sees_what_it_is_about() -> None:
    """Silence means nothing if the circuit was never open: every situation occurs, the rarest within 600 seeds."""
    unseen: set[str] = set(Seen)
    for seed in range(600):
        unseen -= run(seed)[2]
        if not unseen:
            break
    assert set() == unseen


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_a_seed_is_the_same_day_in_any_process(hash_seed: str) -> None:
    """One digest of all that happened, whatever the order of sets and dictionaries."""
    code = (
        "from tests.simulation.invent import invent\nfrom tests.simulation.play import play\n"
        "print(*(play(invent(seed)).digest for seed in range(12)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [play(invent(seed)).digest for seed in range(12)] == done.stdout.split()


@pytest.mark.parametrize("seed", range(20))
def test_a_story_survives_being_saved(seed: int) -> None:
    """As JSON, and played from it, it is the same day."""
    story = invent(seed)
    assert story == load(dump(story))


CALLS = ("RECEIVE", "PUT", "DELETE", "CHANGE_VISIBILITY")
ONE_CALL = (
    Kind.REFUSE,
    Kind.LOSE,
    Kind.HANG,
    Kind.MUTE,
    Kind.KILL_UNSENT,
    Kind.KILL_SENT,
    Kind.STOP_MEANWHILE,
    Kind.DUPLICATE_MEANWHILE,
)
SMALL = StorySettings(visibility_timeout=30, wait=2, poll_interval=0.0)


def fault(kind: Kind, operation: str, nth: int) -> Fault:
    """One fault of one call."""
    has_cause = kind in {Kind.REFUSE, Kind.LOSE}
    return Fault(kind, operation=operation, nth=nth, cause="server" if has_cause else "", seconds=1.0)


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("kind", ONE_CALL)
def test_every_single_fault_is_survived(kind: Kind, operation: str) -> None:
    """Three messages, and each of the first four calls of every operation fails in every way."""
    for nth in range(1, 5):
        outcome = play(Story(settings=SMALL, mails=(Mail(),) * 3, faults=(fault(kind, operation, nth),)))
        assert outcome.is_good, str(outcome)


@pytest.mark.parametrize("first", ONE_CALL)
def test_every_pair_of_faults_is_survived(first: Kind) -> None:
    """Any two of them, at the first calls of any two operations."""
    for one in CALLS[:3]:
        for second in ONE_CALL:
            for two in CALLS[:3]:
                faults = (fault(first, one, 1), fault(second, two, 2))
                outcome = play(Story(settings=SMALL, mails=(Mail(),) * 3, faults=faults))
                assert outcome.is_good, str(outcome)


def test_a_kill_at_any_step_is_survived() -> None:
    """Three messages and one process, killed before each of its steps in turn: nothing is lost or written twice."""
    story = Story(settings=SMALL, mails=(Mail(),) * 3, shuffled=False, faults_until=10.0)
    busy = min(400, play(story).process_steps)
    for step in range(1, busy):
        outcome = play(
            Story(
                settings=SMALL,
                mails=(Mail(),) * 3,
                shuffled=False,
                faults_until=10.0,
                faults=(Fault(Kind.KILL_AT_STEP, nth=step, seconds=1.0),),
            )
        )
        assert outcome.is_good, str(outcome)
