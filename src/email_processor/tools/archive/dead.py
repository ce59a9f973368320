"""`dead ls` and `archive`: what is on the dead-letter queue, and into the archive with it.

What is archived goes through the service's own pipeline, on another queue: a message that SQS moved there keeps its id,
so it is stored under it, exactly once, and deleted when it is durable. Nothing is redriven, for a redriven message gets
a new id, and so a second object if it had been archived before.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry

from email_processor import __version__
from email_processor.aws.answers import attributes_of, messages_of
from email_processor.aws.connect import client_config
from email_processor.aws.faults import explain, queue_fault
from email_processor.domain.email import read
from email_processor.domain.errors import QueueFaultError, ServiceFaultError, UnarchivableError
from email_processor.domain.message import FIFO
from email_processor.exit_codes import EXIT_FAILED
from email_processor.metrics import Metrics
from email_processor.pipeline.health import Health, Part
from email_processor.pipeline.run import Plan, Ports, run
from email_processor.pipeline.waiting import pause
from email_processor.ports import BATCH, Clock, QueueGauge, QueueState
from email_processor.service import aws_of, ceilings_of, plan_of, ports_of
from email_processor.settings import Settings, queue_region, region_of
from email_processor.signals import stop_on_signal
from email_processor.tools.archive.output import emit
from email_processor.tools.archive.text import one_line, say
from email_processor.tools.command import WrongUseError, open_queue_client, queue_settings, run_command

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

LOOK_SECONDS = 10.0  # for one answer
WAIT_SECONDS = 1  # of a long poll
QUIET_SECONDS = 5.0  # without a message, after which the queue is asked whether it is empty: its counts lag behind
SETTLED_SECONDS = 60.0  # without a message, after which its counts are right, and a fault that could pass has not
UNTOLD = "not told"  # by a queue that is not AWS's


def ls(queue_url: str | None) -> int:
    """Print what the dead-letter queue says of itself, and what would become of a few messages; the exit code."""

    async def work(settings: Settings) -> None:
        config = client_config(f"email-processor/{__version__}", timeout=LOOK_SECONDS)
        if queue_url is not None:
            settings = on_queue(settings, queue_url)
        async with open_queue_client(settings.sqs_queue_url, queue_region(settings), config) as client:
            url = queue_url or await dead_letter_queue(client, settings.sqs_queue_url)
            facts = await _attributes(client, url)
            kept = facts.get("MessageRetentionPeriod", "")
            lines = [
                f"Queue:     {url}",
                f"Visible:   {facts.get('ApproximateNumberOfMessages', UNTOLD)}",
                f"In flight: {facts.get('ApproximateNumberOfMessagesNotVisible', UNTOLD)}",
                f"Kept for:  {f'{int(kept) / 86_400:g} days' if kept.isdecimal() else UNTOLD} from when they were sent",
            ]
            if facts.get("RedrivePolicy"):
                lines.append(
                    "It has a redrive policy of its own, which counts receives: its messages are not looked at."
                )
            else:
                found = await verdicts(client, url)
                lines += [f"  {count:>3} of {found.total()} looked at: {what}" for what, count in found.items()]
        emit("\n".join([*lines, ""]).encode())

    return run_command(work, reads=queue_settings, given=_given(queue_url), only_prints=True)


def _given(queue_url: str | None) -> Collection[str]:
    return () if queue_url is None else ("SQS_QUEUE_URL",)


async def dead_letter_queue(client: "SQSClient", queue_url: str) -> str:
    """The URL of a queue's dead-letter queue.

    Raises:
        WrongUseError: it has none.
        QueueFaultError: SQS does not say.
    """
    policy = (await _attributes(client, queue_url)).get("RedrivePolicy")
    if not policy:
        raise WrongUseError(f"{queue_url} has no dead-letter queue.", fix="Name the queue with --queue-url.")
    try:
        _, _, _, _, account, name = json.loads(policy)["deadLetterTargetArn"].split(":")
        return (await client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account))["QueueUrl"]
    except Exception as error:
        cause, detail, _ = explain(error)
        fix = "Allow sqs:GetQueueUrl on it, or name it with --queue-url."
        raise QueueFaultError(cause, f"GetQueueUrl of the dead-letter queue in {policy}: {detail}", fix=fix) from error


async def _attributes(client: "SQSClient", queue_url: str) -> Mapping[str, str]:
    try:
        answer: Any = await client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
        return attributes_of(answer)
    except Exception as error:
        raise queue_fault(f"GetQueueAttributes {queue_url}", error) from error


async def verdicts(client: "SQSClient", queue_url: str) -> Counter[str]:
    """What would become of a few messages, which are visible again at once; nobody counts these receives."""
    try:
        answer: Any = await client.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=BATCH, VisibilityTimeout=0)
        messages = messages_of(answer)
    except Exception as error:
        raise queue_fault(f"ReceiveMessage {queue_url}", error) from error
    return Counter(_verdict(message.body) for message in messages)


def _verdict(body: bytes) -> str:
    try:
        read(body)
    except UnarchivableError as error:
        return f"for the quarantine: {one_line(f'{error.reason}: {error.detail}')}"
    return "an email"


def archive(queue_url: str | None) -> int:
    """Archive what is on the dead-letter queue, until it is empty or a signal comes; the exit code."""

    async def work(settings: Settings) -> int:
        if queue_url is None:
            config = client_config(f"email-processor/{__version__}", timeout=LOOK_SECONDS)
            async with open_queue_client(settings.sqs_queue_url, queue_region(settings), config) as client:
                url = await dead_letter_queue(client, settings.sqs_queue_url)
        else:
            url = queue_url
        return await drain(on_queue(settings, url))

    return run_command(work, reads=pipeline_settings, given=_given(queue_url))


def pipeline_settings(settings: Settings) -> object:
    """Read those settings that the service's pipeline needs."""
    return queue_settings(settings), aws_of(settings), plan_of(settings, ceilings_of(settings))


