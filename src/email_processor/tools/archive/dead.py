"""`dead ls` and `archive`: what is on the dead-letter queue, and into the archive with it.

What is archived goes through the service's own pipeline, on another queue: a message that SQS moved there keeps its id,
so it is stored under it, exactly once, and deleted when it is durable. Nothing is redriven, for a redriven message gets
a new id, and so a second object if it had been archived before.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from email_processor import __version__
from email_processor.aws.answers import messages_of
from email_processor.aws.connect import client_config, connect
from email_processor.aws.faults import explain
from email_processor.domain.email import read
from email_processor.domain.errors import QueueFaultError, UnarchivableError
from email_processor.exit_codes import EXIT_FAILED
from email_processor.metrics import Metrics
from email_processor.pipeline.health import Health
from email_processor.pipeline.run import Plan, run
from email_processor.pipeline.waiting import pause
from email_processor.ports import BATCH, Clock, QueueGauge
from email_processor.service import ceilings_of, plan_of, ports_of, queue_options, store_options
from email_processor.settings import Settings, queue_region
from email_processor.signals import stop_on_signal
from email_processor.tools.archive.output import emit, say
from email_processor.tools.archive.reader import NEEDED
from email_processor.tools.archive.text import one_line
from email_processor.tools.command import WrongUseError, open_queue_client, run_command

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

LOOK_SECONDS = 10.0  # for one answer
WAIT_SECONDS = 1  # of a long poll
QUIET_SECONDS = 5.0  # without a message, after which the queue is taken to be empty: its own counts lag behind
NEEDED_FOR_QUEUE = ("SQS_QUEUE_URL", "SQS_REGION", "AWS_REGION")


def ls(queue_url: str | None) -> int:
    """Print what the dead-letter queue says of itself, and what would become of a few messages; the exit code."""

    async def work(settings: Settings) -> None:
        config = client_config(f"email-processor/{__version__}", timeout=LOOK_SECONDS)
        if queue_url is not None:
            settings = settings.model_copy(update={"sqs_queue_url": queue_url})
        async with open_queue_client(settings.sqs_queue_url, queue_region(settings), config) as client:
            url = queue_url or await dead_letter_queue(client, settings.sqs_queue_url)
            facts = await _attributes(client, url)
            lines = [
                f"Queue:     {url}",
                f"Visible:   {facts['ApproximateNumberOfMessages']}",
                f"In flight: {facts['ApproximateNumberOfMessagesNotVisible']}",
                f"Kept for:  {int(facts.get('MessageRetentionPeriod', 0)) / 86_400:g} days from when they were sent",
            ]
            if facts.get("RedrivePolicy"):
                lines.append(
                    "It has a redrive policy of its own, which counts receives: its messages are not looked at."
                )
            else:
                verdicts = await _verdicts(client, url)
                lines += [f"  {count:>3} of {verdicts.total()} looked at: {what}" for what, count in verdicts.items()]
        emit("\n".join([*lines, ""]).encode())

    return run_command(work, needed=NEEDED_FOR_QUEUE if queue_url is None else ("SQS_REGION", "AWS_REGION"))


async def dead_letter_queue(client: "SQSClient", queue_url: str) -> str:
    """The URL of a queue's dead-letter queue.

    Raises:
        WrongUseError: it has none.
        QueueFaultError: SQS does not say.
    """
    policy = (await _attributes(client, queue_url)).get("RedrivePolicy")
    if not policy:
        raise WrongUseError(f"{queue_url} has no dead-letter queue.", fix="Name the queue with --queue-url.")
    _, _, _, _, account, name = json.loads(policy)["deadLetterTargetArn"].split(":")
    try:
        answer = await client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
    except Exception as error:
        cause, detail, _ = explain(error)
        fix = "Allow sqs:GetQueueUrl on it, or name it with --queue-url."
        raise QueueFaultError(cause, f"GetQueueUrl {name}: {detail}", fix=fix) from error
    return answer["QueueUrl"]


async def _attributes(client: "SQSClient", queue_url: str) -> Mapping[str, str]:
    try:
        answer: Any = await client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    except Exception as error:
        cause, detail, fix = explain(error)
        raise QueueFaultError(cause, f"GetQueueAttributes {queue_url}: {detail}", fix=fix) from error
    return dict(answer.get("Attributes", {}))


async def _verdicts(client: "SQSClient", queue_url: str) -> Counter[str]:
    """What would become of a few messages, which are visible again at once; nobody counts these receives."""
    try:
        answer: Any = await client.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=BATCH, VisibilityTimeout=0)
    except Exception as error:
        cause, detail, fix = explain(error)
        raise QueueFaultError(cause, f"ReceiveMessage {queue_url}: {detail}", fix=fix) from error
    return Counter(_verdict(message.body) for message in messages_of(answer))


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
        return await drain(settings.model_copy(update={"sqs_queue_url": url}))

    needed = {*NEEDED, "SQS_REGION", "AWS_REGION", *({"SQS_QUEUE_URL"} if queue_url is None else set())}
    return run_command(work, needed=needed)


async def drain(settings: Settings) -> int:
    """Run the pipeline on the queue of these settings until nothing is left on it; the exit code."""
    stop = asyncio.Event()
    clock = Clock(monotonic=asyncio.get_running_loop().time, wall=time.time)
    metrics = Metrics(CollectorRegistry(), __version__)
    plan = hurried(plan_of(settings, ceilings_of(settings)))
    with stop_on_signal(stop):
        async with (
            connect(
                settings.aws_client, queue_options(settings), store_options(settings), settings.payload_max_bytes
            ) as aws,
            asyncio.TaskGroup() as tasks,
        ):
            watching = tasks.create_task(stop_when_empty(aws.inbox, metrics, stop), name="watch")
            left = await run(plan, ports_of(settings, aws, clock), metrics, Health(clock, plan.patience), stop)
            watching.cancel()
    totals = ", ".join(f"{count:,} {name}" for name, count in metrics.totals().items() if count)
    say(f"{settings.sqs_queue_url}: {totals or 'nothing was there'}{f', {left:,} left in flight' if left else ''}.")
    return EXIT_FAILED if left else 0


def hurried(plan: Plan) -> Plan:
    """The service's plan for a queue that is to be emptied and then left."""
    return replace(plan, receive=replace(plan.receive, wait=WAIT_SECONDS, poll_interval=WAIT_SECONDS))


async def stop_when_empty(queue: QueueGauge, metrics: Metrics, stop: asyncio.Event) -> None:
    """Set `stop` when for a while nothing came, nothing is in flight here, and the queue says that none is visible."""
    received, quiet = -1.0, 0.0
    while not await pause(WAIT_SECONDS, stop):
        now = float(metrics.totals()["received"])
        is_quiet = now == received and not metrics.in_flight()
        received, quiet = now, quiet + WAIT_SECONDS if is_quiet else 0.0
        if quiet >= QUIET_SECONDS and await _is_empty(queue):
            stop.set()


async def _is_empty(queue: QueueGauge) -> bool:
    try:
        return not (await queue.state()).visible
    except QueueFaultError as fault:
        return fault.cause.needs_a_person  # we may not ask: that nothing came has to do
