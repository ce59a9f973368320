"""Large bodies: what is read without making a text of them is what would be read anyway."""

import json
import tracemalloc
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.document import email_document, quarantine_document
from email_processor.domain.email import Pointer, read, read_payload
from email_processor.domain.errors import UnarchivableError
from email_processor.domain.large_bodies import CHUNK_BYTES, LONG_STRING, json_string, without_long_strings
from email_processor.domain.message import Message
from tests.support.mail import email

POINTER = Pointer("big", "k")
LONG = "x" * (LONG_STRING + 1)
MIB = 1024 * 1024

texts = st.text() | st.text().map(lambda text: text + '\N{GRINNING FACE}\\"\n' + LONG)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=5,
)


@given(texts, texts, values, st.booleans(), st.sampled_from(["", " ", "\r\n"]))
def test_an_email_is_the_same_with_and_without_its_long_strings(
    sender: str, content: str, other: object, is_ascii: bool, space: str
) -> None:
    """Whichever of its strings are long, and however they are escaped."""
    fields = {"email_sender": sender, "email_content": content, "email_subject": LONG, "email_timestream": 1}
    body = json.dumps({"other": other, **fields}, ensure_ascii=is_ascii).encode("utf-8", "replace") + space.encode()
    assert read(body) == read_payload(body, POINTER)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"Type": "Notification", "Message": email(content=LONG)}),
        json.dumps({"detail-type": "Email", "source": "us", "detail": json.loads(email(content=LONG))}),
        email(sender=f"{LONG} <ann@example.com>"),
        email().replace('"email_sender"', rf'"other":"{LONG}","email\u005fsender"'),
    ],
    ids=["SNS envelope", "EventBridge event", "long sender", "escaped name"],
)
def test_what_is_inside_a_long_string_is_read_if_it_is_needed(body: str) -> None:
    """An envelope holds the email in one; a display name can be one."""
    assert read(body.encode()) == read_payload(body.encode(), POINTER)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f'{{"a":"{LONG}\t"}}', "Invalid control character at character"),
        (rf'{{"a":"{LONG}\x"}}', "Invalid \\escape"),
        (f'{{"a":"{LONG}', "Unterminated string starting at character 5"),
        (f'{{"a":"{LONG}",}}', "where long strings are left out"),
        (f'{{"a":"{LONG}"}}', "email_subject, email_sender, email_timestream, email_content missing"),
        (f'["{LONG}"]', "the body is an array"),
        (f'"{LONG}"', "the body is a string"),
        (f"  Subject: {LONG}", "Expecting value at character 2"),
    ],
)
def test_what_is_no_email_is_refused_however_long_its_strings_are(body: str, said: str) -> None:
    """With the reason that a short one would have."""
    with pytest.raises(UnarchivableError) as caught:
        read_payload(body.encode(), POINTER)
    assert said in caught.value.detail


def test_a_body_that_is_no_utf_8_has_no_long_strings_to_leave_out() -> None:
    """It has no strings at all."""
    assert without_long_strings(b'{"a":"%s\xff"}' % LONG.encode()) is None


@given(st.text(), st.integers(0, 4))
def test_a_string_made_in_pieces_is_the_one_made_at_once(text: str, before: int) -> None:
    """A character may lie across two of them."""
    text = "x" * (CHUNK_BYTES - before) + text
    assert orjson.dumps(text) == json_string(text.encode())


def test_of_a_large_email_no_text_is_made() -> None:
    """With a character of four bytes in it: memory for one more copy, that of its document, and none as text."""
    body = email(content="\N{GRINNING FACE}" + "x" * 16 * MIB).replace("\\ud83d\\ude00", "\N{GRINNING FACE}").encode()
    message, moment = Message("m", "r", b""), datetime(2024, 12, 10, tzinfo=UTC)
    tracemalloc.start()
    try:
        email_document(message, read_payload(body, POINTER), moment, "1")
        assert 2 * 16 * MIB > tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with pytest.raises(UnarchivableError) as caught:
            read_payload(b"Subject: hello\r\n\r\n" + body, POINTER)
        quarantine_document(message, caught.value, moment, "1", body)
        assert 4 * 16 * MIB > tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
