"""Evidence: whether an object that keeps failing is refused alone, or fails as others do."""

from dataclasses import dataclass

from email_processor.domain.errors import Cause, StoreFaultError
from email_processor.pipeline.circuit import Circuit
from email_processor.pipeline.waiting import Backoff


@dataclass(frozen=True, slots=True)
class Evidence:
    """How often an object was refused, and how the others fared since it first failed.

    It is refused if it fails while the store is up: the circuit is closed, and before it opens again, and before the
    object is tried again, something else is stored. Of the others, `others_tried` and `others_failed` are about their
    first tries: how often one of them is tried again says nothing.
    """

    refusals: int
    others_stored: int
    others_tried: int
    others_failed: int


@dataclass(frozen=True, slots=True)
class Blame:
    """When an object is held to be refused alone. A failure of S3 is never a failure of a message.

    There are two questions. To let go of a message that the queue will hand out again, a suspicion is enough: it costs
    one receive if it is wrong. What is set aside must be sure: that an object like all the others has been refused so
    often by chance has to be as good as impossible.
    """

    refusals_suspect: int = 2
    others_stored_suspect: int = 20
    stored_for_each_failed: int = 4
    refusals_sure: int = 5
    chance_most: float = 1e-6

    def is_suspected(self, evidence: Evidence) -> bool:
        """Whether it looks as if the object were refused alone."""
        return self.is_sure(evidence) or (
            evidence.refusals >= self.refusals_suspect
            and evidence.others_stored >= self.others_stored_suspect
            and evidence.others_failed * self.stored_for_each_failed <= evidence.others_stored
        )

    def is_sure(self, evidence: Evidence) -> bool:
        """Whether the object is refused alone."""
        # The share of the others that fail is not taken to be nothing because few were tried: the rule of succession.
        share = (evidence.others_failed + 1) / (evidence.others_tried + 2)
        return evidence.refusals >= self.refusals_sure and share**evidence.refusals <= self.chance_most


@dataclass(slots=True)
class Tally:
    """How the PUTs of all objects went; throttled ones are not counted."""

    stored: int = 0
    tried: int = 0  # for the first time
    failed: int = 0  # at the first try

    def add(self, *, is_first: bool, is_stored: bool) -> None:
        """One more PUT."""
        self.stored += is_stored
        self.tried += is_first
        self.failed += is_first and not is_stored


class History:
    """The failures of one object in one receive, and the backoff of its next try.

    What the others did before its first failure says nothing: it can be the first to meet an outage. Nor does a
    failure in an outage, such as that of the probe of an open circuit: which object is the probe is chance.
    """

    def __init__(self, tally: Tally, circuit: Circuit, backoff: Backoff) -> None:
        """It has not failed yet."""
        self.backoff = backoff
        self.fault: StoreFaultError | None = None
        self.has_failed = False
        self._tally = tally
        self._circuit = circuit
        self._refusals = 0
        self._before: Tally | None = None
        self._stored_at_last = self._openings_at_last = 0

    @property
    def is_refused(self) -> bool:
        """Whether something else was stored since it last failed, and the circuit was closed all the time."""
        is_up = self._circuit.openings == self._openings_at_last
        return self.has_failed and is_up and self._tally.stored > self._stored_at_last

    @property
    def evidence(self) -> Evidence:
        """What its failures say up to now."""
        before, tally = self._before or self._tally, self._tally
        return Evidence(
            refusals=self._refusals + self.is_refused,
            others_stored=tally.stored - before.stored,
            others_tried=tally.tried - before.tried,
            others_failed=tally.failed - before.failed,
        )

    def fail(self, fault: StoreFaultError, *, was_open: bool) -> None:
        """It failed, and the tally and the circuit know; `was_open` is the circuit when the PUT began."""
        self.fault = fault
        if fault.cause is Cause.THROTTLED:
            return
        self._refusals += self.is_refused
        self.has_failed = True
        tally, circuit = self._tally, self._circuit
        self._before = self._before or Tally(tally.stored, tally.tried, tally.failed)
        self._stored_at_last = tally.stored
        self._openings_at_last = -1 if was_open or circuit.is_open else circuit.openings
