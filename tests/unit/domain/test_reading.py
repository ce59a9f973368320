"""Reading a body: what is an email, kept as it was sent, and what is not."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.document import email_document
from email_processor.domain.email import FIELDS, Email, read
from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.message import Message
from tests.support.mail import AS_SENT, AS_STORED
from tests.unit.domain.json_text import VALUES, emails, in_one_line, tokens

MOMENT = datetime(2024, 12, 10, 14, 30, 22, tzinfo=UTC)
MARKER = "SECRETWORD"
LONE_SURROGATE = b'"\\ud800"'
MEBIBYTE = 1024 * 1024


def body_with(extra: bytes) -> bytes:
    """An email with one more field, `extra`."""
    return body_of(b'"1693561101"', extra)


def body_of(timestream: bytes, extra: bytes = b"0") -> bytes:
    """An email with this timestream and one more field, both raw JSON."""
    return (
        b'{"email_subject":"Subject","email_sender":"john.doe@example.com",'
        b'"email_timestream":%s,"email_content":"Content","extra":%s}' % (timestream, extra)
    )


def document_of(body: bytes) -> bytes:
    """The object that is stored for a body."""
    email = read(body)
    assert isinstance(email, Email)
    return email_document(Message("msg-123", "handle", body), email, MOMENT, "1.0.0")


def refusal_of(body: bytes) -> UnarchivableError:
    """Why a body cannot be archived."""
    with pytest.raises(UnarchivableError) as caught:
        read(body)
    return caught.value


@given(emails())
def test_any_email_survives_token_for_token(text: str) -> None:
    """Whatever its order, spacing, escapes, digits and further fields, an email stands in its object as it was sent."""
    document = document_of(text.encode()).decode()
    assert in_one_line(text) in document
    assert json.loads(text) == json.loads(document)["email_data"]


@given(emails())
def test_an_object_is_one_line(text: str) -> None:
    """However an email is laid out, its object has no line break, and each of its tokens."""
    email = read(text.encode())
    assert isinstance(email, Email)
    assert tokens(text) == tokens(email.raw.decode())
    assert not set(b"\r\n") & set(document_of(text.encode()))


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("{MEMBERS}\n", "{MEMBERS}"),
        ("\r\n {MEMBERS} \t\r\n", "{MEMBERS}"),
        ("{\n  MEMBERS\n}", "{   MEMBERS }"),
        ("{\r\n\tMEMBERS\r\n}", "{ \tMEMBERS }"),
        ("{\rMEMBERS\n\r\r\n}", "{ MEMBERS   }"),
    ],
)
def test_a_line_break_becomes_a_space(sent: str, stored: str) -> None:
    """Of LF, CR or both; what stands around the object goes, other white space in it stays."""
    members = body_with(b"0").decode()[1:-1]
    document = document_of(sent.replace("MEMBERS", members).encode()).decode()
    assert f'"email_data":{stored},"metadata"'.replace("MEMBERS", members) in document


def test_an_email_in_one_line_is_not_copied() -> None:
    """The usual body costs a look, not a copy."""
    body = body_with(b"0")
    email = read(body)
    assert isinstance(email, Email)
    assert email.raw is body


@given(emails())
def test_the_sender_is_the_decoded_field(text: str) -> None:
    """The sender is the value of `email_sender`, escapes resolved; of two, the last counts."""
    assert Email(in_one_line(text).encode(), json.loads(text)["email_sender"]) == read(text.encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"0.1000000000000000055511151231257827021181583404541015625",
        b"1e400",
        b"-1E+999999999",
        b"-0",
        b"9" * 5_000,
        b"-" + b"9" * 5_000,
        b"1" * 400 + b".5",
        b'1,"extra":2',
        b'"\\u00e9\\/\\ud83d\\ude00\\u0000"',
        LONE_SURROGATE,
        b'["\\udfff",' + b"9" * 5_000 + b"]",
        b'"\x7f\xe2\x80\xae\xef\xbf\xbf"',
        b'{"":{"":[]}}',
    ],
)
def test_what_a_parser_would_change_is_kept(raw: bytes) -> None:
    """Precision, magnitude, duplicate keys and escapes are beyond what Python's numbers and strings can carry."""
    assert raw in document_of(body_with(raw))


