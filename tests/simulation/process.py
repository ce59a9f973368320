"""A service process in the simulation: `pipeline.run` with everything fresh, on a loop of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from prometheus_client import CollectorRegistry

from email_processor.metrics import Metrics
from email_processor.pipeline import run as pipeline
from email_processor.pipeline.calls import Timeouts
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.deleter import DeleteRules
from email_processor.pipeline.depth import DepthRules
from email_processor.pipeline.evidence import Blame
from email_processor.pipeline.health import Health
from email_processor.pipeline.leases import LeaseRules
from email_processor.pipeline.ledger import Delivery
from email_processor.pipeline.receiver import ReceiveRules
from email_processor.pipeline.room import Budget
from email_processor.pipeline.run import Plan, Ports
from email_processor.pipeline.storing import StoreRules
from email_processor.pipeline.uploader import UploadRules
from tests.simulation.connection import Facts, Fates, What
from tests.simulation.loop import Driver, Loop
from tests.simulation.mails import PROBE, VERSION
from tests.simulation.story import Story, StorySettings
from tests.simulation.world import SimBucket, SimClock, SimQueue

# The more tries, the longer takes a day to play. That many still outlast the weather in which a good mail is denied.
BLAME = Blame(failures_denied=30)


class Process:
    """One life of the service: made, started, perhaps paused, and stopped or killed."""

    def __init__(
        self, name: str, story: Story, driver: Driver, queue: SimQueue, bucket: SimBucket, fates: Fates
    ) -> None:
        """Make it; nothing is shared with other processes but queue and bucket."""
        self.name = name
        self.loop: Loop = driver.loop(name)
        self.clock = SimClock(driver)
        self.metrics = Metrics(CollectorRegistry(), VERSION)
        clock = self.clock.clock()
        self._plan = plan_of(story.settings)
        self.health = Health(clock, self._plan.patience)
        self.stop = asyncio.Event()
        self.stop_asked_at: int | None = None
        self.paused_at: int | None = None
        self.resumed_at = -1
        self.paused_ticks = 0
        self.left: int | None = None
        self.main: asyncio.Task[None] | None = None
        self._driver = driver
        self._facts: Facts = queue.facts
        inbox, archive = queue.client(name, fates), bucket.client(name, fates)
        self._ports = Ports(inbox, inbox, archive, archive, clock, Random(f"{story.seed} {name}").uniform)

    def start(self) -> None:
        """Start it."""
        self._facts.add(What.STARTED, self.name, "")
        self.main = self.loop.start(self._live(), name="main")

    async def _live(self) -> None:
        self.left = await pipeline.run(self._plan, self._ports, self.metrics, self.health, self.stop)

    @property
    def has_ended(self) -> bool:
        """Whether it is over: ended or killed."""
        return self.loop.is_killed or (self.main is not None and self.main.done())

    @property
    def is_running(self) -> bool:
        """Whether it can do anything right now."""
        return not self.has_ended and self.paused_at is None

    @property
    def context(self) -> StageContext:
        """What its stages share."""
        return _contexts[self.loop]

    def in_flight(self) -> list[Delivery]:
        """What it has in flight."""
        return list(self.context.ledger) if self.loop in _contexts else []

    def unheard(self) -> list[str]:
        """Errors of its tasks that nobody asked for."""
        return [repr(task.exception()) for task in self.loop.tasks if task.done() and task._log_traceback]

    def holding(self, message_id: str) -> Delivery | None:
        """Its delivery of a message, if it has it in flight."""
        return next((it for it in self.context.ledger if it.message_id == message_id), None)

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        if self.stop_asked_at is None:
            self.stop_asked_at = self._driver.now
            self._facts.add(What.STOPPING, self.name, "")
            self.loop.call_soon(self.stop.set)

    def kill(self) -> None:
        """SIGKILL."""
        if not self.has_ended:
            self._facts.add(What.KILLED, self.name, "")
            self._driver.kill(self.loop)

    def pause(self) -> None:
        """SIGSTOP."""
        if self.is_running:
            self._facts.add(What.PAUSED, self.name, "")
            self.paused_at = self._driver.now
            self._driver.pause(self.loop)

    def resume(self) -> None:
        """SIGCONT."""
        if self.paused_at is not None and not self.has_ended:
            self._facts.add(What.RESUMED, self.name, "")
            self.resumed_at = self._driver.now
            self.paused_ticks += self._driver.now - self.paused_at
            self.paused_at = None
            self._driver.resume(self.loop)


_contexts: dict[Loop, StageContext] = {}


@contextmanager
def watched() -> Iterator[None]:
    """Let the checker see what the stages of each process share."""
    original = pipeline.context_of

    def watched_context_of(plan: Plan, ports: Ports, metrics: Metrics, health: Health) -> StageContext:
        context = original(plan, ports, metrics, health)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        _contexts[loop] = context
        return context

    pipeline.context_of = watched_context_of
    try:
        yield
    finally:
        pipeline.context_of = original
        _contexts.clear()


def plan_of(settings: StorySettings) -> Plan:
    """The pipeline's plan."""
    return Plan(
        receive=ReceiveRules(
            most=settings.receivers, batch=settings.batch, wait=settings.wait, poll_interval=settings.poll_interval
        ),
        upload=UploadRules(
            key_prefix="emails",
            quarantine_prefix="quarantine",
            quarantine=settings.quarantine,
            version=VERSION,
            key_time=settings.key_time,
            blame=BLAME,
        ),
        store=StoreRules(most=settings.uploads, probe=PROBE),
        leases=LeaseRules(visibility_timeout=settings.visibility_timeout),
        delete=DeleteRules(most_in_flight=settings.deletes, linger=settings.delete_linger),
        depth=DepthRules(interval=settings.depth_interval),
        budget=Budget(max_messages=settings.in_flight_messages, max_bytes=settings.in_flight_bytes),
        timeouts=Timeouts(queue=settings.queue_timeout, store=settings.upload_timeout),
        grace=settings.grace,
    )
