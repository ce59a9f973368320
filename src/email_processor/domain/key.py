"""Where an object goes: keys that are the same on every redelivery and that no sender can escape."""

import re
import unicodedata
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

# S3 allows 1,024 bytes of UTF-8 in a key. These, 300 of an escaped SQS message id and the date make at most 981.
PREFIX_MAX_BYTES = 400
SENDER_MAX_CHARACTERS = 64  # of up to four bytes

SENDER_READ_CHARACTERS = 1000  # the longest line of an email has 998; normalising takes quadratic time
UNKNOWN = "unknown"

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_OTHERS = re.compile(r"[^\w.\-]+")  # \w: letters and digits of any script, and _


def object_key(prefix: str, moment: datetime, sender: str, message_id: str) -> str:
    """`<prefix>/YYYY/MM/DD/<sender>/<message id>_<HHMMSS>.json`."""
    day, time = _day_and_time(moment)
    return f"{prefix}/{day}/{sender_slug(sender)}/{_segment(message_id)}_{time}.json"


def quarantine_key(prefix: str, moment: datetime, message_id: str) -> str:
    """`<prefix>/YYYY/MM/DD/<message id>.json`."""
    return f"{prefix}/{_day_and_time(moment)[0]}/{_segment(message_id)}.json"


def sender_slug(sender: str) -> str:
    """The sender as one key segment: lower case, NFC, letters and digits of any script and `.`, `-`, `_`.

    Every other run of characters becomes one `_`; no `.` or `_` leads or trails; at most 64 characters; `unknown` if
    nothing is left.
    """
    name = unicodedata.normalize("NFC", _name(sender[:SENDER_READ_CHARACTERS]).lower())
    slug = _OTHERS.sub("_", name).strip("._")[:SENDER_MAX_CHARACTERS]
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
    start = sender.rfind("<", quoted.end() if quoted else 0)
    end = sender.find(">", start)
    if start == -1 or end == -1:
        return sender, sender
    display = _ESCAPE.sub(r"\1", quoted[1]) if quoted else sender[:start]
    return display, sender[start + 1 : end].strip()


@lru_cache(maxsize=64)  # messages come many to a second
def _day_and_time(moment: datetime) -> tuple[str, str]:
    day = f"{moment.year:04}/{moment.month:02}/{moment.day:02}"
    return day, f"{moment.hour:02}{moment.minute:02}{moment.second:02}"


def _segment(message_id: str) -> str:
    """SQS ids are UUIDs, 100 characters at most; what else a queue invents is escaped, so that it stays one segment."""
    return quote(message_id, safe="")
