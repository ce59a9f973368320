"""A bucket that is computed: any number of mails, in key order, and what was changed in it."""

import zlib
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate

from email_processor.domain.document import email_document, quarantine_document
from email_processor.domain.email import Email
from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.key import day_prefix, quarantine_key, read_object_key, read_quarantine_key
from email_processor.domain.message import Message

SENDERS = 5000
FIRST_DAY = date(2026, 10, 1)
PAGE = 1000
CONTENT = "All is well. " * 300  # some 4 KiB


@lru_cache(maxsize=4)
def positions(count: int) -> Sequence[int]:
    """Where each sender's mails begin among `count` mails of a day; a few senders have most of them (Zipf)."""
    shares = [1 / (rank + 10) for rank in range(SENDERS)]
    return [0, *(round(count * part / sum(shares)) for part in accumulate(shares))]


def mails_of_sender(sender: int, count: int) -> int:
    """How many of `count` mails of a day are of this sender."""
    return positions(count)[sender + 1] - positions(count)[sender]


class DayOfMails(Sequence[str]):
    """The keys of a day, in order."""

    def __init__(self, day: date, count: int) -> None:
        """`count` mails of 5,000 senders."""
        self._prefix = day_prefix("emails", day)
        self._number = day.toordinal()
        self._count = count
        self._starts = positions(count)

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # nobody asks for a slice
        """The key at a place."""
        sender = bisect_right(self._starts, index) - 1
        message_id = f"{index - self._starts[sender]:08x}-0000-4000-8000-{self._number:06x}{sender:06x}"
        hour, second = divmod(index % 86_400, 3600)
        return f"{self._prefix}s{sender:04}/{message_id}_{hour:02}{second // 60:02}{second % 60:02}.json"


class QuarantineOfDay(Sequence[str]):
    """The keys of a day's quarantine, in order."""

    def __init__(self, day: date, count: int) -> None:
        """`count` messages."""
        self._moment = datetime.combine(day, datetime.min.time(), UTC)
        self._count = count

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # nobody asks for a slice
        """The key at a place."""
        return quarantine_key("quarantine", self._moment, f"{index:08x}-0000-4000-8000-000000000000")


class ComputedBucket:
    """Days of mails and a quarantine; of what is written it keeps the bytes, of what is deleted the keys."""

    def __init__(self, mails: int, days: int, quarantined: int) -> None:
        """`mails` on so many `days`, as many on each; the quarantine is that of the first day."""
        self.days = [FIRST_DAY + timedelta(days=number) for number in range(days)]
        self._ranges: list[Sequence[str]] = [DayOfMails(day, mails // days) for day in self.days]
        self._ranges.append(QuarantineOfDay(FIRST_DAY, quarantined))
        self.written: dict[str, bytes] = {}
        self.deleted: set[str] = set()
        self._gone = [0] * len(self._ranges)  # of each range, how many of its first keys are deleted: more or less

    def page(self, prefix: str, after: str) -> tuple[list[str], bool]:
        """The first keys behind `after` that begin with `prefix`, and whether these are all."""
        found: list[str] = []
        for number, keys in enumerate(self._ranges):
            if not keys or not (keys[0].startswith(prefix) or prefix.startswith(keys[0][: len("emails/2026/10/01")])):
                continue
            while self._gone[number] < len(keys) and keys[self._gone[number]] in self.deleted:
                self._gone[number] += 1
            start = bisect_right(keys, after) if after else bisect_right(keys, prefix)
            for index in range(max(start, self._gone[number]), len(keys)):
                key = keys[index]
                if not key.startswith(prefix):
                    break
                if key in self.deleted:
                    continue
                if len(found) == PAGE:
                    return found, False
                found.append(key)
        return found, True

    def get(self, key: str) -> bytes | None:
        """An object's bytes."""
        if key in self.written or key in self.deleted:
            return self.written.get(key)
        place = read_object_key("emails", key)
        if place is not None and place.message_id[9:13] == "0000" and len(self._ranges[0]):
            message = Message(place.message_id, "", b"")
            return email_document(message, Email(_body(f"{place.folder}@example.com", CONTENT), ""), place.moment, "1")
        rejected = read_quarantine_key("quarantine", key)
        if rejected is None:
            return None
        sender = f"s{zlib.crc32(rejected.message_id.encode()) % SENDERS:04}@example.com"
        message = Message(rejected.message_id, "", _body(sender, "released"))
        moment = datetime.combine(rejected.day, datetime.min.time(), UTC)
        return quarantine_document(message, UnarchivableError(Reason.MISSING_FIELD, "of an older parser"), moment, "0")

    def put(self, key: str, document: bytes) -> bool:
        """Store an object; False if it is there."""
        if key in self.written:
            return False
        self.written[key] = document
        return True

    def report(self) -> dict[str, int]:
        """What became of all that was there: `written_to` are ids, `lost` those that are in neither place now."""
        ids = {_id(key) for key in self.written}
        return {
            "written": len(self.written),
            "written_to": len(ids),
            "deleted": len(self.deleted),
            "lost": sum(_id(key) not in ids for key in self.deleted),
        }


def _id(key: str) -> str:
    return key.rpartition("/")[2][:36]


def _body(sender: str, content: str) -> bytes:
    return (
        b'{"email_subject":"An invoice","email_sender":"%b","email_timestream":"1760000000","email_content":"%b"}'
        % (sender.encode(), content.encode())
    )
