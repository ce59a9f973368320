"""Checks of what is stored and deleted: nothing lost, nothing twice, nothing good aside."""

import json
from collections import Counter

from tests.simulation.connection import Fact, What, message_id_of
from tests.simulation.mails import BROKEN, FAILING, PROBE, STUBBORN, Sent
from tests.simulation.rescue import OLDER
from tests.simulation.rules import Rule, Scene
from tests.simulation.story import Kind
from tests.simulation.world import SimMessage

REFUSALS_LEAST = 5  # of one key while the others are taken, after which a message may be held to be at fault


class ObjectChecks:
    """Listens to puts and deletes."""

    def __init__(self, scene: Scene) -> None:
        """Listen."""
        self._scene = scene
        self._put: set[tuple[str, str]] = set()  # by process and message: heard to be stored
        self._deleted: set[tuple[str, str]] = set()  # by process and message: heard to be deleted
        self._knows_redrive: set[str] = set()
        self._refusals: Counter[str] = Counter()  # by message: of its key, as few others were refused
        listeners = scene.facts.listeners
        listeners[What.CALLED].append(self.called)
        listeners[What.HEARD].append(self.heard)
        listeners[What.EXCUSED].append(self.excused)
        listeners[What.STORED].append(self.stored)
        listeners[What.OVERWRITTEN].append(self.overwritten)
        listeners[What.DEAD_LETTERED].append(self.dead_lettered)

    def called(self, fact: Fact) -> None:
        """A delete needs an object; a put must be needed."""
        if fact.operation == "DELETE":
            for handle in fact.subjects:
                if not self._scene.objects(self._scene.message_of(handle)):
                    self._scene.violate(Rule.DURABLE_FIRST, f"{fact.who} deletes {handle}")
        elif fact.operation == "PUT" and fact.subject != PROBE.key:
            what = (fact.who, message_id_of(fact.subject))
            if what in self._put and what not in self._deleted:
                self._scene.violate(Rule.ONE_PUT, f"{fact.who} puts {fact.subject} again")

    def heard(self, fact: Fact) -> None:
        """What the process knows now."""
        if fact.detail != "ok":
            return
        if fact.operation == "PUT":
            self._put.add((fact.who, message_id_of(fact.subject)))
        elif fact.operation == "DELETE":
            self._deleted.update((fact.who, self._scene.message_of(handle).message_id) for handle in fact.subjects)
        elif fact.operation == "QUEUE_STATE":
            self._knows_redrive.add(fact.who)

    def excused(self, fact: Fact) -> None:
        """A fault met a call."""
        if fact.operation == "PUT" and fact.detail == Kind.STUCK:
            self._refusals[message_id_of(fact.subject)] += 1

    def overwritten(self, fact: Fact) -> None:
        """Only where nothing forbids it, and never an email; a quarantine document counts its receives."""
        if fact.detail == "changed" and fact.subject.startswith("emails/"):
            self._scene.violate(Rule.ONE_OBJECT, f"{fact.who} changed {fact.subject}")
        self.stored(fact)

    def stored(self, fact: Fact) -> None:
        """The key and the bytes must be the ones that were written down beforehand."""
        scene, key = self._scene, fact.subject
        if key == PROBE.key:
            return
        message = scene.queue.messages[message_id_of(key)]
        sent, when = scene.mails[message.message_id], scene.dated_at(message)
        document = scene.bucket.objects[key]
        if key == sent.key(message.message_id, when):
            if document != sent.document(message.message_id, when):
                scene.violate(Rule.ONE_OBJECT, f"{fact.who} stored {key} as {document!r}")
        elif key != sent.quarantine_key(message.message_id, when):
            scene.violate(Rule.ONE_OBJECT, f"{fact.who} stored {message.message_id} as {key}")
        elif sent.is_healthy and self._refusals[message.message_id] < REFUSALS_LEAST:
            scene.violate(Rule.NO_GOOD_MAIL_ASIDE, f"{fact.who} quarantined {message.message_id}")
        elif json.loads(document)["body"] != sent.body.decode():
            scene.violate(Rule.ONE_OBJECT, f"{fact.who} quarantined {message.message_id} with another body")
        may_be_twice = self._refusals[message.message_id] >= REFUSALS_LEAST or scene.is_to_be_rescued(message)
        if len(scene.objects(message)) > 1 and not may_be_twice:
            scene.violate(Rule.ONE_OBJECT, f"{message.message_id} is there twice: {', '.join(scene.objects(message))}")

    def dead_lettered(self, fact: Fact) -> None:
        """Only what cannot be archived, and only if it cannot be quarantined."""
        scene = self._scene
        sent, message = scene.mails[fact.subject], scene.queue.messages[fact.subject]
        if fact.who == OLDER:
            return
        if sent.is_healthy:
            text = f"{fact.subject} was dead-lettered after {message.receives} receives"
            scene.violate(Rule.NO_GOOD_MAIL_ASIDE, text)
        elif scene.story.settings.quarantine and self._belonged_into_quarantine(sent, message):
            scene.violate(Rule.NO_GOOD_MAIL_ASIDE, f"{fact.subject} ({sent.kind}) was dead-lettered, not quarantined")

    def _belonged_into_quarantine(self, sent: Sent, message: SimMessage) -> bool:
        return sent.kind in BROKEN or (sent.kind in (*STUBBORN, *FAILING) and self._could_have_quarantined(message))

    def _could_have_quarantined(self, message: SimMessage) -> bool:
        """Whether the last receive met no fault."""
        process = self._scene.processes[message.holder]
        since = [fact for fact in self._scene.facts.log if fact.tick >= message.received_at]
        was_taken = any(
            fact.what is What.TAKEN and message.handle in fact.subjects and not fact.detail for fact in since
        )
        return (
            was_taken
            and process.is_running
            and process.resumed_at < 0
            and not process.health.is_draining
            and message.holder in self._knows_redrive
            and not any(fact.what is What.EXCUSED for fact in since)
        )

    def at_the_end(self) -> None:
        """Nothing may be lost."""
        for message_id, sent in self._scene.mails.items():
            message = self._scene.queue.messages[message_id]
            if message.is_deleted and not self._scene.objects(message):
                self._scene.violate(Rule.NOTHING_LOST, f"{message_id} ({sent.kind}) is deleted, and nowhere")
