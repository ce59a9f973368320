"""Evidence: whether an object that keeps failing is refused alone, or fails as others do."""

from dataclasses import dataclass, replace
from math import inf

from email_processor.domain.errors import Cause, StoreFaultError
from email_processor.pipeline.circuit import Circuit
from email_processor.pipeline.waiting import Backoff

# What S3 may say of one key. A probe object that is small, or there already, says nothing of all other failures.
OF_ONE_KEY = frozenset({Cause.SERVER, Cause.DENIED})

THROTTLED_SECONDS_MAX = 2.0  # the limiter paces what is throttled; this is for one that is throttled more than others


@dataclass(slots=True)
class Tally:
    """How others fared. How often one of them is tried again says nothing: chance is a matter of first tries."""

    stored: int = 0
    tried: int = 0  # for the first time
    failed: int = 0  # at the first try

    def add(self, *, is_stored: bool, is_first: bool = True) -> None:
        """One more try."""
        self.stored += is_stored
        self.tried += is_first
        self.failed += is_first and not is_stored

    def since(self, before: "Tally") -> "Tally":
        """What came after `before`."""
        return Tally(self.stored - before.stored, self.tried - before.tried, self.failed - before.failed)

    def chance(self, failures: int) -> float:
        """How likely one like these fails so often by chance.

        The share that fails is not taken to be nothing because few were tried: this is the rule of succession.
        """
        return ((self.failed + 1) / (self.tried + 2)) ** failures


@dataclass(frozen=True, slots=True)
class Evidence:
    """How often an object failed while `others` were stored, and how they fared since it first failed."""

    failures: int
    others: Tally


@dataclass(frozen=True, slots=True)
class Blame:
    """When an object is held to be refused alone. A failure of S3 is never a failure of a message.

    There are two questions. To let go of a message that the queue will hand out again, a suspicion is enough: it costs
    one receive if it is wrong. What is set aside must be sure: that an object like all the others has been refused so
    often by chance has to be as good as impossible.
    """

    failures_suspect: int = 2
    others_suspect: int = 20
    chance_suspect: float = 0.03
    failures_sure: int = 5
    chance_sure: float = 1e-6
    failures_denied: int = 100  # of access, while no email is stored: perhaps all are denied

    def is_suspected(self, evidence: Evidence) -> bool:
        """Whether it looks as if it were refused alone."""
        failures, others = evidence.failures, evidence.others
        is_seldom = others.tried >= self.others_suspect and others.chance(failures) <= self.chance_suspect
        return failures >= self.failures_suspect and is_seldom

    def is_sure(self, evidence: Evidence) -> bool:
        """Whether it is refused alone."""
        failures = evidence.failures
        return failures >= self.failures_sure and evidence.others.chance(failures) <= self.chance_sure


class Witness:
    """What some others say of an object that fails: they were stored between its failures, or they were not."""

    def __init__(self, tally: Tally) -> None:
        """It has not failed yet. What they did before its first failure says nothing: it can be the first of all."""
        self._tally = tally
        self._before: Tally | None = None
        self._at_last = 0  # how many were stored when it last failed
        self._failures = 0

    @property
    def contradicts(self) -> bool:
        """Whether one of them was stored since it last failed."""
        return self._before is not None and self._tally.stored > self._at_last

    @property
    def has_contradicted(self) -> bool:
        """Whether one of them was stored between its first failure and its last."""
        return self._before is not None and self._at_last > self._before.stored

    def evidence(self, *, is_last_one_valid: bool) -> Evidence:
        """What they say up to now; whether its last failure may be counted."""
        others = self._tally.since(self._before or self._tally)
        return Evidence(self._failures + (is_last_one_valid and self.contradicts), others)

    def fail(self, *, is_last_one_valid: bool) -> None:
        """It failed, as the tally knows."""
        self._failures += is_last_one_valid and self.contradicts
        self._before = self._before or replace(self._tally)
        self._at_last = self._tally.stored


class History:
    """The failures of one object in one receive, and the backoff of its next try.

    The other objects are the better witness: what failed is counted if the circuit was closed then, and another object
    was stored before it opened and before this one was tried again. So an outage and its end are no evidence.

    Where there are no others, or as many refused ones as it takes to open the circuit, there is the probe object: what
    failed is counted if that was stored before this one was tried again. It has another key, so this asks for more: S3
    has to say itself what is wrong. Where it denies access and stores no email between, it must say so many times more.
    """

    def __init__(self, others: Tally, probes: Tally, circuit: Circuit, backoff: Backoff) -> None:
        """It has not failed yet."""
        self._backoff = backoff
        self.fault: StoreFaultError | None = None
        self.has_failed = False
        self._circuit = circuit
        self._tally = others
        self._others = Witness(others)
        self._probes = Witness(probes)
        self._openings_at_last = -1
        self._stored_at_failure: int | None = None
        self.is_paced = False  # it was throttled, and not alone: the limiter says when it is tried again

    @property
    def is_refused(self) -> bool:
        """Whether something else was stored since it last failed, and the circuit was closed all the time."""
        return self._was_closed and (self._others.contradicts or self._probes.contradicts)

    @property
    def is_alone(self) -> bool:
        """Whether none of the others was stored since it first failed: for all that is known, they fail as well."""
        return not (self._others.has_contradicted or self._others.contradicts)

    @property
    def _was_closed(self) -> bool:
        return self._circuit.openings == self._openings_at_last

    @property
    def failures(self) -> int:
        """How many of its failures count."""
        return max(self._by_others.failures, self._by_probes.failures)

    @property
    def _by_others(self) -> Evidence:
        return self._others.evidence(is_last_one_valid=self._was_closed)

    @property
    def _by_probes(self) -> Evidence:
        return self._probes.evidence(is_last_one_valid=self._is_of_one_key)

    @property
    def _is_of_one_key(self) -> bool:
        return self.fault is not None and self.fault.cause in OF_ONE_KEY

    def is_suspected(self, blame: Blame) -> bool:
        """Whether it looks as if it were refused alone."""
        return blame.is_suspected(self._by_others) or self.is_sure(blame)

    def is_sure(self, blame: Blame) -> bool:
        """Whether it is refused alone."""
        by_others, by_probes = self._by_others, self._by_probes
        is_denied = self.fault is not None and self.fault.cause.needs_a_person
        may_be_all = is_denied and not self._others.has_contradicted
        needed = blame.failures_denied if may_be_all else blame.failures_sure
        return blame.is_sure(by_others) or (blame.is_sure(by_probes) and by_probes.failures >= needed)

    def pause(self) -> float:
        """After how many seconds it is to be tried again."""
        is_throttled = self.fault is not None and self.fault.cause is Cause.THROTTLED
        return self._backoff.next(THROTTLED_SECONDS_MAX if is_throttled else inf)

    def fail(self, fault: StoreFaultError, *, was_open: bool) -> None:
        """It failed, and the tallies and the circuit know; `was_open` is the circuit when the PUT began."""
        if fault.cause is not Cause.THROTTLED:
            self._others.fail(is_last_one_valid=self._was_closed)
            self._probes.fail(is_last_one_valid=self._is_of_one_key)
            self._openings_at_last = -1 if was_open or self._circuit.is_open else self._circuit.openings
            self.has_failed = True
        self.fault = fault.anew()
        self.is_paced = fault.cause is Cause.THROTTLED and self._stored_at_failure in (None, self._tally.stored)
        self._stored_at_failure = self._tally.stored
