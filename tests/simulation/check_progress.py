"""Checks of progress: what can be stored is stored soon, whatever else cannot."""

from tests.simulation.connection import Fact, What, message_id_of
from tests.simulation.loop import ticks
from tests.simulation.rules import Rule, Scene
from tests.simulation.story import Kind

PATIENCE_SECONDS = 120.0  # beyond two leases, which what another process had in flight may have to wait for
DISTURBING = (What.STARTED, What.STOPPING, What.KILLED, What.PAUSED, What.RESUMED, What.CAME_BACK, What.FAULTS_OVER)


class ProgressChecks:
    """Listens to what disturbs all, and looks now and then whether a good email waits without that."""

    def __init__(self, scene: Scene) -> None:
        """Listen."""
        self._scene = scene
        self._calm_since = 0
        self._patience = ticks(PATIENCE_SECONDS + 2 * scene.story.settings.visibility_timeout)
        self._waiting: set[str] = set()  # messages that were sent and are not stored
        self._refused: set[str] = set()  # those whose key is refused
        listeners = scene.facts.listeners
        for what in DISTURBING:
            listeners[what].append(self.disturbed)
        listeners[What.EXCUSED].append(self.excused)
        listeners[What.SENT].append(self.sent)
        listeners[What.STORED].append(self.stored)

    def disturbed(self, fact: Fact) -> None:
        """Something happened that may hold up everybody."""
        self._calm_since = fact.tick

    def excused(self, fact: Fact) -> None:
        """A fault met a call: of one key, of a payload, or of all."""
        if fact.detail == Kind.STUCK:  # some messages, and no others
            if fact.operation == "PUT":
                self._refused.add(message_id_of(fact.subject))
        elif fact.operation != "FETCH":
            self.disturbed(fact)

    def sent(self, fact: Fact) -> None:
        """From here on it waits, if nothing but the store is needed to store it."""
        sent, story = self._scene.mails[fact.subject], self._scene.story
        count = len(story.mails) + sum(fault.nth for fault in story.faults if fault.kind is Kind.BURST)
        has_limit = story.settings.queue_in_flight_max < count  # the queue then hands out no more
        if sent.is_healthy and sent.payload is None and not (story.settings.fifo or has_limit):
            self._waiting.add(fact.subject)

    def stored(self, fact: Fact) -> None:
        """It waits no more."""
        self._waiting.discard(message_id_of(fact.subject))

    def look(self) -> None:
        """Nobody waits for longer than it takes, if all was calm."""
        scene = self._scene
        if not any(it.is_running and it.stop_asked_at is None for it in scene.processes.values()):
            self._calm_since = scene.driver.now
        for message_id in sorted(self._waiting - self._refused):
            since = max(scene.queue.messages[message_id].sent_at, self._calm_since)
            if scene.driver.now - since > self._patience:
                self._waiting.discard(message_id)
                scene.violate(Rule.NOBODY_HELD_UP, f"{message_id} is not stored")
