"""The pipeline: its queues, its tasks, and the order in which it stops."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from email_processor.metrics import Metrics
from email_processor.pipeline.calls import Calls, Timeouts
from email_processor.pipeline.ceilings import MESSAGES_MOST, REREAD_SECONDS, Ceilings
from email_processor.pipeline.circuit import Circuit
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.deleter import Deleter, DeleteRules
from email_processor.pipeline.depth import DepthRules, measure
from email_processor.pipeline.fetching import Fetching, FetchRules
from email_processor.pipeline.health import Health
from email_processor.pipeline.jobs import Jobs
from email_processor.pipeline.leases import LeaseKeeper, LeaseRules
from email_processor.pipeline.ledger import Delivery, Ledger, State
from email_processor.pipeline.prober import Prober
from email_processor.pipeline.receipts import Receipts
from email_processor.pipeline.receiver import Receiver, ReceiveRules
from email_processor.pipeline.room import Budget, Room
from email_processor.pipeline.storing import StoreRules, Storing
from email_processor.pipeline.uploader import Uploader, UploadRules
from email_processor.pipeline.waiting import Backoff
from email_processor.ports import Archive, Clock, Inbox, Payloads, QueueGauge

log = logging.getLogger(__name__)

GIVING_BACK_SECONDS = 3.0  # at the end of the grace period, or a fifth of it
LAST_PROBE_SECONDS = 2.0
HELD_BACK_SECONDS = 30  # for which nobody else gets what has just failed, when it is given back


@dataclass(frozen=True, slots=True)
class Ports:
    """What the pipeline runs against: the ports, time, and chance (`uniform(low, high)` draws a number).

    `ceilings` tells those in force now, if they can change.
    """

    inbox: Inbox
    queue: QueueGauge
    archive: Archive
    payloads: Payloads
    clock: Clock
    uniform: Callable[[float, float], float]
    ceilings: Callable[[], Ceilings] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How the pipeline runs: the rules of every stage, and what the stages share. `grace` is in seconds."""

    receive: ReceiveRules
    upload: UploadRules
    store: StoreRules
    leases: LeaseRules
    delete: DeleteRules
    budget: Budget
    timeouts: Timeouts
    grace: float
    depth: DepthRules = field(default_factory=DepthRules)
    fetch: FetchRules = field(default_factory=FetchRules)

    @property
    def patience(self) -> float:
        """After how many seconds an operation is stuck, whatever it is: the longest timeout, twice."""
        return 2 * max(self.receive.wait + self.timeouts.queue, self.timeouts.store)


async def run(plan: Plan, ports: Ports, metrics: Metrics, health: Health, stop: asyncio.Event) -> int:
    """Receive, upload and delete until `stop`, then drain within the grace period.

    Returns how many messages were still in flight at the end: their leases run out and the queue hands them out again.
    """
    context = context_of(plan, ports, metrics, health)
    jobs = Jobs(MESSAGES_MOST, ports.clock, context.circuit)  # bounded by the room, which may become larger
    receipts = Receipts()

    leases = LeaseKeeper(context, ports.inbox, plan.leases)
    receiver = Receiver(context, ports.inbox, jobs, plan.receive)
    fetching = Fetching(context, ports.payloads, leases, jobs, plan.fetch)
    storing = Storing(context, ports.archive, plan.store)
    context.ledger.room.follow(lambda: storing.limit)
    uploader = Uploader(
        context,
        storing,
        fetching,
        jobs=jobs,
        receipts=receipts,
        rules=plan.upload,
    )
    prober = Prober(context.circuit, storing, uploader, jobs)
    deleter = Deleter(context, ports.inbox, leases, receipts, plan.delete)

    async with asyncio.TaskGroup() as tasks:
        deleting = tasks.create_task(deleter.delete(), name="deleter")
        renewing = tasks.create_task(leases.keep(), name="leases")
        uploading = [
            tasks.create_task(upload(uploader, storing), name="uploaders"),
            tasks.create_task(fetching.fetch(), name="fetcher"),
            tasks.create_task(jobs.recall(), name="retries"),
            tasks.create_task(prober.probe(), name="prober"),
        ]
        receiving = [tasks.create_task(receiver.receive(n), name=f"receiver-{n}") for n in range(plan.receive.most)]
        measuring = [tasks.create_task(measure(context, ports.queue, plan.depth), name="depth")]
        if ports.ceilings is not None:
            measuring.append(tasks.create_task(resize(ports.ceilings, context, storing), name="ceilings"))

        await stop.wait()
        health.drain()
        log.info(
            "stopping",
            extra={"in_flight": len(context.ledger), "receives": receiver.under_way, "grace_seconds": plan.grace},
        )
        deadline = asyncio.get_running_loop().time() + plan.grace

        # What is left of the grace period after this is for giving back what uploads did not get to. A long poll is
        # waited for: a queue hands out messages to a connection that we have closed, and they would come again only
        # after their visibility timeout, with a receive that was of no use. In an outage uploads get no more than a
        # last chance: what cannot be stored here is of more use to others.
        last = deadline - min(GIVING_BACK_SECONDS, plan.grace / 5)
        receiver.stop(last)  # mutant: long-poll-awaited
        fetching.drain()
        await end(receiving, receiver, context.circuit)  # mutant: receivers-awaited
        await by(last, either(uploader.join(), context.circuit.stays_open(LAST_PROBE_SECONDS)))
        await cancel(uploading)
        # mutant of the next line: given-back
        await by(deadline, give_back(leases, [it for it in context.ledger if it.state is not State.ARCHIVED]))
        await by(deadline, receipts.settled())
        await cancel([deleting])
        await cancel([renewing, *measuring])
    return len(context.ledger)


