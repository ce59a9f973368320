"""Bodies inside something: SNS envelopes, and pointers to payloads that were too big for the queue."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.email import FIELDS, Email, Pointer, read, read_payload
from email_processor.domain.errors import Reason, UnarchivableError
from tests.support.mail import AS_SENT, email
from tests.unit.domain.json_text import emails

POINTER_CLASSES = (
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
)
TARGET = {"s3BucketName": "payloads", "s3Key": "7f0c9f9e"}


def envelope(message: object, **more: object) -> bytes:
    """What SNS puts on a queue that is subscribed without raw delivery."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:emails",
            "Message": message,
            **more,
        }
    ).encode()


def pointer(target: object = TARGET, name: str = POINTER_CLASSES[0]) -> bytes:
    """What the SQS extended client puts on the queue."""
    return json.dumps([name, target]).encode()


@given(emails())
def test_an_email_comes_out_of_an_envelope_as_it_went_in(text: str) -> None:
    """An SNS envelope is taken off; what is inside is the body that was sent."""
    assert read(text.encode()) == read(envelope(text))


def test_an_envelopes_attributes_are_kept() -> None:
    """Attributes that SNS carried for an email go with it; what is not one is left."""
    attributes = {
        "tenant": {"Type": "String", "Value": "blue"},
        "digest": {"Type": "Binary", "Value": "AAEC"},
        "count": {"Type": "Number", "Value": 5},
        "odd": "text",
    }
    found = read(envelope(email(), MessageAttributes=attributes))
    assert Email(email().encode(), "john.doe@example.com", {"tenant": "blue", "digest": "AAEC"}) == found


@pytest.mark.parametrize("attributes", [None, [], "text", 5, {}])
def test_odd_attributes_of_an_envelope_are_none(attributes: object) -> None:
    """Whatever stands in their place, the email is read."""
    assert Email(email().encode(), "john.doe@example.com") == read(envelope(email(), MessageAttributes=attributes))


@pytest.mark.parametrize("kind", ["Notification", "Other"])
def test_an_email_may_have_fields_of_an_envelopes_names(kind: str) -> None:
    """A body with the four fields is an email, even if it says `Type` and `Message` as well."""
    body = email(Type=kind, Message=email("somebody.else@example.com")).encode()
    assert Email(body, "john.doe@example.com") == read(body)


@pytest.mark.parametrize(
    "body",
    [
        envelope(email()).replace(b"Notification", b"SubscriptionConfirmation"),
        envelope(None),
        envelope({"email_subject": "s"}),
        envelope(envelope(email()).decode()),
    ],
    ids=["confirmation", "null message", "object message", "envelope in an envelope"],
)
def test_what_only_resembles_an_envelope_is_no_email(body: bytes) -> None:
    """Only one envelope is taken off, and only one with a text in it."""
    with pytest.raises(UnarchivableError, match="email_subject, email_sender") as caught:
        read(body)
    assert caught.value.reason is Reason.MISSING_FIELD


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("hello", Reason.NOT_JSON),
        ("", Reason.NOT_JSON),
        ("\ufeff" + email(), Reason.NOT_JSON),
        (email(content="x").replace("x", "\ud800"), Reason.NOT_JSON),
        ("[]", Reason.NOT_AN_OBJECT),
        ("{}", Reason.MISSING_FIELD),
        ("[" * 2_000, Reason.TOO_DEEP),
    ],
)
def test_the_reason_is_that_of_the_message_inside(message: str, reason: Reason) -> None:
    """An envelope around something that is no email is refused for what is inside."""
    with pytest.raises(UnarchivableError) as caught:
        read(envelope(message))
    assert caught.value.reason is reason


@pytest.mark.parametrize("name", POINTER_CLASSES)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_pointer_names_where_the_payload_is(name: str, is_wrapped: bool) -> None:
    """Pointers of the current and of the older extended clients are understood, in an envelope or not."""
    body = pointer(name=name)
    attributes = {"ExtendedPayloadSize": {"Type": "Number", "Value": "300000"}}
    if is_wrapped:
        body = envelope(body.decode(), MessageAttributes=attributes)
    expected = {"ExtendedPayloadSize": "300000"} if is_wrapped else {}
    assert Pointer("payloads", "7f0c9f9e", expected) == read(body)


