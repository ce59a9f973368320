"""How large sample messages are."""

import math
import random
import re
from dataclasses import dataclass

SMALLEST = 200  # bytes: a short email in its JSON
LARGEST = 1024 * 1024  # bytes: what SQS allows a message, attributes included
LARGEST_TYPICAL = 384 * 1024

_UNITS = {"": 1, "b": 1, "k": 1024, "kb": 1000, "kib": 1024, "m": 1024**2, "mb": 1000**2, "mib": 1024**2}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Between `low` and `high` bytes of body, evenly on a log scale: as many of 1 to 2 KiB as of 32 to 64 KiB."""

    low: int
    high: int

    def draw(self, rng: random.Random) -> int:
        """Draw one size, in bytes."""
        return round(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))


class TypicalSizes:
    """As in a mailbox: half of them below 3.5 KiB, one in a hundred above 70 KiB, a few of hundreds of KiB."""

    def draw(self, rng: random.Random) -> int:
        """Draw one size, in bytes."""
        return round(min(max(rng.lognormvariate(math.log(3500), 1.3), SMALLEST), LARGEST_TYPICAL))


def parse(text: str) -> Sizes:
    """Read `4096`, `4KiB` or `1KiB-64KiB`.

    Raises:
        ValueError: with a sentence for whoever typed it.
    """
    low, dash, high = text.strip().lower().partition("-")
    sizes = Sizes(_bytes(low), _bytes(high if dash else low))
    if sizes.low > sizes.high:
        raise ValueError(f"{text!r} has its larger end first")
    if sizes.low < SMALLEST or sizes.high > LARGEST:
        raise ValueError(f"{text!r} is not from {SMALLEST} (a short email in its JSON) to 1MiB (all that SQS allows)")
    return sizes


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a size such as 4096, 4KiB or 1KiB-64KiB")
    return int(float(match[1]) * _UNITS[match[2]])
