"""Putting messages on the queue, ten at a time, until SQS has taken every one of them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from email_processor.aws.connect import client_config
from email_processor.aws.faults import cause_of, explain, fix_for
from email_processor.domain.errors import Cause, QueueFaultError
from email_processor.domain.message import FIFO, Attribute
from email_processor.ports import BATCH
from email_processor.tools.command import open_queue_client

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

BATCH_MAX_BYTES = 1024 * 1024  # SQS's limit on the messages of one request together, since August 2025
IN_FLIGHT = 8  # requests
TIMEOUT_SECONDS = 10.0  # for one answer
TRIES = 7  # of a request; the pauses between them add up to some seven seconds
BACKOFF_SECONDS = 0.1
GROUPS = 16  # of a FIFO queue: that many messages can be in flight side by side

# After these nobody knows whether SQS has taken the messages of a request.
UNCLEAR = frozenset({Cause.NETWORK, Cause.SERVER, Cause.TIMEOUT})


class Letter(Protocol):
    """A message as it is sent: a body, and attributes beside it."""

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
class BatchEntry(Generic[L]):
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


@dataclass(slots=True)
class Repeats:
    """How far the count of what was sent can be wrong.

    So many `requests` were repeated because nobody knew what had become of them: each of their `messages` may be on the
    queue more than once. The messages that are `unanswered` were in requests that were given up without an answer: they
    may be on the queue, and do not count as sent.
    """

    requests: int = 0
    messages: int = 0
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class _Tried(Generic[L]):
    """What came of one request: what is still to be sent, why, and which of it (by number) SQS may have taken."""

    rest: Sequence[BatchEntry[L]]
    unclear: frozenset[int]
    fault: QueueFaultError


class Sender:
    """Sends letters to one queue, FIFO or not. `repeats` tells what the queue may have taken twice."""

    def __init__(self, client: "SQSClient", queue_url: str, run_id: str) -> None:
        """`run_id` makes this run's deduplication ids its own: the same letters can be sent again in another run."""
        self._client = client
        self._queue_url = queue_url
        self._run_id = run_id
        self._is_fifo = queue_url.endswith(FIFO)
        self.repeats = Repeats()

    async def send(self, letters: Iterable[L], sent: Callable[[L, str], None]) -> None:
        """Send all letters, several batches in flight; `sent` hears of each, with its message id, once SQS has it.

        A request whose answer was lost is made again, so a standard queue may take some letters twice. A FIFO queue
        knows them by their deduplication ids.

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

    async def _deliver(self, batch: Sequence[BatchEntry[L]], sent: Callable[[L, str], None]) -> None:
        doubted: set[int] = set()
        tried = await self._try(batch, sent)
        for attempt in range(1, TRIES):
            if not tried.rest:
                return
            await asyncio.sleep(random.uniform(0.1, 1) * BACKOFF_SECONDS * 2**attempt)  # noqa: S311 - nothing secret
            self.repeats.unanswered -= len(tried.unclear)  # they are asked about again
            if tried.unclear and not self._is_fifo:  # which takes a message once, however often it is sent
                self.repeats.requests += 1
                self.repeats.messages += len(tried.unclear - doubted)
                doubted |= tried.unclear
            tried = await self._try(tried.rest, sent)
        if tried.rest:
            raise tried.fault

    async def _try(self, batch: Sequence[BatchEntry[L]], sent: Callable[[L, str], None]) -> _Tried[L]:
        """Make one request. Raises `QueueFaultError` where another one would change nothing."""
        entries = [self._as_request(entry) | {"Id": str(index)} for index, entry in enumerate(batch)]
        self.repeats.unanswered += len(batch)
        try:
            answer: Any = await self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception as error:
            cause, detail, fix = explain(error)
            fault = self._fault(cause, detail, fix)
            if cause in UNCLEAR:
                return _Tried(batch, frozenset(entry.number for entry in batch), fault)
            self.repeats.unanswered -= len(batch)
            if cause.needs_a_person:
                raise fault from error
            return _Tried(batch, frozenset(), fault)
        done = {int(success["Id"]): success["MessageId"] for success in answer.get("Successful", ())}
        for index, message_id in done.items():
            sent(batch[index].letter, message_id)
        refused = {int(failure["Id"]): failure for failure in answer.get("Failed", ())}
        unclear = frozenset(entry.number for index, entry in enumerate(batch) if index not in {*done, *refused})
        self.repeats.unanswered -= len(batch) - len(unclear)
        fault = self._fault(Cause.SERVER, "an answer that does not mention all entries")
        for failure in refused.values():
            code, message = str(failure.get("Code", "")), str(failure.get("Message", ""))
            fault = self._fault(cause_of((code,), None, message), f"{code}: {message}")
            if failure.get("SenderFault") and fault.cause is not Cause.THROTTLED:
                raise fault  # the letter itself, or our permissions: another try changes nothing
        return _Tried([entry for index, entry in enumerate(batch) if index not in done], unclear, fault)

    def _as_request(self, entry: BatchEntry[L]) -> Any:  # noqa: ANN401 - a request's entry, as botocore takes it
        fields: dict[str, object] = {"MessageBody": entry.letter.body}
        if entry.letter.attributes:
            fields["MessageAttributes"] = {name: _attribute(it) for name, it in entry.letter.attributes.items()}
        if self._is_fifo:
            fields["MessageGroupId"] = f"sample-{entry.number % GROUPS}"
            fields["MessageDeduplicationId"] = f"{self._run_id}-{entry.number}"
        return fields

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
    """A sender to a queue. Raises `StartError` if the AWS configuration cannot be used."""
    # One try a request: were the SDK to repeat them, nobody would know how often.
    config = client_config(user_agent, timeout=TIMEOUT_SECONDS, connections=IN_FLIGHT)
    async with open_queue_client(queue_url, region, config) as client:
        yield Sender(client, queue_url, run_id)


def batches(letters: Iterable[L]) -> Iterator[list[BatchEntry[L]]]:
    """Split letters into requests, in order, each within SQS's limits of ten messages and 1 MiB."""
    batch: list[BatchEntry[L]] = []
    room = BATCH_MAX_BYTES
    for number, letter in enumerate(letters):
        entry = BatchEntry(letter, number)
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
