"""Keys: the same on every redelivery, and no sender escapes its prefix."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from email_processor.domain.key import PREFIX_MAX_BYTES, object_key, quarantine_key
from tests.unit.domain.senders import SENDERS

MOMENT = datetime(2024, 12, 10, 14, 30, 22, tzinfo=UTC)
KEY_MAX_BYTES = 1024  # S3's
LONGEST_ID = 100  # SQS's, in characters
LONGEST_KEY = 965  # bytes, with the longest prefix

IDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=LONGEST_ID)
MOMENTS = st.datetimes(timezones=st.just(UTC))


def test_the_key_of_the_specification() -> None:
    """Prefix, day, sender, id and time of day, in UTC."""
    expected = "emails/2024/12/10/john.doe/msg-123_143022.json"
    assert expected == object_key("emails", MOMENT, "john.doe@example.com", "msg-123")


def test_the_quarantine_key_of_the_specification() -> None:
    """Prefix, day and id."""
    assert "quarantine/2024/12/10/msg-123.json" == quarantine_key("quarantine", MOMENT, "msg-123")


def test_numbers_in_a_key_keep_their_width() -> None:
    """Keys sort by time because months, days, hours, minutes and seconds have two digits."""
    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert "a/b/2025/01/02/x/m_030405.json" == object_key("a/b", moment, "x@y", "m")


@pytest.mark.parametrize(
    ("message_id", "escaped"),
    [
        ("5fea7756-0ea4-451a-a703-a558b933e274", "5fea7756-0ea4-451a-a703-a558b933e274"),
        ("../../x", "..%2F..%2Fx"),
        ("a b", "a%20b"),
        ("a%2Fb", "a%252Fb"),
        ("é", "%C3%A9"),
        ("..", ".."),
    ],
)
def test_an_odd_message_id_stays_one_segment(message_id: str, escaped: str) -> None:
    """SQS gives UUIDs; whatever another queue gives is escaped."""
    assert object_key("emails", MOMENT, "x@y", message_id) == f"emails/2024/12/10/x/{escaped}_143022.json"
    assert quarantine_key("quarantine", MOMENT, message_id) == f"quarantine/2024/12/10/{escaped}.json"


@given(IDS, IDS)
def test_two_messages_never_share_a_key(one: str, other: str) -> None:
    """However ids are escaped, different ids give different keys."""
    keys = {object_key("emails", MOMENT, "x@y", each) for each in (one, other)}
    quarantine_keys = {quarantine_key("quarantine", MOMENT, each) for each in (one, other)}
    assert len({one, other}) == len(keys) == len(quarantine_keys)


@given(SENDERS, IDS, MOMENTS)
@example("\U00010400" * 60, "\x20" * LONGEST_ID, MOMENT)
def test_no_sender_escapes_its_place(sender: str, message_id: str, moment: datetime) -> None:
    """Below the prefix are always the day, one segment for the sender and one for the message, within S3's limits."""
    prefix = "p" * PREFIX_MAX_BYTES
    key = object_key(prefix, moment, sender, message_id)
    segments = key.split("/")
    assert [prefix, f"{moment.year:04}", f"{moment.month:02}", f"{moment.day:02}"] == segments[:4]
    assert 6 == len(segments)
    assert not {"", ".", ".."} & set(segments)
    assert len(key.encode()) <= LONGEST_KEY <= KEY_MAX_BYTES
    assert key.isprintable()
