"""What four producers make of an email: each is archived token for token, or quarantined with what it is."""

import base64
import gzip
from datetime import UTC, datetime

import pytest

from email_processor.domain.document import email_document
from email_processor.domain.email import Email, read
from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.message import Message

MOMENT = datetime(2024, 12, 10, 14, 30, 22, tzinfo=UTC)

AN_EML = "an email with its headers (RFC 5322), which the email validation service has to read first"

# As json.dumps of Python, JSON.stringify of Node, json.Encoder of Go and ObjectMapper of Jackson write the same email.
PYTHON = (
    '{"email_subject": "Gr\\u00fc\\u00dfe \\ud83d\\ude00", "email_sender": "anna@example.com", '
    '"email_timestream": 1693561101.5, "email_content": "a < b & c > d\\u2028\\u007f/"}'
)
NODE = (
    '{"email_subject":"Grüße 😀","email_sender":"anna@example.com",'
    '"email_timestream":1693561101.5,"email_content":"a < b & c > d\u2028\x7f/"}'
)
GO = (
    '{"email_subject":"Grüße 😀","email_sender":"anna@example.com",'
    '"email_timestream":1693561101.5,"email_content":"a \\u003c b \\u0026 c \\u003e d\\u2028\x7f/"}\n'
)
JACKSON = (
    '{"email_subject":"Grüße 😀","email_sender":"anna@example.com",'
    '"email_timestream":1.6935611015E9,"email_content":"a < b & c > d\u2028\x7f/"}'
)
PRETTY = {
    "Python": PYTHON.replace(", ", ",\n  ").replace("{", "{\n  ").replace("}", "\n}"),
    "Jackson on Windows": JACKSON.replace('","', '",\r\n  "').replace('":', '" : ').replace("{", "{\r\n  "),
}


def stored(body: str) -> str:
    """What stands in the object as the email."""
    email = read(body.encode())
    assert isinstance(email, Email)
    document = email_document(Message("m", "h", body.encode()), email, MOMENT, "1.0.0").decode()
    return document.partition('"email_data":')[2].rpartition(',"metadata":')[0]


def with_extra(text: str, extra: str) -> str:
    """An email with one more field."""
    return f'{text.rstrip()[:-1]},"extra":{extra}}}'


@pytest.mark.parametrize("body", [PYTHON, NODE, GO, JACKSON], ids=["Python", "Node", "Go", "Jackson"])
def test_each_producers_tokens_are_kept(body: str) -> None:
    """Escapes, raw UTF-8, escaped markup, exponents: not one is written otherwise; only Go's line break goes."""
    assert body.rstrip("\n") == stored(body)


@pytest.mark.parametrize("body", PRETTY.values(), ids=PRETTY)
def test_what_is_pretty_printed_is_one_line(body: str) -> None:
    """Each line break is a space, and the rest is as it was."""
    assert body.replace("\r\n", " ").replace("\n", " ") == stored(body)


@pytest.mark.parametrize("producer", [PYTHON, NODE, GO, JACKSON], ids=["Python", "Node", "Go", "Jackson"])
@pytest.mark.parametrize(
    "extra",
    [
        '"\\ud83d"',  # half a surrogate pair: Python and Node write it when text was cut in the middle of an emoji
        '"\\ude00\\ud83d"',
        "9" * 5_000,
        "-0." + "1" * 5_000,
        "1e400",
        "-0",
        "1.0",
        '"\\u003c\\/\\u0000"',
        '{"email_subject":1,"email_subject":2}',
    ],
    ids=["half a pair", "halves", "integer", "fraction", "exponent", "minus zero", "float", "escapes", "twice"],
)
def test_what_no_number_and_no_text_can_hold_is_kept(producer: str, extra: str) -> None:
    """Whatever a parser would change or refuse is still the sender's."""
    body = with_extra(producer, extra)
    assert body == stored(body)


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        (
            with_extra(NODE, '"\ud83d"').encode("utf-8", "surrogatepass"),
            Reason.NOT_JSON,
            "the body is not UTF-8 at byte 144",
        ),
        (with_extra(PYTHON, "NaN").encode(), Reason.NOT_JSON, "NaN is not JSON"),
        (with_extra(PYTHON, "-Infinity").encode(), Reason.NOT_JSON, "-Infinity is not JSON"),
        (b"\xef\xbb\xbf" + JACKSON.encode(), Reason.NOT_JSON, "the body starts with a byte order mark"),
        (JACKSON.encode("utf-16"), Reason.NOT_JSON, "the body is not UTF-8 at byte 0: it looks like UTF-16"),
        (
            PYTHON.encode("utf-16-le"),
            Reason.NOT_JSON,
            "Expecting property name enclosed in double quotes at character 1: it looks like UTF-16",
        ),
        (PYTHON.encode("utf-16-be"), Reason.NOT_JSON, "Expecting value at character 0: it looks like UTF-16"),
        (NODE.encode("utf-32"), Reason.NOT_JSON, "the body is not UTF-8 at byte 0: it looks like UTF-16"),
        (gzip.compress(GO.encode()), Reason.NOT_JSON, "the body is not UTF-8 at byte 1: it looks like gzip"),
        (base64.b64encode(GO.encode()), Reason.NOT_JSON, "Expecting value at character 0: it looks like base64"),
        (base64.encodebytes(PYTHON.encode()), Reason.NOT_JSON, "Expecting value at character 0: it looks like base64"),
        (
            base64.b64encode(gzip.compress(GO.encode())),
            Reason.NOT_JSON,
            "Expecting value at character 0: it looks like base64",
        ),
        (
            b'"{\\"email_subject\\": \\"twice\\"}"',
            Reason.NOT_AN_OBJECT,
            "the body is a string, not a JSON object: it was encoded twice",
        ),
        (
            b"Received: from mail.example.com\r\nSubject: hello\r\n\r\nhello\r\n",
            Reason.NOT_JSON,
            f"Expecting value at character 0: it looks like {AN_EML}",
        ),
        (
            b"From anna@example.com Tue Dec 10 14:30:22 2024\nSubject: hello\n\nhello\n",
            Reason.NOT_JSON,
            f"Expecting value at character 0: it looks like {AN_EML}",
        ),
        (b"Dear Anna,\r\n\r\nhello\r\n", Reason.NOT_JSON, "Expecting value at character 0"),
        (
            b"{'email_subject': 'repr'}",
            Reason.NOT_JSON,
            "Expecting property name enclosed in double quotes at character 1",
        ),
        (f"{GO}{GO}".encode(), Reason.NOT_JSON, f"Extra data at character {len(GO)}"),
        (f"[{NODE}]".encode(), Reason.NOT_AN_OBJECT, "the body is an array, not a JSON object"),
    ],
    ids=[
        *(
            "raw half of a pair",
            "NaN",
            "infinity",
            "byte order mark",
            "UTF-16",
            "UTF-16LE",
            "UTF-16BE",
            "UTF-32",
            "gzip",
        ),
        *(
            "base64",
            "base64 in lines",
            "base64 of gzip",
            "encoded twice",
            ".eml",
            "mbox",
            "text",
            "repr",
            "two",
            "array",
        ),
    ],
)
def test_what_is_no_email_is_named(body: bytes, reason: Reason, detail: str) -> None:
    """The reason counts, and the detail tells the producer what it has sent, without a word of it."""
    with pytest.raises(UnarchivableError) as caught:
        read(body)
    assert (reason, detail) == (caught.value.reason, caught.value.detail)
