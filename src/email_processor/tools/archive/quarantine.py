"""`quarantine ls` and `show`: what is in quarantine and why, and what today's code would say of it."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import orjson

from email_processor import __version__
from email_processor.domain.errors import ForeignObjectError, Reason, UnarchivableError
from email_processor.domain.key import read_quarantine_key
from email_processor.domain.stored import QuarantinedMessage, read_quarantine_document, released
from email_processor.ports import Listed
from email_processor.settings import Settings
from email_processor.tools.amounts import counted
from email_processor.tools.archive.concurrently import mapped
from email_processor.tools.archive.output import Rows, emit, progress
from email_processor.tools.archive.reader import OBJECTS_AT_ONCE, Reader, bucket_settings, open_reader
from email_processor.tools.archive.search import SCHEMA
from email_processor.tools.archive.selection import Selection, days_said
from email_processor.tools.archive.sharing import KeyRange
from email_processor.tools.archive.show import NotThereError
from email_processor.tools.archive.text import one_line, printable, say
from email_processor.tools.command import run_command

SENDERS = 1000  # of a group: so many different ones are told apart
UNREADABLE = "unreadable"  # in the place of a reason


@dataclass(frozen=True, slots=True)
class Rejected:
    """Which messages in quarantine are meant: of which days, all if there are none, with which reason and id."""

    days: tuple[date, date] | None = None
    reason: str = ""
    message_id: str = ""

    @property
    def is_all(self) -> bool:
        """Whether everything is meant."""
        return self == Rejected()

    def ranges(self, prefix: str) -> Iterator[KeyRange]:
        """Where their keys are, under the `prefix` of the quarantine."""
        if self.days is None:
            return iter((KeyRange(f"{prefix}/"),))
        return Selection(*self.days, message_id=self.message_id, quarantine=True).ranges(prefix)

    def spares(self, quarantined: QuarantinedMessage) -> bool:
        """Whether its body is not what was sent: such a message is only released if that reason was asked for."""
        return quarantined.reason == Reason.CORRUPT != self.reason

    def __str__(self) -> str:
        """Say it in one line."""
        days = days_said(*self.days) if self.days else "all days"
        reason = f", reason {self.reason}" if self.reason else ""
        return f"quarantine, {days}{reason}{f', id {self.message_id}' if self.message_id else ''}"


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """An object in quarantine; `quarantined` is None if it is not what the service writes there under this key."""

    key: str
    document: bytes
    quarantined: QuarantinedMessage | None

    @property
    def reason(self) -> str:
        """Why it is there."""
        return UNREADABLE if self.quarantined is None else self.quarantined.reason


@asynccontextmanager
async def held(reader: Reader, prefix: str, which: Rejected) -> AsyncIterator[AsyncGenerator[HeldMessage, None]]:
    """What is in quarantine under `prefix`, read, in key order."""

    async def read(listed: Listed) -> HeldMessage | None:
        return await _read(reader, prefix, listed)

    async with mapped(_listed(reader, prefix, which), read, OBJECTS_AT_ONCE, lambda each: each.size) as answers:

        async def wanted() -> AsyncGenerator[HeldMessage, None]:
            async for message in answers:
                if message is not None and which.reason in {"", message.reason}:
                    yield message

        async with aclosing(wanted()) as messages:
            yield messages


async def _listed(reader: Reader, prefix: str, which: Rejected) -> AsyncGenerator[Listed, None]:
    async with aclosing(reader.objects(which.ranges(prefix))) as pages:
        async for page in pages:
            for each in page:
                place = read_quarantine_key(prefix, each.key)
                if place is not None and which.message_id in {"", place.message_id}:
                    yield each


async def _read(reader: Reader, prefix: str, listed: Listed) -> HeldMessage | None:
    """A message in quarantine; None if it is gone meanwhile."""
    document = await reader.get(listed.key, listed.size)
    if document is None:
        return None
    place = read_quarantine_key(prefix, listed.key)
    try:
        quarantined = read_quarantine_document(document)
    except ForeignObjectError:
        return HeldMessage(listed.key, document, None)
    is_its_own = place is not None and quarantined.message.message_id == place.message_id
    return HeldMessage(listed.key, document, quarantined if is_its_own else None)


@dataclass(slots=True)
class ReasonGroup:
    """The messages of one reason."""

    example: str  # a key
    detail: str
    oldest: datetime | None = None
    newest: datetime | None = None
    count: int = 0
    releasable: int = 0
    senders: set[str] = field(default_factory=set)

    def add(self, message: HeldMessage, prefix: str, which: Rejected) -> None:
        """One more of those that were asked for."""
        self.count += 1
        if message.quarantined is None:
            return
        moment = message.quarantined.moment
        self.oldest = min(self.oldest or moment, moment)
        self.newest = max(self.newest or moment, moment)
        self.releasable += verdict(message.quarantined, prefix, which) == ""
        if len(self.senders) < SENDERS and (sender := sender_in(message.quarantined.message.body)):
            self.senders.add(sender)


def verdict(quarantined: QuarantinedMessage, prefix: str, which: Rejected) -> str:
    """Why `quarantine release` would not archive it; empty if it would."""
    try:
        released(quarantined, prefix, __version__)
    except UnarchivableError as error:
        return f"{error.reason}: {error.detail}"
    return "its body is not what was sent; only `--reason corrupt` releases it" if which.spares(quarantined) else ""


def sender_in(body: bytes) -> str:
    """Who sent it, if it is said where an email says it."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    sender = found.get("email_sender") if isinstance(found, dict) else None
    return sender if isinstance(sender, str) else ""