@pytest.mark.parametrize(
    "target",
    [
        {},
        None,
        "s3://payloads/7f0c9f9e",
        {"s3BucketName": "payloads"},
        {"s3Key": "7f0c9f9e"},
        {"s3BucketName": "", "s3Key": "7f0c9f9e"},
        {"s3BucketName": "payloads", "s3Key": ""},
        {"s3BucketName": 5, "s3Key": "7f0c9f9e"},
        {"s3BucketName": "payloads", "s3Key": ["7f0c9f9e"]},
        {"s3BucketName": "payloads", "s3Key": "\ud800"},
        {"s3BucketName": "payloads\n", "s3Key": "7f0c9f9e"},
        {"s3BucketName": "payloads", "s3Key": "\x1b[2J"},
    ],
)
def test_a_pointer_that_names_no_object_is_refused(target: object) -> None:
    """A bucket and a key are needed, and such as can be asked for and logged."""
    with pytest.raises(UnarchivableError, match=r"the payload pointer names no s3BucketName and s3Key\Z") as caught:
        read(pointer(target))
    assert caught.value.reason is Reason.WRONG_TYPE


@pytest.mark.parametrize("body", [b"[]", b"[5]", b'["java.lang.String",{"s3BucketName":"b","s3Key":"k"}]', b'[["a"]]'])
def test_an_array_that_is_no_pointer_is_no_email(body: bytes) -> None:
    """Only the two class names of the extended clients make a pointer."""
    with pytest.raises(UnarchivableError) as caught:
        read(body)
    assert caught.value.reason is Reason.NOT_AN_OBJECT


def test_a_pointer_of_one_part_is_refused() -> None:
    """The class name alone names no object."""
    with pytest.raises(UnarchivableError, match="names no s3BucketName"):
        read(json.dumps([POINTER_CLASSES[0]]).encode())


def test_a_payload_is_read_as_if_it_had_been_the_body() -> None:
    """What a pointer pointed to is kept byte for byte, with the attributes of the pointer's envelope."""
    found = read_payload(AS_SENT.encode(), Pointer("payloads", "k", {"tenant": "blue"}))
    assert Email(AS_SENT.encode(), "John.Doe@Example.com", {"tenant": "blue"}) == found


def test_a_payload_may_be_an_envelope() -> None:
    """Both sets of attributes are kept; the inner envelope, nearer to the email, wins."""
    payload = envelope(email(), MessageAttributes={"tenant": {"Type": "String", "Value": "green"}})
    found = read_payload(payload, Pointer("payloads", "k", {"tenant": "blue", "size": "5"}))
    assert Email(email().encode(), "john.doe@example.com", {"tenant": "green", "size": "5"}) == found


def test_a_pointer_to_a_pointer_is_not_followed() -> None:
    """One message costs one fetch, however its sender chains pointers."""
    with pytest.raises(UnarchivableError, match="is itself a pointer") as caught:
        read_payload(pointer(), Pointer("payloads", "k"))
    assert caught.value.reason is Reason.WRONG_TYPE


@given(st.binary())
def test_arbitrary_bytes_are_refused(body: bytes) -> None:
    """Nothing that can arrive raises anything but a refusal."""
    with pytest.raises(UnarchivableError):
        read(body)


NAMES = st.sampled_from([*FIELDS, "Type", "Message", "MessageAttributes"])
SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["Notification", POINTER_CLASSES[0]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=12,
)
NEARLY_EMAILS = st.fixed_dictionaries(
    {name: st.text() | SHAPES for name in FIELDS}, optional={"Type": SHAPES, "Message": SHAPES}
)


def is_email(value: object) -> bool:
    """The rule, once more: an object with all four fields, all text but the timestream, which may be a number."""
    if not isinstance(value, dict) or not set(FIELDS) <= value.keys():
        return False
    return all(type(value[name]) is str or (name == "email_timestream" and type(value[name]) is int) for name in FIELDS)


@given(SHAPES | NEARLY_EMAILS)
def test_however_the_known_names_are_nested_an_email_is_known(value: object) -> None:
    """Exactly the objects with the four fields, of the right types, are emails; the rest is refused."""
    try:
        found = isinstance(read(json.dumps(value).encode()), Email)
    except UnarchivableError:
        found = False
    assert is_email(value) is found
