"""The way back: from a key to what it says, from an object to what it was made of."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_processor.domain.document import email_document, quarantine_document
from email_processor.domain.email import Email, Pointer, read
from email_processor.domain.errors import ForeignObjectError, Reason, UnarchivableError
from email_processor.domain.key import (
    EmailKey,
    QuarantineKey,
    day_prefix,
    id_prefix,
    object_key,
    quarantine_key,
    read_object_key,
    read_quarantine_key,
)
from email_processor.domain.message import Attribute, Message
from email_processor.domain.sender import sender_folder
from email_processor.domain.stored import read_email_document, read_quarantine_document, released
from tests.unit.domain.json_text import emails, in_one_line
from tests.unit.domain.senders import SENDERS

MOMENT = datetime(2024, 12, 10, 14, 30, 22, tzinfo=UTC)
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
ATTRIBUTES = st.dictionaries(
    TEXTS,
    st.builds(Attribute, st.just("String.x"), TEXTS) | st.builds(Attribute, st.just("Binary"), st.binary(max_size=9)),
    max_size=3,
)
MESSAGES = st.builds(
    Message,
    message_id=IDS,
    receipt_handle=st.just(""),
    body=st.binary(max_size=30) | emails().map(str.encode),
    attributes=st.dictionaries(TEXTS, TEXTS, max_size=3),
    message_attributes=ATTRIBUTES,
    md5_of_body=st.none(),
)
REFUSED = UnarchivableError(Reason.NOT_JSON, "no")
BODY = b'{"email_subject":"s","email_sender":"Ann@example.com","email_timestream":1,"email_content":"c"}'
POINTER = b'["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]'


def refusal_of(body: bytes) -> Reason | None:
    """Why a body is no email; None if it is one."""
    try:
        read(body)
    except UnarchivableError as error:
        return error.reason
    return None


@given(st.sampled_from(["emails", "a/b"]), MOMENTS, SENDERS, IDS)
def test_a_key_says_what_it_was_made_of(prefix: str, moment: datetime, sender: str, message_id: str) -> None:
    """Of both kinds of keys, and neither is taken for the other; what a listing asks for is what they begin with."""
    key, rejected = object_key(prefix, moment, sender, message_id), quarantine_key(prefix, moment, message_id)
    folder = sender_folder(sender)
    assert EmailKey(moment, folder, message_id) == read_object_key(prefix, key)
    assert QuarantineKey(moment.date(), message_id) == read_quarantine_key(prefix, rejected)
    assert (None, None) == (read_object_key(prefix, rejected), read_quarantine_key(prefix, key))
    assert key.startswith(id_prefix(day_prefix(prefix, moment.date(), folder), message_id))
    assert rejected.startswith(id_prefix(day_prefix(prefix, moment.date()), message_id))


@given(st.text(max_size=60) | st.from_regex(r"emails/\d{4}/\d\d/\d\d/[^/]{1,3}/[^/]{1,6}_\d{6}\.json", fullmatch=True))
def test_any_key_is_read_without_an_error(key: str) -> None:
    """What is not ours is nothing, whatever it is; what is ours would be made again as it is."""
    read_quarantine_key("emails", key)
    found = read_object_key("emails", key)
    if found is not None:
        day = day_prefix("emails", found.moment.date(), found.folder)
        assert key == f"{id_prefix(day, found.message_id)}_{found.moment:%H%M%S}.json"


@pytest.mark.parametrize(
    "key",
    [
        "emails/2024/12/10/john.doe/m_143022.JSON",
        "emails/2024/13/10/john.doe/m_143022.json",
        "emails/2024/12/10/../m_143022.json",
        "emails/2024/12/10/john.doe/m%2f_143022.json",  # escaped in another way than ours
        "emails/2024/12/10/john.doe/x/m_143022.json",
        "others/2024/12/10/john.doe/m_143022.json",
    ],
)
def test_a_key_that_is_nearly_ours_is_not(key: str) -> None:
    """Another prefix, suffix, date, escape or depth."""
    assert read_object_key("emails", key) is None


@settings(max_examples=50)  # emails of any form take long to invent
@given(MESSAGES, emails(), MOMENTS)
def test_an_archived_object_says_what_it_was_made_of(message: Message, body: str, moment: datetime) -> None:
    """The email byte for byte, whatever its senders put in it, and everything beside it."""
    raw = in_one_line(body).encode()
    email = read(raw)
    assert isinstance(email, Email)
    stored = read_email_document(email_document(message, email, moment, "1.2.3"))
    assert (message.message_id, moment, raw, "1.2.3") == (stored.message_id, stored.moment, stored.raw, stored.version)
    assert email.sender == stored.sender
    assert message.message_attributes.keys() == stored.attributes.keys()


def test_an_email_that_looks_like_the_rest_of_its_document_is_whole() -> None:
    """Its own metadata is not taken for ours."""
    raw = BODY[:-1] + b',"metadata":{"processor_version":"9"},"x":",\\"metadata\\":{"}'
    message = Message("m", "", raw, message_attributes={"metadata": Attribute("String", ',"metadata":{')})
    stored = read_email_document(email_document(message, Email(raw, "s"), MOMENT, "1"))
    assert (raw, "1", "s", "c", "1") == (stored.raw, stored.version, stored.subject, stored.content, stored.sent)
    assert {"metadata": ',"metadata":{'} == stored.attributes


@settings(max_examples=50)  # emails of any form take long to invent
@given(MESSAGES, st.none() | st.binary(max_size=20), MOMENTS)
def test_a_quarantined_message_is_what_was_received(message: Message, payload: bytes | None, moment: datetime) -> None:
    """Body, payload and attributes, text or not."""
    found = read_quarantine_document(quarantine_document(message, REFUSED, moment, "1", payload))
    assert (message, moment, payload) == (found.message, found.moment, found.payload)
    assert ("not_json", "no") == (found.reason, found.detail)


@given(st.binary(max_size=80), st.integers(0, 200), st.booleans())
def test_what_is_not_ours_is_refused(noise: bytes, length: int, is_cut: bool) -> None:
    """Any bytes, and any document that is cut off: an error of ours, never another."""
    message = Message("m", "", BODY)
    whole = email_document(message, Email(BODY, "s"), MOMENT, "1"), quarantine_document(message, REFUSED, MOMENT, "1")
    for reader, document in zip((read_email_document, read_quarantine_document), whole, strict=True):
        with pytest.raises(ForeignObjectError):
            reader(document[: min(length, len(document) - 1)] if is_cut else noise)


@settings(max_examples=50)  # emails of any form take long to invent
@given(MESSAGES, MOMENTS)
def test_what_is_released_is_what_would_have_been_archived(message: Message, moment: datetime) -> None:
    """The live path's own key and bytes, from nothing but the quarantined object; or its own refusal."""
    quarantined = read_quarantine_document(quarantine_document(message, REFUSED, moment, "1"))
    refusal = refusal_of(message.body)
    if refusal is not None:
        with pytest.raises(UnarchivableError) as caught:
            released(quarantined, "emails", "2")
        assert refusal is caught.value.reason
        return
    email = read(message.body)
    assert isinstance(email, Email)
    made = released(quarantined, "emails", "2")
    assert object_key("emails", moment, email.sender, message.message_id) == made.key
    assert email_document(message, email, moment, "2") == made.document


