"""Documents: the bytes that are stored."""

import json
from base64 import b64decode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.document import are_of_one_message, email_document, quarantine_document, timestamp
from email_processor.domain.email import Email
from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.message import Attribute, Message

MOMENT = datetime(2024, 12, 10, 14, 30, 22, tzinfo=UTC)
RAW = b'{"email_subject":"Subject", "email_sender":"sender@example.com"}'
REFUSED = UnarchivableError(Reason.NOT_JSON, "Expecting value at character 0")

Attributes = dict[str, Attribute]

NAMES = st.text(min_size=1, max_size=10)
ATTRIBUTE = st.builds(Attribute, st.just("String"), st.text(max_size=10) | st.binary(max_size=10))
ATTRIBUTES = st.dictionaries(NAMES, ATTRIBUTE, max_size=6)
REORDERED = ATTRIBUTES.flatmap(
    lambda found: st.tuples(st.just(found), st.permutations(list(found.items())).map(dict[str, Attribute]))
)


def archived(message: Message, email: Email | None = None) -> bytes:
    """The archive document of a message."""
    return email_document(message, email or Email(RAW, "sender@example.com"), MOMENT, "1.0.0")


def test_the_document_of_the_specification() -> None:
    """The four keys in their order, compact, the email as it was sent."""
    expected = (
        b'{"message_id":"sqs-message-id","processed_at":"2024-12-10T14:30:22Z","email_data":' + RAW + b","
        b'"metadata":{"processor_version":"1.0.0","source":"email-validation-service"}}'
    )
    assert expected == archived(Message("sqs-message-id", "handle", RAW))


def test_user_attributes_stand_in_the_metadata_in_order() -> None:
    """Attributes are sorted by name, text as it is and binary as base64."""
    attributes = {
        "tenant": Attribute("String", "blüe"),
        "digest": Attribute("Binary", b"\x00\x01\x02"),
        "count": Attribute("Number", "5"),
    }
    expected = b',"attributes":{"count":"5","digest":"AAEC","tenant":"bl\xc3\xbce"}}}'
    assert archived(Message("m", "h", RAW, message_attributes=attributes)).endswith(expected)


def test_attributes_of_message_and_envelope_are_merged() -> None:
    """Both kinds are kept; the message's own win."""
    message = Message("m", "h", RAW, message_attributes={"b": Attribute("String", "own")})
    document = archived(message, Email(RAW, "s", {"b": "envelope's", "a": "\ud800"}))
    assert {"a": "?", "b": "own"} == json.loads(document)["metadata"]["attributes"]


@given(REORDERED, st.integers(1, 1000))
def test_a_redelivery_gives_the_same_bytes(orders: tuple[Attributes, Attributes], receives: int) -> None:
    """Receive count, receipt handle and the order of attributes differ between receives; the object does not."""
    first = Message("m", "one", RAW, None, {"ApproximateReceiveCount": "1"}, orders[0])
    later = Message("m", "two", RAW, None, {"ApproximateReceiveCount": str(receives)}, orders[1])
    assert archived(first) == archived(later)


@given(ATTRIBUTES)
def test_a_document_is_json_whatever_the_attributes(attributes: Attributes) -> None:
    """Names and values of any text survive; `attributes` is absent where there are none."""
    metadata = json.loads(archived(Message("m", "h", RAW, message_attributes=attributes)))["metadata"]
    assert list(metadata.get("attributes", {})) == sorted(attributes)
    assert ("attributes" in metadata) is bool(attributes)


def test_the_quarantine_keeps_everything() -> None:
    """The body as text, every attribute with its type, the receive count and why it is there; in a fixed order."""
    message = Message(
        "msg-123",
        "handle",
        b'{"email_subject": "caf\xc3\xa9\\u0000"',
        "digest",
        {"SentTimestamp": "1733841000000", "ApproximateReceiveCount": "3"},
        {"tenant": Attribute("String.custom", "blue"), "digest": Attribute("Binary", b"\xff")},
    )
    document = quarantine_document(message, REFUSED, MOMENT, "1.0.0")
    expected = {
        "message_id": "msg-123",
        "processed_at": "2024-12-10T14:30:22Z",
        "reason": "not_json",
        "detail": "Expecting value at character 0",
        "receive_count": 3,
        "body": '{"email_subject": "café\\u0000"',
        "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1733841000000"},
        "message_attributes": {
            "digest": {"data_type": "Binary", "value": "/w=="},
            "tenant": {"data_type": "String.custom", "value": "blue"},
        },
        "metadata": {"processor_version": "1.0.0", "source": "email-validation-service"},
    }
    assert json.dumps(expected, ensure_ascii=False, separators=(",", ":")) == document.decode()


def test_the_receipt_handle_is_not_kept() -> None:
    """A receipt handle can delete and hide the message: it is nothing for an archive."""
    message = Message("m", "receipt-handle", b"x")
    assert b"receipt-handle" not in quarantine_document(message, REFUSED, MOMENT, "1") + archived(message)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_quarantined_text_is_kept_as_text(body: str) -> None:
    """What can be read is readable in the quarantine, too."""
    assert body == json.loads(quarantine_document(Message("m", "h", body.encode()), REFUSED, MOMENT, "1"))["body"]


