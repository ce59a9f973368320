"""Putting messages on the queue, ten at a time, until SQS has taken every one of them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError

from email_processor.aws.connect import client_config, open_session
from email_processor.aws.faults import cause_of, explain, fix_for
from email_processor.domain.errors import Cause, QueueFaultError, StartError
from email_processor.domain.message import Attribute
from email_processor.ports import BATCH

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

BATCH_MAX_BYTES = 1024 * 1024  # SQS's limit on the messages of one request together, since August 2025
IN_FLIGHT = 8  # requests
TIMEOUT_SECONDS = 10.0  # for one answer
REQUEST_TRIES = 4  # the SDK's own, with backoff: about ten seconds without a network until it gives up
ENTRY_TRIES = 7
BACKOFF_SECONDS = 0.1
GROUPS = 16  # of a FIFO queue: that many messages can be in hand side by side


class Letter(Protocol):
    """A message to send."""

    @property
    def body(self) -> str:
        """At most 1 MiB, attributes included."""
        ...

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """User message attributes, at most ten."""
        ...


L = TypeVar("L", bound=Letter)


@dataclass(frozen=True, slots=True)
class Entry(Generic[L]):
    """A letter and its place among all that are sent."""

    letter: L
    number: int

    @property
    def size(self) -> int:
        """Bytes, as SQS counts them."""
        return len(self.letter.body.encode()) + sum(
            len(name.encode()) + len(it.data_type.encode()) + len(_bytes(it.value))
            for name, it in self.letter.attributes.items()
        )


class Sender:
    """Sends letters to one queue, FIFO or not."""

    def __init__(self, client: "SQSClient", queue_url: str, run_id: str) -> None:
        """`run_id` makes this run's deduplication ids its own: the same letters can be sent again in another run."""
        self._client = client
        self._queue_url = queue_url
        self._run_id = run_id
        self._is_fifo = queue_url.endswith(".fifo")

    async def send(self, letters: Iterable[L], sent: Callable[[L, str], None]) -> None:
        """Send all letters, several batches in flight; `sent` hears of each, with its message id, once SQS has it.

        A request whose answer was lost is made again, so a queue that is not FIFO may get some letters twice.

        Raises:
            QueueFaultError: SQS refuses them, or keeps failing. What `sent` has heard of stays sent.
        """
        rest = batches(letters)

        async def work() -> None:
            for batch in rest:  # one iterator for all workers: each takes the next batch that nobody has
                await self._deliver(batch, sent)

        fault: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for index in range(IN_FLIGHT):
                    tasks.create_task(work(), name=f"sender-{index}")
        except* QueueFaultError as faults:
            fault = faults.exceptions[0]
        if fault is not None:
            raise fault

    async def _deliver(self, batch: Sequence[Entry[L]], sent: Callable[[L, str], None]) -> None:
        refusal: tuple[Cause, str] = (Cause.SERVER, "an answer that does not mention all entries")
        for attempt in range(ENTRY_TRIES):
            if attempt:
                await asyncio.sleep(random.uniform(0.1, 1) * BACKOFF_SECONDS * 2**attempt)  # noqa: S311 - nothing secret
            answer = await self._request(batch)
            for success in answer.get("Successful", ()):
                sent(batch[int(success["Id"])].letter, success["MessageId"])
            done = {int(success["Id"]) for success in answer.get("Successful", ())}
            batch = [entry for index, entry in enumerate(batch) if index not in done]
            if not batch:
                return
            for failure in answer.get("Failed", ()):
                code, message = str(failure.get("Code", "")), str(failure.get("Message", ""))
                refusal = cause_of((code,), None, message), f"{code}: {message}"
                if failure.get("SenderFault") and refusal[0] is not Cause.THROTTLED:
                    raise self._fault(*refusal)  # the letter itself, or our permissions: another try changes nothing
        raise self._fault(*refusal)

    async def _request(self, batch: Sequence[Entry[L]]) -> Any:  # noqa: ANN401 - the answer, as botocore parsed it
        entries = [self._wire(entry) | {"Id": str(index)} for index, entry in enumerate(batch)]
        try:
            return await self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception as error:
            cause, detail, fix = explain(error)
            raise self._fault(cause, detail, fix) from error

    def _wire(self, entry: Entry[L]) -> Any:  # noqa: ANN401 - a request's entry, as botocore takes it
        wire: dict[str, object] = {"MessageBody": entry.letter.body}
        if entry.letter.attributes:
            wire["MessageAttributes"] = {name: _attribute(it) for name, it in entry.letter.attributes.items()}
        if self._is_fifo:
            wire["MessageGroupId"] = f"sample-{entry.number % GROUPS}"
            wire["MessageDeduplicationId"] = f"{self._run_id}-{entry.number}"
        return wire

    def _fault(self, cause: Cause, detail: str, fix: str | None = None) -> QueueFaultError:
        # the usual fixes speak of the bucket as well, which is none of a sender's business
        if cause is Cause.DENIED:
            fix = "Allow sqs:SendMessage on the queue (and kms:GenerateDataKey, kms:Decrypt on its key if it has one)."
        elif cause is Cause.MISSING:
            fix = "Create it, or correct SQS_QUEUE_URL and AWS_REGION."
        elif fix is None:
            fix = fix_for(cause)
        return QueueFaultError(cause, f"SendMessageBatch {self._queue_url}: {detail}", fix=fix)


@asynccontextmanager
async def open_sender(region: str, queue_url: str, user_agent: str, run_id: str) -> AsyncIterator[Sender]:
    """A sender with credentials and endpoints from where every AWS SDK looks for them.

    Raises:
        StartError: the AWS configuration itself is wrong (an unknown profile, a CA bundle that is not there).
    """
    config = client_config(user_agent, timeout=TIMEOUT_SECONDS, connections=IN_FLIGHT).merge(
        AioConfig(retries={"total_max_attempts": REQUEST_TRIES, "mode": "standard"})
    )
    async with AsyncExitStack() as stack:
        try:
            session, _ = open_session(region)
            client = await stack.enter_async_context(session.client("sqs", config=config))
        except (BotoCoreError, OSError, ValueError) as error:
            raise StartError(
                f"The AWS configuration cannot be used: {error}.",
                fix="Correct the AWS_* variables or the AWS config file that the message is about.",
            ) from error
        yield Sender(client, queue_url, run_id)


def batches(letters: Iterable[L]) -> Iterator[list[Entry[L]]]:
    """Split letters into requests, in order, each within SQS's limits of ten messages and 1 MiB."""
    batch: list[Entry[L]] = []
    room = BATCH_MAX_BYTES
    for number, letter in enumerate(letters):
        entry = Entry(letter, number)
        size = entry.size
        if batch and (len(batch) == BATCH or size > room):
            yield batch
            batch, room = [], BATCH_MAX_BYTES
        batch.append(entry)
        room -= size
    if batch:
        yield batch


def _attribute(attribute: Attribute) -> dict[str, object]:
    name = "BinaryValue" if isinstance(attribute.value, bytes) else "StringValue"
    return {"DataType": attribute.data_type, name: attribute.value}


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
