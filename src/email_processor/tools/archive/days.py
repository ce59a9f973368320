"""Days that are said by when they are said."""

from datetime import UTC, date, datetime
from typing import Self


class MovingDay(date):
    """A day that the same words may have meant to be an earlier one: `today`, `yesterday`, an end that is not given."""

    @classmethod
    def now(cls) -> Self:
        """Today, in UTC."""
        return cls.fromordinal(datetime.now(UTC).toordinal())


def may_have_meant(said: date, meant: date) -> bool:
    """Whether what is `said` now may have `meant` that day before."""
    return said == meant or (isinstance(said, MovingDay) and meant < said)
