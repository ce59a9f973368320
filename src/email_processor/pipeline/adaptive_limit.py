"""The level of concurrency that the store bears, found by trying: more while it helps, less when it hurts."""

from collections.abc import Callable

ROUND_LEAST = 64  # uploads in a round, at least: fewer say little
MEASURED_LEAST = 32  # of them with a latency that counts
MEASURED_BYTES = 64 * 1024  # a larger object's latency says more of its size than of the store
CROWDED = 2.5  # times the latency at ease
LESS = 0.7  # of the limit when it is crowded: times CROWDED it is more than 1, so that the store never runs dry
FASTER = 0.85  # of the latency, if less did help: between LESS (it was all our doing) and 1 (nothing was)
THROTTLED = 0.5  # of the limit
FORGET_SECONDS = 300.0  # after which the latency at ease is found anew: it may have been learnt in a slow spell
TICK_SECONDS = 0.001  # of uvloop's clock


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, by what the store says and by how long it takes.

    After a first round, to learn the latency at ease, the limit doubles with every round of uploads until the first
    sign of crowding; then it adds one a round. It grows only if all that is allowed was in use.

    A throttle halves it. A latency of `CROWDED` times that at ease lowers it too, but as a trial: if fewer uploads are
    no faster, it was not their number that made them slow. Then that latency is the new ease, and the limit is what it
    was. So a store that became slower costs one trial and no collapse, and a latency of our own making (the core is
    busy, the store queues) leaves about as many uploads as keep it busy. No trial goes below the start.

    The latency of a round is the harmonic mean of its uploads': a slow tail hardly counts.
    """

    def __init__(self, now: Callable[[], float], *, start: int, least: int, most: int) -> None:
        """`now` is the monotonic clock, in seconds. The limit stays between `least` and `most`."""
        self._now = now
        self._least = least
        self._most = most
        self._set(start)
        self._start = self._exact
        self._is_starting = True
        self._is_held = True  # until the first verdict: there is nothing yet to compare a latency with
        self._lowered_at = float("-inf")
        self._ease = float("inf")
        self._forget_at = now() + FORGET_SECONDS
        self._trial: tuple[float, float] | None = None  # latency and limit before a decrease that may be in vain
        self._begin()
        self._round = MEASURED_LEAST  # the first is short: nothing grows before it is over

    def _begin(self) -> None:
        self._round = max(ROUND_LEAST, self.limit)
        self._count = self._measured = 0
        self._speeds = 0.0
        self._was_full = False

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> bool:
        """An upload of `size` bytes, begun at `started_at`, is stored; whether the limit changed.

        `is_full` says whether all that is allowed was in use.
        """
        before = self.limit
        if is_full:
            self._was_full = True
            if not self._is_held and self._exact < self._most:
                self._set(self._exact + (1.0 if self._is_starting else 1.0 / self._exact))
        if started_at >= self._lowered_at:
            self._count += 1
            if size <= MEASURED_BYTES:
                self._measured += 1
                self._speeds += 1.0 / max(self._now() - started_at, TICK_SECONDS)
            if self._count >= self._round:
                self._judge()
        return self.limit != before

    def throttle(self, started_at: float) -> bool:
        """The store told an upload to slow down; whether the limit changed.

        Uploads that started before the last decrease say nothing new.
        """
        if started_at < self._lowered_at:
            return False
        before = self.limit
        self._trial = None
        self._lower(THROTTLED)
        self._is_held = False
        return self.limit != before

    def _judge(self) -> None:
        """A round is over: was it crowded, and did the last decrease help?"""
        measured, speeds, was_full = self._measured, self._speeds, self._was_full
        trial, self._trial = self._trial, None
        self._begin()
        self._is_held = False
        if measured < MEASURED_LEAST:
            return
        latency = measured / speeds
        if was_full and self._now() >= self._forget_at:
            self._ease = 0.0  # then any latency is crowded, and trials find out which one is not
        self._ease = min(self._ease, latency)
        if not was_full or latency <= CROWDED * self._ease:
            return
        if trial is not None and latency > FASTER * trial[0]:  # in vain: it was not their number
            self._is_starting = self._ease > 0  # the store is another than it was
            self._set(trial[1])
            self._learn(latency)
        elif self._exact * LESS < self._start:  # no room for a trial
            self._learn(latency)
        else:
            if not self._is_starting:  # a round in which the limit doubled has no one latency to compare with
                self._trial = latency, self._exact
            self._lower(LESS)
            self._is_held = True

    def _learn(self, ease: float) -> None:
        self._ease = ease
        self._forget_at = self._now() + FORGET_SECONDS

    def _lower(self, share: float) -> None:
        self._lowered_at = self._now()
        self._is_starting = False
        self._set(self._exact * share)
        self._begin()

    def _set(self, exact: float) -> None:
        self._exact = max(self._least, min(self._most, exact))
        self.limit = int(self._exact)  # uploads allowed at once
