"""`quarantine release` and `discard`: out of the quarantine, into the archive or away, and never in neither.

A message is released under the key and with the bytes that the live path would have made. Nothing is sent to SQS: so
there is no new id, no second object, and no loop. Whatever ends it, it can be begun again: what is stored is found, and
what is in quarantine is only deleted when it was read back from the archive.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from email_processor import __version__
from email_processor.domain.document import are_of_one_message
from email_processor.domain.errors import ObjectRefusedError, UnarchivableError
from email_processor.domain.stored import MadeObject, released
from email_processor.exit_codes import EXIT_FAILED
from email_processor.ports import Stored
from email_processor.settings import Settings
from email_processor.tools.archive.concurrently import mapped, task_group
from email_processor.tools.archive.output import progress
from email_processor.tools.archive.quarantine import HeldMessage, Rejected, held
from email_processor.tools.archive.reader import OBJECTS_AT_ONCE, Reader, bucket_settings, open_reader
from email_processor.tools.archive.record import AccessRecord, Because, note
from email_processor.tools.archive.text import one_line, say
from email_processor.tools.command import run_command

RECORDED = 500  # objects in one record of what is discarded
NAMED = 10  # of those that could not be released


class ReleaseOutcome(StrEnum):
    """What became of a message in quarantine, as it is said."""

    RELEASED = "released"
    THERE = "archived already"
    STORED = "stored, perhaps still in quarantine"
    WOULD = "would be released"
    STILL = "still no email"
    CORRUPT = "corrupt, which only --reason corrupt releases"
    CONFLICT = "not released: under its key the archive has something else"
    REFUSED = "not released: S3 refuses it"
    UNREADABLE = "not released: it is not what the service writes there"


Ended = Callable[[HeldMessage, ReleaseOutcome], None]
NOT_RELEASED = frozenset({ReleaseOutcome.CONFLICT, ReleaseOutcome.REFUSED, ReleaseOutcome.UNREADABLE})


@dataclass(frozen=True, slots=True)
class ReleaseRules:
    """How messages are released. With `keep` they stay in quarantine as well; `dry` does nothing.

    A store that is not `conditional` would write over what is there, so it is looked at first.
    """

    prefix: str
    version: str
    conditional: bool = True
    keep: bool = False
    dry: bool = False


async def release_one(
    reader: Reader, rules: ReleaseRules, which: Rejected, held_message: HeldMessage, ended: Ended
) -> ReleaseOutcome:
    """Archive a message in quarantine, see that it is there, and only then take it out of the quarantine.

    If that is ended in between, by a fault or by Ctrl-C, `ended` hears that it is stored.
    """
    if held_message.quarantined is None:
        return ReleaseOutcome.UNREADABLE
    try:
        made = released(held_message.quarantined, rules.prefix, rules.version)  # mutant: under-its-key
    except UnarchivableError:
        return ReleaseOutcome.STILL
    if which.spares(held_message.quarantined):
        return ReleaseOutcome.CORRUPT
    if rules.dry:
        return ReleaseOutcome.WOULD
    return await _moved(reader, rules, held_message, made, ended)


async def _moved(
    reader: Reader, rules: ReleaseRules, held_message: HeldMessage, made: MadeObject, ended: Ended
) -> ReleaseOutcome:
    try:
        stored = await _put(reader, made, conditional=rules.conditional)  # mutant: stored-first
    except ObjectRefusedError:
        return ReleaseOutcome.REFUSED
    try:
        there = await reader.get(made.key, len(made.document))  # mutant: read-back
        if there is None or not (there == made.document or are_of_one_message(there, made.document)):
            return ReleaseOutcome.CONFLICT  # mutant: conflict-kept
        if not rules.keep:  # mutant: taken-out
            await reader.delete(held_message.key)
    except (Exception, asyncio.CancelledError):
        if stored is Stored.CREATED:  # what was there before is none of our doing
            ended(held_message, ReleaseOutcome.STORED)
        raise
    # mutant of the next line: told-apart
    return ReleaseOutcome.RELEASED if stored is Stored.CREATED else ReleaseOutcome.THERE


async def release_all(
    reader: Reader,
    rules: ReleaseRules,
    quarantine_prefix: str,
    which: Rejected,
    ended: Ended,
) -> None:
    """Release all that is meant, many at once; `ended` hears what became of each, as soon as it has."""

    async def end(message: HeldMessage) -> None:
        ended(message, await release_one(reader, rules, which, message, ended))

    async with (
        held(reader, quarantine_prefix, which) as messages,
        mapped(messages, end, OBJECTS_AT_ONCE, lambda message: len(message.document)) as endings,
    ):
        async for _ in endings:
            pass


async def _put(reader: Reader, made: MadeObject, *, conditional: bool) -> Stored:
    if not conditional and await reader.get(made.key) is not None:
        return Stored.ALREADY_THERE
    return await reader.put(made.key, made.document)


def release(which: Rejected, *, keep: bool, dry: bool, most_requests: int | None, reason: Because) -> int:
    """Release what is an email to today's code; the exit code."""
    endings: Counter[ReleaseOutcome] = Counter()

    def so_far() -> str:
        return ", ".join(f"{endings[ending]:,} {ending}" for ending in ReleaseOutcome if endings[ending])

    async def work(settings: Settings) -> int:
        rules = ReleaseRules(settings.s3_key_prefix, __version__, settings.s3_conditional_writes, keep, dry)
        async with open_reader(settings, most_requests) as (reader, _):
            if not dry:
                await note(reader, AccessRecord("quarantine release", str(which), reason))
            with progress("Releasing") as advance:

                def ended(message: HeldMessage, ending: ReleaseOutcome) -> None:
                    _tell(message, ending, endings)
                    advance(1)

                await release_all(reader, rules, settings.s3_quarantine_prefix, which, ended)
            say(f"{so_far() or 'Nothing to release'}; {reader.tally}")
        return EXIT_FAILED if any(endings[ending] for ending in NOT_RELEASED) else 0

    return run_command(work, reads=bucket_settings, so_far=so_far)