@pytest.mark.parametrize(("payload", "key"), [(BODY, "emails/2024/12/10/ann/m_143022.json"), (None, "")])
def test_a_pointer_is_released_with_its_payload(payload: bytes | None, key: str) -> None:
    """Which is in the quarantine beside it, unless it was not there even then."""
    message = Message("m", "", POINTER)
    quarantined = read_quarantine_document(quarantine_document(message, REFUSED, MOMENT, "1", payload))
    assert isinstance(read(message.body), Pointer)
    if payload is None:
        with pytest.raises(UnarchivableError) as caught:
            released(quarantined, "emails", "2")
        assert Reason.PAYLOAD_MISSING is caught.value.reason
    else:
        assert key == released(quarantined, "emails", "2").key


def test_the_first_and_the_last_day_have_prefixes() -> None:
    """With a year of four digits."""
    assert ("e/0001/01/01/", "e/9999/12/31/x/") == (day_prefix("e", date.min), day_prefix("e", date.max, "x"))


@pytest.mark.parametrize(
    "moment",
    [
        *("2024-12-10", "2024-12-10T14:30:22", "20241210T143022Z", "2024-W50-2T14:30:22Z", "2024-12-10T14:30:22.5Z"),
        *("2024-12-10T14:30:22+00:00", "2024-12-10T14:30:22+02:00", "2024-12-10 14:30:22Z", "2024-02-30T14:30:22Z"),
    ],
)
def test_a_moment_is_as_it_was_written(moment: str) -> None:
    """None of the other ways that ISO 8601 knows is the service's."""
    document = quarantine_document(Message("m", "", BODY), REFUSED, datetime(2024, 12, 10, tzinfo=UTC), "1")
    assert 1 == document.count(b"2024-12-10T00:00:00Z")
    with pytest.raises(ForeignObjectError):
        read_quarantine_document(document.replace(b"2024-12-10T00:00:00Z", moment.encode()))
