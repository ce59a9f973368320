"""The days that were written by hand; which rule they would break, the deliberate bugs show that are proven by them."""

import pytest

from tests.simulation.hard_days import DAYS
from tests.simulation.play import play

# Bounded by stories. A busy machine only makes it slow, and whoever waits in vain hears of a timeout, not of a verdict.
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("name", DAYS)
def test_one_bad_thing_stops_no_other(name: str) -> None:
    """Whatever cannot be read, stored or renewed, all else is done in time, and nothing good is set aside."""
    outcome = play(DAYS[name])
    assert outcome.is_good, str(outcome)
