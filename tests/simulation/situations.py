"""What a campaign must have seen, or its silence means nothing."""

from collections import Counter
from enum import StrEnum

from email_processor.domain.errors import Cause
from email_processor.pipeline.ledger import State
from tests.simulation.connection import Fact, What, message_id_of
from tests.simulation.fault_schedule import meant
from tests.simulation.loop import ticks
from tests.simulation.process import Process
from tests.simulation.rules import Scene
from tests.simulation.story import Kind


class Seen(StrEnum):
    """A situation that some run must have been in."""

    OPEN_CIRCUIT = "the circuit was open"
    RENEWED_QUEUED = "a lease was renewed in the local queue"
    RENEWED_OPEN = "a lease was renewed while the circuit was open"
    ALREADY_THERE = "a PUT found its object"
    RELEASED_AT_STOP = "a message was given back at shutdown"
    LAST_CHANCE = "a message was quarantined on its last receive"
    DEAD_LETTERED = "a message was dead-lettered, as it had to be"
    QUARANTINED = "a message was quarantined"
    PAYLOAD_FETCHED = "a payload was fetched"
    DUPLICATE_IN_FLIGHT = "a message came again while in flight"
    DUPLICATE_REMEMBERED = "a message came again after it was archived and before it was deleted"
    STALE_DELETE = "a delete with an old receipt handle did nothing"
    LEASE_LOST = "a lease was lost"
    LEASE_EXPIRED = "a message was dropped unstarted, its lease too short"
    CORRUPT = "a corrupt message was left alone"
    THROTTLED = "an upload was throttled"
    CUT_SHORT = "a poll was cut short by a stop"
    KILLED_HOLDING = "a process was killed with messages in flight"
    KILLED_STORED = "a process was killed between PUT and delete"
    PAUSED_BEYOND_LEASE = "a process slept through its leases"
    LANDED_LATE = "a PUT landed after its process was dead"
    DELETED_BY_OTHER = "a message was deleted by another process than the one that stored it"
    STOPPED_IN_OUTAGE = "a process stopped while the circuit was open"
    CANNOT_RENEW = "renewing was denied"
    DELETE_RETRIED = "a delete was tried again"
    MANY_RECEIVERS = "more than one receive was under way"
    BUDGET_FULL = "there was no room for another receive"
    STUCK_RENEWAL = "a lease could not be renewed, and others could"
    CUT_OFF = "a process was cut off while another was not"
    KEY_REFUSED = "a key was refused while another was not"
    STARTED_IN_OUTAGE = "a process started and stopped while nothing could be stored"
    BUCKET_UNREADABLE = "a payload could not be read, and a plain email was stored"
    NO_CREDENTIALS = "credentials were refused by the queue and by the bucket"
    RELEASE_KILLED = "a release was killed between PUT and delete"
    RELEASE_MET_ANOTHER = "two operators released one message"
    RELEASE_FAILED = "a release gave up at a fault, and was begun again"
    DRAIN_KILLED = "an archiving of dead letters was killed between PUT and delete"
    DRAIN_HELD_UP = "an archiving of dead letters left what others had received"
    REFUSED_RELEASED = "what S3 had refused was released when S3 was mended"


_COUNTERS = {
    ("duplicates", "in_flight"): Seen.DUPLICATE_IN_FLIGHT,
    ("duplicates", "remembered"): Seen.DUPLICATE_REMEMBERED,
    ("leases_lost",): Seen.LEASE_LOST,
    ("released", "lease_expired"): Seen.LEASE_EXPIRED,
    ("corrupt",): Seen.CORRUPT,
    ("deletes", "failed"): Seen.DELETE_RETRIED,
    ("quarantined", "undeliverable"): Seen.LAST_CHANCE,
    ("quarantined", "not_json"): Seen.QUARANTINED,
}


