"""A bucket in virtual time with mails in it, and a reader on it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import cast

from email_processor.domain.document import email_document, quarantine_document
from email_processor.domain.email import Email, read
from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.key import object_key, quarantine_key
from email_processor.domain.message import Message
from email_processor.domain.stored import StoredEmail, read_email_document
from email_processor.tools.archive.reader import Kind, Reader
from email_processor.tools.archive.selection import Selection
from email_processor.tools.archive.text import say
from tests.simulation.connection import Facts, Script
from tests.simulation.loop import Loop
from tests.simulation.shelf import SimShelf
from tests.simulation.world import SimBucket
from tests.support.mail import email
from tests.unit.pipeline.kit import highest, virtual_clock

DAY = date(2024, 12, 10)
NOON = datetime(2024, 12, 10, 12, tzinfo=UTC)
ALL_DAY = Selection(DAY, DAY)


class Archived:
    """An empty bucket; `faults` decides what becomes of requests."""

    def __init__(self, page_size: int = 1000) -> None:
        driver = cast("Loop", asyncio.get_running_loop()).driver
        self.bucket = SimBucket(driver, Facts(driver))
        self.faults = Script()
        self._page_size = page_size

    def reader(self, most_requests: int | None = None, tell: Callable[[str], None] = say) -> Reader:
        """A reader of its own count."""
        shelf = SimShelf.of(self.bucket, faults=self.faults, page_size=self._page_size)
        return Reader(shelf, virtual_clock(), highest, most_requests, tell)

    def add(self, message_id: str, sender: str = "ann@example.com", moment: datetime = NOON, **fields: str) -> str:
        """Archive an email as the service does; its key."""
        key, document = made(message_id, email(sender, **fields), moment)
        self.bucket.objects[key] = document
        return key

    def reject(self, message_id: str, body: str, moment: datetime = NOON, reason: Reason = Reason.MISSING_FIELD) -> str:
        """Quarantine a message as a service does that could not read it yet; its key."""
        message = Message(message_id, "", body.encode(), attributes={"ApproximateReceiveCount": "1"})
        try:
            read(message.body)
        except UnarchivableError as error:
            why = error
        else:
            why = UnarchivableError(reason, detail="an older service did not know it")
        key = quarantine_key("quarantine", moment, message_id)
        self.bucket.objects[key] = quarantine_document(message, why, moment, "0.9")
        return key


def made(message_id: str, body: str, moment: datetime = NOON) -> tuple[str, bytes]:
    """Key and document of an email."""
    message = Message(message_id, "", body.encode())
    found = read(message.body)
    assert isinstance(found, Email)
    key = object_key("emails", moment, found.sender, message_id)
    return key, email_document(message, found, moment, "1.0.0")


def stored(**fields: str) -> StoredEmail:
    """An email as it is read again."""
    return read_email_document(made("m", email(**fields))[1])


def counts(reader: Reader) -> Counter[Kind]:
    """The requests that were made."""
    return reader.tally.counts
