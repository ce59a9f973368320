"""What else arrives on such a queue: what it is and what to set, without a word of it."""

import re
from collections.abc import Mapping
from typing import Any

RAW_DELIVERY = "turn on raw message delivery for the subscription"
INPUT_PATH = "set the InputPath of the rule's target to $.detail"

_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|[^\0]?\0")
_GZIP = re.compile(rb"\x1f\x8b")
_HEADER = re.compile(
    rb"(?:received|return-path|delivered-to|from|to|reply-to|subject|date|message-id|mime-version|content-[a-z-]+"
    rb"|dkim-signature|authentication-results|arc-[a-z-]+|x-[a-z-]+)[ \t]*:|from .*[0-9]{4}\r?\n",
    re.IGNORECASE,
)
_BASE64 = re.compile(rb"\s*(?:e[wy]|H4sI)[A-Za-z0-9+/\s]+={0,2}\s*")  # of JSON, or of gzip


def encoding_of(body: bytes) -> str:
    """What a body that is no JSON looks like; empty if like nothing known."""
    if _UTF_16.match(body):
        return "UTF-16"
    if _GZIP.match(body):
        return "gzip"
    if _HEADER.match(body):
        return "an email with its headers (RFC 5322), which the email validation service has to read first"
    if _BASE64.fullmatch(body):
        return "base64"
    return ""


def notification_in(value: Mapping[str, Any]) -> str:
    """What an object without an email's fields is, and what to set; empty if it is nothing known."""
    if value.get("Event") == "s3:TestEvent":
        return "an s3:TestEvent: take this queue out of the bucket's event notifications"
    if _is_record_of(value.get("Records"), "aws:s3"):
        return "an event notification of S3: take this queue out of the bucket's event notifications"
    if value.get("Type") in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        return f"a {value['Type']} of SNS: confirm the subscription, and {RAW_DELIVERY}"
    if ("notificationType" in value or "eventType" in value) and ("mail" in value or "message" in value):
        return "an SES notification: let SES notify the email validation service, not this queue"
    if is_event(value):
        return f"an EventBridge event: {INPUT_PATH}, which has to be an email"
    return ""


def is_event(value: Mapping[str, Any]) -> bool:
    """Whether it is an event of EventBridge."""
    return "detail" in value and isinstance(value.get("detail-type"), str) and isinstance(value.get("source"), str)


def _is_record_of(records: object, source: str) -> bool:
    return isinstance(records, list) and any(
        isinstance(record, dict) and record.get("eventSource") == source for record in records[:1]
    )
