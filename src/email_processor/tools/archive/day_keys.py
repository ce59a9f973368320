"""The keys of one day, a million of them: looked at one by one and kept small."""

import re
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise

from email_processor.domain.document import email_document
from email_processor.domain.email import Email
from email_processor.domain.key import day_prefix, read_object_key
from email_processor.domain.message import Message
from email_processor.domain.sender import sender_folder
from email_processor.ports import Listed
from email_processor.tools.archive.findings import AuditFindings, Flaw
from email_processor.tools.archive.reader import KeyRange, order

SUFFIX = ".json"
# Where a day is cut into parts that are listed at once: the first characters of folders.
CUTS = "0123456789abcdefghijklmnopqrstuvwxyz~"
_NOTHING_SAID = b'{"email_subject":"","email_sender":"","email_timestream":0,"email_content":""}'
SMALLEST = len(email_document(Message("", "", b""), Email(_NOTHING_SAID, ""), datetime.min.replace(tzinfo=UTC), "0"))
_ORDINARY_FOLDER = re.compile(r"[a-z0-9-](?:[a-z0-9._-]{0,62}[a-z0-9-])?")


def _is_folder(folder: str) -> bool:
    """Whether a sender can have this folder."""
    return _ORDINARY_FOLDER.fullmatch(folder) is not None or sender_folder(folder) == folder


class DayKeys:
    """What the keys of a day's emails say. A thousand of them are some tens of kilobytes in here.

    Ids are compared by their hashes: two that meet are looked at again by their names.
    """

    def __init__(self, prefix: str, day: date, findings: AuditFindings) -> None:
        """`prefix` is that of emails."""
        self._prefix = prefix
        self._day = day_prefix(prefix, day)
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
            place = read_object_key(self._prefix, listed.key)
            if place is None:
                self._stranger(listed.key)
                continue
            keys.append(listed.key)
            self._ids.append(hash(place.message_id))
            self._sizes.append(listed.size)
            self.hours[place.moment.hour] += 1
            self.bytes += listed.size
            if not listed.size:
                self._findings.add(Flaw.EMPTY, listed.key, "an object without a byte in it")
            elif listed.size < SMALLEST + len(place.message_id) or not _is_folder(place.folder):
                self.suspicious.append(listed)
        if keys:
            self._pages.append(zlib.compress("\n".join(keys).encode(), 1))

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
                place = read_object_key(self._prefix, key)
                if place is not None:
                    yield listed, place.message_id

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

    def ranges(self, after: str) -> list[KeyRange]:
        """The rest of the day behind a key, in parts."""
        cuts = [cut for cut in (f"{self._day}{character}" for character in CUTS) if order(cut) > order(after)]
        return [KeyRange(self._day, start, last) for start, last in zip([after, *cuts], [*cuts, ""], strict=True)]
