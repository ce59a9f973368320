"""What must hold, and the scene that the checks look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tests.simulation.connection import Facts, message_id_of
from tests.simulation.loop import TICKS, Driver
from tests.simulation.mails import Sent
from tests.simulation.process import Process
from tests.simulation.rescue import LEFT
from tests.simulation.story import Story
from tests.simulation.world import SimBucket, SimMessage, SimQueue


class Rule(Enum):
    """What must hold."""

    DURABLE_FIRST = "a delete is only asked for when the object is durable"
    NOTHING_LOST = "every message is in the bucket or on the queue"
    ONE_OBJECT = "a message has one key and one content, for ever"
    NO_GOOD_MAIL_ASIDE = "no message of a healthy sender is quarantined or dead-lettered"
    BUDGET = "what is in flight stays within the budget, room for receives included"
    LEASE = "no lease is lost while its owner is alive and permitted to renew it"
    NO_RACE = "no renewal is under way together with a delete"
    NO_RECEIVE_IN_OUTAGE = "nothing is received unless the last PUT succeeded"
    FEW_AT_START = "who starts while nothing can be stored receives two messages at most"
    NO_RECEIVE_AFTER_STOP = "nothing is received by a process that stops"
    LAST_RECEIVE = "a stop waits for the answer of a receive that is under way"
    NO_NACK = "nothing is given back but by a process that stops"
    ONE_PUT = "what a process has archived it does not put again"
    STOP_IN_TIME = "a stop ends within its grace"
    GIVEN_BACK = "what a stop leaves is given back"
    NO_STORM = "an outage is not answered with a storm of retries"
    ALIVE = "the health check stays green"
    READY = "once the faults are over, every process is ready"
    DRAINED = "once the faults are over, the queue drains"
    NOBODY_HELD_UP = "what fails for its own reasons does not hold up the others"
    CLEAN = "no task is left, no error is unheard, no process dies"
    HELD_UNTIL_READ_BACK = "what is in quarantine is only deleted when its email was read back from the archive"
    DEAD_UNTIL_STORED = "a dead letter is only deleted when its object is durable"
    RESCUED = "once an operator was not disturbed, each email is in the archive, and nowhere else"
    COMMAND_TELLS = "an operator's command ends, and what it says it did is what it did"


# Those that only a day on which operators are at work can break.
RESCUE_RULES = frozenset({Rule.HELD_UNTIL_READ_BACK, Rule.DEAD_UNTIL_STORED, Rule.RESCUED, Rule.COMMAND_TELLS})


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that did not hold."""

    tick: int
    rule: Rule
    text: str

    def __str__(self) -> str:
        return f"{self.tick / TICKS:.6f} s: {self.rule.name}: {self.rule.value}: {self.text}"


@dataclass(slots=True)
class Scene:
    """Everything that a check may look at; `processes` by name and `mails` by message id grow as the story goes on."""

    story: Story
    driver: Driver
    facts: Facts
    queue: SimQueue
    bucket: SimBucket
    processes: Mapping[str, Process]
    mails: Mapping[str, Sent]
    violations: list[Violation] = field(default_factory=list)

    def violate(self, rule: Rule, text: str) -> None:
        """Note that a rule did not hold. It is never raised: the service might swallow it."""
        self.violations.append(Violation(self.driver.now, rule, text))

    def message_of(self, handle: str) -> SimMessage:
        """The message of a receipt handle."""
        return self.queue.messages[message_id_of(handle)]

    def is_to_be_rescued(self, message: SimMessage) -> bool:
        """Whether it may be in quarantine as well as in the archive, until an operator has been at work."""
        is_left = message.message_id.startswith(LEFT)
        return self.story.rescue is not None and (is_left or not self.mails[message.message_id].is_healthy)

    def dated_at(self, message: SimMessage) -> int:
        """The time of a message that dates its key, in ticks."""
        return message.sent_at if self.story.settings.key_time == "sent" else message.first_received_at

    def objects(self, message: SimMessage) -> list[str]:
        """The keys of a message's objects."""
        sent, when = self.mails[message.message_id], self.dated_at(message)
        keys = sent.key(message.message_id, when), sent.quarantine_key(message.message_id, when)
        return [key for key in keys if key in self.bucket.objects]
