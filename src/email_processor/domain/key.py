"""Where an object goes: keys that are the same on every redelivery and that no sender can escape."""

import re
import unicodedata
from datetime import datetime
from urllib.parse import quote

KEY_MAX_BYTES = 1024  # S3's limit on an object key, in bytes of UTF-8
SENDER_MAX_CHARACTERS = 64
UNKNOWN = "unknown"

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_OTHERS = re.compile(r"[^\w.\-]+")  # \w: letters and digits of any script, and _


def object_key(prefix: str, moment: datetime, sender: str, message_id: str) -> str:
    """`<prefix>/YYYY/MM/DD/<sender>/<message id>_<HHMMSS>.json`, at most 1,024 bytes of UTF-8."""
    head = f"{prefix}/{_day(moment)}/"
    tail = f"/{_segment(message_id)}_{moment.hour:02}{moment.minute:02}{moment.second:02}.json"
    room = KEY_MAX_BYTES - len(head.encode()) - len(tail.encode())
    return f"{head}{sender_slug(sender, room)}{tail}"


def quarantine_key(prefix: str, moment: datetime, message_id: str) -> str:
    """`<prefix>/YYYY/MM/DD/<message id>.json`."""
    return f"{prefix}/{_day(moment)}/{_segment(message_id)}.json"


def sender_slug(sender: str, max_bytes: int = KEY_MAX_BYTES) -> str:
    """The sender as one key segment: lower case, NFC, letters and digits of any script and `.`, `-`, `_`.

    Every other run of characters becomes one `_`, and none leads or trails; at most 64 characters and `max_bytes`
    bytes of UTF-8; `unknown` if nothing is left.
    """
    name = unicodedata.normalize("NFC", _name(sender).lower())
    slug = _OTHERS.sub("_", name).strip("._")[:SENDER_MAX_CHARACTERS]
    if len(slug.encode()) > max_bytes:
        slug = slug.encode()[:max_bytes].decode(errors="ignore")
    return slug.rstrip("._") or UNKNOWN


def _name(sender: str) -> str:
    """The local part of the sender's address, or the display name where there is no address."""
    display, address = _mailbox(sender)
    quoted = _QUOTED.match(address)
    if quoted and address[quoted.end() :].lstrip().startswith("@"):
        return _ESCAPE.sub(r"\1", quoted[1])
    local = address.partition("@")[0]
    return local if local.strip() else display


def _mailbox(sender: str) -> tuple[str, str]:
    """Split `"Doe, John" <john.doe@example.com>` into display name and address; without `<>` all is the address."""
    sender = sender.strip()
    quoted = _QUOTED.match(sender)
    start = sender.find("<", quoted.end() if quoted else 0)
    end = sender.find(">", start)
    if start == -1 or end == -1:
        return sender, sender
    display = _ESCAPE.sub(r"\1", quoted[1]) if quoted else sender[:start]
    return display, sender[start + 1 : end].strip()


def _day(moment: datetime) -> str:
    return f"{moment.year:04}/{moment.month:02}/{moment.day:02}"


def _segment(message_id: str) -> str:
    """SQS ids are UUIDs; whatever else a queue invents is escaped, one to one, so that it stays one segment."""
    return quote(message_id, safe="")
