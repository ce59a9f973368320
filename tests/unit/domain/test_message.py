"""A message as the queue handed it out: its moment, its counts, its digest."""

import hashlib
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.message import FIRST_RECEIVED as FIRST
from email_processor.domain.message import LAST_MOMENT, SENT, KeyTime, Message

NOW = 1_733_900_000.9
MOMENT = datetime(2024, 12, 10, 14, 30, 22, tzinfo=UTC)
MILLISECONDS = "1733841022999"
HOSTILE = [
    "",
    "0",
    "-1",
    "1.5",
    "1e9",
    " 1733841022999",
    "+1",
    "١٢٣",
    "²",
    "None",
    "9" * 16,
    "9" * 5_000,
    "253402300800000",
]


def message(**attributes: str) -> Message:
    """A message with these system attributes."""
    return Message("m", "h", b"body", attributes=attributes)


def test_the_moment_is_that_of_the_first_receive() -> None:
    """The time of the first receive counts, cut to the second, and never the clock."""
    assert MOMENT == message(**{FIRST: MILLISECONDS, SENT: "1"}).moment("first_receive", NOW)


def test_the_moment_is_that_of_sending_where_that_is_asked_for() -> None:
    """Whatever each copy of the message tells of its first receive."""
    for first in ("1", "2", MILLISECONDS):
        assert MOMENT == message(**{FIRST: first, SENT: MILLISECONDS}).moment("sent", NOW)


@pytest.mark.parametrize(("key_time", "other"), [("first_receive", SENT), ("sent", FIRST)])
def test_a_time_that_is_not_told_is_replaced_by_the_other(key_time: KeyTime, other: str) -> None:
    """The clock is the last resort."""
    assert MOMENT == message(**{other: MILLISECONDS}).moment(key_time, NOW)
    assert datetime.fromtimestamp(int(NOW), UTC) == message().moment(key_time, NOW)


@pytest.mark.parametrize(
    ("told", "first_receive", "sent"),
    [({FIRST: "1", SENT: "1"}, True, True), ({SENT: "1"}, True, True), ({FIRST: "1"}, True, False), ({}, False, False)],
)
def test_a_message_is_dated_if_it_tells_what_its_key_needs(
    told: dict[str, str], first_receive: bool, sent: bool
) -> None:
    """Sending has one time only, and does for both; the first receive does not for sending."""
    assert first_receive is message(**told).is_dated("first_receive")
    assert sent is message(**told).is_dated("sent")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_first_receive_that_is_no_time_is_passed_over(text: str) -> None:
    """An attribute that is no number of milliseconds, or one beyond the year 9999, counts as not reported."""
    assert MOMENT == message(**{FIRST: text, SENT: MILLISECONDS}).moment("first_receive", NOW)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_sent_time_that_is_no_time_is_passed_over(text: str) -> None:
    """Neither crashes anything nor moves an email to another year."""
    for key_time in get_args(KeyTime):
        assert datetime.fromtimestamp(int(NOW), UTC) == message(**{SENT: text}).moment(key_time, NOW)
    assert message(**{SENT: text}).sent_at is None


@given(st.integers(1, LAST_MOMENT))
def test_any_time_that_a_calendar_can_hold_is_a_moment(milliseconds: int) -> None:
    """Up to the end of the year 9999, to the second, in UTC."""
    moment = message(**{FIRST: str(milliseconds)}).moment("first_receive", NOW)
    assert (milliseconds // 1000, UTC) == (moment.timestamp(), moment.tzinfo)


def test_sent_at_keeps_the_fraction() -> None:
    """Seconds since the epoch, to the millisecond."""
    assert 1_733_841_022.999 == message(**{SENT: MILLISECONDS}).sent_at
    assert message().sent_at is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ("7", 7),
        ("123456789012345", 123_456_789_012_345),
        *((text, 1) for text in ("", "0", "-2", "x", "9" * 5_000)),
    ],
)
def test_the_receive_count_is_at_least_one(text: str, count: int) -> None:
    """A message that was received was received at least once, whatever the queue says."""
    assert count == message(ApproximateReceiveCount=text).receive_count


def test_the_receive_count_of_a_silent_queue_is_one() -> None:
    """A queue that does not count is not an error."""
    assert 1 == message().receive_count


@given(st.binary(max_size=100))
def test_a_body_with_its_own_digest_is_intact(body: bytes) -> None:
    """In either case of hexadecimal digits."""
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    assert Message("m", "h", body, digest).is_intact
    assert Message("m", "h", body, digest.upper()).is_intact


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_body_with_the_digest_of_another_is_not_intact(body: bytes, other: bytes) -> None:
    """What the queue hashed is not what arrived."""
    digest = hashlib.md5(other, usedforsecurity=False).hexdigest()
    assert (body == other) is Message("m", "h", body, digest).is_intact


def test_a_queue_without_digests_is_believed() -> None:
    """There is nothing to compare with."""
    assert Message("m", "h", b"body").is_intact


@pytest.mark.parametrize("digest", ["", "x", "é" * 32])
def test_a_digest_that_is_none_matches_nothing(digest: str) -> None:
    """A digest that cannot be right is a mismatch, not a crash."""
    assert not Message("m", "h", b"body", digest).is_intact
