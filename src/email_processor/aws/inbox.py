"""The queue, through the SDK's client or what stands in for it."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from email_processor.aws.answers import batch_of, messages_of, state_of
from email_processor.aws.faults import Refusal, explain_refusal, queue_fault
from email_processor.aws.signed import SignedSqs
from email_processor.domain.errors import QueueFaultError
from email_processor.domain.message import FIFO, MESSAGE_MAX_BYTES, KeyTime, Message
from email_processor.ports import Admission, QueueState, Verdict

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

log = logging.getLogger(__name__)

STATE = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "RedrivePolicy",
)
UNDATED_FIX: Mapping[KeyTime, str] = {  # by the setting: what a message lacks, and what follows
    "first_receive": "This queue tells neither when a message was sent nor when it was first received. So the clock "
    "stands in the key, and a redelivery gets a second object. Use a queue server that reports SentTimestamp.",
    "sent": "This queue does not tell when a message was sent, which S3_KEY_TIME=sent asks for. So the time of the "
    "first receive stands in the key, or the clock if that is not told either, and a redelivery can get a second "
    "object. Use a queue server that reports SentTimestamp.",
}


class SqsInbox:
    """An SQS queue as `Inbox` and `QueueGauge`."""

    def __init__(
        self, client: "SQSClient | SignedSqs", queue_url: str, visibility_timeout: int, key_time: KeyTime
    ) -> None:
        """Messages that are received stay hidden for `visibility_timeout` seconds; their keys need the `key_time`."""
        self._client = client
        self._queue_url = queue_url
        self._visibility_timeout = visibility_timeout
        self._is_fifo = queue_url.endswith(FIFO)
        self._unanswered: list[str] = []
        self._key_time = key_time
        self._has_told_undated = False

    async def receive(self, limit: int, wait: int, admit: Admission | None = None) -> Sequence[Message]:
        """Take up to `limit` messages, waiting up to `wait` seconds for the first, once `admit` lets a large answer in.

        The SDK's client reads whatever comes: so there `admit` is asked before the request, for the most there can be.
        """
        request: dict[str, Any] = {
            "QueueUrl": self._queue_url,
            "MaxNumberOfMessages": limit,
            "WaitTimeSeconds": wait,
            "VisibilityTimeout": self._visibility_timeout,
            "MessageSystemAttributeNames": ["All"],
            "AttributeNames": ["All"],  # the older name of the same: some servers know only this one
            "MessageAttributeNames": ["All"],
        }
        attempt = ""
        if self._is_fifo:
            # A FIFO receive whose answer was lost locks its groups; asked again under the same id, SQS repeats it.
            attempt = self._unanswered.pop() if self._unanswered else str(uuid.uuid4())
            request["ReceiveRequestAttemptId"] = attempt
        is_answered = False
        try:
            if isinstance(self._client, SignedSqs):
                request["admit"] = admit
            elif admit is not None:
                await admit(limit * MESSAGE_MAX_BYTES)
            messages = messages_of(await self._client.receive_message(**request))
            is_answered = True
        except Exception as error:
            raise self._fault("ReceiveMessage", error) from error
        finally:
            if attempt and not is_answered:  # cancelled, too: that is how a deadline arrives
                self._unanswered.append(attempt)
        if not (self._has_told_undated or all(message.is_dated(self._key_time) for message in messages)):
            self._has_told_undated = True
            log.warning("no_message_times", extra={"queue": self._queue_url, "fix": UNDATED_FIX[self._key_time]})
        return messages

    async def delete(self, receipt_handles: Sequence[str]) -> Sequence[Verdict]:
        """Delete a batch."""
        entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(receipt_handles)]
        try:
            answer = await self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)  # type: ignore[arg-type]
            return self._verdicts("DeleteMessageBatch", answer, len(entries))
        except QueueFaultError:
            raise
        except Exception as error:
            raise self._fault("DeleteMessageBatch", error) from error

    async def change_visibility(self, receipt_handles: Sequence[str], seconds: int) -> Sequence[Verdict]:
        """Hide a batch for `seconds` from now."""
        entries = [
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for index, handle in enumerate(receipt_handles)
        ]
        try:
            answer = await self._client.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)  # type: ignore[arg-type]
            return self._verdicts("ChangeMessageVisibilityBatch", answer, len(entries))
        except QueueFaultError:
            raise
        except Exception as error:
            raise self._fault("ChangeMessageVisibilityBatch", error) from error

    async def state(self) -> QueueState:
        """Read the queue's figures."""
        try:
            answer = await self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=list(STATE))  # type: ignore[arg-type]
            return state_of(answer)
        except Exception as error:
            raise self._fault("GetQueueAttributes", error) from error

    def _verdicts(self, operation: str, answer: object, count: int) -> Sequence[Verdict]:
        batch = batch_of(answer, count)
        if len(batch.refusals) == count:  # not one entry went through: it is the queue, and it may need a person
            code, message = batch.refusals[0]
            cause, detail, fix = explain_refusal(Refusal((code,), None, message))
            raise QueueFaultError(cause, f"{operation} {self._queue_url}: {detail}", fix=fix, code=code)
        return batch.verdicts

    def _fault(self, operation: str, error: Exception) -> QueueFaultError:
        """What a call raised, in our terms: errors of botocore and the network, and whatever a broken answer brings."""
        return queue_fault(f"{operation} {self._queue_url}", error)