@pytest.mark.parametrize("timestream", [b'"1693561101"', b"1693561101", b"1693561101.5", b"1e400", b"9" * 5_000, b'""'])
def test_the_timestream_is_a_string_or_any_number(timestream: bytes) -> None:
    """Epoch seconds come as text or as a number; which digits they have is the sender's business."""
    assert timestream in document_of(body_of(timestream))


def test_a_body_of_a_mebibyte_is_read() -> None:
    """SQS's largest message is an email like any other."""
    body = body_with(b'"' + b"a" * (MEBIBYTE - len(body_with(b'""'))) + b'"')
    assert MEBIBYTE == len(body)
    assert body in document_of(body)


def test_a_number_of_a_mebibyte_is_read() -> None:
    """A number may be as long as a body: no limit on digits, and no quadratic time."""
    body = body_with(b"7" * (MEBIBYTE - len(body_with(b""))))
    assert body in document_of(body)


def test_the_sample_of_the_acceptance_tests_survives() -> None:
    """A body with everything that a careless re-serialisation would change comes out as it went in."""
    assert AS_STORED.encode() in document_of(AS_SENT.encode())


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        (b"", Reason.NOT_JSON, "Expecting value at character 0"),
        (b"  \n", Reason.NOT_JSON, "Expecting value at character 3"),
        (b"hello", Reason.NOT_JSON, "Expecting value at character 0"),
        (b'{"a":1', Reason.NOT_JSON, "Expecting ',' delimiter at character 6"),
        (b'{"a":"\x01"}', Reason.NOT_JSON, "Invalid control character at character 6"),
        (b'{"a":"\\x41"}', Reason.NOT_JSON, "Invalid \\escape at character 6"),
        (b'{"a":1} trailing', Reason.NOT_JSON, "Extra data at character 8"),
        (b'{"a":1}\0', Reason.NOT_JSON, "Extra data at character 7"),
        (b'{"a":01}', Reason.NOT_JSON, "Expecting ',' delimiter at character 6"),
        (b'{"a":NaN}', Reason.NOT_JSON, "NaN is not JSON"),
        (b'{"a":Infinity}', Reason.NOT_JSON, "Infinity is not JSON"),
        (b'{"a":-Infinity}', Reason.NOT_JSON, "-Infinity is not JSON"),
        (b'["\\ud800",NaN]', Reason.NOT_JSON, "NaN is not JSON"),
        (b"\xef\xbb\xbf" + body_with(b"0"), Reason.NOT_JSON, "the body starts with a byte order mark"),
        (body_with(b'"\xff"'), Reason.NOT_JSON, "the body is not UTF-8 at byte 132"),
        (body_with(b'"\xed\xa0\x80"'), Reason.NOT_JSON, "the body is not UTF-8 at byte 132"),
        (
            body_with(b"0").decode().encode("utf-16"),
            Reason.NOT_JSON,
            "the body is not UTF-8 at byte 0: it looks like UTF-16",
        ),
        (b"null", Reason.NOT_AN_OBJECT, "the body is null, not a JSON object"),
        (b"true", Reason.NOT_AN_OBJECT, "the body is a boolean, not a JSON object"),
        (b"12", Reason.NOT_AN_OBJECT, "the body is a number, not a JSON object"),
        (b"1e400", Reason.NOT_AN_OBJECT, "the body is a number, not a JSON object"),
        (b'"text"', Reason.NOT_AN_OBJECT, "the body is a string, not a JSON object"),
        (b"[]", Reason.NOT_AN_OBJECT, "the body is an array, not a JSON object"),
        (b'[{"email_subject":""}]', Reason.NOT_AN_OBJECT, "the body is an array, not a JSON object"),
        (b"{}", Reason.MISSING_FIELD, "email_subject, email_sender, email_timestream, email_content missing"),
        (b'{"email_subject":1,"email_sender":2}', Reason.MISSING_FIELD, "email_timestream, email_content missing"),
        (body_of(b"true"), Reason.WRONG_TYPE, "email_timestream is a boolean, not a string or a number"),
        (body_of(b"null"), Reason.WRONG_TYPE, "email_timestream is null, not a string or a number"),
        (body_of(b"[1]"), Reason.WRONG_TYPE, "email_timestream is an array, not a string or a number"),
        (body_of(b"{}"), Reason.WRONG_TYPE, "email_timestream is an object, not a string or a number"),
        (body_with(b'0,"email_subject":null'), Reason.WRONG_TYPE, "email_subject is null, not a string"),
        (body_with(b'0,"email_sender":["a@b.c"]'), Reason.WRONG_TYPE, "email_sender is an array, not a string"),
        (body_with(b'0,"email_content":5'), Reason.WRONG_TYPE, "email_content is a number, not a string"),
    ],
)
def test_what_is_not_an_email_is_refused_with_its_reason(body: bytes, reason: Reason, detail: str) -> None:
    """Every way of not being an email has a reason, which counts, and a detail, which says where."""
    refused = refusal_of(body)
    assert (reason, detail) == (refused.reason, refused.detail)


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_must_be_there(name: str) -> None:
    """An email without one of its four fields is not archived as an email."""
    fields = {field: "1" for field in FIELDS if field != name}
    refused = refusal_of(json.dumps(fields).encode())
    assert (Reason.MISSING_FIELD, f"{name} missing") == (refused.reason, refused.detail)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_a_thousand_levels_are_read(opening: bytes, closing: bytes) -> None:
    """Deep nesting is unusual, but it is JSON."""
    body = body_with(opening * 1_000 + b"0" + closing * 1_000)
    assert body in document_of(body)


