"""Operators in a story: what was left for them, the dead-letter queue, and their commands, killed and begun again."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import md5
from random import Random

from prometheus_client import CollectorRegistry

from email_processor.domain.document import quarantine_document
from email_processor.domain.errors import Cause, Reason, ServiceFaultError, UnarchivableError
from email_processor.domain.message import Message
from email_processor.metrics import Metrics, Operation
from email_processor.pipeline.health import Health
from email_processor.pipeline.run import Ports
from email_processor.tools.archive.dead import DrainEnd, drained, hurried, is_emptied
from email_processor.tools.archive.quarantine import HeldMessage, Rejected
from email_processor.tools.archive.reader import Reader
from email_processor.tools.archive.release import ReleaseOutcome, ReleaseRules, release_all
from tests.simulation.connection import Connection, Fact, Facts, Fate, What
from tests.simulation.loop import TICKS, Loop, ticks
from tests.simulation.mails import VERSION, Sent, write
from tests.simulation.process import plan_of
from tests.simulation.rescue import DAY_SECONDS, LEFT, OLDER, Comeback, Command, CommandRun, Leftover, Rescue
from tests.simulation.rules import Rule, Scene
from tests.simulation.shelf import SimShelf
from tests.simulation.story import Mail, draw
from tests.simulation.world import EPOCH, BucketClient, QueueClient, SimClock, SimMessage, SimQueue

FIRST_LEFT = 1000  # the number of the first mail that was left: none of the others has it
END_SECONDS = 900.0  # in which a command that nothing disturbs must have ended
MOST_AGAIN = 5  # times that a run is begun again
TAKEN = b"of somebody else"
LAST_RUNS = 5  # of a command that nothing disturbs, before all must be done
GRID = 0.005  # latencies are multiples of it


@dataclass(slots=True)
class Told:
    """What a command said at its end. `gone` are the messages that it said to be no longer in quarantine."""

    endings: Counter[ReleaseOutcome] = field(default_factory=Counter)
    gone: set[str] = field(default_factory=set)
    totals: dict[str, int] = field(default_factory=dict)
    end: DrainEnd = field(default_factory=DrainEnd)
    is_done: bool = False


@dataclass(slots=True)
class RunFates:
    """What becomes of the requests of a run, and of those of each time that it is begun again."""

    seed: int
    number: int
    run: CommandRun
    latency: float
    is_over: Callable[[], bool]
    calls: int = 0

    def fate(self, operation: Operation, who: str, subjects: tuple[str, ...]) -> Fate:
        """The fate of a request."""
        self.calls += 1
        key = (self.seed, "command", self.number, self.calls)
        before, after = (GRID * round(2 * self.latency * draw(*key, half) / GRID) for half in ("before", "after"))
        for index, fault in enumerate(() if self.is_over() else self.run.faults):
            if fault.nth == self.calls or draw(*key, "share", index) < fault.share:
                return Fate(before, after + fault.seconds, Cause(fault.cause), takes_effect=fault.is_done)
        return Fate(before, after)


class Operator:
    """One process of a command."""

    def __init__(self, name: str, run: CommandRun, operators: "Operators", fates: RunFates, nth: int) -> None:
        """Make it, for the `nth` time: like every process it shares nothing but queue and bucket."""
        self.name = name
        self.run = run
        self.nth = nth
        self.kill_at = run.kills[nth] if nth < len(run.kills) else 0
        self.loop: Loop = operators.driver.loop(name)
        self.told = Told()
        self.fates = fates
        self.main: asyncio.Task[None] | None = None
        self._operators = operators
        self._clock = SimClock(operators.driver).clock()
        self._uniform = Random(f"{operators.seed} {name}").uniform

    def start(self) -> asyncio.Task[None]:
        """Start it."""
        work = self._release if self.run.command is Command.RELEASE else self._archive
        self.main = self.loop.start(work(), name="main")
        return self.main

    @property
    def which(self) -> Rejected:
        """Which messages in quarantine it releases."""
        today = datetime.fromtimestamp(self._clock.wall(), UTC).date()
        days = (today - timedelta(days=self.run.days), today) if self.run.days else None
        return Rejected(days, self.run.reason)

    @property
    def has_ended(self) -> bool:
        """Whether it is over: ended or killed."""
        return self.loop.is_killed or (self.main is not None and self.main.done())

    def errors(self) -> list[str]:
        """What must not happen in it: a fault of S3 or of the queue may end it, and nothing else."""
        assert self.main is not None
        error = self.main.exception() if self.main.done() and not self.main.cancelled() else None
        is_fault = error is None or isinstance(error, ServiceFaultError)
        left = [] if self.loop.is_killed else [task.get_name() for task in self.loop.unfinished()]
        return [*([] if is_fault else [repr(error)]), *self.loop.errors, *left]

    def _connection(self) -> Connection:
        return Connection(self._operators.driver, self._operators.facts, self.fates, self.name)

    async def _release(self) -> None:
        told, operators = self.told, self._operators
        shelf = SimShelf(operators.bucket, self._connection(), self.run.page_size)
        conditional = operators.bucket.is_conditional
        rules = ReleaseRules("emails", VERSION, conditional=conditional, keep=self.run.keep)

        def ended(message: HeldMessage, ending: ReleaseOutcome) -> None:
            told.endings[ending] += 1
            if ending in {ReleaseOutcome.RELEASED, ReleaseOutcome.THERE}:
                told.gone.add(message.key)

        reader = Reader(shelf, self._clock, self._uniform, tell=lambda _: None)  # nobody sits in front of it
        await release_all(reader, rules, "quarantine", self.which, ended)
        told.is_done = True

    async def _archive(self) -> None:
        operators, metrics = self._operators, Metrics(CollectorRegistry(), VERSION)
        plan = hurried(plan_of(operators.settings))
        inbox = QueueClient(operators.dead_letters, self._connection())
        archive = BucketClient(operators.bucket, self._connection())
        ports = Ports(inbox, inbox, archive, archive, self._clock, self._uniform)
        health, is_fifo = Health(self._clock, plan.patience), operators.settings.fifo
        left, end = await drained(plan, ports, metrics, health, asyncio.Event(), is_fifo=is_fifo)
        self.told.totals, self.told.end = metrics.totals(), end
        self.told.is_done = end.fault is None and is_emptied(metrics.totals(), left, end)


class Operators:
    """All operators of a story. Their facts are their own, but those of the bucket, which are the bucket's."""

    def __init__(self, scene: Scene, mails: dict[str, Sent]) -> None:
        """Nothing is left yet, and nobody has come. What is left joins `mails`, those of the scene."""
        self._mails = mails
        self.driver, self.bucket = scene.driver, scene.bucket
        self.seed, self.settings = scene.story.seed, scene.story.settings
        self.facts = Facts(scene.driver)
        self.dead_letters = SimQueue(
            scene.driver,
            visibility_timeout=self.settings.visibility_timeout,
            is_fifo=self.settings.fifo,
            deletes_stale=self.settings.deletes_stale,
            notices_hang_up=self.settings.notices_hang_up,
            facts=self.facts,
        )
        self.processes: dict[str, Operator] = {}
        self.leftovers: dict[str, Leftover] = {}  # by message id
        self.ended: list[Callable[[Operator], None]] = []  # who wants to hear of it
        self.is_mended = False
        self._scene = scene
        self._rescue = scene.story.rescue or Rescue()
        self._is_over = False
        self._runs = 0

    def plan(self) -> None:
        """Let everything happen at its time."""
        later = self.driver.later
        self._scene.facts.listeners[What.DEAD_LETTERED].append(self._dead_lettered)
        for number, leftover in enumerate(self._rescue.leftovers):
            later(leftover.at, self._leave, number, leftover)
        for run in self._rescue.runs:
            later(run.at, self._begin, run, self._fates(run), 0)
        if self._rescue.mended_at is not None:
            later(self._rescue.mended_at, self.mend)

    def mend(self) -> None:
        """From now on S3 takes what it has refused, but for payloads that nobody may read."""
        self.is_mended = True
        self.bucket.refuses.clear()
        self.bucket.fails.clear()

    def before_step(self, loop: Loop) -> None:
        """Kill the process whose time has come."""
        operator = self.processes.get(loop.name)
        if operator is None or operator.has_ended or self._is_over:
            return
        if operator.kill_at == loop.steps:
            self.facts.add(What.KILLED, operator.name)
            self.driver.kill(loop)
            self._again(operator)

    def clear_up(self) -> None:
        """End the faults, and the kills."""
        self._is_over = True

    def finish(self) -> None:
        """Run both commands without any fault, and demand that they end, and that nothing is left."""
        self.mend()
        self._wait_for_all()
        for command in (Command.DEAD_ARCHIVE, Command.RELEASE):
            run = CommandRun(command, page_size=2)
            for _ in range(LAST_RUNS):
                operator = self._begin(run, self._fates(run), 0)
                self._wait_for_all()
                if operator.told.is_done:
                    break
                self._wait_for_hidden()

    def _wait_for_all(self) -> None:
        deadline = self.driver.seconds + END_SECONDS
        while late := [it for it in self.processes.values() if not it.has_ended]:
            if self.driver.seconds >= deadline:
                names = ", ".join(it.name for it in late)
                self._scene.violate(Rule.COMMAND_TELLS, f"after {END_SECONDS:g} s without a fault there is {names}")
                for operator in late:
                    self.driver.kill(operator.loop)
                return
            self.driver.later(1.0, self.driver.halt)
            self.driver.run()

    def _wait_for_hidden(self) -> None:
        """A payload that failed is hidden for longer than a command waits for it: it is told to be left, and comes."""
        hidden = [it.visible_at for it in self.dead_letters.live() if it.visible_at > self.driver.now]
        if hidden:
            self.driver.later(max(hidden) / TICKS - self.driver.seconds, self.driver.halt)
            self.driver.run()

    def _leave(self, number: int, leftover: Leftover) -> None:
        """What an older service has done."""
        message_id = f"{LEFT}{number}"
        sent = write(Mail(kind=leftover.kind, sender=leftover.sender), FIRST_LEFT + number)
        received_at = (self.driver.now or 1) - ticks(leftover.days_ago * DAY_SECONDS)
        message = SimMessage(
            message_id=message_id,
            body=sent.body,
            md5=md5(sent.body, usedforsecurity=False).hexdigest(),
            sent_at=received_at,
            group=LEFT if self.settings.fifo else None,
            message_attributes={},
            first_received_at=received_at,
            first_receive_told=received_at,
            is_deleted=not leftover.dead,
        )
        self._mails[message_id] = sent
        self._scene.queue.messages[message_id] = message
        self.leftovers[message_id] = leftover
        if sent.payload is not None:
            self.bucket.payloads[sent.payload.bucket, sent.payload.key] = sent.raw.encode()
        if leftover.is_stored or leftover.is_taken:
            document = TAKEN if leftover.is_taken else sent.document(message_id, received_at)
            self.bucket.objects[sent.key(message_id, received_at)] = document
        if leftover.quarantine:
            self._quarantine(message, sent)
        if leftover.dead:
            message.is_dead = True
            self._scene.facts.add(What.DEAD_LETTERED, OLDER, message_id)
        if leftover.again is not None:
            at = leftover.again - self.driver.seconds
            if leftover.comeback is Comeback.INTO_QUARANTINE:
                self.driver.later(at, self._quarantine, message, sent)
            else:
                self.driver.later(at, self._scene.queue.duplicate, message_id)

    def _quarantine(self, message: SimMessage, sent: Sent) -> None:
        moment = datetime.fromtimestamp(EPOCH + message.first_received_at // TICKS, UTC)
        received = Message(message.message_id, "", sent.body, attributes={"ApproximateReceiveCount": "1"})
        payload = None if sent.payload is None else sent.raw.encode()
        why = UnarchivableError(Reason.MISSING_FIELD, detail=OLDER)
        key = sent.quarantine_key(message.message_id, message.first_received_at)
        self.bucket.objects.setdefault(key, quarantine_document(received, why, moment, "older", payload))

    def _dead_lettered(self, fact: Fact) -> None:
        """SQS moves it, with its id and all that it tells."""
        self.dead_letters.take_over(self._scene.queue.messages[fact.subject])

    def _fates(self, run: CommandRun) -> RunFates:
        self._runs += 1
        return RunFates(self.seed, self._runs, run, self.settings.latency, lambda: self._is_over)

    def _begin(self, run: CommandRun, fates: RunFates, nth: int) -> Operator:
        operator = Operator(f"operator {fates.number}.{nth + 1}", run, self, fates, nth)
        self.processes[operator.name] = operator
        self.facts.add(What.STARTED, operator.name)
        operator.start().add_done_callback(lambda _: self._end(operator))
        return operator

    def _end(self, operator: Operator) -> None:
        if operator.loop.is_killed or operator.main is None or operator.main.cancelled():  # the story is over
            return
        self.facts.add(What.ENDED, operator.name)
        for hear in self.ended:
            hear(operator)
        if not operator.told.is_done:
            self._again(operator)

    def _again(self, operator: Operator) -> None:
        if not self._is_over and operator.nth < MOST_AGAIN:
            self.driver.later(operator.run.again, self._begin_again, operator)

    def _begin_again(self, operator: Operator) -> None:
        if not self._is_over:
            self._begin(operator.run, operator.fates, operator.nth + 1)