def _tell(message: HeldMessage, ending: ReleaseOutcome, endings: Counter[ReleaseOutcome]) -> None:
    """Count it, and name it if somebody has to look at it."""
    endings[ending] += 1
    if ending in NOT_RELEASED and endings[ending] <= NAMED:
        say(f"{one_line(message.key)}: {ending}.")


def discard(which: Rejected, *, most_requests: int | None, because: str) -> int:
    """Throw away what is in quarantine, each message after the record of it is stored; the exit code."""
    tally = DiscardTally()

    async def work(settings: Settings) -> None:
        async with open_reader(settings, most_requests) as (reader, _):
            batch: list[Mapping[str, str]] = []
            with progress("Discarding") as advance:

                async def away() -> None:
                    await discard_batch(reader, which, batch, because, tally)
                    advance(len(batch))
                    batch.clear()

                async with held(reader, settings.s3_quarantine_prefix, which) as messages:
                    async for message in messages:
                        batch.append(facts_of(message))
                        if len(batch) == RECORDED:
                            await away()
                if batch:
                    await away()
            say(f"{tally}; {reader.tally}")

    return run_command(work, reads=bucket_settings, so_far=lambda: f"{tally}." if tally.recorded else "")


@dataclass(slots=True)
class DiscardTally:
    """How many are on record as thrown away, and how many of these are seen to be gone."""

    recorded: int = 0
    gone: int = 0

    def __str__(self) -> str:
        """Say it; in between a delete may have been done whose answer nobody waited for."""
        more = f", {self.recorded - self.gone:,} more on record and perhaps gone" if self.gone < self.recorded else ""
        return f"{self.gone:,} discarded{more}"


async def discard_batch(
    reader: Reader, which: Rejected, batch: Sequence[Mapping[str, str]], because: str, tally: DiscardTally
) -> None:
    """The record of these facts first, which is read back; then the deletes. Each is counted when it is done."""

    async def away(key: str) -> None:
        await reader.delete(key)
        tally.gone += 1

    await note(reader, AccessRecord("quarantine discard", str(which), Because(because, is_stored=True), list(batch)))
    tally.recorded += len(batch)
    async with task_group() as tasks:
        for facts in batch:
            tasks.create_task(away(facts["key"]))


def facts_of(message: HeldMessage) -> Mapping[str, str]:
    """What stays of a message that is thrown away: none of its content."""
    return {"key": message.key, "sha256": sha256(message.document).hexdigest(), "reason": message.reason}
