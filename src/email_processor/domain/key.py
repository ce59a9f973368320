"""Where an object goes, and what its key says: the same on every redelivery, and no sender escapes the prefix."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

from email_processor.domain.sender import sender_folder

# S3 allows 1,024 bytes of UTF-8 in a key. These, 240 of a sender's folder, 300 of an escaped SQS message id and the
# moment make at most 965.
PREFIX_MAX_BYTES = 400

# What is left as it is, of a segment and of a whole path: most ids and keys, and `quote` takes longer to find that.
_PLAIN_SEGMENT, _PLAIN_PATH = re.compile(r"[\w.~-]*", re.ASCII), re.compile(r"[\w.~/-]*", re.ASCII)

# No segment of ours begins with a dot, so that a key is always a path that stays where it is put.
_AFTER_PREFIX = re.compile(
    r"/(?P<day>\d{4}/\d\d/\d\d)/(?:(?P<folder>[^/.][^/]*+)/(?P<mail>[\w.~%-]+)_(?P<time>\d{6})|(?P<rejected>[\w.~%-]+))"
    r"\.json",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class EmailKey:
    """What the key of an email says: `moment` is in UTC, `folder` its sender's."""

    moment: datetime
    folder: str
    message_id: str


@dataclass(frozen=True, slots=True)
class QuarantineKey:
    """What the key of a quarantined message says."""

    day: date
    message_id: str


def object_key(prefix: str, moment: datetime, sender: str, message_id: str) -> str:
    """`<prefix>/YYYY/MM/DD/<sender>/<message id>_<HHMMSS>.json`."""
    day, time = _day_and_time(moment)
    return f"{prefix}/{day}/{sender_folder(sender)}/{_segment(message_id)}_{time}.json"


def quarantine_key(prefix: str, moment: datetime, message_id: str) -> str:
    """`<prefix>/YYYY/MM/DD/<message id>.json`."""
    return f"{prefix}/{_day_and_time(moment)[0]}/{_segment(message_id)}.json"


def day_prefix(prefix: str, day: date, folder: str = "") -> str:
    """What the keys of a day begin with, or those of one sender's folder on that day."""
    return f"{prefix}/{day.year:04}/{day.month:02}/{day.day:02}/{f'{folder}/' if folder else ''}"


def id_prefix(prefix: str, message_id: str) -> str:
    """What the key of a message begins with, below the `prefix` of a day or of a folder."""
    return f"{prefix}{_segment(message_id)}"


def read_object_key(prefix: str, key: str) -> EmailKey | None:
    """What the key of an email says; None if `object_key` can not have made it."""
    found = _after(prefix, key)
    if found is None or found["folder"] is None or not found["folder"].isprintable():
        return None
    day, time = found["day"], found["time"]
    message_id = _message_id(found["mail"])
    try:
        moment = datetime(
            int(day[:4]), int(day[5:7]), int(day[8:]), int(time[:2]), int(time[2:4]), int(time[4:]), tzinfo=UTC
        )
    except ValueError:
        return None
    return None if message_id is None else EmailKey(moment, found["folder"], message_id)


def read_quarantine_key(prefix: str, key: str) -> QuarantineKey | None:
    """What the key of a quarantined message says; None if `quarantine_key` can not have made it."""
    found = _after(prefix, key)
    if found is None or found["rejected"] is None:
        return None
    message_id = _message_id(found["rejected"])
    try:
        day = date.fromisoformat(found["day"].replace("/", "-"))
    except ValueError:
        return None
    return None if message_id is None else QuarantineKey(day, message_id)


def _after(prefix: str, key: str) -> re.Match[str] | None:
    return _AFTER_PREFIX.fullmatch(key, len(prefix)) if key.startswith(prefix) else None


def _message_id(segment: str) -> str | None:
    """The id behind a segment; None if it is not how `_segment` writes an id."""
    if "%" not in segment:
        return segment
    message_id = unquote(segment)
    return message_id if _segment(message_id) == segment else None


@lru_cache(maxsize=64)  # messages come many to a second
def _day_and_time(moment: datetime) -> tuple[str, str]:
    day = f"{moment.year:04}/{moment.month:02}/{moment.day:02}"
    return day, f"{moment.hour:02}{moment.minute:02}{moment.second:02}"


def _segment(message_id: str) -> str:
    """SQS ids are UUIDs, 100 characters at most; what else a queue invents is escaped, so that it stays one segment."""
    return percent_encoded(message_id)


def percent_encoded(text: str, *, is_path: bool = False) -> str:
    """A text as a URL has it; the slashes of a path stay."""
    plain, safe = (_PLAIN_PATH, "/") if is_path else (_PLAIN_SEGMENT, "")
    return text if plain.fullmatch(text) else quote(text, safe=safe)
