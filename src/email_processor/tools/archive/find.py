"""`find`: which mails are there, of whom and when."""

from email_processor.settings import Settings
from email_processor.tools.archive.output import Rows, mail_line
from email_processor.tools.archive.reader import bucket_settings, open_reader
from email_processor.tools.archive.search import Search
from email_processor.tools.archive.selection import RequestPlan, Selection
from email_processor.tools.archive.text import say
from email_processor.tools.command import run_command


def prefix_of(settings: Settings, selection: Selection) -> str:
    """Under which prefix the selection lies."""
    return settings.s3_quarantine_prefix if selection.quarantine else settings.s3_key_prefix


def find(selection: Selection, output: str, *, limit: int | None, most_requests: int) -> int:
    """Print the mails of a selection, `limit` of them at most; the exit code."""
    rows = Rows(output, "mails", mail_line)

    async def work(settings: Settings) -> None:
        RequestPlan.of(selection, reads=False).stay_below(most_requests)
        async with open_reader(settings, most_requests) as (reader, _):
            search = Search(reader, selection, prefix_of(settings, selection))
            async with search.mails() as mails:
                async for mail in mails:
                    rows.add(mail.row())
                    if limit is not None and rows.count >= limit:
                        break
            rows.end()
            for remark in search.remarks():
                say(remark)
            if not rows.count:
                say(f"No mail: {selection}.")
            say(f"{rows.count:,} found; {reader.tally}")

    return run_command(
        work, reads=bucket_settings, so_far=lambda: f"{rows.count:,} found." if rows.count else "", only_prints=True
    )


def plan(selection: Selection, *, reads: bool = False) -> int:
    """Print what a selection takes, and do nothing; the exit code."""
    say(str(RequestPlan.of(selection, reads=reads)))
    return 0