@given(st.binary(max_size=50))
def test_a_quarantined_body_that_is_no_text_is_kept_as_base64(tail: bytes) -> None:
    """Not one byte of it is lost."""
    body = b"\xff" + tail
    found = json.loads(quarantine_document(Message("m", "h", body), REFUSED, MOMENT, "1"))
    assert body == b64decode(found["body_base64"])
    assert "body" not in found


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        (None, {}),
        (b"", {"payload": ""}),
        ("Grüße\r\n\0\ufeff".encode(), {"payload": "Grüße\r\n\0\ufeff"}),
        (b"\x1f\x8b\xff", {"payload_base64": "H4v/"}),
    ],
)
def test_the_payload_of_a_pointer_is_kept_beside_it(payload: bytes | None, kept: dict[str, str]) -> None:
    """As text where it is text, else as base64: its own bucket may drop it any day."""
    found = json.loads(quarantine_document(Message("m", "h", b"the pointer"), REFUSED, MOMENT, "1", payload))
    assert kept == {name: value for name, value in found.items() if name.startswith("payload")}
    assert "the pointer" == found["body"]


@given(st.binary(max_size=50))
def test_no_byte_of_a_payload_is_lost(payload: bytes) -> None:
    """Whatever a pointer points to can be had back from the quarantine as it was."""
    found = json.loads(quarantine_document(Message("m", "h", b"x"), REFUSED, MOMENT, "1", payload))
    as_text = found.get("payload")
    assert payload == (b64decode(found["payload_base64"]) if as_text is None else as_text.encode())


@pytest.mark.parametrize("odd", ["\ud800", "a\udfffb", "\0", "\u202e", "\U0010ffff"])
def test_odd_attributes_cannot_spoil_a_quarantine_document(odd: str) -> None:
    """A message that is quarantined for being odd must not fail for being odd once more."""
    message = Message("m", "h", b"x", None, {odd: odd}, {odd: Attribute(odd, odd)})
    found = json.loads(quarantine_document(message, UnarchivableError(Reason.WRONG_TYPE, odd), MOMENT, "1"))
    kept = odd.replace("\ud800", "?").replace("\udfff", "?")
    assert {kept: kept} == found["attributes"]
    assert {kept: {"data_type": kept, "value": kept}} == found["message_attributes"]
    assert kept == found["detail"]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2024, 12, 10, 14, 30, 22, tzinfo=UTC), "2024-12-10T14:30:22Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00Z"),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "9999-12-31T23:59:59Z"),
    ],
)
def test_times_are_utc_to_the_second(moment: datetime, text: str) -> None:
    """ISO 8601, with a Z and no fraction."""
    assert text == timestamp(moment)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (b'{"message_id":"m","metadata":{"processor_version":"0.9"}}', True),
        (b'{"message_id":"m","receive_count":7}', True),
        (b'{"message_id":"n"}', False),
        (b'{"message_id":"m"', False),
        (b"", False),
        (b"\xff", False),
        (b'["message_id"]', False),
        (b"{}", False),
    ],
)
def test_a_whole_document_of_the_same_message_is_told_from_anything_else(stored: bytes, *, expected: bool) -> None:
    """Whatever version wrote it, and however often the message had been received; half of one is none."""
    assert expected is are_of_one_message(stored, archived(Message("m", "h", RAW)))


ODD_EMAILS = {
    "a number of very many digits": b'{"n":' + b"9" * 5000 + b"}",
    "many levels": b'{"n":' + b"[" * 990 + b"]" * 990 + b"}",
    "more levels than any parser takes": b'{"n":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "braces in strings": rb'{"n":"}}{{[","m":"\\","o":"\"}"}',
}


@pytest.mark.parametrize("raw", ODD_EMAILS.values(), ids=ODD_EMAILS)
def test_the_documents_of_an_odd_email_are_of_one_message(raw: bytes) -> None:
    """What has been archived once is not parsed again: it may be more than a parser takes."""
    stored, document = (
        email_document(Message("m", "h", raw), Email(raw, "sender@example.com"), MOMENT, version)
        for version in ("1.0.0", "2")
    )
    assert are_of_one_message(stored, document)


@given(ATTRIBUTES, st.data())
def test_a_document_that_is_cut_off_anywhere_is_not_whole(attributes: Attributes, data: st.DataObject) -> None:
    """Even where it ends as a whole one can: its attributes have braces of their own."""
    document = archived(Message("m", "h", RAW, message_attributes=attributes))
    end = data.draw(st.integers(0, len(document) - 1))
    assert are_of_one_message(document, document)
    assert not are_of_one_message(document[:end], document)


def test_a_document_with_attributes_that_lacks_its_last_byte_is_not_whole() -> None:
    """It ends as one without attributes does."""
    document = archived(Message("m", "h", RAW, message_attributes={"tenant": Attribute("String", "blue")}))
    assert document.endswith(b'"}}}')
    assert not are_of_one_message(document[:-1], document)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("end", [b"", b"\\"])
def test_a_long_string_that_is_cut_off_is_seen_in_one_pass(end: bytes) -> None:
    """Half of an email that quotes a great deal: no quote of it is taken for a beginning again."""
    document = archived(Message("m", "h", RAW))
    assert not are_of_one_message(b'{"message_id":"m","x":"' + rb"\"" * 500_000 + end, document)


@pytest.mark.parametrize("stored_id", ["m2", "", "m\\", 'm"', 'm","message_id":"m'])
def test_an_id_that_begins_alike_is_of_another_message(stored_id: str) -> None:
    """Ids are compared whole, as they are written."""
    stored, document = archived(Message(stored_id, "h", RAW)), archived(Message("m", "h", RAW))
    assert not are_of_one_message(stored, document)
    assert not are_of_one_message(document, stored)
    assert are_of_one_message(stored, stored)
