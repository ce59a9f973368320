"""What is written: the archive document and the quarantine document, as compact UTF-8 JSON."""

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

import orjson

from email_processor.domain.email import Email
from email_processor.domain.errors import UnarchivableError
from email_processor.domain.large_bodies import json_string
from email_processor.domain.message import Attribute, Message

SOURCE = "email-validation-service"

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # of JSON with its quotes; the last can be cut off
_BEGINNING = re.compile(rb'{"message_id":' + _STRING.pattern, re.DOTALL)  # of both kinds of documents


def email_document(message: Message, email: Email, moment: datetime, version: str) -> bytes:
    """The archived object: the email's JSON is embedded as it was sent, token for token, never re-serialised."""
    metadata: dict[str, object] = {"processor_version": version, "source": SOURCE}
    if message.message_attributes or email.attributes:
        metadata["attributes"] = _attributes(message.message_attributes, email.attributes)
    return orjson.dumps(
        {
            "message_id": message.message_id,
            "processed_at": timestamp(moment),
            "email_data": orjson.Fragment(email.raw),
            "metadata": metadata,
        }
    )


def quarantine_document(
    message: Message, error: UnarchivableError, moment: datetime, version: str, payload: bytes | None = None
) -> bytes:
    """What is kept of a message that is not an archivable email: everything that arrived, and why it is here.

    The `payload` that its body points to is part of that: the bucket it lies in may not keep it for long.
    """
    return orjson.dumps(
        {
            "message_id": message.message_id,
            "processed_at": timestamp(moment),
            "reason": error.reason.value,
            "detail": _valid(error.detail),
            "receive_count": message.receive_count,
            **_text_or_base64("body", message.body),
            **({} if payload is None else _text_or_base64("payload", payload)),
            "attributes": {_valid(name): _valid(value) for name, value in sorted(message.attributes.items())},
            "message_attributes": {
                _valid(name): {"data_type": _valid(attribute.data_type), "value": _text(attribute.value)}
                for name, attribute in sorted(message.message_attributes.items())
            },
            "metadata": {"processor_version": version, "source": SOURCE},
        }
    )


def are_of_one_message(stored: bytes, document: bytes) -> bool:
    """Whether `stored` is whole, and not a document of another message than `document` is of.

    They may differ: the version is in both, and how often the message was received is in that of the quarantine.
    Neither is parsed: an email can have more levels, or a longer number, than a parser takes.
    """
    beginning = _BEGINNING.match(document)
    return beginning is not None and stored.startswith(beginning[0]) and _is_whole(stored)


def _is_whole(document: bytes) -> bool:
    """Whether a document, which may be cut off anywhere, ends where it should: where its first brace is closed."""
    structure = _STRING.sub(b"", document)
    return structure.endswith(b"}") and structure.count(b"{") == structure.count(b"}")


@lru_cache(maxsize=64)  # messages come many to a second
def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC to the second, as `2024-12-10T14:30:22Z`."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _attributes(user: Mapping[str, Attribute], envelope: Mapping[str, str]) -> dict[str, str]:
    """Sorted: queues answer with them in any order, and the same message must give the same bytes."""
    merged = {**envelope, **{name: _text(attribute.value) for name, attribute in user.items()}}
    return {_valid(name): _valid(merged[name]) for name in sorted(merged)}


def _text(value: str | bytes) -> str:
    return b64encode(value).decode() if isinstance(value, bytes) else _valid(value)


def _valid(text: str) -> str:
    """Without lone surrogates: SQS allows none, but an SNS envelope can escape them, and UTF-8 cannot hold them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _text_or_base64(name: str, value: bytes) -> dict[str, object]:
    try:
        return {name: orjson.Fragment(json_string(value))}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(value).decode()}
