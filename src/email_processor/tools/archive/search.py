"""From a selection to its mails: listed, read where the key does not tell, in key order."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from email_processor.domain.errors import ForeignObjectError
from email_processor.domain.key import EmailKey, QuarantineKey, read_object_key, read_quarantine_key
from email_processor.domain.stored import StoredEmail, read_email_document
from email_processor.ports import Listed
from email_processor.tools.archive.concurrently import mapped
from email_processor.tools.archive.reader import OBJECTS_AT_ONCE, Reader
from email_processor.tools.archive.selection import Selection
from email_processor.tools.archive.sharing import KeyRange, order

SCHEMA = 1  # of what is printed for machines
NAMED = 3  # of those that cannot be read


@dataclass(frozen=True, slots=True)
class FoundMail:
    """A mail, or a message in quarantine; `document` and `stored` are there if it was read.

    Who asks for mails gets none with a `flaw`, which says why it is no email of the service.
    """

    listed: Listed
    place: EmailKey | QuarantineKey
    document: bytes | None = None
    stored: StoredEmail | None = None
    flaw: str = ""

    def row(self) -> Mapping[str, Any]:
        """What is printed of it for machines."""
        place, stored = self.place, self.stored
        row: dict[str, Any] = {"schema": SCHEMA, "key": self.listed.key, "message_id": place.message_id}
        if isinstance(place, EmailKey):
            row |= {"processed_at": f"{place.moment:%Y-%m-%dT%H:%M:%SZ}", "folder": place.folder}
        else:
            row |= {"day": place.day.isoformat()}
        row["size"] = self.listed.size
        if stored is not None:
            row |= {"sender": stored.sender, "subject": stored.subject, "sent": stored.sent}
        return row


class Search:
    """The mails of a selection; beside them it counts what it met that is not ours or cannot be read."""

    def __init__(
        self,
        reader: Reader,
        selection: Selection,
        prefix: str,
        leave_out: Callable[[str, str], None] = lambda _key, _why: None,
    ) -> None:
        """Look under `prefix`, that of emails or that of the quarantine.

        `leave_out` hears of what cannot be read where it would stand among the mails: its key, and why.
        """
        self._reader = reader
        self._selection = selection
        self._prefix = prefix
        self._leave_out = leave_out
        self.strangers = 0
        self.unreadable: list[str] = []  # keys

    @asynccontextmanager
    async def mails(
        self, *, read: bool = False, after: str = "", is_known: Callable[[str], bool] = lambda _key: False
    ) -> AsyncIterator[AsyncGenerator[FoundMail, None]]:
        """Those behind the key `after` but for what `is_known`, which is asked in key order; read if `read`."""
        if not (read or self._selection.must_read):
            async with aclosing(self._listed(after, is_known)) as found:
                yield found
            return
        async with mapped(
            self._listed(after, is_known), self._read, OBJECTS_AT_ONCE, lambda mail: mail.listed.size
        ) as answers:

            async def confirmed() -> AsyncGenerator[FoundMail, None]:
                async for mail in answers:
                    if mail is None:
                        continue
                    if mail.flaw:
                        self.unreadable.append(mail.listed.key)
                        self._leave_out(mail.listed.key, mail.flaw)
                    else:
                        yield mail

            async with aclosing(confirmed()) as found:
                yield found

    async def _listed(self, after: str, is_known: Callable[[str], bool]) -> AsyncGenerator[FoundMail, None]:
        wanted = self._selection.message_id
        parse = read_quarantine_key if self._selection.quarantine else read_object_key
        async with aclosing(self._reader.objects(self._ranges(after))) as pages:
            async for page in pages:
                for listed in page:
                    place = parse(self._prefix, listed.key)
                    if place is None:
                        self.strangers += 1
                    elif wanted in {"", place.message_id} and not is_known(listed.key):
                        yield FoundMail(listed, place)

    def _ranges(self, after: str) -> list[KeyRange]:
        """What of the selection is behind a key."""
        ranges = self._selection.ranges(self._prefix)
        if not after:
            return list(ranges)
        behind = [each for each in ranges if after.startswith(each.prefix) or order(each.prefix) > order(after)]
        return [each._replace(after=after) if after.startswith(each.prefix) else each for each in behind]

    async def _read(self, mail: FoundMail) -> FoundMail | None:
        """The mail with its document; None if it is not one of the selection, or is gone."""
        document = await self._reader.get(mail.listed.key, mail.listed.size)
        if document is None:
            return None
        if self._selection.quarantine:
            return FoundMail(mail.listed, mail.place, document)
        try:
            stored = read_email_document(document)
        except ForeignObjectError as error:
            return FoundMail(mail.listed, mail.place, flaw=error.detail)
        if not self._selection.confirms(stored.sender, stored.subject, stored.content):
            return None
        return FoundMail(mail.listed, mail.place, document, stored)

    def remarks(self, unreadable: Sequence[str] = ()) -> list[str]:
        """What its reader should know beside the results; `unreadable` are keys, if they are not only its own."""
        said = [f"{self.strangers:,} objects that are not this service's were left out."] if self.strangers else []
        unreadable = unreadable or self.unreadable
        said += [f"{key} cannot be read as an email; `audit` says what it is." for key in unreadable[:NAMED]]
        if len(unreadable) > NAMED:
            said.append(f"{len(unreadable):,} in all cannot be read.")
        return said