def on_queue(settings: Settings, url: str) -> Settings:
    """The settings with another queue; the region that its URL names comes before the one that is set."""
    return settings.model_copy(update={"sqs_queue_url": url, "sqs_region": region_of(url) or settings.sqs_region})


class DrainEnd(NamedTuple):
    """How emptying the queue ended: with so many messages that are still on it, or at a fault."""

    remaining: int = 0
    fault: ServiceFaultError | None = None


async def drain(settings: Settings) -> int:
    """Run the pipeline on the queue of these settings until nothing is left on it; the exit code.

    Raises:
        ServiceFaultError: something that the pipeline needs fails, and does not mend itself.
    """
    stop = asyncio.Event()
    clock = Clock(monotonic=asyncio.get_running_loop().time, wall=time.time)
    metrics = Metrics(CollectorRegistry(), __version__)
    plan = hurried(plan_of(settings, ceilings_of(settings)))
    with stop_on_signal(stop):
        async with aws_of(settings) as aws:
            ports = ports_of(settings, aws, clock)
            is_fifo = settings.sqs_queue_url.endswith(FIFO)
            left, end = await drained(plan, ports, metrics, Health(clock, plan.patience), stop, is_fifo=is_fifo)
    return report(settings.sqs_queue_url, metrics.totals(), left, end)


async def drained(
    plan: Plan, ports: Ports, metrics: Metrics, health: Health, stop: asyncio.Event, *, is_fifo: bool
) -> tuple[int, DrainEnd]:
    """Run the pipeline until nothing is left to come; how many messages are still in flight, and how it ended."""
    queue = HeardQueue(ports.queue)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(stop_when_done(queue, metrics, health, stop, is_fifo=is_fifo), name="watch")
        left = await run(plan, replace(ports, queue=queue), metrics, health, stop)
    return left, watching.result()


