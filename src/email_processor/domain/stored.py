"""What was written, read again: from an object's bytes back to the email, or to the message that is in quarantine."""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from email_processor.domain.document import email_document, timestamp
from email_processor.domain.email import Pointer, fields_of, read, read_payload
from email_processor.domain.errors import ForeignObjectError, Reason, UnarchivableError
from email_processor.domain.key import object_key
from email_processor.domain.message import Attribute, Message

_HEAD = re.compile(rb'{"message_id":("(?:[^"\\]++|\\.)*+"),"processed_at":"([0-9TZ:-]+)","email_data":')
# Behind the email there are only strings, in which no quote stands without a backslash before it. So the last of these
# is the one that was written there, whatever the email has in it.
_METADATA = b',"metadata":{"processor_version":'


@dataclass(frozen=True, slots=True)
class StoredEmail:
    """An archived email: `raw` is its JSON object as it was sent, `attributes` those that came with the message."""

    message_id: str
    moment: datetime
    raw: bytes
    fields: Mapping[str, Any]
    version: str
    attributes: Mapping[str, str]

    @property
    def sender(self) -> str:
        """Who sent it, as the email says."""
        return str(self.fields["email_sender"])

    @property
    def subject(self) -> str:
        """Its subject."""
        return str(self.fields["email_subject"])

    @property
    def content(self) -> str:
        """Its text, or its HTML."""
        return str(self.fields["email_content"])

    @property
    def sent(self) -> str:
        """When it was sent, as the email says: epoch seconds, or whatever stands there."""
        return str(self.fields["email_timestream"])


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """A message in quarantine, as it was received; `payload` is what its body pointed to."""

    message: Message
    moment: datetime
    reason: str
    detail: str
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class MadeObject:
    """An object as the service makes it."""

    key: str
    document: bytes


def read_email_document(document: bytes) -> StoredEmail:
    """Read an archived object.

    Raises:
        ForeignObjectError: it is not one that `email_document` has made.
    """
    head = _HEAD.match(document)
    end = document.rfind(_METADATA)
    if head is None or end < head.end():
        raise ForeignObjectError("It does not have the members of an archived email in their order.")
    raw = document[head.end() : end]
    try:
        metadata = orjson.loads(b"{" + document[end + 1 :])["metadata"]
        return StoredEmail(
            message_id=orjson.loads(head[1]),
            moment=_moment(head[2].decode()),
            raw=raw,
            fields=fields_of(raw),
            version=_text(metadata["processor_version"]),
            attributes={_text(name): _text(value) for name, value in metadata.get("attributes", {}).items()},
        )
    except UnarchivableError as error:
        raise ForeignObjectError(f"Its email_data is no email: {error.detail}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ForeignObjectError("It is cut off, or not written by this service.") from error


def read_quarantine_document(document: bytes) -> QuarantinedMessage:
    """Read an object of the quarantine: nothing of the message is lost there.

    Raises:
        ForeignObjectError: it is not one that `quarantine_document` has made.
    """
    try:
        found = orjson.loads(document)
        return QuarantinedMessage(
            message=Message(
                message_id=_text(found["message_id"]),
                receipt_handle="",
                body=_bytes(found, "body"),
                attributes={_text(name): _text(value) for name, value in found["attributes"].items()},
                message_attributes={
                    _text(name): _attribute(value) for name, value in found["message_attributes"].items()
                },
            ),
            moment=_moment(found["processed_at"]),
            reason=_text(found["reason"]),
            detail=_text(found["detail"]),
            payload=_bytes(found, "payload") if {"payload", "payload_base64"} & found.keys() else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ForeignObjectError("It is not what this service writes into the quarantine.") from error


def released(quarantined: QuarantinedMessage, prefix: str, version: str) -> MadeObject:
    """What today's code makes of a message in quarantine: the key and the bytes that the live path would have made.

    Raises:
        UnarchivableError: it is no email to today's code, either.
    """
    message = quarantined.message
    email = read(message.body)
    if isinstance(email, Pointer):
        if quarantined.payload is None:
            raise UnarchivableError(
                Reason.PAYLOAD_MISSING, "the payload that it points to was not there when it was quarantined"
            )
        email = read_payload(quarantined.payload, email)
    key = object_key(prefix, quarantined.moment, email.sender, message.message_id)
    return MadeObject(key, email_document(message, email, quarantined.moment, version))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if timestamp(moment) != text:
        raise ValueError(text)
    return moment


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _bytes(members: Mapping[str, Any], name: str) -> bytes:
    encoded = members.get(f"{name}_base64")
    return _text(members[name]).encode() if encoded is None else _decoded(encoded)


def _decoded(encoded: object) -> bytes:
    try:
        return b64decode(_text(encoded), validate=True)
    except binascii.Error as error:
        raise ValueError from error


def _attribute(value: Mapping[str, Any]) -> Attribute:
    data_type = _text(value["data_type"])
    is_binary = data_type.partition(".")[0] == "Binary"
    return Attribute(data_type, _decoded(value["value"]) if is_binary else _text(value["value"]))
