"""Where an object goes: keys that are the same on every redelivery and that no sender can escape."""

from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from email_processor.domain.sender import sender_folder

# S3 allows 1,024 bytes of UTF-8 in a key. These, 240 of a sender's folder, 300 of an escaped SQS message id and the
# moment make at most 965.
PREFIX_MAX_BYTES = 400


def object_key(prefix: str, moment: datetime, sender: str, message_id: str) -> str:
    """`<prefix>/YYYY/MM/DD/<sender>/<message id>_<HHMMSS>.json`."""
    day, time = _day_and_time(moment)
    return f"{prefix}/{day}/{sender_folder(sender)}/{_segment(message_id)}_{time}.json"


def quarantine_key(prefix: str, moment: datetime, message_id: str) -> str:
    """`<prefix>/YYYY/MM/DD/<message id>.json`."""
    return f"{prefix}/{_day_and_time(moment)[0]}/{_segment(message_id)}.json"


@lru_cache(maxsize=64)  # messages come many to a second
def _day_and_time(moment: datetime) -> tuple[str, str]:
    day = f"{moment.year:04}/{moment.month:02}/{moment.day:02}"
    return day, f"{moment.hour:02}{moment.minute:02}{moment.second:02}"


def _segment(message_id: str) -> str:
    """SQS ids are UUIDs, 100 characters at most; what else a queue invents is escaped, so that it stays one segment."""
    return quote(message_id, safe="")
