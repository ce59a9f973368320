"""Bodies inside something: SNS envelopes, and pointers to payloads that were too big for the queue."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.email import FIELDS, WRAPPINGS_MAX, Email, Pointer, read, read_payload
from email_processor.domain.errors import Reason, UnarchivableError
from tests.support.mail import AS_SENT, AS_STORED, email
from tests.unit.domain.json_text import SPACES, emails

POINTER_CLASSES = (
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
)
MARKER = "SECRETWORD"
NO_VALUE = "Expecting value at character 0"
AN_EML = "an email with its headers (RFC 5322), which the email validation service has to read first"
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


def event(detail: object, **more: object) -> bytes:
    """What a rule of EventBridge sends to a queue without an InputPath."""
    return json.dumps(
        {
            "version": "0",
            "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
            "detail-type": "Email accepted",
            "source": "email.validation",
            "account": "123456789012",
            "time": "2024-12-10T14:30:22Z",
            "region": "us-east-1",
            "resources": [],
            "detail": detail,
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


@given(emails(), SPACES, SPACES)
def test_an_email_comes_out_of_an_event_as_it_went_in(text: str, before: str, after: str) -> None:
    """The detail of an EventBridge event is taken out token for token, whatever stands around it."""
    members = (
        event("DETAIL", last={"detail": 0})
        .decode()
        .replace('": ', f'"{before}:{after}')
        .replace(', "', f'{after},{before}"')
    )
    written = members.replace('"DETAIL"', f"{before}{text}{after}")
    assert read(text.encode()) == read(f"{after}{written}{before}".encode())


def test_of_two_details_of_an_event_the_last_counts() -> None:
    """As it does for every parser of JSON."""
    body = event("DETAIL").replace(
        b'"DETAIL"', f'{email("first@example.com")},"detail":{email("last@example.com")}'.encode()
    )
    found = read(body)
    assert isinstance(found, Email)
    assert found.raw == email("last@example.com").encode()
    assert "last@example.com" == found.sender


def test_an_email_may_have_fields_of_an_events_names() -> None:
    """A body with the four fields is an email, even if it says `detail` and `source` as well."""
    body = email(
        **{"detail-type": "t", "source": "s", "detail": json.loads(email("somebody.else@example.com"))}
    ).encode()
    assert Email(body, "john.doe@example.com") == read(body)


@pytest.mark.parametrize(
    "body",
    [
        envelope(envelope(email()).decode()),
        envelope(event(json.loads(email())).decode()),
        envelope(envelope(event(json.loads(email())).decode()).decode()),
    ],
    ids=["SNS in SNS", "EventBridge in SNS", "EventBridge in SNS in SNS"],
)
def test_all_that_is_around_an_email_is_taken_off(body: bytes) -> None:
    """Topics and rules behind each other wrap an email more than once."""
    assert Email(email().encode(), "john.doe@example.com") == read(body)


def test_of_two_envelopes_the_inner_ones_attributes_win() -> None:
    """Both are kept; what stands nearer to the email knows more of it."""
    inner = envelope(email(), MessageAttributes={"tenant": {"Type": "String", "Value": "green"}}).decode()
    outer = {"tenant": {"Type": "String", "Value": "blue"}, "size": {"Type": "String", "Value": "5"}}
    expected = {"tenant": "green", "size": "5"}
    assert Email(email().encode(), "john.doe@example.com", expected) == read(envelope(inner, MessageAttributes=outer))


def test_more_is_taken_off_than_anybody_wraps_but_not_without_end() -> None:
    """A body of envelopes only is refused."""
    body = email()
    for _ in range(WRAPPINGS_MAX):
        body = envelope(body).decode()
    assert Email(email().encode(), "john.doe@example.com") == read(body.encode())
    with pytest.raises(UnarchivableError, match="missing") as caught:
        read(envelope(body))
    assert caught.value.reason is Reason.MISSING_FIELD


@pytest.mark.parametrize("levels", [500, 1_020, 1_025])
def test_an_event_is_read_or_refused_however_deep_it_is(levels: int) -> None:
    """Taking the detail out has no limit of its own that is not a refusal."""
    deep = "[" * levels + "]" * levels
    body = event("DETAIL").replace(b'"DETAIL"', f'{email()[:-1]},"extra":{deep}}}'.encode())
    refusals = []
    try:
        read(body)
    except UnarchivableError as error:
        refusals.append(error.reason)
    assert refusals in ([[]] if levels == 500 else [[], [Reason.TOO_DEEP]])


def test_a_pointer_may_stand_in_an_envelope_of_an_envelope() -> None:
    """What is around it is taken off as around an email."""
    assert Pointer("payloads", "7f0c9f9e") == read(envelope(envelope(pointer().decode()).decode()))


RAW_DELIVERY = "turn on raw message delivery for the subscription"
INPUT_PATH = "set the InputPath of the rule's target to $.detail"
MISSING = "email_subject, email_sender, email_timestream, email_content missing"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (event({"a": MARKER}), f"in an EventBridge event ({INPUT_PATH}): {MISSING}"),
        (event(MARKER), f"{MISSING}: it is an EventBridge event: {INPUT_PATH}, which has to be an email"),
        (envelope('{"a": 1}'), f"in an SNS envelope ({RAW_DELIVERY}): {MISSING}"),
        (envelope(envelope(MARKER).decode()), f"in an SNS envelope in an SNS envelope ({RAW_DELIVERY}): {NO_VALUE}"),
        (
            envelope(event({"a": MARKER}).decode()),
            f"in an EventBridge event in an SNS envelope ({INPUT_PATH} and {RAW_DELIVERY}): {MISSING}",
        ),
        (
            b'{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2024-12-10T14:30:22.000Z","Bucket":"SECRETWORD"}',
            f"{MISSING}: it is an s3:TestEvent: take this queue out of the bucket's event notifications",
        ),
        (
            b'{"Records":[{"eventSource":"aws:s3","s3":{"object":{"key":"SECRETWORD"}}}]}',
            f"{MISSING}: it is an event notification of S3: take this queue out of the bucket's event notifications",
        ),
        *(
            (
                f'{{"{kind}":"{value}","{part}":"{MARKER}"}}'.encode(),
                f"{MISSING}: it is an SES notification: let SES notify the email validation service, not this queue",
            )
            for kind, value, part in [
                ("notificationType", "Received", "mail"),
                ("notificationType", "Bounce", "mail"),
                ("eventType", "Delivery", "mail"),
                ("notificationType", "AmazonSnsSubscriptionSucceeded", "message"),
            ]
        ),
        (
            envelope(MARKER).replace(b"Notification", b"SubscriptionConfirmation"),
            f"{MISSING}: it is a SubscriptionConfirmation of SNS: confirm the subscription, and {RAW_DELIVERY}",
        ),
        (b'{"Records":[]}', MISSING),
        (b'{"Records":[5]}', MISSING),
        (b'{"Records":[{"eventSource":"aws:other"}]}', MISSING),
        (b'{"eventType":"SECRETWORD"}', MISSING),
    ],
)
def test_what_comes_from_elsewhere_is_named_with_what_to_set(body: bytes, detail: str) -> None:
    """Whoever has connected the wrong thing to the queue reads in the quarantine what it was and what to do."""
    with pytest.raises(UnarchivableError) as caught:
        read(body)
    assert detail == caught.value.detail
    assert MARKER not in str(caught.value) + repr(caught.value)


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
        event({"a": "s"}),
        event("text"),
        event(json.loads(email())).replace(b"detail-type", b"kind"),
    ],
    ids=["confirmation", "null message", "object message", "event without email", "event of text", "no event"],
)
def test_what_only_resembles_an_envelope_is_no_email(body: bytes) -> None:
    """Only an envelope with a text in it is taken off, and only an event with an object in it."""
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
    assert Email(AS_STORED.encode(), "John.Doe@Example.com", {"tenant": "blue"}) == found


def test_a_payload_may_be_an_envelope() -> None:
    """Both sets of attributes are kept; the inner envelope, nearer to the email, wins."""
    payload = envelope(email(), MessageAttributes={"tenant": {"Type": "String", "Value": "green"}})
    found = read_payload(payload, Pointer("payloads", "k", {"tenant": "blue", "size": "5"}))
    assert Email(email().encode(), "john.doe@example.com", {"tenant": "green", "size": "5"}) == found


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        (b"\xef\xbb\xbf" + email().encode(), "the body starts with a byte order mark"),
        (gzip.compress(email().encode()), "the body is not UTF-8 at byte 1: it looks like gzip"),
        (email().encode("utf-16"), "the body is not UTF-8 at byte 0: it looks like UTF-16"),
        (b"Subject: hello\r\n\r\nhello", f"{NO_VALUE}: it looks like {AN_EML}"),
        (b'{"email_subject":"","email_sender":"","email_timestream":""}', "email_content missing"),
        (pointer(), None),
    ],
    ids=["byte order mark", "gzip", "UTF-16", ".eml", "field missing", "pointer"],
)
def test_a_payload_that_is_no_email_is_refused_for_what_it_is(payload: bytes, detail: str | None) -> None:
    """The detail says that it is about the payload, not about the body with the pointer."""
    with pytest.raises(UnarchivableError) as caught:
        read_payload(payload, Pointer("payloads", "k"))
    prefix = (
        "the offloaded payload is itself a pointer to a payload" if detail is None else "in the offloaded payload: "
    )
    assert f"{prefix}{detail or ''}" == caught.value.detail
    assert caught.value.__cause__ is None


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
