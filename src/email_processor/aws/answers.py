"""What SQS answers, read by what must be there.

Servers that are nearly SQS answer a number for a string, null for a list, or something else altogether. An odd entry
costs that entry, an odd answer that answer; and what is not said is never taken for a yes.
"""

import json
import logging
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from email_processor.aws.faults import HANDLE_GONE
from email_processor.domain.message import Attribute, Message
from email_processor.ports import QueueState, Verdict

log = logging.getLogger(__name__)

ABOUT_THE_ANSWER = {"ResponseMetadata"}  # added by the SDK
SURROGATES = "surrogatepass"  # a body may hold half a surrogate pair, which no other encoding takes


class OddAnswerError(Exception):
    """The answer is not one of SQS."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """A verdict for each entry of a batch, in order, and the code and message of each entry that was refused."""

    verdicts: Sequence[Verdict]
    refusals: Sequence[tuple[str, str]]


def messages_of(answer: object) -> list[Message]:
    """The messages of a receive; an answer that says nothing at all is that of an empty queue.

    Raises:
        OddAnswerError: it says something else, or has no message that can be read.
    """
    members = _object(answer)
    if members.keys() - ABOUT_THE_ANSWER and "Messages" not in members:
        raise OddAnswerError(f"an answer without Messages: {', '.join(map(str, members))}")
    entries = _list(members, "Messages")
    messages = [message for message in map(_message, entries) if message is not None]
    if entries and not messages:
        raise OddAnswerError("messages without what a message must have")
    return messages


def keep_unknown_members(response_dict: Any, parsed_response: Any, **_: object) -> None:  # noqa: ANN401 - as botocore passes them on
    """Give the SDK's answer back what the SDK leaves out: what says something else must not pass for an empty answer.

    It is registered for `response-received`; None is passed on where there was no answer.
    """
    if response_dict is None or parsed_response is None or parsed_response.keys() - ABOUT_THE_ANSWER:
        return
    try:
        members = json.loads(response_dict["body"] or b"{}")
    except ValueError:
        members = None
    parsed_response.update(members if isinstance(members, dict) else {"no object": members})


def batch_of(answer: object, count: int) -> BatchAnswer:
    """What became of a batch of `count` entries; one that is not mentioned (a cut answer) is not done.

    Raises:
        OddAnswerError: it names none of them.
    """
    members = _object(answer)
    verdicts: dict[str, Verdict] = {}
    refusals = []
    names = {str(index) for index in range(count)}
    for entry in _list(members, "Successful"):
        verdicts[_id_of(entry)] = Verdict.DONE
    for entry in _list(members, "Failed"):
        name = _id_of(entry)
        if name not in names:
            continue
        code = _text(entry.get("Code")) or ""
        verdicts[name] = Verdict.GONE if code in HANDLE_GONE else Verdict.FAILED
        if code not in HANDLE_GONE:
            refusals.append((code, _text(entry.get("Message")) or ""))
    if names.isdisjoint(verdicts):
        raise OddAnswerError("an answer that names none of the entries")
    return BatchAnswer([verdicts.get(str(index), Verdict.FAILED) for index in range(count)], refusals)


def attributes_of(answer: object) -> Mapping[str, Any]:
    """The queue's attributes, as they are answered to who asks for the number of messages among others.

    Raises:
        OddAnswerError: it does not say how many messages there are.
    """
    attributes = _object(answer).get("Attributes")
    if not isinstance(attributes, Mapping) or _count(attributes, "ApproximateNumberOfMessages") is None:
        raise OddAnswerError("an answer without ApproximateNumberOfMessages")
    return attributes


def state_of(answer: object) -> QueueState:
    """The queue's figures, from its attributes."""
    attributes = attributes_of(answer)
    return QueueState(
        visible=_count(attributes, "ApproximateNumberOfMessages") or 0,
        in_flight=_count(attributes, "ApproximateNumberOfMessagesNotVisible") or 0,
        delayed=_count(attributes, "ApproximateNumberOfMessagesDelayed") or 0,
        max_receive_count=_count(_policy(attributes.get("RedrivePolicy")), "maxReceiveCount"),
    )


def _message(entry: Any) -> Message | None:  # noqa: ANN401 - whatever stands there
    """A message; None, and a warning, if it lacks what it must have."""
    try:
        return Message(
            message_id=_name(entry, "MessageId"),
            receipt_handle=_name(entry, "ReceiptHandle"),
            body=entry.get("Body", "").encode("utf-8", SURROGATES),
            md5_of_body=_text(entry.get("MD5OfBody")),
            attributes=_texts(entry.get("Attributes")),
            message_attributes={
                str(name): _attribute(value) for name, value in (entry.get("MessageAttributes") or {}).items()
            },
        )
    except (AttributeError, TypeError, ValueError) as error:
        log.warning("odd_message", extra={"error": f"{type(error).__name__}: {error}"})
        return None


def _name(entry: Mapping[str, Any], member: str) -> str:
    """What names a message, and can be sent back."""
    text = _text(entry.get(member))
    if not text or not text.isprintable():  # half a surrogate pair is not, and no request can hold it
        raise ValueError(f"no {member}")
    return text


def _attribute(value: Any) -> Attribute:  # noqa: ANN401 - whatever stands there
    data_type = _text(value.get("DataType")) or "String"
    binary = value.get("BinaryValue")
    if binary is not None:  # decoded by the SDK, as it was sent by ourselves
        return Attribute(data_type, b64decode(binary) if isinstance(binary, str) else bytes(binary))
    return Attribute(data_type, _text(value.get("StringValue")) or "")


def _object(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise OddAnswerError(f"an answer that is {type(answer).__name__}, not an object")
    return answer


def _list(members: Mapping[str, Any], name: str) -> Sequence[Any]:
    entries = members.get(name)
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise OddAnswerError(f"{name} that is {type(entries).__name__}, not a list")
    return entries


def _id_of(entry: object) -> str:
    return _text(entry.get("Id")) or "" if isinstance(entry, Mapping) else ""


def _text(value: object) -> str | None:
    """A string, or a number in its place."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _texts(value: object) -> Mapping[str, str]:
    members = value if isinstance(value, Mapping) else {}
    return {str(name): text for name, each in members.items() if (text := _text(each)) is not None}


def _count(members: Mapping[str, Any], name: str) -> int | None:
    text = _text(members.get(name)) or ""
    return int(text) if text.isascii() and text.isdecimal() else None


def _policy(value: object) -> Mapping[str, Any]:
    """A redrive policy; an empty one if there is none that can be read."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
