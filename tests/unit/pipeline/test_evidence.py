"""Evidence: which object is held to be refused alone."""

import pytest

from email_processor.domain.errors import Cause
from email_processor.pipeline.circuit import FAILURES_TO_OPEN
from email_processor.pipeline.evidence import Blame, Evidence, History, Tally
from tests.unit.pipeline.kit import Kit, new_backoff, store_fault


class Refused:
    """An object that fails, and others."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.circuit = Kit.new().context.circuit
        self.history = History(self.tally, self.circuit, new_backoff())

    def fail(self, cause: Cause = Cause.SERVER) -> None:
        """It is tried, and fails."""
        if cause is not Cause.THROTTLED:
            self.tally.add(is_first=not self.history.has_failed, is_stored=False)
        self.history.fail(store_fault(cause), was_open=self.circuit.is_open)

    def others(self, *, stored: int = 0, failed: int = 0) -> None:
        """So many others are tried for the first time."""
        for is_stored in [True] * stored + [False] * failed:
            self.tally.add(is_first=True, is_stored=is_stored)

    def outage(self) -> None:
        """S3 goes down."""
        for number in range(FAILURES_TO_OPEN):
            self.circuit.fail(f"other {number}", store_fault())


@pytest.mark.parametrize(
    ("evidence", "suspected", "sure"),
    [
        (Evidence(0, 1000, 1000, 0), False, False),
        (Evidence(1, 1000, 1000, 0), False, False),
        (Evidence(2, 19, 19, 0), False, False),
        (Evidence(2, 20, 20, 0), True, False),
        (Evidence(2, 20, 25, 5), True, False),
        (Evidence(2, 20, 26, 6), False, False),
        (Evidence(4, 1000, 1000, 0), True, False),
        (Evidence(5, 1000, 1000, 0), True, True),
        (Evidence(5, 850, 1000, 150), True, False),
        (Evidence(8, 850, 1000, 150), True, True),
        (Evidence(20, 10, 30, 20), False, False),  # two thirds of all fail: it is bad luck
        (Evidence(6, 6, 6, 0), False, False),  # nothing else but the probe object
        (Evidence(7, 7, 7, 0), True, True),
    ],
)
def test_an_object_is_held_to_be_refused_alone_if_nothing_else_explains_it(
    evidence: Evidence, *, suspected: bool, sure: bool
) -> None:
    """A suspicion costs a receive at most; to set an email aside, chance must be out of the question."""
    assert suspected == Blame().is_suspected(evidence)
    assert sure == Blame().is_sure(evidence)


async def test_a_failure_counts_if_something_else_is_stored_before_the_next() -> None:
    """Three failures, and one of them had nothing stored after it."""
    it = Refused()
    it.others(stored=100)
    it.fail()
    assert Evidence(0, 0, 0, 0) == it.history.evidence
    it.others(stored=3, failed=1)
    assert Evidence(1, 3, 4, 1) == it.history.evidence
    it.fail()
    it.fail()
    assert 1 == it.history.evidence.refusals
    it.others(stored=1)
    assert Evidence(2, 4, 5, 1) == it.history.evidence


async def test_an_outage_and_its_end_are_no_evidence() -> None:
    """Neither the failure before the circuit opened, nor that of the probe: what is stored comes after the outage."""
    it = Refused()
    it.fail()
    it.outage()
    it.fail()
    it.circuit.succeed()
    it.others(stored=50)
    assert 0 == it.history.evidence.refusals
    it.fail()
    it.others(stored=1)
    assert 1 == it.history.evidence.refusals


async def test_to_be_throttled_is_no_evidence() -> None:
    """It is told to wait, whatever becomes of the others."""
    it = Refused()
    it.fail(Cause.THROTTLED)
    it.others(stored=50)
    assert Evidence(0, 0, 0, 0) == it.history.evidence
    assert not it.history.has_failed
