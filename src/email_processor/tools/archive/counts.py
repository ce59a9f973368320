"""What a producer wrote down: the ids that it sent, or how many in which hour."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from email_processor.domain.errors import EmailProcessorError
from email_processor.tools.command import WrongUseError

IN_MEMORY_BYTES = 16 * 1024 * 1024  # of ids; more of them are in a file

_HOUR = re.compile(
    r"(?:(?P<day>\d{4}-\d\d-\d\d)[T ])?(?P<hour>[01]\d|2[0-3])(?::00)?Z?[\s,;]+(?P<count>\d{1,12})", re.ASCII
)
_TOTAL = re.compile(r"total[\s,;:=]+(\d{1,12})", re.ASCII | re.IGNORECASE)


class NoRoomError(EmailProcessorError):
    """What the producer wrote down does not fit into the folder for temporary files."""


@dataclass(slots=True)
class ProducerList:
    """Ids, or counts by hour (in UTC) or of the whole day; never both. The ids are in `kept`, each on a line."""

    kept: IO[bytes]
    hours: Counter[int] = field(default_factory=Counter)
    total: int | None = None
    ids: int = 0

    def keep(self, message_id: str) -> None:
        """One more id."""
        try:
            self.kept.write(f"{message_id}\n".encode())
        except OSError as error:
            raise NoRoomError(
                f"{error.strerror}.", fix="Make room there, or set TMPDIR to a folder that has it."
            ) from error
        self.ids += 1

    def each_id(self) -> Iterator[str]:
        """The ids in their order."""
        self.kept.seek(0)
        return (line.decode().removesuffix("\n") for line in self.kept)


@contextmanager
def read_counts(path: Path, day: date) -> Iterator[ProducerList]:
    """Read what a producer wrote down about `day`: a line for each id, or for each hour; `#` begins a remark.

    It is read once, because a pipe has nothing to say when it is asked again.

    Raises:
        WrongUseError: it cannot be read, is empty, is about another day, or mixes both.
        NoRoomError: there are many ids, and they cannot be kept.
    """
    with SpooledTemporaryFile(IN_MEMORY_BYTES) as kept:
        yield _read(path, day, ProducerList(kept))


def _read(path: Path, day: date, found: ProducerList) -> ProducerList:
    for line in _lines(path):
        hour, total = _HOUR.fullmatch(line), _TOTAL.fullmatch(line)
        if hour is not None:
            if hour["day"] not in {None, day.isoformat()}:
                raise WrongUseError(
                    f"{path} is about {hour['day']}, not {day}.", fix="Audit that day, or take its file."
                )
            found.hours[int(hour["hour"])] += int(hour["count"])
        elif total is not None:
            found.total = (found.total or 0) + int(total[1])
        elif re.search(r"\s", line):
            raise WrongUseError(f"{path} has a line that is no id and no count: {line[:80]!r}.", fix=_FORM)
        else:
            found.keep(line)
    if found.ids and (found.hours or found.total is not None):
        raise WrongUseError(f"{path} has ids and counts: one of both.", fix=_FORM)
    if not (found.ids or found.hours or found.total is not None):
        raise WrongUseError(f"{path} has nothing in it.", fix=_FORM)
    return found


_FORM = "Write an id a line, or counts as `14 3021` (hour, in UTC, and how many) or `total 90210`."


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            for line in lines:
                text = line.strip()
                if text and not text.startswith("#"):
                    yield text
    except OSError as error:
        raise WrongUseError(f"{path} cannot be read: {error.strerror}.") from error
