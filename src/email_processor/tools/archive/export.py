"""`export`: mails taken out of the archive, as a whole or to be continued, with a manifest of what was taken."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from email_processor.exit_codes import EXIT_FAILED
from email_processor.settings import Settings
from email_processor.tools.amounts import counted
from email_processor.tools.archive.days import may_have_meant
from email_processor.tools.archive.destination import Destination, destination, head_of
from email_processor.tools.archive.find import prefix_of
from email_processor.tools.archive.output import progress
from email_processor.tools.archive.reader import Reader, bucket_settings, open_reader
from email_processor.tools.archive.record import AccessRecord, Because, note
from email_processor.tools.archive.search import FoundMail, Search
from email_processor.tools.archive.selection import RequestPlan, Selection, days_said
from email_processor.tools.archive.text import say
from email_processor.tools.command import run_command


def export(given: Selection, form: str, to: Path, *, resume: bool, most_requests: int, reason: Because) -> int:
    """Write the mails of a selection to a file or a folder; the exit code."""
    under_way: list[Destination] = []

    async def work(settings: Settings) -> int:
        selection = as_begun(given, to) if resume else given
        RequestPlan.of(selection, reads=True).stay_below(most_requests)
        prefix = prefix_of(settings, selection)
        head = {
            "bucket": settings.s3_bucket_name,
            "prefix": prefix,
            "days": [selection.first.isoformat(), selection.last.isoformat()],
            "selection": str(selection),
            "format": form,
        }
        async with open_reader(settings, most_requests) as (reader, _):
            with destination(to, head, resume=resume) as place, progress("Exporting") as advance:
                under_way.append(place)
                await note(reader, AccessRecord("export", f"{selection}, to {to}", reason))
                before = place.count
                search = await take_all(reader, selection, prefix, place, advance)
            under_way.clear()
            for remark in search.remarks(place.left_out):
                say(remark)
            there = f" ({before:,} of them were there already)" if before else ""
            left_out = f", {counted(len(place.left_out), 'object')} left out" if place.left_out else ""
            say(f"{counted(place.count, 'mail')} exported to {to}{there}{left_out}; {reader.tally}")
        return EXIT_FAILED if place.left_out else 0

    def so_far() -> str:
        if not under_way:
            return ""
        return (
            f"{counted(under_way[0].count, 'mail')} in {to}.part; the same command with --resume goes on behind that."
        )

    return run_command(work, reads=bucket_settings, so_far=so_far)


async def take_all(
    reader: Reader,
    selection: Selection,
    prefix: str,
    place: Destination,
    advance: Callable[[int], None] = lambda _count: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Search:
    """Take what the place does not have yet, and finish it; the search says what it met beside that.

    A mail may be stored under a key that was passed already, as long as its day is not over, and since the export was
    begun. So the keys are listed once more then, and all that was there when that began is in the export.
    """

    async def take(mails: AbstractAsyncContextManager[AsyncIterator[FoundMail]]) -> None:
        async with mails as found:
            async for mail in found:
                place.add(mail)
                advance(1)

    as_of = now()
    search = Search(reader, selection, prefix, place.leave_out)
    await take(search.mails(read=True, after=place.last_key))
    if place.is_continued or selection.last >= as_of.date():
        as_of = now()
        search = Search(reader, selection, prefix, place.leave_out)
        await take(search.mails(read=True, is_known=place.look_again()))
    place.finish(as_of)
    return search


def as_begun(selection: Selection, to: Path) -> Selection:
    """A selection with the days of the export that goes on, if the same words may have meant those at that time.

    After midnight `today` is another day, and so is the end that is not given.
    """
    days = [date.fromisoformat(day) for day in head_of(to).get("days", ())]
    if days == [selection.first, selection.last] or len(days) != 2:  # noqa: PLR2004 - the first and the last
        return selection
    first, last = days
    if not (may_have_meant(selection.first, first) and may_have_meant(selection.last, last)):
        return selection
    say(f"It goes on with the days that it was begun with: {days_said(first, last)}.")
    return replace(selection, first=first, last=last)