class Situations:
    """Collects what a run has seen."""

    def __init__(self, scene: Scene) -> None:
        """Listen."""
        self.seen: set[str] = set()
        self._scene = scene
        self._stored_by: dict[str, str] = {}
        self._polls: Counter[str] = Counter()
        self._unreadable_until = -1
        self._started_at: dict[str, int] = {}
        self._refused_credentials: set[tuple[str, str]] = set()
        listeners = scene.facts.listeners
        for what, seen in (
            (What.FOUND, Seen.ALREADY_THERE),
            (What.GIVEN_BACK, Seen.RELEASED_AT_STOP),
            (What.DEAD_LETTERED, Seen.DEAD_LETTERED),
            (What.DELETE_IGNORED, Seen.STALE_DELETE),
        ):
            listeners[what].append(lambda _, seen=seen: self.seen.add(seen))  # type: ignore[misc]
        listeners[What.CALLED].append(self.called)
        listeners[What.HEARD].append(self.heard)
        listeners[What.STARTED].append(self.started)
        listeners[What.EXCUSED].append(self.excused)
        listeners[What.EXTENDED].append(self.extended)
        listeners[What.STORED].append(self.stored)
        listeners[What.DELETED].append(self.deleted)
        listeners[What.LAPSED].append(self.lapsed)
        listeners[What.STOPPING].append(self.stopping)
        listeners[What.KILLED].append(self.killed)
        listeners[What.ENDED].append(self.ended)

    def started(self, fact: Fact) -> None:
        """A process."""
        self._started_at[fact.who] = fact.tick

    def called(self, fact: Fact) -> None:
        """A receive among others?"""
        if fact.operation == "RECEIVE":
            self._polls[fact.who] += 1
            if self._polls[fact.who] > 1:
                self.seen.add(Seen.MANY_RECEIVERS)

    def heard(self, fact: Fact) -> None:
        """An answer."""
        process = self._scene.processes[fact.who]
        if fact.operation == "RECEIVE":
            self._polls[fact.who] -= 1
        if process.health.is_circuit_open:
            self.seen.add(Seen.OPEN_CIRCUIT)
        if fact.detail == Cause.CREDENTIALS:
            self._refused_credentials.add((fact.who, fact.operation))
            if {(fact.who, "RECEIVE"), (fact.who, "PUT")} <= self._refused_credentials:
                self.seen.add(Seen.NO_CREDENTIALS)
        match fact.operation, fact.detail:
            case "PUT", "throttled":
                self.seen.add(Seen.THROTTLED)
            case "FETCH", "ok":
                self.seen.add(Seen.PAYLOAD_FETCHED)
            case "CHANGE_VISIBILITY", "denied":
                self.seen.add(Seen.CANNOT_RENEW)
            case "RECEIVE", "cancelled" if process.health.is_draining:
                self.seen.add(Seen.CUT_SHORT)
            case "PUT", "ok" if not process.context.ledger.room.is_free:
                self.seen.add(Seen.BUDGET_FULL)

    def excused(self, fact: Fact) -> None:
        """A fault met a call."""
        if fact.detail == Kind.STUCK:
            self.seen.add(Seen.KEY_REFUSED if fact.operation == "PUT" else Seen.STUCK_RENEWAL)
        elif fact.detail == Kind.CUT_OFF and sum(it.is_running for it in self._scene.processes.values()) > 1:
            self.seen.add(Seen.CUT_OFF)
        elif fact.detail == Kind.OUTAGE and fact.operation == "FETCH":
            self._unreadable_until = fact.tick + ticks(1.0)

    def extended(self, fact: Fact) -> None:
        """A renewal."""
        process = self._scene.processes[fact.who]
        delivery = process.holding(message_id_of(fact.subject))
        if delivery is not None and delivery.state in {State.QUEUED, State.FAILED}:
            self.seen.add(Seen.RENEWED_QUEUED)
        if process.health.is_circuit_open:
            self.seen.add(Seen.RENEWED_OPEN)

    def stored(self, fact: Fact) -> None:
        """An object."""
        self._stored_by[message_id_of(fact.subject)] = fact.who
        if fact.tick <= self._unreadable_until:
            self.seen.add(Seen.BUCKET_UNREADABLE)
        process = self._scene.processes.get(fact.who)
        if process is not None and process.loop.is_killed:  # an operator is no such process
            self.seen.add(Seen.LANDED_LATE)

    def deleted(self, fact: Fact) -> None:
        """A delete."""
        if self._stored_by.get(message_id_of(fact.subject), fact.who) != fact.who:
            self.seen.add(Seen.DELETED_BY_OTHER)

    def lapsed(self, fact: Fact) -> None:
        """A lease ran out."""
        if self._scene.processes[fact.who].paused_at is not None:
            self.seen.add(Seen.PAUSED_BEYOND_LEASE)

    def stopping(self, fact: Fact) -> None:
        """A SIGTERM."""
        born = self._started_at.get(fact.who, 0)
        for fault in self._scene.story.faults:
            is_of_store = fault.kind is Kind.OUTAGE and "PUT" in meant(fault)
            if is_of_store and ticks(fault.at) <= born and fact.tick < ticks(fault.at + fault.seconds):
                self.seen.add(Seen.STARTED_IN_OUTAGE)
        if self._scene.processes[fact.who].health.is_circuit_open:
            self.seen.add(Seen.STOPPED_IN_OUTAGE)

    def killed(self, fact: Fact) -> None:
        """A SIGKILL."""
        process = self._scene.processes[fact.who]
        states = {delivery.state for delivery in process.in_flight()}
        if states:
            self.seen.add(Seen.KILLED_HOLDING)
        if State.ARCHIVED in states:
            self.seen.add(Seen.KILLED_STORED)
        self._count(process)

    def ended(self, fact: Fact) -> None:
        """The end of a process."""
        self._count(self._scene.processes[fact.who])

    def _count(self, process: Process) -> None:
        for (name, *labels), seen in _COUNTERS.items():
            (family,) = getattr(process.metrics, name).collect()
            counted = (it for it in family.samples if it.name.endswith("_total") and it.value > 0)
            if any([*it.labels.values()] == labels for it in counted):
                self.seen.add(seen)
