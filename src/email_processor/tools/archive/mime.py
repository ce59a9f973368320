"""An archived email as a message of RFC 5322, as mail programs open it. It says that it was made, and of what."""

import binascii
import re
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime, formataddr
from hashlib import sha256

from email_processor.domain.stored import StoredEmail

LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z in epoch seconds
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")  # one of them could begin a header of the sender's choice
_SURROGATES = re.compile("[\ud800-\udfff]")
_ADDRESS = r"[\w!#$%&'*+./=?^`{|}~-]{1,250}+@[\w.:\[\]-]{1,250}+"  # no longer: a line may have 998
# No repetition in it gives back what it took, so that none takes quadratic time. People put no comma into quotes.
_MAILBOX = re.compile(
    rf"""
    \s*+ (?: (?P<alone> {_ADDRESS}) \s*+ (?: \( (?P<comment> [^()]*+) \) )?+
        | (?: "(?P<quoted> (?: [^"\\]++ | \\. )*+ )" \s*+ | (?P<name> [^<>]*+) ) < (?P<address> {_ADDRESS}) > )
    \s*+ (?: [,;] | \Z)
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(.)")
_HTML = re.compile(r"\s*<(?:!doctype html|html|head|body|div|p|table|span|br|h[1-6]|style|meta|!--)\b", re.IGNORECASE)


def eml(key: str, document: bytes, stored: StoredEmail) -> bytes:
    """A message, with lines that end as RFC 5322 has it."""
    kind = "html" if is_html(stored.content) else "plain"
    headers = [
        ("From", stored.sender),
        ("Subject", stored.subject),
        ("Date", format_datetime(sent_at(stored))),
        ("X-Archive-Key", key),
        ("X-Archive-SHA256", sha256(document).hexdigest()),
        ("X-Archive-Message-Id", stored.message_id),
        ("MIME-Version", "1.0"),
        ("Content-Type", f"text/{kind}; charset=utf-8"),
        ("Content-Transfer-Encoding", "base64"),
    ]
    head = "\r\n".join(f"{name}: {_value(name, value)}" for name, value in headers)
    return f"{head}\r\n\r\n".encode() + _base64(stored.content)


def mbox(key: str, document: bytes, stored: StoredEmail) -> bytes:
    """A message of an mbox file. In base64 no line can begin with `From `, so that none has to be changed."""
    moment = f"{sent_at(stored):%a %b %d %H:%M:%S %Y}"
    return f"From MAILER-DAEMON {moment}\n".encode() + eml(key, document, stored).replace(b"\r\n", b"\n") + b"\n"


def sent_at(stored: StoredEmail) -> datetime:
    """When it was sent, as the email says, if it says a time; else when the queue first handed it out."""
    try:
        seconds = float(stored.sent)
    except ValueError:
        return stored.moment
    return datetime.fromtimestamp(seconds, UTC) if 0 <= seconds <= LAST_SECOND else stored.moment


def is_html(content: str) -> bool:
    """Whether it looks like HTML: nothing else says so."""
    return _HTML.match(content) is not None


def _value(name: str, value: str) -> str:
    """A header's value in which nothing can begin another header; folded, and encoded where it is not ASCII."""
    text = _BREAKS.sub(" ", _SURROGATES.sub("\ufffd", value)).strip()
    header = Header(header_name=name)
    for part in _mailboxes(text) if name == "From" and not text.isascii() else [text]:
        header.append(part, "us-ascii" if part.isascii() else "utf-8")
    return header.encode(linesep="\r\n")


def _mailboxes(text: str) -> list[str]:
    """A sender in parts that are encoded each by itself: no encoded word may have an address in it (RFC 2047, 5).

    It is one part, as it stands, if it is no list of mailboxes with addresses that a header can have.
    """
    parts: list[str] = []
    end = 0
    while end < len(text):
        mailbox = _MAILBOX.match(text, end)
        if mailbox is None:
            return [text]
        end = mailbox.end()
        comma = "," if end < len(text) else ""
        address = mailbox["alone"] or mailbox["address"]
        display_name = (
            _ESCAPE.sub(r"\1", mailbox["quoted"] or "") or (mailbox["comment"] or mailbox["name"] or "").strip()
        )
        if display_name.isascii():
            parts.append(f"{formataddr((display_name, address))}{comma}")
        else:
            parts += [display_name, f"<{address}>{comma}"]
    return parts


def _base64(content: str) -> bytes:
    octets = content.encode(errors="replace")
    return b"".join(binascii.b2a_base64(octets[at : at + 57])[:-1] + b"\r\n" for at in range(0, len(octets), 57))
