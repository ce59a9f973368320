"""What is shown of a mail can do nothing: in a terminal, in a browser, in a mail program."""

import email as standard
import html
import json
import re
import unicodedata
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.headerregistry import UniqueAddressHeader

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.tools.archive.json_text import json_bytes, json_value
from email_processor.tools.archive.mime import eml, is_html, mbox, sent_at
from email_processor.tools.archive.page import page_of
from email_processor.tools.archive.show import readable
from email_processor.tools.archive.text import one_line, printable
from tests.unit.tools.archive.kit import NOON, stored

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
HOSTILE = st.lists(
    st.sampled_from(
        ["\x1b]0;owned\x07", "\x1b[2J", "\x9b1m", "\x7f", "\u202e", "\u2066", "\r\nBcc: all@x", "\u2028", "a"]
    )
    | TEXTS,
    max_size=6,
).map("".join)
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
KEY = "emails/2024/12/10/ann/m_120000.json"


@given(HOSTILE | st.text())
def test_nothing_printed_can_steer_a_terminal(text: str) -> None:
    """No control but newline and tab, nothing that turns the direction; and what is harmless stays as it is."""
    for shown in (printable(text), one_line(text)):
        assert not [it for it in shown if unicodedata.category(it) in {"Cc", "Cs"} and it not in "\n\t"]
        assert not [it for it in shown if unicodedata.bidirectional(it) in BIDI]
    assert not {"\n", "\t"} & set(one_line(text))
    if text.isascii() and text.isprintable():
        assert text == printable(text)


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters()) | st.integers(0, 2**63) | st.none()))
def test_json_keeps_any_text(value: dict[str, str | int | None]) -> None:
    """Halves of surrogate pairs as well, which are escapes then; in a line, or indented for people."""
    line, indented = json_bytes(value), json_bytes(value, is_indented=True)
    assert value == json.loads(line) == json.loads(indented)
    assert value == json_value(line)
    assert 1 == len(line.split(b"\n")[:-1])
    assert (1 if not value else 2 + len(value)) == len(indented.split(b"\n")[:-1])


@given(HOSTILE, HOSTILE, HOSTILE)
def test_a_shown_mail_has_only_the_lines_that_it_should(sender: str, subject: str, content: str) -> None:
    """A sender cannot add a line to the head of it."""
    shown = readable(KEY, stored(sender=sender, email_subject=subject, content=content))
    head, _, body = shown.partition("\n\n")
    assert ["From:", "Subject:", "Sent:", "Id:", "Key:"] == [line.split(" ")[0] for line in head.splitlines()]
    assert printable(content).rstrip("\n") == body.rstrip("\n")


@given(HOSTILE, HOSTILE, HOSTILE)
def test_a_made_message_has_only_the_headers_that_it_should(sender: str, subject: str, content: str) -> None:
    """Line breaks cannot enter them; the content is as it was, and lines have the length that they may have."""
    made = eml(KEY, b"{}", stored(sender=sender, email_subject=subject, content=content))
    message = standard.message_from_bytes(made, policy=policy.SMTP)
    assert [
        *("From", "Subject", "Date", "X-Archive-Key", "X-Archive-SHA256", "X-Archive-Message-Id"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    ] == message.keys()
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert content == payload.decode()
    assert KEY == message["X-Archive-Key"]
    assert not message.defects
    assert max(map(len, made.split(b"\r\n"))) <= 998
    assert re.search(rb"(?m)^From ", mbox(KEY, b"{}", stored(content=content)).partition(b"\n")[2]) is None


def test_a_subject_reads_as_it_was_written() -> None:
    """In any script."""
    message = standard.message_from_bytes(eml(KEY, b"{}", stored(email_subject="Grüße 😀")), policy=policy.SMTP)
    assert "Grüße 😀" == message["Subject"]


MAILBOXES = {
    "a list": (
        "Jörg Müller <joerg@example.com>, Ann <ann@example.com>",
        [("Jörg Müller", "joerg@example.com"), ("Ann", "ann@example.com")],
    ),
    "a comma in a name": ("Müller, Jörg <joerg@example.com>", [("Müller, Jörg", "joerg@example.com")]),
    "quotes": (
        r'"Müller, \"J\"" <joerg@example.com>; "Doe, Ann" <a@b>',
        [('Müller, "J"', "joerg@example.com"), ("Doe, Ann", "a@b")],
    ),
    "a comment": (
        "joerg@example.com (Jörg), ann@example.com",
        [("Jörg", "joerg@example.com"), ("", "ann@example.com")],
    ),
}


@pytest.mark.parametrize(("sender", "expected"), MAILBOXES.values(), ids=MAILBOXES)
def test_a_senders_address_is_found_beside_a_name_of_any_script(sender: str, expected: list[tuple[str, str]]) -> None:
    """As mail programs look for it: an encoded word has no address in it."""
    made = eml(KEY, b"{}", stored(sender=sender))
    header = standard.message_from_bytes(made, policy=policy.SMTP)["From"]
    assert isinstance(header, UniqueAddressHeader)
    assert expected == [(it.display_name, it.addr_spec) for it in header.addresses]


@pytest.mark.parametrize(
    "sender", ["Jörg", "jörg@example.com", "Jörg <joerg>", "ö@", "<@> ö", "ö <a@b> c", "(" * 9999 + "ö"]
)
def test_a_sender_without_an_address_that_a_header_can_have_is_encoded_as_a_whole(sender: str) -> None:
    """So that no part of it is taken for one."""
    made = eml(KEY, b"{}", stored(sender=sender))
    raw = standard.message_from_bytes(made)["From"]
    assert sender == str(make_header(decode_header(raw)))
    assert re.fullmatch(r"=\?\S+\?=(\r\n =\?\S+\?=)*", raw)


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("1693561101", datetime(2023, 9, 1, 9, 38, 21, tzinfo=UTC)),
        ("yesterday", NOON),
        ("1e999", NOON),
        ("-5", NOON),
        ("nan", NOON),
    ],
)
def test_the_date_is_what_the_email_says_if_that_is_one(said: str, moment: datetime) -> None:
    """Else when the queue first handed it out."""
    assert moment == sent_at(stored(email_timestream=said))


HTML = '<html><body onload="x()"><img src="https://t.example/p.gif"><p style="background:url(//t.example/q)">Hi</p>'


def test_a_page_can_do_nothing() -> None:
    """All of the mail is in a frame without rights, under a policy that loads nothing; what it wanted is counted."""
    page = page_of(KEY, stored(email_subject="<script>x()</script>", content=HTML))
    assert 2 == page.blocked
    assert "2 references to other servers blocked." in page.text
    assert "<script" not in page.text
    assert 1 == page.text.count('<iframe sandbox=""')
    (framed,) = re.findall(r'srcdoc="([^"]*)"', page.text)
    assert HTML in html.unescape(framed)
    assert 2 == len(
        re.findall("default-src 'none'; img-src data:; style-src 'unsafe-inline'", html.unescape(page.text))
    )


@given(HOSTILE)
def test_no_content_leaves_its_frame(content: str) -> None:
    """Text is text, whatever is in it."""
    page = page_of(KEY, stored(content=f'{content}"></iframe><script>x()</script>'))
    assert 0 == page.blocked
    assert "<script" not in page.text


@pytest.mark.parametrize(
    ("content", "expected"),
    [("<!DOCTYPE html><p>", True), ("\n<div class=x>", True), ("a < b", False), ("<ann@x>", False)],
)
def test_html_is_recognised(content: str, expected: bool) -> None:
    """By how it begins."""
    assert expected is is_html(content)
