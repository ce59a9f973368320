"""The keys of one day, a million of them: looked at one by one and kept small."""

import re
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import NamedTuple

from email_processor.domain.document import email_document
from email_processor.domain.email import Email
from email_processor.domain.key import day_prefix, read_object_key
from email_processor.domain.message import Message
from email_processor.domain.sender import sender_folder
from email_processor.ports import Listed
from email_processor.tools.archive.findings import AuditFindings, Flaw

SUFFIX = ".json"
_NOTHING_SAID = b'{"email_subject":"","email_sender":"","email_timestream":0,"email_content":""}'
SMALLEST = len(email_document(Message("", "", b""), Email(_NOTHING_SAID, ""), datetime.min.replace(tzinfo=UTC), "0"))
# What stands behind the day in nearly every key: a folder that a sender can have, and a time that a clock can show.
_ORDINARY = r"[a-z0-9-](?:[a-z0-9._-]{0,62}[a-z0-9-])?/(?P<id>[\w.~-]+)_(?P<hour>[01]\d|2[0-3])(?:[0-5]\d){2}\.json"


class KeySays(NamedTuple):
    """What an audit looks at of a key of ours; `is_odd` if its folder is one that no sender can have."""

    message_id: str
    hour: int
    is_odd: bool


class DayKeys:
    """What the keys of a day's emails say. A thousand of them are some tens of kilobytes in here.

    Ids are compared by their hashes: two that meet are looked at again by their names.
    """

    def __init__(self, prefix: str, day: date, findings: AuditFindings) -> None:
        """`prefix` is that of emails."""
        self._prefix = prefix
        self._ordinary = re.compile(re.escape(day_prefix(prefix, day)) + _ORDINARY, re.ASCII)
        self._findings = findings
        self._pages: list[bytes] = []
        self._ids = array("q")
        self._sizes = array("q")  # in the order of the ids and of the pages
        self.hours: Counter[int] = Counter()
        self.bytes = 0
        self.suspicious: list[Listed] = []

    @property
    def count(self) -> int:
        """How many there are under keys of ours."""
        return len(self._ids)

    def add(self, page: Sequence[Listed]) -> None:
        """A page of the day's listing."""
        keys = []
        for listed in page:
            says = self.read(listed.key)
            if says is None:
                self._stranger(listed.key)
                continue
            keys.append(listed.key)
            self._ids.append(hash(says.message_id))
            self._sizes.append(listed.size)
            self.hours[says.hour] += 1
            self.bytes += listed.size
            if not listed.size:
                self._findings.add(Flaw.EMPTY, listed.key, "an object without a byte in it")
            elif says.is_odd or listed.size < SMALLEST + len(says.message_id):
                self.suspicious.append(listed)
        if keys:
            self._pages.append(zlib.compress("\n".join(keys).encode(), 1))

    def read(self, key: str) -> KeySays | None:
        """What a key says; None if it is not one that the service makes."""
        ordinary = self._ordinary.fullmatch(key)
        if ordinary is not None:
            return KeySays(ordinary["id"], int(ordinary["hour"]), is_odd=False)
        place = read_object_key(self._prefix, key)
        if place is None:
            return None
        return KeySays(place.message_id, place.moment.hour, is_odd=sender_folder(place.folder) != place.folder)

    def _stranger(self, key: str) -> None:
        stem = key.rpartition("/")[2].partition(".")[0]
        if read_object_key(self._prefix, f"{key.rpartition('/')[0]}/{stem}{SUFFIX}") is not None:
            self._findings.add(Flaw.WRONG_SUFFIX, key, f"it would be an email's key if it ended in {SUFFIX}")
        else:
            self._findings.add(Flaw.STRANGER, key, "a key that the service does not make")

    def named(self) -> Iterator[tuple[Listed, str]]:
        """Each object and its message id."""
        sizes = iter(self._sizes)
        for page in self._pages:
            for key in zlib.decompress(page).decode().split("\n"):
                listed = Listed(key, next(sizes))
                says = self.read(key)
                if says is not None:
                    yield listed, says.message_id

    def keys_of(self, message_ids: Collection[str]) -> Mapping[str, list[str]]:
        """The keys of those of these ids that are there."""
        wanted = set(map(hash, message_ids))
        if wanted.isdisjoint(self._ids):
            return {}
        found: defaultdict[str, list[str]] = defaultdict(list)
        for listed, message_id in self.named():
            if message_id in message_ids:
                found[message_id].append(listed.key)
        return found

    def doubles(self) -> Mapping[str, list[Listed]]:
        """The objects of each id that has several."""
        in_order = sorted(self._ids)
        hashes = {one for one, following in pairwise(in_order) if one == following}
        if not hashes:
            return {}
        found: defaultdict[str, list[Listed]] = defaultdict(list)
        for listed, message_id in self.named():
            if hash(message_id) in hashes:
                found[message_id].append(listed)
        return {message_id: objects for message_id, objects in found.items() if len(objects) > 1}

    def missing(self, message_ids: Iterable[str]) -> Iterator[str]:
        """Those of these ids that are not there."""
        there = set(self._ids)
        return (message_id for message_id in message_ids if hash(message_id) not in there)
