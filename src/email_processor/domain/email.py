"""Reading a body: an email, an envelope around one, or a pointer to one that was too big for the queue."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeGuard

import orjson

from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.large_bodies import STAND_IN, is_utf8, without_long_strings
from email_processor.domain.message import NO_ATTRIBUTES
from email_processor.domain.other_bodies import INPUT_PATH, RAW_DELIVERY, encoding_of, is_event, notification_in

FIELDS = ("email_subject", "email_sender", "email_timestream", "email_content")
WRAPPINGS_MAX = 3  # EventBridge to SNS to SNS is as long as a way to a queue gets

ENVELOPE, EVENT = "an SNS envelope", "an EventBridge event"
FIXES = {ENVELOPE: RAW_DELIVERY, EVENT: INPUT_PATH}

_ALL_FIELDS = frozenset(FIELDS)
_SPACE = b" \t\r\n"  # between the tokens of JSON
_NOT_SPACE = re.compile(r"[^ \t\r\n]")
_NO_START = re.compile(rb'[ \t\r\n]*+(?![ \t\r\n"{\[tfn0-9NI-]|\xef\xbb\xbf)')  # of JSON; N and I as in NaN

# The Java and Python extended clients write the first name, older Java ones the second.
POINTER_CLASSES = frozenset(
    {"software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"}
)


class Email(NamedTuple):
    """An email that can be archived: `raw` is its JSON object as it was sent, token for token, in one line.

    `attributes` are those that an SNS envelope carried for it (binary as base64, as SNS writes it).
    """

    raw: bytes
    sender: str
    attributes: Mapping[str, str] = NO_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where the SQS extended client put a body that was too big for the queue."""

    bucket: str
    key: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def read(body: bytes) -> Email | Pointer:
    """Read a body as it arrived, out of the SNS envelopes and the EventBridge event that may be around it.

    Raises:
        UnarchivableError: it is neither an email nor a pointer to one; reason and detail say why, without quoting it.
    """
    attributes: dict[str, str] = {}
    wrappings: list[str] = []
    try:
        value = _parse(body)
        while isinstance(value, dict) and not value.keys() >= _ALL_FIELDS and len(wrappings) < WRAPPINGS_MAX:
            if _is_envelope(value):
                wrappings.append(ENVELOPE)
                attributes |= _envelope_attributes(value.get("MessageAttributes"))
                body = value["Message"].encode("utf-8", "surrogatepass")
            elif is_event(value) and isinstance(value["detail"], dict):
                wrappings.append(EVENT)
                body = _raw_member(body, "detail")
            else:
                break
            value = _parse(body)
        if isinstance(value, list) and value and isinstance(value[0], str) and value[0] in POINTER_CLASSES:
            return _pointer(value, attributes)
        return Email(_in_one_line(body), _sender(value), attributes)
    except UnarchivableError as error:
        if not wrappings:
            raise
        raise UnarchivableError(error.reason, f"{_around(wrappings)}: {error.detail}") from None


def fields_of(raw: bytes) -> Mapping[str, Any]:
    """The members of an email's JSON object, as `read` accepts it.

    Raises:
        UnarchivableError: it is no such object.
    """
    value = _parse(raw)
    _sender(value)
    members: Mapping[str, Any] = value
    return members


def read_payload(payload: bytes, pointer: Pointer) -> Email:
    """Read what a pointer pointed to, as if it had been the body.

    Raises:
        UnarchivableError: it is not an email; a pointer to another pointer is not followed.
    """
    try:
        email = _read_large(payload) or read(payload)
    except UnarchivableError as error:
        raise UnarchivableError(error.reason, f"in the offloaded payload: {error.detail}") from None
    if isinstance(email, Pointer):
        raise UnarchivableError(Reason.WRONG_TYPE, "the offloaded payload is itself a pointer to a payload")
    return Email(email.raw, email.sender, {**pointer.attributes, **email.attributes})


