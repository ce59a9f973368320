"""The queue, through aioboto3's client or what stands in for it."""

import json
import uuid
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from email_processor.aws.faults import HANDLE_GONE, cause_of, explain, fix_for
from email_processor.domain.errors import QueueFaultError
from email_processor.domain.message import Attribute, Message
from email_processor.ports import QueueState, Verdict

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

    from email_processor.aws.signed import SignedSqs

_STATE = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "RedrivePolicy",
)


class SqsInbox:
    """An SQS queue as `Inbox` and `QueueGauge`."""

    def __init__(self, client: "SQSClient | SignedSqs", queue_url: str, visibility_timeout: int) -> None:
        """Messages that are received stay hidden for `visibility_timeout` seconds."""
        self._client = client
        self._queue_url = queue_url
        self._visibility_timeout = visibility_timeout
        self._is_fifo = queue_url.endswith(".fifo")
        self._unanswered: list[str] = []

    async def receive(self, limit: int, wait: int) -> Sequence[Message]:
        """Take up to `limit` messages, waiting up to `wait` seconds for the first."""
        request: dict[str, Any] = {
            "QueueUrl": self._queue_url,
            "MaxNumberOfMessages": limit,
            "WaitTimeSeconds": wait,
            "VisibilityTimeout": self._visibility_timeout,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        attempt = ""
        if self._is_fifo:
            # A FIFO receive whose answer was lost locks its groups; asked again under the same id, SQS repeats it.
            attempt = self._unanswered.pop() if self._unanswered else str(uuid.uuid4())
            request["ReceiveRequestAttemptId"] = attempt
        try:
            answer = await self._client.receive_message(**request)
            return [_message(entry) for entry in answer.get("Messages", ())]
        except Exception as error:
            if attempt:
                self._unanswered.append(attempt)
            raise self._fault("ReceiveMessage", error) from error

    async def delete(self, receipt_handles: Sequence[str]) -> Sequence[Verdict]:
        """Delete a batch."""
        entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(receipt_handles)]
        try:
            answer = await self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)  # type: ignore[arg-type]
            return self._verdicts("DeleteMessageBatch", len(entries), answer)
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
            return self._verdicts("ChangeMessageVisibilityBatch", len(entries), answer)
        except QueueFaultError:
            raise
        except Exception as error:
            raise self._fault("ChangeMessageVisibilityBatch", error) from error

    async def state(self) -> QueueState:
        """Read the queue's figures."""
        try:
            answer = await self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=list(_STATE))  # type: ignore[arg-type]
            attributes: Mapping[str, str] = answer.get("Attributes", {})  # type: ignore[assignment]
            visible, in_flight, delayed = (int(attributes.get(name, 0)) for name in _STATE[:3])
            policy = json.loads(attributes.get("RedrivePolicy") or "{}")
            limit = policy.get("maxReceiveCount")
            return QueueState(visible, in_flight, delayed, None if limit is None else int(limit))
        except Exception as error:
            raise self._fault("GetQueueAttributes", error) from error

    def _verdicts(self, operation: str, count: int, answer: Any) -> Sequence[Verdict]:  # noqa: ANN401 - either batch answer
        """One verdict for each entry; an entry that the answer does not mention (a cut answer) is not done."""
        verdicts = {str(index): Verdict.FAILED for index in range(count)}
        for entry in answer.get("Successful", ()):
            verdicts[entry["Id"]] = Verdict.DONE
        refusals: list[tuple[str, str]] = []
        for entry in answer.get("Failed", ()):
            code = str(entry.get("Code", ""))
            if code in HANDLE_GONE:
                verdicts[entry["Id"]] = Verdict.GONE
            else:
                refusals.append((code, str(entry.get("Message", ""))))
        if len(refusals) == count:  # not one entry went through: it is the queue, and it may need a person
            code, message = refusals[0]
            cause = cause_of((code,), None, message)
            raise QueueFaultError(cause, f"{operation} {self._queue_url}: {code}: {message}", fix=fix_for(cause))
        return [verdicts[str(index)] for index in range(count)]

    def _fault(self, operation: str, error: Exception) -> QueueFaultError:
        """What a call raised, in our terms: errors of botocore and the network, and whatever a broken answer brings."""
        cause, detail, fix = explain(error)
        return QueueFaultError(cause, f"{operation} {self._queue_url}: {detail}", fix=fix)


def _message(entry: Any) -> Message:  # noqa: ANN401 - a message of the answer, as botocore parsed it
    return Message(
        message_id=entry["MessageId"],
        receipt_handle=entry["ReceiptHandle"],
        body=entry.get("Body", "").encode("utf-8", "surrogatepass"),
        md5_of_body=entry.get("MD5OfBody"),
        attributes=entry.get("Attributes", {}),
        message_attributes={name: _attribute(value) for name, value in entry.get("MessageAttributes", {}).items()},
    )


def _attribute(value: Any) -> Attribute:  # noqa: ANN401 - as above
    data_type = value.get("DataType", "String")
    binary = value.get("BinaryValue")
    if binary is not None:  # decoded by the SDK, as it was sent by ourselves
        return Attribute(data_type, b64decode(binary) if isinstance(binary, str) else bytes(binary))
    return Attribute(data_type, value.get("StringValue", ""))