def report(url: str, totals: Mapping[str, int], left: int, end: DrainEnd) -> int:
    """Say what became of all that was there; the exit code, which is 0 if nothing is left.

    Raises:
        ServiceFaultError: what has ended it.
    """
    counts = {**totals, "left in flight": left, "still on the queue": end.remaining}
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    say(f"{url}: {said or ('nothing was received' if end.fault else 'nothing was there')}.")
    if end.fault is not None:
        raise end.fault
    return 0 if is_emptied(totals, left, end) else EXIT_FAILED


def is_emptied(totals: Mapping[str, int], left: int, end: DrainEnd) -> bool:
    """Whether nothing was left to the queue, as far as it tells."""
    return not (left or end.remaining or totals["released"])


def hurried(plan: Plan) -> Plan:
    """The service's plan for a queue that is to be emptied and then left."""
    return replace(plan, receive=replace(plan.receive, wait=WAIT_SECONDS, poll_interval=WAIT_SECONDS))


class HeardQueue:
    """A queue that may be asked how many messages it has, or may not; it is remembered whoever asks."""

    def __init__(self, queue: QueueGauge) -> None:
        """It has said nothing yet."""
        self._queue = queue
        self.has_told = False

    async def state(self) -> QueueState:
        """What it says now.

        Raises:
            QueueFaultError: it does not.
        """
        state = await self._queue.state()
        self.has_told = True
        return state


async def stop_when_done(
    queue: HeardQueue, metrics: Metrics, health: Health, stop: asyncio.Event, *, is_fifo: bool
) -> DrainEnd:
    """Set `stop` when nothing is left to come, or nothing comes because something fails.

    Nothing is left if for a while nothing came, nothing is in flight here, and the queue says that it has none. One
    that has never said anything may not be asked: that nothing comes has to do.
    """
    received, still, quiet = -1, 0.0, 0.0  # how often, and for how many seconds nothing came, and was in flight either
    end: DrainEnd | None = None
    while end is None and not await pause(WAIT_SECONDS, stop):
        totals = metrics.totals()
        now = totals["received"]
        still = still + WAIT_SECONDS if now == received else 0.0
        quiet = quiet + WAIT_SECONDS if now == received and not metrics.in_flight() else 0.0
        received = now
        if still >= QUIET_SECONDS and (fault := _lasting_fault(health)) is not None:
            end = DrainEnd(fault=fault)
        elif quiet >= QUIET_SECONDS and health.is_well(Part.RECEIVING):  # mutant: done-at-last
            released = totals["released"] + totals["corrupt"] > 0
            try:
                state = await queue.state()
            except QueueFaultError as fault:
                if fault.cause.needs_a_person:
                    end = DrainEnd(fault=fault if queue.has_told else None)
                continue
            is_over = _is_over(state, released=released, settled=quiet >= SETTLED_SECONDS, is_fifo=is_fifo)
            if is_over:  # mutant: hidden-awaited
                end = DrainEnd(state.visible + max(0, state.in_flight - metrics.in_flight()))
    stop.set()
    return end or DrainEnd()


def _is_over(state: QueueState, *, released: bool, settled: bool, is_fifo: bool) -> bool:
    """Whether nothing more is to come of what the queue tells, after a while in which nothing came.

    What is hidden comes back after its visibility timeout. It is not waited for if it was `released` here, because it
    would be again, nor if it has not come until the counts are `settled`. What is visible comes, but for that of a FIFO
    group of which something was released: it waits behind that.
    """
    if released:
        return settled or is_fifo or not state.visible
    return settled or not (state.visible or state.in_flight)


def _lasting_fault(health: Health) -> ServiceFaultError | None:
    """A fault that waiting does not mend, or did not mend."""
    for fault, seconds in health.failing():
        if seconds >= (QUIET_SECONDS if fault.cause.needs_a_person else SETTLED_SECONDS):
            return fault
    return None