def _read_large(body: bytes) -> Email | None:
    """Read an email without its long strings, of which no text is made; None if they are needed, or there are none.

    Raises:
        UnarchivableError: it is no email.
    """
    if (start := _NO_START.match(body)) and is_utf8(body):
        raise _not_json(body, f"Expecting value at character {start.end()}")
    skeleton = without_long_strings(body)
    if skeleton is None or len(skeleton) == len(body):
        return None
    try:
        value = _parse(skeleton)
    except UnarchivableError as error:
        raise UnarchivableError(error.reason, f"{error.detail}, where long strings are left out") from None
    if isinstance(value, dict) and value.keys() >= _ALL_FIELDS:
        return None if value["email_sender"] == STAND_IN else Email(_in_one_line(body), _sender(value))
    if isinstance(value, list) or (isinstance(value, dict) and (_is_envelope(value) or is_event(value))):
        return None
    return Email(_in_one_line(body), _sender(value))


def _in_one_line(raw: bytes) -> bytes:
    """Without outer white space, and a space for each line break: in JSON it can only stand between tokens."""
    raw = raw.strip(_SPACE)
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r\n", b" ").replace(b"\n", b" ").replace(b"\r", b" ")
    return raw


def _sender(value: object) -> str:
    if not isinstance(value, dict):
        is_encoded_twice = isinstance(value, str) and value.lstrip().startswith("{")
        more = ": it was encoded twice" if is_encoded_twice else ""
        raise UnarchivableError(Reason.NOT_AN_OBJECT, f"the body is {_kind(value)}, not a JSON object{more}")
    for name in FIELDS:
        if not isinstance(value.get(name), str):
            _accept_no_string(value, name)
    sender: str = value["email_sender"]
    return sender


def _accept_no_string(value: dict[str, Any], name: str) -> None:
    """A field is no string: only the time may be a number."""
    if not value.keys() >= _ALL_FIELDS:
        missing = [name for name in FIELDS if name not in value]
        notification = notification_in(value)
        more = f": it is {notification}" if notification else ""
        raise UnarchivableError(Reason.MISSING_FIELD, f"{', '.join(missing)} missing{more}")
    found, is_time = value[name], name == "email_timestream"
    if not (is_time and isinstance(found, int | float) and not isinstance(found, bool)):
        wanted = "a string or a number" if is_time else "a string"
        raise UnarchivableError(Reason.WRONG_TYPE, f"{name} is {_kind(found)}, not {wanted}")


def _is_envelope(value: dict[str, Any]) -> bool:
    return value.get("Type") == "Notification" and isinstance(value.get("Message"), str)


def _around(wrappings: list[str]) -> str:
    """What is around a body, and what to set so that it is not."""
    inside_out = wrappings[::-1]
    fixes = dict.fromkeys(FIXES[wrapping] for wrapping in inside_out)
    return f"in {' in '.join(inside_out)} ({' and '.join(fixes)})"


def _raw_member(body: bytes, name: str) -> bytes:
    """The bytes of a member of the JSON object in `body`; of two of one name the last, as parsers have it."""
    text = body.decode()
    found = ""
    end = text.index("{")
    try:
        while text[end] != "}":
            key, end = _STANDARD.raw_decode(text, _after_space(text, end + 1))
            start = _after_space(text, _after_space(text, end) + 1)
            _, end = _STANDARD.raw_decode(text, start)
            if key == name:
                found = text[start:end]
            end = _after_space(text, end)
    except RecursionError:
        raise _too_deep() from None
    return found.encode()


def _after_space(text: str, start: int) -> int:
    found = _NOT_SPACE.search(text, start)
    return found.start() if found else len(text)


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
        raise _not_json(body, f"the body is not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise UnarchivableError(Reason.NOT_JSON, "the body starts with a byte order mark")
    try:
        return _STANDARD.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise _not_json(body, f"{error.msg.removesuffix(' at')} at character {error.pos}") from None


def _not_json(body: bytes, problem: str) -> UnarchivableError:
    looks_like = encoding_of(body)
    return UnarchivableError(Reason.NOT_JSON, f"{problem}: it looks like {looks_like}" if looks_like else problem)


def _too_deep() -> UnarchivableError:
    return UnarchivableError(Reason.TOO_DEEP, "the body is nested too deeply: about 1,000 levels are the limit")


def _refuse_constant(name: str) -> NoReturn:
    raise UnarchivableError(Reason.NOT_JSON, f"{name} is not JSON")


_STANDARD = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=float)  # float: no limit on digits


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
