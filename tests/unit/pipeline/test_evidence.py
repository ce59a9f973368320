"""Evidence: which object is held to be refused alone."""

import pytest

from email_processor.domain.errors import Cause
from email_processor.pipeline.circuit import FAILURES_TO_OPEN
from email_processor.pipeline.evidence import Blame, Evidence, History, Tally
from tests.unit.pipeline.kit import Kit, new_backoff, store_fault


class Refused:
    """An object that fails, others, and the probe object."""

    def __init__(self) -> None:
        self.emails, self.probes = Tally(), Tally()
        self.circuit = Kit.new().context.circuit
        self.history = History(self.emails, self.probes, self.circuit, new_backoff())

    def fail(self, cause: Cause = Cause.SERVER) -> None:
        """It is tried, and fails."""
        if cause is not Cause.THROTTLED:
            self.emails.add(is_first=not self.history.has_failed, is_stored=False)
        self.history.fail(store_fault(cause), was_open=self.circuit.is_open)

    def others(self, *, stored: int = 0, failed: int = 0) -> None:
        """So many others are tried for the first time."""
        for is_stored in [True] * stored + [False] * failed:
            self.emails.add(is_stored=is_stored)

    def outage(self) -> None:
        """S3 goes down."""
        for number in range(FAILURES_TO_OPEN):
            self.circuit.fail(f"other {number}", store_fault())

    @property
    def verdict(self) -> tuple[bool, bool]:
        """Whether it is suspected, and whether that is sure."""
        return self.history.is_suspected(Blame()), self.history.is_sure(Blame())


@pytest.mark.parametrize(
    ("failures", "tried", "failed", "suspected", "sure"),
    [
        (0, 1000, 0, False, False),
        (1, 1000, 0, False, False),
        (2, 19, 0, False, False),
        (2, 20, 0, True, False),
        (2, 1000, 150, True, False),
        (2, 1000, 200, False, False),  # of two like it one would be suspected for nothing
        (3, 1000, 200, True, False),
        (4, 1000, 0, True, False),
        (5, 1000, 0, True, True),
        (5, 1000, 150, True, False),
        (8, 1000, 150, True, True),
        (20, 30, 20, True, False),  # two thirds of all fail: it is bad luck
        (7, 7, 0, False, True),
    ],
)
def test_an_object_is_held_to_be_refused_alone_if_chance_does_not_explain_it(
    failures: int, tried: int, failed: int, *, suspected: bool, sure: bool
) -> None:
    """A suspicion costs a receive at most; to set an email aside, chance must be out of the question."""
    evidence = Evidence(failures, Tally(tried - failed, tried, failed))
    assert suspected == Blame().is_suspected(evidence)
    assert sure == Blame().is_sure(evidence)


async def test_a_failure_counts_if_something_else_is_stored_before_the_next() -> None:
    """Three failures, and one of them had nothing stored after it."""
    it = Refused()
    it.others(stored=100)
    it.fail()
    assert 0 == it.history.failures
    it.others(stored=3, failed=1)
    assert 1 == it.history.failures
    it.fail()
    it.fail()
    assert 1 == it.history.failures
    it.others(stored=1)
    assert 2 == it.history.failures


async def test_an_outage_and_its_end_are_no_evidence() -> None:
    """Neither the failure before the circuit opened, nor that of the probe: what is stored comes after the outage."""
    it = Refused()
    it.fail()
    it.outage()
    it.fail()
    it.circuit.succeed()
    it.others(stored=50)
    assert 0 == it.history.failures
    it.fail()
    it.others(stored=1)
    assert 1 == it.history.failures


async def test_to_be_throttled_is_no_evidence() -> None:
    """It is told to wait, whatever becomes of the others."""
    it = Refused()
    it.fail(Cause.THROTTLED)
    it.others(stored=50)
    assert 0 == it.history.failures
    assert not it.history.has_failed


@pytest.mark.parametrize(
    ("cause", "stored", "verdict"),
    [
        (Cause.SERVER, 0, (True, True)),
        (Cause.DENIED, 0, (False, False)),  # perhaps all emails are denied, and only the probe object is not
        (Cause.DENIED, 1, (True, True)),
        (Cause.ENCRYPTION, 1, (False, False)),  # the probe object is there already: nothing has to be encrypted
        (Cause.TIMEOUT, 1, (False, False)),  # it is small
    ],
)
async def test_where_all_others_fail_too_the_probe_object_is_a_witness(
    cause: Cause, stored: int, verdict: tuple[bool, bool]
) -> None:
    """Though the circuit opens time and again: but only of what S3 may say of one key."""
    it = Refused()
    it.others(failed=30)
    for number in range(8):
        it.others(stored=stored if number == 7 else 0)
        it.fail(cause)
        it.outage()
        it.probes.add(is_stored=True)
        it.circuit.succeed(is_probe_object=True)
    it.others(stored=1)  # when it is all over, that says nothing of what was before
    assert verdict == it.verdict


async def test_a_probe_object_that_fails_as_often_is_no_witness() -> None:
    """Half of all PUTs fail."""
    it = Refused()
    for _ in range(8):
        it.fail()
        it.probes.add(is_stored=False)
        it.probes.add(is_stored=True)
    assert (False, False) == it.verdict
