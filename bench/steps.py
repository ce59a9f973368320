"""What each step of an email costs by itself: `python -m bench.steps`.

CPU of this process for one email of 4 KiB, against the loopback server on the other core, best of five rounds. The
floor is a PUT that is signed and sent with nothing else around it.
"""

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import cast

import uvloop
from prometheus_client import CollectorRegistry

from bench.mail import Post, message_id
from bench.processes import START_SECONDS, Cores, isolated, serving
from bench.world import Scenario
from email_processor import __version__
from email_processor.aws.connect import Aws, connect
from email_processor.domain.document import email_document
from email_processor.domain.email import Email, Pointer, read
from email_processor.domain.key import object_key
from email_processor.domain.message import Message
from email_processor.metrics import Metrics
from email_processor.options import queue_options, store_options
from email_processor.pipeline.health import Health
from email_processor.pipeline.run import Ports, run
from email_processor.ports import Admission, Clock, Payload, QueueState, Stored, Verdict
from email_processor.service import ceilings_of, plan_of
from email_processor.settings import Settings

ROUNDS = 5
EMAILS = 4000  # a round
AT_ONCE = 32
BATCH = 10

Step = Callable[[], Awaitable[None]]


def message(number: int) -> Message:
    """An email as the queue hands it out."""
    now = str(int(time.time() * 1000))
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": now, "ApproximateFirstReceiveTimestamp": now}
    return Message(message_id(number), f"receipt-{number}", Post(4096).mail(number).body, attributes=attributes)


class AtOnce:
    """A queue and a bucket that answer at once, until so many emails are deleted."""

    def __init__(self, emails: Sequence[Message]) -> None:
        """Hold `emails` to be received, and be done when each is deleted."""
        self._emails = list(emails)
        self._left = len(emails)
        self.done = asyncio.Event()

    async def receive(self, limit: int, wait: int, admit: Admission | None = None) -> Sequence[Message]:  # noqa: ARG002 - a port
        """Hand out the next emails at once; with none left, wait as a long poll does."""
        if not self._emails:
            await asyncio.sleep(wait)
        batch = self._emails[-limit:]
        del self._emails[-limit:]
        return batch

    async def delete(self, receipt_handles: Sequence[str]) -> Sequence[Verdict]:
        """Count the entries as deleted."""
        self._left -= len(receipt_handles)
        if not self._left:
            self.done.set()
        return [Verdict.DONE] * len(receipt_handles)

    async def change_visibility(self, receipt_handles: Sequence[str], seconds: int) -> Sequence[Verdict]:  # noqa: ARG002 - a port
        """Say that every lease was renewed."""
        return [Verdict.DONE] * len(receipt_handles)

    async def state(self) -> QueueState:
        """Say that nothing waits on the queue."""
        return QueueState(0, 0, 0, None)

    async def put(self, key: str, document: bytes) -> Stored:  # noqa: ARG002 - a port
        """Stored, in the next turn of the loop."""
        await asyncio.sleep(0)
        return Stored.CREATED

    def opened(self, pointer: Pointer) -> contextlib.AbstractAsyncContextManager[Payload]:
        """Fail: no email of this benchmark is a pointer to another place."""
        raise AssertionError(pointer)


def prepared(one: Message) -> tuple[str, bytes]:
    """Key and document of an email."""
    email, moment = cast("Email", read(one.body)), one.moment("first_receive", 0)
    return object_key("emails", moment, email.sender, one.message_id), email_document(one, email, moment, __version__)


def steps(aws: Aws, settings: Settings) -> dict[str, Step]:
    """Every step, by what it is."""
    numbers = count()
    emails = [message(number) for number in range(EMAILS)]
    objects = [prepared(each) for each in emails]

    async def prepare() -> None:
        for each in emails:
            prepared(each)

    async def put() -> None:
        left = iter(objects)
        first = next(numbers)

        async def worker() -> None:
            for key, document in left:
                await aws.archive.put(f"{first}/{key}", document)

        await asyncio.gather(*[worker() for _ in range(AT_ONCE)])

    async def receive_and_delete() -> None:
        for _ in range(EMAILS // BATCH):
            received = await aws.inbox.receive(BATCH, 0)
            await aws.inbox.delete([each.receipt_handle for each in received])

    async def conduct() -> None:
        aws_at_once = AtOnce(emails)
        clock = Clock(monotonic=asyncio.get_running_loop().time, wall=time.time)
        ports = Ports(aws_at_once, aws_at_once, aws_at_once, aws_at_once, clock, random.Random(0).uniform)  # noqa: S311 - it spreads retries
        metrics = Metrics(CollectorRegistry(), __version__)
        await run(
            plan_of(settings, ceilings_of(settings)), ports, metrics, Health(clock, patience=60), aws_at_once.done
        )

    return {
        "read it, make key and document": prepare,
        "the pipeline, with a queue and a bucket that answer at once; the line above is in it": conduct,
        "receive and delete, ten to a request": receive_and_delete,
        "sign and send a PUT: the floor": put,
    }


async def measure(settings: Settings) -> dict[str, float]:
    """CPU microseconds an email, by step."""
    best: dict[str, float] = {}
    async with connect(
        settings.aws_client, queue_options(settings), store_options(settings), settings.payload_max_bytes
    ) as aws:
        for _ in range(ROUNDS):
            for name, step in steps(aws, settings).items():
                before = time.process_time()
                await step()
                best[name] = min(best.get(name, float("inf")), (time.process_time() - before) / EMAILS * 1e6)
    return best


def main() -> int:
    """Measure every step, and print what each takes and what they take together."""
    cores = Cores.of_this_machine()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        log = stack.enter_context((Path(name) / "server.log").open("wb"))
        server = stack.enter_context(serving(Scenario(), [], log, cores.server))
        base = f"http://127.0.0.1:{server.hear('port', START_SECONDS)}"
        queue = {"AWS_ENDPOINT_URL": base, "SQS_QUEUE_URL": f"{base}/123456789012/emails"}
        os.environ.update(isolated(Path(name)) | queue)
        if cores.subject is not None:
            os.sched_setaffinity(0, {cores.subject})
        found = uvloop.run(measure(Settings()))
    whole = sum(list(found.values())[1:])
    for what, cost in [*found.items(), ("the last three together", whole)]:
        sys.stdout.write(f"{cost:6.1f} us  {what}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
