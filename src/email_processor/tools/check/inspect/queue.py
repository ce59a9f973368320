"""The queue: is it there, how is it set up, what may we do with it."""

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from email_processor.aws.answers import state_of
from email_processor.aws.connect import QueueOptions, queue_client
from email_processor.aws.inbox import SqsInbox
from email_processor.domain.errors import Cause
from email_processor.domain.message import KeyTime, Message
from email_processor.tools.check.inspect.asking import (
    WITHOUT_WRITE,
    Answer,
    Asker,
    Failure,
    Opened,
    Tap,
    Unasked,
    config,
    is_aws,
    unsigned,
)

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

NO_HANDLE = "email-processor-check"  # no queue ever gives out such a receipt handle
TOO_MANY = 11  # messages in one receive: SQS answers with an error, and never with messages
RECEIVES_TO_SPARE = 3  # maxReceiveCount from which on one receive more does no harm


@dataclass(frozen=True, slots=True)
class RedrivePolicy:
    """After how many receives the queue moves a message, and to which queue (its ARN)."""

    limit: int
    target: str


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What was learnt of the queue.

    `endpoint` is where its requests go, and `unreachable` why they get no answer, signed or not. `receive` is how many
    messages came, and `is_dated` whether messages tell the time that their keys need. `skew` is how far this host's
    clock is ahead of SQS's, in seconds.
    """

    endpoint: str
    unreachable: Failure | None
    attributes: Answer[Mapping[str, str]]
    delete: Answer[bool]
    change_visibility: Answer[bool]
    receive: Answer[int]
    is_dated: bool | Unasked
    skew: float | None = None

    @property
    def answers(self) -> Sequence[Answer[object]]:
        """All answers to signed requests."""
        return self.attributes, self.delete, self.change_visibility, self.receive


async def inspect_queue(ask: Asker, opened: Opened, plan: QueueOptions, *, signed: bool, write: bool) -> QueueFacts:
    """Look at the queue; `signed` says that there are credentials, `write` that a receive may be made."""
    url = plan.url
    async with queue_client(opened.session, url, plan.region, config()) as client:
        endpoint, tap = client.meta.endpoint_url, Tap(client)
        answered = await ask(_any_answer(client, url))
        if isinstance(answered, Failure):
            return _nothing(endpoint, answered, "an answer of SQS", tap.skew)
        if not signed:
            return _nothing(endpoint, None, "credentials", tap.skew)
        inbox = opened.ports.inbox
        async with asyncio.TaskGroup() as tasks:
            attributes = tasks.create_task(ask(_attributes(client, url)))
            delete = tasks.create_task(ask(_is_allowed(inbox.delete([NO_HANDLE]))))
            change = tasks.create_task(ask(_is_allowed(inbox.change_visibility([NO_HANDLE], 0))))
        messages = await _receive(ask, client, inbox, url, attributes.result(), write=write)
    return QueueFacts(
        endpoint=endpoint,
        unreachable=None,
        attributes=attributes.result(),
        delete=delete.result(),
        change_visibility=change.result(),
        receive=messages if isinstance(messages, Failure | Unasked) else len(messages),
        is_dated=_is_dated(messages, plan.key_time, endpoint),
        skew=tap.skew,
    )


def _nothing(endpoint: str, unreachable: Failure | None, needs: str, skew: float | None) -> QueueFacts:
    no = Unasked(needs)
    return QueueFacts(endpoint, unreachable, no, no, no, no, no, skew)


async def _any_answer(client: "SQSClient", url: str) -> bool:
    """Whoever we are; a refusal is an answer."""
    with suppress(ClientError), unsigned(client, "sqs.GetQueueAttributes"):
        await client.get_queue_attributes(QueueUrl=url)
    return True


async def _attributes(client: "SQSClient", url: str) -> Mapping[str, str]:
    answer = await client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    state_of(answer)  # a 200 that does not say how deep the queue is comes from something else than a queue
    return answer.get("Attributes", {})  # type: ignore[return-value]


async def _is_allowed(probe: Awaitable[object]) -> bool:
    """SQS looks at permissions before it looks at receipt handles: any verdict on one shows that it is allowed."""
    await probe
    return True


async def _receive(
    ask: Asker, client: "SQSClient", inbox: SqsInbox, url: str, attributes: Mapping[str, str] | Failure, *, write: bool
) -> Answer[Sequence[Message]]:
    """Receive one message at the most, and only if `write` allows it: a receive counts for the dead-letter policy.

    The inbox was opened with a visibility timeout of 0: the message is never hidden, whoever asks next can have it.
    """
    why_not = _why_not_receive(attributes) if write else WITHOUT_WRITE
    if why_not is None:
        return await ask(inbox.receive(1, 0))
    return await may_receive(ask, client, url, why_not) if is_aws(client.meta.endpoint_url) else why_not


def _why_not_receive(attributes: Mapping[str, str] | Failure) -> Unasked | None:
    """What is wanting for a receive that does no harm; None if nothing is."""
    if isinstance(attributes, Failure):
        return Unasked("sqs:GetQueueAttributes, to know that a receive does no harm")
    redrive = redrive_of(attributes)
    waiting = attributes.get("ApproximateNumberOfMessages", "0") != "0"
    if waiting and redrive is not None and redrive.limit < RECEIVES_TO_SPARE:
        return Unasked(f"an empty queue: with a maxReceiveCount of {redrive.limit} a receive more would do harm")
    return None


def _is_dated(messages: Answer[Sequence[Message]], key_time: KeyTime, endpoint: str) -> bool | Unasked:
    if not isinstance(messages, Failure | Unasked) and messages:
        return all(message.is_dated(key_time) for message in messages)
    return True if is_aws(endpoint) else Unasked("--write and a message that waits")  # AWS documents both times


async def may_receive(ask: Asker, client: "SQSClient", url: str, otherwise: Unasked) -> Failure | Unasked:
    """Ask AWS for more messages than it ever gives: a denial is an answer, the error about the number is none.

    Without a denial it is as before: `otherwise`, which says why no message is received in earnest.
    For AWS only: an emulator may be generous and hand messages out.
    """
    answer = await ask(client.receive_message(QueueUrl=url, MaxNumberOfMessages=TOO_MANY))
    if isinstance(answer, Failure) and answer.cause is Cause.DENIED:
        return answer
    return otherwise


def redrive_of(attributes: Mapping[str, str]) -> RedrivePolicy | None:
    """The queue's redrive policy; None if it has none that can be read."""
    try:
        policy = json.loads(attributes.get("RedrivePolicy") or "{}")
        return RedrivePolicy(int(policy["maxReceiveCount"]), str(policy["deadLetterTargetArn"]))
    except (KeyError, TypeError, ValueError):
        return None
