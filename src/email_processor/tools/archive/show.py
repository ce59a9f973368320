"""`show`: one mail, as a person reads it, or exactly as it is."""

from pathlib import Path

from email_processor.domain.errors import EmailProcessorError, ForeignObjectError
from email_processor.domain.key import read_object_key
from email_processor.domain.stored import StoredEmail, read_email_document
from email_processor.settings import Settings
from email_processor.tools.amounts import counted
from email_processor.tools.archive.files import refuse_existing, write_whole
from email_processor.tools.archive.mime import eml, sent_at
from email_processor.tools.archive.output import emit
from email_processor.tools.archive.page import page_of
from email_processor.tools.archive.reader import Reader, bucket_settings, open_reader
from email_processor.tools.archive.search import Search
from email_processor.tools.archive.selection import Selection
from email_processor.tools.archive.text import one_line, printable, say
from email_processor.tools.command import WrongUseError, run_command


class NotThereError(EmailProcessorError):
    """There is no such mail."""


def show(target: str | Selection, form: str, *, page: Path | None, most_requests: int) -> int:
    """Print one mail, found by its key or by id and day, as `text`, `raw` or `eml`, or write it as a web page."""

    async def work(settings: Settings) -> None:
        if page is not None:
            refuse_existing(page)
        async with open_reader(settings, most_requests) as (reader, _):
            key, document = await fetch(reader, settings.s3_key_prefix, target)
            say(str(reader.tally))
        if form == "raw":
            emit(document)
            return
        stored = read_email_document(document)
        if page is not None:
            made = page_of(key, stored)
            write_whole(page, made.text.encode())
            say(f"{page} is written. Blocked in it: {counted(made.blocked, 'reference')} to other servers.")
        else:
            emit(eml(key, document, stored) if form == "eml" else readable(key, stored).encode())

    return run_command(work, reads=bucket_settings, only_prints=True)


async def fetch(reader: Reader, prefix: str, target: str | Selection) -> tuple[str, bytes]:
    """Key and bytes of the one mail that is meant.

    Raises:
        NotThereError: there is none.
        ForeignObjectError: what has the id is no email.
        WrongUseError: there are several, or the key is not an email's.
    """
    if isinstance(target, str):
        if read_object_key(prefix, target) is None:
            raise WrongUseError(
                f"{one_line(target)} is no key of an email: one is {prefix}/2024/12/10/john.doe/ID_143022.json.",
                fix="`find --output keys` prints them; `quarantine show` is for what is in quarantine.",
            )
        document = await reader.get(target)
        if document is None:
            raise NotThereError(f"The bucket has no {one_line(target)}.")
        return target, document
    search = Search(reader, target, prefix)
    async with search.mails(read=True) as mails:
        found = [mail async for mail in mails]
    keys = [*(mail.listed.key for mail in found), *search.unreadable]
    if not keys:
        raise NotThereError(
            f"No mail has the id {one_line(target.message_id)} on these days.",
            fix="Look at the days around it, and with `find --quarantine --id`.",
        )
    if len(keys) > 1:
        raise WrongUseError(
            f"More than one mail has this id: {', '.join(map(one_line, keys))}.", fix="Give the key in place of the id."
        )
    if search.unreadable:
        raise ForeignObjectError(
            f"{one_line(keys[0])} has this id and cannot be read as an email.",
            fix="`show KEY --raw` prints it as it is, and `audit` says what it is.",
        )
    (mail,) = found
    return mail.listed.key, mail.document or b""


def readable(key: str, stored: StoredEmail) -> str:
    """A mail for a terminal, in which nothing that a sender wrote can do anything."""
    lines = [
        f"From:     {one_line(stored.sender)}",
        f"Subject:  {one_line(stored.subject)}",
        f"Sent:     {sent_at(stored):%Y-%m-%d %H:%M:%S} UTC",
        f"Id:       {one_line(stored.message_id)}",
        f"Key:      {one_line(key)}",
        *(f"{one_line(name)}: {one_line(value)}" for name, value in stored.attributes.items()),
    ]
    return "\n".join([*lines, "", printable(stored.content).rstrip("\n"), ""])