def _line(row: Mapping[str, Any]) -> str:
    days = f"{str(row['oldest'])[:10]} to {str(row['newest'])[:10]}"
    return (
        f"{row['reason']:<16} {row['count']:>9,}  {days:<24}  {counted(row['senders'], 'sender'):>13}  "
        f"{row['releasable']:,} would be archived today; for example {row['example']}: {row['detail']}"
    )


def ls(which: Rejected, output: str, *, most_requests: int) -> int:
    """Print what is in quarantine by reason; the exit code."""
    rows = Rows(output, "groups", _line)

    async def work(settings: Settings) -> None:
        groups: dict[str, ReasonGroup] = {}
        async with open_reader(settings, most_requests) as (reader, _):
            with progress("Reading the quarantine") as advance:
                async with held(reader, settings.s3_quarantine_prefix, which) as messages:
                    async for message in messages:
                        detail = "" if message.quarantined is None else message.quarantined.detail
                        group = groups.setdefault(message.reason, ReasonGroup(message.key, detail))
                        group.add(message, settings.s3_key_prefix, which)
                        advance(1)
            for reason, group in sorted(groups.items(), key=lambda item: -item[1].count):
                rows.add(_row(reason, group))
            rows.end()
            if not groups:
                say(f"Nothing is in {which}.")
            say(str(reader.tally))

    return run_command(work, reads=bucket_settings, only_prints=True)


def _row(reason: str, group: ReasonGroup) -> Mapping[str, Any]:
    return {
        "schema": SCHEMA,
        "reason": reason,
        "count": group.count,
        "oldest": f"{group.oldest:%Y-%m-%dT%H:%M:%SZ}" if group.oldest else "",
        "newest": f"{group.newest:%Y-%m-%dT%H:%M:%SZ}" if group.newest else "",
        "senders": len(group.senders),
        "releasable": group.releasable,
        "example": group.example,
        "detail": group.detail,
    }


def show(which: Rejected, *, raw: bool, most_requests: int) -> int:
    """Print one message in quarantine, found by its id; the exit code."""

    async def work(settings: Settings) -> None:
        async with open_reader(settings, most_requests) as (reader, _):
            async with held(reader, settings.s3_quarantine_prefix, which) as messages:
                found = [message async for message in messages]
            say(str(reader.tally))
        if not found:
            raise NotThereError(f"Nothing in quarantine has the id {one_line(which.message_id)}.")
        for message in found:
            emit(message.document if raw else _readable(message, settings.s3_key_prefix, which).encode())

    return run_command(work, reads=bucket_settings, only_prints=True)


def _readable(message: HeldMessage, prefix: str, which: Rejected) -> str:
    """A message for a terminal, in which nothing that a sender wrote can do anything."""
    quarantined = message.quarantined
    if quarantined is None:
        return f"Key:      {one_line(message.key)}\nReason:   it is not what the service writes under this key\n"
    inner = quarantined.message
    today = verdict(quarantined, prefix, which)
    lines = [
        f"Key:      {one_line(message.key)}",
        f"Id:       {one_line(inner.message_id)}",
        f"Received: {quarantined.moment:%Y-%m-%d %H:%M:%S} UTC",
        f"Reason:   {one_line(quarantined.reason)}: {one_line(quarantined.detail)}",
        f"Today:    {one_line(today) or 'it is an email; `quarantine release` archives it'}",
        *(f"{one_line(name)}: {one_line(str(it.value))}" for name, it in inner.message_attributes.items()),
    ]
    return "\n".join([*lines, "", printable(inner.body.decode(errors="backslashreplace")), ""])
