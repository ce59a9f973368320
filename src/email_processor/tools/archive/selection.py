"""What is asked for, and what it takes to find it: days, a sender, an id, words; prefixes, requests, a price."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import click

from email_processor.domain.key import day_prefix, id_prefix
from email_processor.domain.sender import UNKNOWN, sender_folder
from email_processor.tools.amounts import counted
from email_processor.tools.archive.days import MovingDay
from email_processor.tools.archive.reader import LISTS_AT_ONCE, Kind
from email_processor.tools.archive.sharing import KeyRange
from email_processor.tools.command import WrongUseError

LIST_SECONDS = 0.15  # about what S3 takes
DAY = timedelta(days=1)
GLOBS = frozenset("*?[]")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which mails are meant: of which days, and what else must be true of them. What is empty says nothing.

    `folder` is the sender's, `address` a whole address that only the email itself can confirm.
    """

    first: date
    last: date
    folder: str = ""
    address: str = ""
    message_id: str = ""
    subject: re.Pattern[str] | None = None
    text: re.Pattern[str] | None = None
    quarantine: bool = False

    @property
    def must_read(self) -> bool:
        """Whether the keys alone cannot tell."""
        return bool(self.address or self.subject or self.text)

    @property
    def days(self) -> Iterator[date]:
        """From the first to the last."""
        for number in range((self.last - self.first).days + 1):
            yield self.first + number * DAY

    def ranges(self, prefix: str) -> Iterator[KeyRange]:
        """Where the keys of all that is meant are, in their order, under the `prefix` of emails or quarantine."""
        for day in self.days:
            start = day_prefix(prefix, day, self.folder)
            is_exact = bool(self.message_id) and (bool(self.folder) or self.quarantine)
            yield KeyRange(id_prefix(start, self.message_id) if is_exact else start)

    def confirms(self, sender: str, subject: str, content: str) -> bool:
        """Whether what an email says of itself is what was asked for."""
        return (
            (not self.address or _has_address(sender, self.address))
            and (self.subject is None or self.subject.search(subject) is not None)
            and (self.text is None or self.text.search(content) is not None)
        )

    def __str__(self) -> str:
        """Say it in one line, always in the same words."""
        parts = [days_said(self.first, self.last), *(["quarantine"] if self.quarantine else [])]
        parts += [f"from {self.address or self.folder}"] if self.folder else []
        parts += [f"id {self.message_id}"] if self.message_id else []
        parts += [f"subject {self.subject.pattern}"] if self.subject else []
        parts += [f"text {self.text.pattern}"] if self.text else []
        return ", ".join(parts)


def _has_address(sender: str, address: str) -> bool:
    """Whether a sender, however it is written, has this address and not one that only ends or begins with it."""
    # The address takes both forms, and not the sender one: normalising takes quadratic time, and a sender may be long.
    forms = "|".join(re.escape(unicodedata.normalize(form, address)) for form in ("NFC", "NFD"))
    pattern = rf"(?<![^\s<,;:\"'()])(?:{forms})(?![^\s>,;\"'()])"
    return re.search(pattern, sender, re.IGNORECASE) is not None


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What a selection takes at least, in requests, dollars and seconds, and what comes on top of it."""

    lists: int
    more: str

    @classmethod
    def of(cls, selection: Selection, *, reads: bool) -> "RequestPlan":
        """What it takes to find it; `reads` says that every mail is read in any case."""
        lists = sum(1 for _ in selection.days)
        whose = f"{selection.folder}'s mails" if selection.folder else "the mails of these days"
        more = "or a few more" if selection.folder or selection.message_id else "and 1 for each further 1,000 mails"
        if selection.must_read or reads:
            why = "to compare the full address" if selection.address else "to look into it" if not reads else ""
            more += f", then 1 read for each of {whose} {why}".rstrip()
        if selection.message_id and not (selection.folder or selection.quarantine):
            more += "; with --from it would be 1 list a day, however many mails the day has"
        return cls(lists, more)

    @property
    def dollars(self) -> float:
        """What the lists cost."""
        return self.lists * Kind.LIST.dollars

    @property
    def seconds(self) -> float:
        """About how long the lists take."""
        return -(-self.lists // LISTS_AT_ONCE) * LIST_SECONDS

    def __str__(self) -> str:
        """Say it to who has to decide."""
        prefixes, lists = counted(self.lists, "prefix", "prefixes"), counted(self.lists, "list")
        seconds = f"{max(self.seconds, 1):.0f} s"
        return f"{prefixes}, {lists} {self.more}\nabout ${self.dollars:.4f} and {seconds} for the lists"

    def stay_below(self, most: int) -> None:
        """Refuse what is bound to be too much.

        Raises:
            WrongUseError: the lists alone are more than `most` requests.
        """
        if self.lists > most:
            raise WrongUseError(
                f"This takes at least {self.lists:,} requests; --max-requests allows {most:,}.",
                fix="Ask for fewer days, or raise --max-requests.",
            )


def days_said(first: date, last: date) -> str:
    """Days for people: one, or from which to which."""
    return f"{first}" if first == last else f"{first} to {last}"


def days_of(day: date | None, since: date | None, until: date | None) -> tuple[date, date]:
    """The first and the last day that the options mean; today is the last if only the first is given.

    Raises:
        UsageError: they mean none, or contradict each other.
    """
    if day is not None:
        if since or until:
            raise click.UsageError("--day is one day: leave out --since and --until.")
        return day, day
    if since is None:
        raise click.UsageError(
            "Which days? Add --day, or --since and --until: keys begin with the day, and to look through all of them "
            "could take millions of requests."
        )
    until = until or max(MovingDay.now(), MovingDay.fromordinal(since.toordinal()))
    if since > until:
        raise click.UsageError(f"--since {since} is after --until {until}.")
    return since, until


def sender_of(text: str) -> tuple[str, str]:
    """The folder, and the whole address if it is one, of a sender as somebody types it.

    Raises:
        UsageError: it can be none.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise click.UsageError("--from has no sender in it, or characters that cannot be printed.")
    if GLOBS.intersection(text):
        raise click.UsageError("--from takes one sender, an address or a name: * and ? stand for nothing here.")
    if text.startswith("@"):
        raise click.UsageError("--from takes one sender, not a domain: keys have only what stands before the @.")
    folder = sender_folder(text)
    if folder == UNKNOWN and text.lower() != UNKNOWN:
        raise click.UsageError(f"--from {text} has no letter or digit: nobody is called like that.")
    address = text if "@" in text and not any(sign in text for sign in '<>", ') else ""
    if "@" in text and not address:
        raise click.UsageError("--from takes the address alone, as john.doe@example.com.")
    return folder, address


def pattern_of(text: str | None, option: str) -> re.Pattern[str] | None:
    """A regular expression, found anywhere and in any case.

    Raises:
        BadParameter: it is none.
    """
    try:
        return None if text is None else re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise click.BadParameter(f"it is no regular expression: {error}.", param_hint=option) from error
