"""What a producer wrote down: the ids that it sent, or how many in which hour."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from email_processor.tools.command import WrongUseError

_HOUR = re.compile(
    r"(?:(?P<day>\d{4}-\d\d-\d\d)[T ])?(?P<hour>[01]\d|2[0-3])(?::00)?Z?[\s,;]+(?P<count>\d{1,12})", re.ASCII
)
_TOTAL = re.compile(r"total[\s,;:=]+(\d{1,12})", re.ASCII | re.IGNORECASE)


@dataclass(slots=True)
class ProducerList:
    """Ids, or counts by hour (in UTC) or of the whole day; never both. The ids are not kept: they are read again."""

    path: Path
    hours: Counter[int] = field(default_factory=Counter)
    total: int | None = None
    ids: int = 0

    def each_id(self) -> Iterator[str]:
        """The ids in their order."""
        return (line for line in _lines(self.path) if not (_HOUR.fullmatch(line) or _TOTAL.fullmatch(line)))


def read_counts(path: Path, day: date) -> ProducerList:
    """Read what a producer wrote down about `day`: a line for each id, or for each hour; `#` begins a remark.

    Raises:
        WrongUseError: it cannot be read, is empty, is about another day, or mixes both.
    """
    found = ProducerList(path)
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
            found.ids += 1
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
