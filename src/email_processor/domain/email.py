"""Reading a body: an email, an envelope around one, or a pointer to one that was too big for the queue."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeGuard

import orjson

from email_processor.domain.errors import Reason, UnarchivableError

FIELDS = ("email_subject", "email_sender", "email_timestream", "email_content")

# The Java and Python extended clients write the first name, older Java ones the second.
POINTER_CLASSES = frozenset(
    {"software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"}
)


@dataclass(frozen=True, slots=True)
class Email:
    """An email that can be archived: `raw` is the JSON object exactly as it was sent.

    `attributes` are those that an SNS envelope carried for it (binary as base64, as SNS writes it).
    """

    raw: bytes
    sender: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where the SQS extended client put a body that was too big for the queue."""

    bucket: str
    key: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def read(body: bytes) -> Email | Pointer:
    """Read a body as it arrived, through an SNS envelope if it is in one.

    Raises:
        UnarchivableError: it is neither an email nor a pointer to one; reason and detail say why, without quoting it.
    """
    value = _parse(body)
    attributes: dict[str, str] = {}
    if _is_envelope(value):
        attributes = _envelope_attributes(value.get("MessageAttributes"))
        body = value["Message"].encode("utf-8", "surrogatepass")
        value = _parse(body)
    if isinstance(value, list) and value and isinstance(value[0], str) and value[0] in POINTER_CLASSES:
        return _pointer(value, attributes)
    return Email(body, _sender(value), attributes)


def read_payload(payload: bytes, pointer: Pointer) -> Email:
    """Read what a pointer pointed to, as if it had been the body.

    Raises:
        UnarchivableError: it is not an email; a pointer to another pointer is not followed.
    """
    email = read(payload)
    if isinstance(email, Pointer):
        raise UnarchivableError(Reason.WRONG_TYPE, "the offloaded payload is itself a pointer to a payload")
    return Email(email.raw, email.sender, {**pointer.attributes, **email.attributes})


def _sender(value: object) -> str:
    if not isinstance(value, dict):
        raise UnarchivableError(Reason.NOT_AN_OBJECT, f"the body is {_kind(value)}, not a JSON object")
    missing = [name for name in FIELDS if name not in value]
    if missing:
        raise UnarchivableError(Reason.MISSING_FIELD, f"{', '.join(missing)} missing")
    for name in FIELDS:
        found = value[name]
        number_allowed = name == "email_timestream" and isinstance(found, int | float) and not isinstance(found, bool)
        if not isinstance(found, str) and not number_allowed:
            wanted = "a string or a number" if name == "email_timestream" else "a string"
            raise UnarchivableError(Reason.WRONG_TYPE, f"{name} is {_kind(found)}, not {wanted}")
    sender: str = value["email_sender"]
    return sender


def _is_envelope(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.get("Type") == "Notification"
        and isinstance(value.get("Message"), str)
        and not all(name in value for name in FIELDS)  # an email may carry extra fields of these names
    )


def _envelope_attributes(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {
        name: attribute["Value"]
        for name, attribute in value.items()
        if isinstance(attribute, dict) and isinstance(attribute.get("Value"), str)
    }


def _pointer(value: list[Any], attributes: Mapping[str, str]) -> Pointer:
    target = next((part for part in value[1:] if isinstance(part, dict)), {})
    bucket, key = target.get("s3BucketName"), target.get("s3Key")
    if not (_is_name(bucket) and _is_name(key)):
        raise UnarchivableError(Reason.WRONG_TYPE, "the payload pointer names no s3BucketName and s3Key")
    return Pointer(bucket, key, attributes)


def _is_name(value: object) -> TypeGuard[str]:
    """A bucket or key that can be asked for, logged and stored: no control characters, no lone surrogates."""
    return isinstance(value, str) and value != "" and value.isprintable()


def _parse(body: bytes) -> Any:  # noqa: ANN401 - JSON is any of six types, told apart by the callers
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg:  # orjson's is 1,024, whatever the Python version
            raise _too_deep() from None
    # orjson refuses some valid JSON (lone surrogates, numbers that no float can hold); the standard parser decides.
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise UnarchivableError(Reason.NOT_JSON, f"the body is not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise UnarchivableError(Reason.NOT_JSON, "the body starts with a byte order mark")
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=float)  # float: no limit on digits
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        problem = error.msg.removesuffix(" at")
        raise UnarchivableError(Reason.NOT_JSON, f"{problem} at character {error.pos}") from None


def _too_deep() -> UnarchivableError:
    return UnarchivableError(Reason.TOO_DEEP, "the body is nested too deeply: about 1,000 levels are the limit")


def _refuse_constant(name: str) -> NoReturn:
    raise UnarchivableError(Reason.NOT_JSON, f"{name} is not JSON")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