@pytest.mark.parametrize("levels", [1_025, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_more_levels_than_that_are_refused(opening: bytes, closing: bytes, levels: int) -> None:
    """Nesting that a reader of the archive could not parse either is quarantined, and crashes nothing."""
    assert refusal_of(body_with(opening * levels + b"0" + closing * levels)).reason is Reason.TOO_DEEP


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("odd", [LONE_SURROGATE, b"1e400"])
def test_depth_is_bounded_for_the_second_parser_too(opening: bytes, closing: bytes, odd: bytes) -> None:
    """A body that only the standard parser can read is bounded by that one's limit."""
    deep = opening * 100_000 + b"0" + closing * 100_000
    assert refusal_of(body_with(b"[%s,%s]" % (odd, deep))).reason is Reason.TOO_DEEP


def marked_values() -> st.SearchStrategy[str]:
    """JSON values with the marker somewhere in them."""
    return st.builds(
        "{}{}{}".format, st.sampled_from(["[", '[1,"\\ud800",']), VALUES, st.just(f',"{MARKER}",{{"{MARKER}":1}}]')
    )


def marked_refusals() -> st.SearchStrategy[bytes]:
    """Bodies with the marker in them that are refused, each in another way."""
    values = marked_values()
    wrong_types = st.builds(
        lambda name, value: body_with(f'"{MARKER}","{name}":{value}'.encode()), st.sampled_from(FIELDS), values
    )
    missing = values.map(lambda value: f'{{"{MARKER}":{value},"email_subject":"{MARKER}"}}'.encode())
    marked = values.map(lambda value: body_with(value.encode()))
    cut = st.builds(lambda body, length: body[: max(1, length % len(body))], marked, st.integers(0, 10_000))
    return st.one_of(
        values.map(str.encode),
        wrong_types,
        missing,
        cut,
        marked.map(lambda body: body + MARKER.encode()),
        marked.map(lambda body: MARKER.encode() + body),
        marked.map(lambda body: b"\xef\xbb\xbf" + body),
        marked.map(lambda body: body.replace(b"Content", b"\xff")),
        marked.map(lambda body: body.replace(b"Content", b"\\" + MARKER.encode())),
        marked.map(lambda body: body.replace(b"Content", b"\\u" + MARKER.encode())),
        marked.map(lambda body: body.replace(b"Content", b"\x01")),
        marked.map(lambda body: body.replace(b'"Content"', b"NaN")),
        marked.map(lambda body: body.replace(b'"Content"', b"[" * 2_000)),
    )


@given(marked_refusals())
def test_no_refusal_quotes_the_body(body: bytes) -> None:
    """What is logged and counted of a refused body never holds a word of it."""
    refused = refusal_of(body)
    assert MARKER not in refused.detail + str(refused) + repr(refused)
    assert refused.__cause__ is None
