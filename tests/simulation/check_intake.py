"""Checks of what is taken in: within the budget, not in an outage, and without storms."""

from collections import Counter, defaultdict, deque

from email_processor.domain.errors import Cause
from email_processor.pipeline.ledger import State
from tests.simulation.connection import Fact, What
from tests.simulation.fault_schedule import meant
from tests.simulation.loop import TICKS, ticks
from tests.simulation.process import Process
from tests.simulation.rules import Rule, Scene
from tests.simulation.story import Fault, Kind

FEW = 2  # messages
STORM = 10  # failures of one call, by one task, in a second in which it never succeeded
NO_OUTAGE = frozenset({"ok", "ObjectRefusedError", Cause.THROTTLED.value})


class IntakeChecks:
    """Listens to receives, and to what S3 answers."""

    def __init__(self, scene: Scene) -> None:
        """Listen."""
        self._scene = scene
        self._polling: Counter[str] = Counter()
        self._well: set[str] = set()  # processes whose last PUT succeeded
        self._failures: defaultdict[tuple[str, str, tuple[str, ...]], deque[int]] = defaultdict(deque)
        self._taken_unproven: Counter[str] = Counter()  # by process that has stored nothing: messages handed out to it
        self._outages: dict[str, Fault] = {}  # by process that has stored nothing: that in which it started
        scene.facts.listeners[What.STARTED].append(self.started)
        scene.facts.listeners[What.HANDED_OUT].append(self.handed_out)
        scene.facts.listeners[What.CALLED].append(self.called)
        scene.facts.listeners[What.HEARD].append(self.heard)

    def started(self, fact: Fact) -> None:
        """In an outage?"""
        for fault in self._scene.story.faults:
            if fault.kind is Kind.OUTAGE and "PUT" in meant(fault) and ticks(fault.at) <= fact.tick:
                self._outages[fact.who] = fault

    def handed_out(self, fact: Fact) -> None:
        """It counts as a receive of the message."""
        outage = self._outages.get(fact.who)
        if outage is not None and fact.tick < ticks(outage.at + outage.seconds):
            self._taken_unproven[fact.who] += 1
            if self._taken_unproven[fact.who] == FEW + 1:
                self._scene.violate(Rule.FEW_AT_START, f"{fact.who} was handed {fact.subject}, too")

    def called(self, fact: Fact) -> None:
        """A receive must be allowed, and must fit."""
        if fact.operation == "RECEIVE":
            self._polling[fact.who] += 1
            self._check_receive(self._scene.processes[fact.who])

    def heard(self, fact: Fact) -> None:
        """S3 is well, or it is not."""
        if fact.operation == "RECEIVE":
            self._polling[fact.who] -= 1
        elif fact.operation == "PUT" and fact.detail != Cause.THROTTLED:
            (self._well.add if fact.detail in NO_OUTAGE else self._well.discard)(fact.who)
        if fact.operation == "PUT" and fact.detail == "ok":
            self._outages.pop(fact.who, None)
        if fact.detail == "ok":  # what works now and then is no outage
            self._failures.pop((fact.who, fact.operation, fact.subjects), None)
        elif not self._scene.processes[fact.who].health.is_draining:
            self._check_storm(fact)

    def _check_receive(self, process: Process) -> None:
        scene, settings, who = self._scene, self._scene.story.settings, process.name
        receives, in_flight = self._polling[who], process.in_flight()
        bodies = [scene.queue.messages[it.message_id].body for it in in_flight if it.state is not State.ARCHIVED]
        count = len(in_flight) + receives * settings.batch
        size = sum(map(len, bodies))
        if count > settings.in_flight_messages:
            scene.violate(Rule.BUDGET, f"{who} may come to have {count} of {settings.in_flight_messages} messages")
        if size > settings.in_flight_bytes:
            scene.violate(Rule.BUDGET, f"{who} has {size} of {settings.in_flight_bytes} bytes")
        if who not in self._well:
            scene.violate(Rule.NO_RECEIVE_IN_OUTAGE, f"{who} receives, though its last PUT failed or it had none")
        if process.health.is_draining:
            scene.violate(Rule.NO_RECEIVE_AFTER_STOP, f"{who} receives")

    def _check_storm(self, fact: Fact) -> None:
        failures = self._failures[fact.who, fact.operation, fact.subjects]
        failures.append(fact.tick)
        while failures[0] < fact.tick - TICKS:
            failures.popleft()
        tasks = self._scene.story.settings.receivers if fact.operation == "RECEIVE" else 1
        if len(failures) > STORM * tasks:
            what = f"{fact.operation} {' '.join(fact.subjects)}"
            self._scene.violate(Rule.NO_STORM, f"{fact.who} failed {len(failures)} times in a second: {what}")
            failures.clear()
