"""Checks of processes: they live, stop in time, give back what they had, and leave nothing behind."""

from collections import defaultdict

from email_processor.pipeline.receiver import WAIT_AFTER_FAULT_SECONDS
from tests.simulation.check_intake import NO_OUTAGE
from tests.simulation.connection import Fact, What, message_id_of
from tests.simulation.loop import TICKS, ticks
from tests.simulation.process import Process
from tests.simulation.rules import Rule, Scene
from tests.simulation.world import SimMessage

LATE_SECONDS = 1.0  # that a stop may take beyond its grace
LAST_SECONDS = 3.0  # of its grace, or a fifth, in which a stop may break off a receive: there is something to give back
BACKOFF_SECONDS = 30.0  # for which a delete that failed may not be tried again


class LifeChecks:
    """Listens to the lives of processes."""

    def __init__(self, scene: Scene) -> None:
        """Listen."""
        self._scene = scene
        self._taken: dict[tuple[str, str], int] = {}  # by process and handle: when
        self._trouble: dict[str, int] = {}  # by process: when a delete or a release last went wrong
        self._unread: set[str] = set()  # processes that may have let go of what they could not read
        self._failed: set[tuple[str, str]] = set()  # by process and message: its last PUT failed, or was broken off
        self._in_flight_at_stop: dict[str, set[str]] = {}
        self._receives: dict[str, list[int]] = defaultdict(list)  # by process: when those under way began
        listeners = scene.facts.listeners
        listeners[What.CALLED].append(self.called)
        listeners[What.TAKEN].append(self.taken)
        listeners[What.HEARD].append(self.heard)
        listeners[What.EXCUSED].append(self.excused)
        listeners[What.STOPPING].append(self.stopping)
        listeners[What.ENDED].append(self.ended)

    def called(self, fact: Fact) -> None:
        """A call begins."""
        if fact.operation == "RECEIVE":
            self._receives[fact.who].append(fact.tick)

    def taken(self, fact: Fact) -> None:
        """A process has it in flight."""
        if not fact.detail:
            self._taken[fact.who, fact.subject] = fact.tick

    def heard(self, fact: Fact) -> None:
        """A call is over. A process that breaks it off before its grace is over has no excuse."""
        process = self._scene.processes[fact.who]
        if fact.operation == "PUT":
            is_well = fact.detail in NO_OUTAGE
            (self._failed.discard if is_well else self._failed.add)((fact.who, message_id_of(fact.subject)))
        elif fact.operation == "RECEIVE":
            self._check_receive(process, fact)
        asked_at = process.stop_asked_at if process.stop_asked_at is not None else fact.tick
        is_impatient = fact.tick < asked_at + ticks(self._scene.story.settings.grace) + process.paused_ticks
        if fact.detail != "ok" and not (fact.detail == "cancelled" and is_impatient):
            self.excused(fact)

    def _check_receive(self, process: Process, fact: Fact) -> None:
        """A receive is over: which one of several is not known, but one that took too long is the oldest."""
        settings, began = self._scene.story.settings, self._receives[fact.who]
        oldest = began[0]
        began.pop(0 if fact.detail == "cancelled" else -1)
        if fact.detail != "cancelled" or process.stop_asked_at is None or process.has_ended:
            return
        may_end_at = process.stop_asked_at + ticks(settings.grace - min(LAST_SECONDS, settings.grace / 5))
        wait = min(settings.wait, WAIT_AFTER_FAULT_SECONDS)  # nobody sees here whether the receive before it failed
        if fact.tick < min(may_end_at, oldest + ticks(wait + settings.queue_timeout)):
            self._scene.violate(Rule.LAST_RECEIVE, f"{fact.who} broke off a receive")

    def excused(self, fact: Fact) -> None:
        """A fault met a call."""
        if fact.operation in {"DELETE", "CHANGE_VISIBILITY"}:
            self._trouble[fact.who] = fact.tick
        elif fact.operation == "FETCH":
            self._unread.add(fact.who)

    def stopping(self, fact: Fact) -> None:
        """From here on it must let go of all that it has."""
        self._in_flight_at_stop[fact.who] = {it.message_id for it in self._scene.processes[fact.who].in_flight()}

    def ended(self, fact: Fact) -> None:
        """It has ended: was it asked to, was it quick, and did it leave anything?"""
        process, scene = self._scene.processes[fact.who], self._scene
        assert process.main is not None
        error = None if process.main.cancelled() else process.main.exception()
        if error is not None:
            scene.violate(Rule.CLEAN, f"{process.name} died: {_leaves(error)}")
        elif process.stop_asked_at is None:
            scene.violate(Rule.CLEAN, f"{process.name} ended, though nobody stopped it")
        elif left := [task.get_name() for task in process.loop.unfinished()]:
            scene.violate(Rule.CLEAN, f"{process.name} left tasks behind: {', '.join(left)}")
        else:
            self._check_stop(process, process.stop_asked_at)

    def _check_stop(self, process: Process, asked_at: int) -> None:
        scene, grace = self._scene, self._scene.story.settings.grace
        took = scene.driver.now - asked_at - process.paused_ticks
        if took > ticks(grace + LATE_SECONDS):
            scene.violate(Rule.STOP_IN_TIME, f"{process.name} took {took / TICKS:.3f} s of {grace:g} s")
        if self._trouble.get(process.name, -1) >= asked_at - ticks(BACKOFF_SECONDS) or process.resumed_at >= 0:
            return
        for message in scene.queue.live():
            if self._was_kept(process, asked_at, message):
                scene.violate(Rule.GIVEN_BACK, f"{process.name} kept {message.handle}")

    def _was_kept(self, process: Process, asked_at: int, message: SimMessage) -> bool:
        """Whether a process that has ended still hides a message that it had in flight when it was stopped."""
        sent = self._scene.mails[message.message_id]
        if not sent.is_healthy or (sent.payload is not None and process.name in self._unread):
            return False  # it may have let go of it before
        if (process.name, message.message_id) in self._failed:
            return False  # it has met an outage, and is not handed on into it
        is_hidden = message.holder == process.name and message.visible_at > self._scene.driver.now
        taken_at = self._taken.get((process.name, message.handle), -1)
        was_in_flight = message.message_id in self._in_flight_at_stop[process.name] or taken_at >= asked_at
        return is_hidden and taken_at >= 0 and was_in_flight

    def check_alive(self, process: Process) -> None:
        """A look at /healthz, now and then."""
        if process.is_running and process.resumed_at < 0 and not (report := process.health.alive()).ok:
            self._scene.violate(Rule.ALIVE, f"{process.name}: {report.parts}")

    def check_well(self, process: Process) -> None:
        """With the faults over and nothing to do: ready, and nothing in flight."""
        if not process.is_running or process.stop_asked_at is not None:
            return
        if not (report := process.health.ready()).ok:
            self._scene.violate(Rule.READY, f"{process.name}: {report.parts}")
        if left := [it for it in process.in_flight() if not self._scene.mails[it.message_id].may_wait]:
            handles = ", ".join(it.receipt_handle for it in left)
            self._scene.violate(Rule.DRAINED, f"{process.name} still has {handles} in flight")

    def at_the_end(self) -> None:
        """No error may be unheard."""
        for process in self._scene.processes.values():
            if errors := [*process.loop.errors, *process.unheard()]:
                self._scene.violate(Rule.CLEAN, f"{process.name}: {'; '.join(errors)}")
        if self._scene.driver.errors:
            self._scene.violate(Rule.CLEAN, "; ".join(self._scene.driver.errors))


def _leaves(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(_leaves(inner) for inner in error.exceptions)
    return repr(error)
