"""Ranges of keys that are shared among several who list them, though nobody knows where in them the keys are."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

# That keys of ours are made of, in their order: nearly all of the Latin ones, and some of each other script.
SIGNS = "-./0123456789_abcdefghijklmnopqrstuvwxyz~äéñøαζλπφабвежиклмнорстхшяאלתابدسعلمनกรかサン一人国文新要가민한"
PLACES = 4  # behind what two keys have in common, that are looked at to find the middle
# Each split is one request more, or two if nothing is behind it. Of a million objects, so many are less than a tenth.
SPLITS = 40
PAGES_A_SPLIT = 32


class KeyRange(NamedTuple):
    """Keys that begin with `prefix`, come behind `after` and, if there is a `last`, not behind that."""

    prefix: str
    after: str = ""
    last: str = ""


class SharedRanges:
    """What is still to be listed, for up to `at_once` who list it."""

    def __init__(self, ranges: Iterable[KeyRange], at_once: int) -> None:
        """Begin with `ranges`."""
        self._rest = deque(ranges)
        self._free = at_once
        self._pages = 0
        self._splits = 0

    def begin(self) -> KeyRange | None:
        """A range for one more who lists; None if there is none, or enough list."""
        if not (self._rest and self._free):
            return None
        self._free -= 1
        return self._rest.popleft()

    def end(self) -> None:
        """One of them has come to the end of its range."""
        self._free += 1

    def go_on(self, rest: KeyRange) -> KeyRange:
        """What remains to whoever has listed a page and has this before it: a half of it, if others have nothing."""
        self._pages += 1
        if self._rest or not self._free or self._splits >= SPLITS + self._pages // PAGES_A_SPLIT:
            return rest
        middle = halfway(rest.after, rest.last or f"{rest.prefix}{SIGNS[-1] * PLACES}")
        if not middle:
            return rest
        self._splits += 1
        self._rest.append(rest._replace(after=middle))
        return rest._replace(last=middle)


def halfway(low: str, high: str) -> str:
    """A text about halfway between two others, as S3 sorts keys; empty if there is none."""
    start = next((at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
    middle = (_number(low[start:]) + _number(high[start:])) // 2
    signs = []
    for _ in range(PLACES):
        middle, sign = divmod(middle, len(SIGNS))
        signs.append(SIGNS[sign])
    found = low[:start] + "".join(reversed(signs))
    return found if order(low) < order(found) < order(high) else ""


def _number(text: str) -> int:
    """What its first places are as the digits of a number."""
    number = 0
    for place in range(PLACES):
        sign = min(bisect_left(SIGNS, text[place]), len(SIGNS) - 1) if place < len(text) else 0
        number = number * len(SIGNS) + sign
    return number


def order(key: str) -> bytes:
    """What S3 sorts keys by."""
    return key.encode(errors="surrogatepass")
