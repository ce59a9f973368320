"""Waiting that ends early, and how long to wait before trying again."""

import asyncio
from collections.abc import Callable
from math import inf

EARLY_SECONDS = 0.001  # that a timer may fire before its time: uvloop counts in milliseconds, other loops in less


async def pause(seconds: float | None, until: asyncio.Event) -> bool:
    """Wait for `until` or for `seconds` (None: however long it takes); whether it was `until` that came first."""
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return False
    return True


class Backoff:
    """Exponential backoff with full jitter: a random time up to `base`, doubled at each try up to `cap` (seconds)."""

    def __init__(self, uniform: Callable[[float, float], float], base: float = 0.1, cap: float = 30.0) -> None:
        """`uniform(low, high)` draws a random number."""
        self._uniform = uniform
        self._base = base
        self._cap = cap
        self._ceiling = base

    async def wait(self, until: asyncio.Event | None = None) -> None:
        """Wait before the next try; `until` ends it early."""
        if until is None:
            await asyncio.sleep(self.next())  # noqa: TID251 - the one place where nothing but time is waited for
        else:
            await pause(self.next(), until)

    def next(self, most: float = inf) -> float:
        """How many seconds to wait now, `most` of them; at least a tenth of the ceiling, so it is never a busy loop."""
        ceiling = self._ceiling
        self._ceiling = min(self._cap, ceiling * 2)
        return min(most, self._uniform(ceiling / 10, ceiling))  # mutant: pause-drawn

    def spread(self, seconds: float) -> float:
        """Half of so many seconds or more: those who would wait for the same do not come back all at once."""
        return self._uniform(seconds / 2, seconds)

    def reset(self) -> None:
        """Begin anew: the last try succeeded."""
        self._ceiling = self._base
