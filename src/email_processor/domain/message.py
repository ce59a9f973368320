"""A message as the queue handed it out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

KeyTime = Literal["first_receive", "sent"]  # which time of a message dates its key
FIRST_RECEIVED, SENT = "ApproximateFirstReceiveTimestamp", "SentTimestamp"  # system attributes, as SQS names them

MESSAGE_MAX_BYTES = 1024 * 1024  # SQS's limit on a message since August 2025
DIGITS_MAX = 15  # of an attribute that is a number; Python refuses to parse thousands of them
NO_ATTRIBUTES: Mapping[str, Any] = {}
FIFO = ".fifo"  # what the name of a queue ends with, and so its URL, if and only if it is a FIFO queue
LAST_MOMENT = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z in epoch milliseconds: what datetime can hold


@dataclass(frozen=True, slots=True)
class Attribute:
    """A user message attribute: `data_type` as SQS names it (`String`, `Number.int`, `Binary`, ...)."""

    data_type: str
    value: str | bytes


class Message(NamedTuple):
    """One receive of one message.

    `body` is the UTF-8 of the body that arrived and `md5_of_body` the hex digest the queue computed over it.
    `attributes` are the system attributes, all strings, as the queue sent them.
    """

    message_id: str
    receipt_handle: str
    body: bytes
    md5_of_body: str | None = None
    attributes: Mapping[str, str] = NO_ATTRIBUTES
    message_attributes: Mapping[str, Attribute] = NO_ATTRIBUTES

    @property
    def size(self) -> int:
        """How many bytes its body and its user attributes take."""
        return len(self.body) + self.attribute_bytes

    @property
    def attribute_bytes(self) -> int:
        """About what its user attributes take: up to all of the 1 MiB of a message, as SQS counts."""
        if not self.message_attributes:  # most have none, and to look is quicker than an empty sum
            return 0
        return sum(len(name) + len(attribute.value) for name, attribute in self.message_attributes.items())

    @property
    def is_intact(self) -> bool:
        """Whether the body is the one that the queue hashed. A queue that sends no digest is believed."""
        return self.md5_of_body is None or self.md5_of_body.lower() == self.md5

    @property
    def md5(self) -> str:
        """The hex digest of the body that arrived."""
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()

    @property
    def receive_count(self) -> int:
        """How often the queue has handed this message out, this time included."""
        return _receives(self.attributes.get("ApproximateReceiveCount"))

    @property
    def sent_at(self) -> float | None:
        """When it was sent, in epoch seconds, if the queue says so."""
        milliseconds = _milliseconds(self.attributes.get(SENT))
        return None if milliseconds is None else milliseconds / 1000

    def is_dated(self, key_time: KeyTime) -> bool:
        """Whether the queue told a time that keeps the key what `key_time` promises.

        Sending has one time and is as good as the first receive. The first receive, of which two copies of a message
        can tell different times, does not do for sending.
        """
        return SENT in self.attributes or (key_time == "first_receive" and FIRST_RECEIVED in self.attributes)

    def moment(self, key_time: KeyTime, now: float) -> datetime:
        """When it was sent or first handed out, as `key_time` says, in UTC to the second: the same on every redelivery.

        Of a queue that does not tell the one, the other is taken; of one that tells neither, `now` (epoch seconds).
        """
        for name in (SENT, FIRST_RECEIVED) if key_time == "sent" else (FIRST_RECEIVED, SENT):
            moment = _moment(self.attributes.get(name))
            if moment is not None:
                return moment
        return _second(int(now))


@lru_cache(maxsize=64)  # those of one receive come in one millisecond
def _moment(text: str | None) -> datetime | None:
    milliseconds = _milliseconds(text)
    return None if milliseconds is None else _second(milliseconds // 1000)


@lru_cache(maxsize=64)  # messages come many to a second
def _second(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@lru_cache(maxsize=64)  # nearly all are 1
def _receives(text: str | None) -> int:
    return _whole_number(text) or 1


def _milliseconds(text: str | None) -> int | None:
    value = _whole_number(text)
    return value if value and value <= LAST_MOMENT else None


def _whole_number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX):
        return None
    return int(text)