async def end(receiving: Sequence[asyncio.Task[None]], receiver: Receiver, circuit: Circuit) -> None:
    """Wait for the receives that are under way; for answers that wait for room not if S3 stays down: there is none."""

    async def ended() -> None:
        await asyncio.wait(receiving)

    await either(ended(), circuit.stays_open(LAST_PROBE_SECONDS))
    receiver.let_go()
    await ended()


async def give_back(leases: LeaseKeeper, deliveries: Sequence[Delivery]) -> None:
    """Give back what will not be stored here: at once, but what has failed only after a while.

    It is not to be the first that the next process meets an outage with: by then it will have looked at the store.
    """
    async with asyncio.TaskGroup() as tasks:
        for after in (0, HELD_BACK_SECONDS):
            some = [it for it in deliveries if (it.state is State.FAILED) == (after > 0)]
            tasks.create_task(leases.give_back(some, after), name="give back")


async def resize(read: Callable[[], Ceilings], context: StageContext, storing: Storing) -> None:
    """Look now and then, until cancelled, whether the container was resized."""
    before = read()
    while True:
        await asyncio.sleep(REREAD_SECONDS)  # noqa: TID251 - nothing else is waited for
        ceilings = read()
        if ceilings != before:
            log.info("resized", extra={"uploads_max": ceilings.uploads, "bytes_max": ceilings.budget.max_bytes})
            context.ledger.room.resize(ceilings.budget)
            storing.resize(ceilings.uploads)
            before = ceilings


async def upload(uploader: Uploader, storing: Storing) -> None:
    """Upload until cancelled, by as many workers as uploads are allowed at once.

    With more of them, each would take its job and then wait for its slot: two task switches an email, not one.
    """
    workers = at_work = 0  # a task that was made has its first turn behind all that is ready by then

    def made() -> int:
        return workers

    async def work() -> None:
        nonlocal workers, at_work
        at_work += 1
        try:
            await uploader.upload(lambda: workers <= storing.limit)
        finally:
            workers -= 1
            at_work -= 1

    storing.follow(lambda: at_work)
    async with asyncio.TaskGroup() as tasks:
        while True:
            while workers < storing.limit:
                tasks.create_task(work(), name=f"uploader-{workers}")
                workers += 1
            await storing.above(made)


def context_of(plan: Plan, ports: Ports, metrics: Metrics, health: Health) -> StageContext:
    """What the stages share."""

    def new_backoff() -> Backoff:
        return Backoff(ports.uniform)

    room = Room(plan.budget, plan.receive.batch)
    ledger = Ledger(ports.clock, metrics, room, visibility_timeout=plan.leases.visibility_timeout)
    calls = Calls(metrics, health, plan.timeouts)
    circuit = Circuit(ports.clock, metrics, health, new_backoff())
    return StageContext(ports.clock, metrics, health, calls, ledger, circuit, new_backoff)


async def either(one: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    """Do both until one of them is done."""
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(one), tasks.create_task(other)]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        await cancel(both)


async def by(deadline: float, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, but not beyond `deadline` (of the event loop's clock): what is left then is dealt with later."""
    try:
        async with asyncio.timeout_at(deadline):  # mutant: deadline-set
            await work
    except TimeoutError:
        log.debug("deadline_reached")


async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are gone."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
