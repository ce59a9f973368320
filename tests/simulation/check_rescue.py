"""Checks of what operators do: nothing goes before it is stored, all is stored once, and what is said is true."""

from itertools import takewhile

from email_processor.tools.archive.release import ReleaseOutcome
from tests.simulation.connection import Fact, What, message_id_of
from tests.simulation.mails import BROKEN, PROBE, WAITING
from tests.simulation.operators import Operator, Operators
from tests.simulation.rescue import Command
from tests.simulation.rules import Rule, Scene
from tests.simulation.situations import Seen
from tests.simulation.world import SimMessage

Request = tuple[str, str]  # by whom, about which key


class RescueChecks:
    """Listens to operators and to what they store."""

    def __init__(self, scene: Scene, operators: Operators) -> None:
        """Listen."""
        self.seen: set[str] = set()  # situations
        self._scene = scene
        self._operators = operators
        self._stored: set[Request] = set()
        self._untold: set[Request] = set()  # stored, and the answer was lost
        self._read: set[Request] = set()
        self._deleted: set[Request] = set()  # heard to be deleted
        self._asking: dict[str, int] = {}  # by who: when it last asked for the queue's state
        self._asked: dict[str, int] = {}  # by who: when it asked for the last one that it heard
        self._takers: dict[str, str] = {}  # by key: whose run has begun to take it out of the quarantine
        self._arrived: dict[str, int] = {}  # by message: when it last came onto the dead-letter queue
        scene.facts.listeners[What.STORED].append(self.stored)
        scene.facts.listeners[What.DEAD_LETTERED].append(self.arrived)
        operators.facts.listeners[What.CALLED].append(self.called)
        operators.facts.listeners[What.HEARD].append(self.heard)
        operators.facts.listeners[What.KILLED].append(self.killed)
        operators.ended.append(self.ended)

    def stored(self, fact: Fact) -> None:
        """An object."""
        if fact.who not in self._operators.processes or fact.subject == PROBE.key:
            return
        self._stored.add((fact.who, fact.subject))
        if not self._scene.mails[message_id_of(fact.subject)].is_healthy and fact.subject.startswith("emails/"):
            self.seen.add(Seen.REFUSED_RELEASED)

    def arrived(self, fact: Fact) -> None:
        """A dead letter."""
        self._arrived[fact.subject] = fact.tick

    def called(self, fact: Fact) -> None:
        """A delete needs a stored object: from the quarantine also one that was read back."""
        scene = self._scene
        match fact.operation, fact.subjects:
            case "PUT", ("DELETE", key):
                message = scene.message_of(key)
                mail, run = self._key(message), fact.who.partition(".")[0]
                if self._takers.setdefault(key, run) != run:
                    self.seen.add(Seen.RELEASE_MET_ANOTHER)
                if scene.bucket.objects.get(mail) != self._document(message):
                    scene.violate(Rule.HELD_UNTIL_READ_BACK, f"{fact.who} deletes {key}, and {mail} is not there")
                elif (fact.who, mail) not in self._read:
                    scene.violate(Rule.HELD_UNTIL_READ_BACK, f"{fact.who} deletes {key} unread")
            case "PUT", ("PUT", key):
                self._read.discard((fact.who, key))
            case "QUEUE_STATE", _:
                self._asking[fact.who] = fact.tick
            case "DELETE", handles:
                for handle in handles:
                    if not scene.objects(scene.message_of(handle)):
                        scene.violate(Rule.DEAD_UNTIL_STORED, f"{fact.who} deletes {handle}")

    def heard(self, fact: Fact) -> None:
        """What a process knows now."""
        match fact.operation, fact.subjects, fact.detail:
            case "FETCH", ("GET", key), "ok":
                self._read.add((fact.who, key))
            case "PUT", ("DELETE", key), "ok":
                self._deleted.add((fact.who, key))
            case "PUT", ("PUT", key) | (key,), heard:
                if heard != "ok" and (fact.who, key) in self._stored:
                    self._untold.add((fact.who, key))
            case "QUEUE_STATE", _, "ok":
                self._asked[fact.who] = self._asking[fact.who]

    def killed(self, fact: Fact) -> None:
        """A SIGKILL."""
        for key in (key for by, key in self._stored if by == fact.who):
            message = self._scene.message_of(key)
            if self._operators.processes[fact.who].run.command is Command.RELEASE:
                if self._aside(message) in self._scene.bucket.objects:
                    self.seen.add(Seen.RELEASE_KILLED)
            elif self._operators.dead_letters.holds(message.message_id):
                self.seen.add(Seen.DRAIN_KILLED)

    def ended(self, operator: Operator) -> None:
        """What it says must be true."""
        if operator.told.end.remaining:
            self.seen.add(Seen.DRAIN_HELD_UP)
        if operator.run.command is Command.DEAD_ARCHIVE:
            self._check_drain(operator)
        elif operator.told.is_done:
            self._check_release(operator)
        else:
            self.seen.add(Seen.RELEASE_FAILED)

    def _check_release(self, operator: Operator) -> None:
        told, who = operator.told, operator.name
        gone = {key for by, key in self._deleted if by == who}
        if not operator.run.keep and told.gone != gone:
            self._tells(operator, f"has taken {sorted(gone)} out of the quarantine, and says {sorted(told.gone)}")
        stored = sum(by == who for by, _ in self._stored - self._untold)
        if self._scene.bucket.is_conditional and told.endings[ReleaseOutcome.RELEASED] != stored:
            self._tells(operator, f"has stored {stored}, and says {told.endings[ReleaseOutcome.RELEASED]}")

    def _check_drain(self, operator: Operator) -> None:
        told, who = operator.told, operator.name
        stored = [key for by, key in self._stored - self._untold if by == who and key.startswith("emails/")]
        if self._scene.bucket.is_conditional and told.totals.get("archived", 0) != len(stored):
            self._tells(operator, f"has stored {len(stored)}, and says {told.totals.get('archived', 0)}")
        asked_at = self._asked.get(who, -1) if told.is_done else -1
        left = [it.message_id for it in self._operators.dead_letters.live() if self._arrived[it.message_id] < asked_at]
        if left:
            self._tells(operator, f"has left {', '.join(left)}, and says that nothing is left")

    def _tells(self, operator: Operator, text: str) -> None:
        self._scene.violate(Rule.COMMAND_TELLS, f"{operator.name} ({operator.run.command}) {text}")

    def at_the_end(self) -> None:
        """Every email is in the archive alone; what is none, or cannot be stored, is where it was."""
        scene = self._scene
        allowed = {PROBE.key}
        for message_id, sent in scene.mails.items():
            message = scene.queue.messages[message_id]
            keys, is_on_queue = self._where(message), self._is_on_queue(message)
            allowed |= keys
            if not is_on_queue and (missing := sorted(keys - scene.bucket.objects.keys())):
                scene.violate(Rule.RESCUED, f"{message_id} ({sent.kind}) is not at {', '.join(missing)}")
        if others := sorted(scene.bucket.objects.keys() - allowed):
            scene.violate(Rule.RESCUED, f"there also is {', '.join(others)}")
        for operator in self._operators.processes.values():
            if errors := operator.errors():
                scene.violate(Rule.CLEAN, f"{operator.name}: {'; '.join(errors)}")

    def _where(self, message: SimMessage) -> set[str]:
        """The keys that a message must have in the end."""
        message_id = message.message_id
        sent, key, aside = self._scene.mails[message_id], self._key(message), self._aside(message)
        leftover = self._operators.leftovers.get(message_id)
        if leftover is not None and leftover.is_taken:
            return {key, aside}
        return {aside if sent.kind in (*BROKEN, *WAITING) else key}

    def _is_on_queue(self, message: SimMessage) -> bool:
        """Whether it is left to a queue, or waits behind what is: then nobody else can have it yet."""
        dead_letters, message_id = self._operators.dead_letters, message.message_id
        if not dead_letters.holds(message_id):
            return self._scene.queue.holds(message_id)
        ahead = list(takewhile(lambda it: it.message_id != message_id, dead_letters.live()))
        ids = [it.message_id for it in ahead if it.group is not None and it.group == message.group]
        return any(self._scene.mails[it].kind in (*BROKEN, *WAITING) for it in (*ids, message_id))

    def _key(self, message: SimMessage) -> str:
        return self._scene.mails[message.message_id].key(message.message_id, self._scene.dated_at(message))

    def _aside(self, message: SimMessage) -> str:
        sent = self._scene.mails[message.message_id]
        return sent.quarantine_key(message.message_id, self._scene.dated_at(message))

    def _document(self, message: SimMessage) -> bytes:
        return self._scene.mails[message.message_id].document(message.message_id, self._scene.dated_at(message))
