"""Checks of leases: kept, not given back, and not renewed while a delete is under way."""

from collections import Counter

from email_processor.domain.errors import Cause
from tests.simulation.connection import Fact, What, message_id_of
from tests.simulation.fault_schedule import meant
from tests.simulation.loop import ticks
from tests.simulation.rules import Rule, Scene
from tests.simulation.story import Kind
from tests.simulation.world import HIDDEN_MAX_SECONDS

# Of one object, and tries of others since the first of them: what fails so often by chance may be suspected to be
# refused alone, which costs it one receive. How unlikely chance must be is a matter of `Blame` and of its tests.
FAILURES_SUSPECT, OTHERS_SUSPECT = 2, 20

EXCLUSIVE = {"DELETE": "CHANGE_VISIBILITY", "CHANGE_VISIBILITY": "DELETE"}


class LeaseChecks:
    """Listens to renewals and lapses."""

    def __init__(self, scene: Scene) -> None:
        """Listen."""
        self._scene = scene
        self._under_way: Counter[tuple[str, str, str]] = Counter()  # by process, operation and handle
        self._taken: dict[tuple[str, str], int] = {}  # by process and handle: when
        self._newest: dict[tuple[str, str], str] = {}  # by process and message: the last handle taken
        self._troubled: dict[tuple[str, str], int] = {}  # by process and handle: when a renewal last went wrong
        self._renewed: set[tuple[str, str]] = set()  # by process and handle
        self._stored: set[tuple[str, str]] = set()  # by process and message, until it is deleted
        self._refused: set[str] = set()  # messages whose key was refused, as few others were
        self._tries: Counter[str] = Counter()  # by process: of all its objects
        self._failures: dict[tuple[str, str], list[int]] = {}  # by process and message: `_tries` at each
        self._denied: set[str] = set()  # processes that were not allowed to renew
        self._let_lapse: set[tuple[str, str]] = set()  # by process and handle
        # How long no fault must be on, so that a lease must be renewed: time for one call that hangs, and for one more.
        settings = scene.story.settings
        self._enough = ticks(settings.visibility_timeout / 4 + settings.queue_timeout + 1)
        self._late = ticks(settings.queue_timeout)  # later than that no receive is answered, but to one that slept
        listeners = scene.facts.listeners
        listeners[What.EXTENDED].append(lambda fact: self._renewed.add((fact.who, fact.subject)))
        listeners[What.CALLED].append(self.called)
        listeners[What.HEARD].append(self.heard)
        listeners[What.TAKEN].append(self.taken)
        listeners[What.EXCUSED].append(self.excused)
        listeners[What.CAME_BACK].append(self.troubled)
        listeners[What.LAPSED].append(self.lapsed)
        listeners[What.GIVEN_BACK].append(self.given_back)

    def called(self, fact: Fact) -> None:
        """No two of these at once, and no work on what was let lapse."""
        other = EXCLUSIVE.get(fact.operation)
        if other is not None:
            for handle in fact.subjects:
                self._under_way[fact.who, fact.operation, handle] += 1
                if self._under_way[fact.who, other, handle] > 0:
                    self._scene.violate(Rule.NO_RACE, f"{fact.who}: {fact.operation} beside {other} of {handle}")
                if fact.operation == "DELETE":
                    self._work_on(fact.who, handle)
        elif fact.operation == "PUT":
            self._work_on(fact.who, self._newest.get((fact.who, message_id_of(fact.subject)), ""))

    def _work_on(self, who: str, handle: str) -> None:
        if (who, handle) in self._let_lapse:
            self._scene.violate(Rule.LEASE, f"{who} still works on {handle}, whose lease it let lapse")

    def heard(self, fact: Fact) -> None:
        """A call is over."""
        if fact.operation in EXCLUSIVE:
            for handle in fact.subjects:
                self._under_way[fact.who, fact.operation, handle] -= 1
                if (
                    fact.operation == "DELETE" and fact.detail == "ok"
                ):  # what comes back of it is a message like any other
                    self._stored.discard((fact.who, message_id_of(handle)))
            if fact.operation == "CHANGE_VISIBILITY" and fact.detail != "ok":
                self.troubled(fact)
                if fact.detail == Cause.DENIED:
                    self._denied.add(fact.who)  # from here on it may let go of what it cannot do in time
        elif fact.operation == "PUT":
            self._tries[fact.who] += 1
            key = fact.who, message_id_of(fact.subject)
            if fact.detail == "ok":
                self._stored.add(key)
            else:
                self._failures.setdefault(key, []).append(self._tries[fact.who])

    def taken(self, fact: Fact) -> None:
        """A process has it in flight, or leaves it to the queue because it is corrupt."""
        if fact.detail:
            return
        self._taken[fact.who, fact.subject] = fact.tick
        self._newest[fact.who, message_id_of(fact.subject)] = fact.subject

    def excused(self, fact: Fact) -> None:
        """A fault met a call."""
        if fact.operation == "CHANGE_VISIBILITY":
            self.troubled(fact)
        elif fact.operation == "PUT" and fact.detail == Kind.STUCK:
            self._refused.add(message_id_of(fact.subject))

    def troubled(self, fact: Fact) -> None:
        """A renewal went wrong, or the queue handed the message out once more."""
        self._troubled.update(((fact.who, handle), fact.tick) for handle in fact.subjects)

    def given_back(self, fact: Fact) -> None:
        """Only a process that stops may do that: it costs a receive."""
        if not self._scene.processes[fact.who].health.is_draining:
            self._scene.violate(Rule.NO_NACK, f"{fact.who} gave back {fact.subject}")

    def lapsed(self, fact: Fact) -> None:
        """A lease ran out: whose fault was it?"""
        process = self._scene.processes[fact.who]
        if not process.is_running or self._is_excused(fact):
            return
        message_id = message_id_of(fact.subject)
        delivery = process.holding(message_id)
        if delivery is None and self._should_have_held(fact.who, fact.subject):
            self._scene.violate(Rule.LEASE, f"{fact.who} let go of {fact.subject}")
        elif delivery is None:
            self._let_lapse.add((fact.who, fact.subject))
        elif delivery.receipt_handle == fact.subject and not delivery.lost:
            self._scene.violate(Rule.LEASE, f"{fact.who} held {fact.subject} ({delivery.state.name.lower()})")

    def _should_have_held(self, who: str, handle: str) -> bool:
        """Whether there was no reason to leave it to the queue: it was stored, or it can be, and the lease is ours."""
        message_id = message_id_of(handle)
        sent = self._scene.mails[message_id]
        can_be_stored = sent.is_healthy and sent.payload is None
        might_have_lapsed = who in self._denied or (who, handle) in self._troubled or message_id in self._refused
        might_have_lapsed |= self._may_be_suspected(who, message_id)
        return (who, message_id) in self._stored or (can_be_stored and not might_have_lapsed)

    def _may_be_suspected(self, who: str, message_id: str) -> bool:
        """Whether a process has seen its object fail, by bad luck, while it tried many others."""
        failures = self._failures.get((who, message_id), [])
        if len(failures) < FAILURES_SUSPECT:
            return False
        return self._tries[who] - failures[0] - len(failures[1:]) >= OTHERS_SUSPECT

    def _is_excused(self, fact: Fact) -> bool:
        """Whether there was not enough time without a fault at the end of the lease to renew it in."""
        since = fact.tick - self._enough
        key = (fact.who, fact.subject)
        received_at = self._scene.message_of(fact.subject).received_at
        taken_at = self._taken.get(key, fact.tick)  # what it never heard of it cannot renew
        return (
            taken_at > since
            or (key not in self._renewed and taken_at > received_at + self._late)
            or self._troubled.get(key, -1) > since
            or self._scene.processes[fact.who].resumed_at > since
            or self._was_faulty(fact.who, since, fact.tick)
            or fact.tick > received_at + ticks(HIDDEN_MAX_SECONDS - 120)
        )

    def _was_faulty(self, who: str, since: int, until: int) -> bool:
        return any(
            (fault.kind in {Kind.SPELL, Kind.OUTAGE} or (fault.kind is Kind.CUT_OFF and fault.process == who))
            and "CHANGE_VISIBILITY" in meant(fault)
            and ticks(fault.at) < until
            and ticks(min(fault.at + fault.seconds, self._scene.story.faults_until)) > since
            for fault in self._scene.story.faults
        )
