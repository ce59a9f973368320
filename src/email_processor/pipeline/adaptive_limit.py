"""The level of concurrency that the store bears, found by trying: more while it helps, less when it hurts."""

from collections.abc import Callable

ROUND_UPLOADS = 64  # in a round, at least: fewer say little
MEASURED_UPLOADS = 32  # of them, at least, must have a latency that counts
MEASURED_BYTES_MAX = 64 * 1024  # a larger object's latency says more of its size than of the store
BASELINE_UPLOADS = 128  # of them a baseline is the mean: where latencies differ much, fewer are often faster by chance
CROWDED_RATIO = 2.5  # of a round's latency to the baseline: from here on it is crowded
DECREASE = 0.7  # the share of the limit that is left when it is crowded
DECREASE_BY_THROTTLE = 0.5  # the share of the limit that a throttle leaves
# Of the latency after a decrease to that before it: up to here the decrease did help. It lies between DECREASE, where
# the latency was all our own doing, and 1, where none of it was.
HELPED_RATIO = 0.85
CHANCE_RATIO = 1.5  # of a round's latency to a baseline of fewer: up to here it may be by chance that that is lower
REGROWTH = 1 / 16  # of itself, by which the limit grows in a round after it was crowded
BASELINE_SECONDS = 300.0  # after which the baseline is found anew: it may have been learnt in a slow spell
CLOCK_TICK_SECONDS = 0.001  # of uvloop's clock


class AdaptiveLimit:
    """It grows little by little and falls by a share, by what the store says and by how long it takes.

    The baseline is the latency of a store that has as little to do as we have seen. After a first round, to learn it,
    the limit doubles with every round of uploads until the first sign of crowding. After that it grows by a sixteenth a
    round; after a throttle by one, for a throttle costs more than a latency. It grows only if all of it was in use.

    A throttle halves the limit, and again as long as nothing is stored; from the first success after that, the limit
    doubles with every round up to what the first of those throttles left. A latency of `CROWDED_RATIO` times the
    baseline lowers it too, but as a trial: if fewer uploads are no faster, it was not their number that made them slow.
    Then that latency is the new baseline, and the limit is what it was. So a store that became slower costs one trial
    and no collapse, and a latency of our own making (the core is busy, the store queues) leaves about as many uploads
    as keep it busy: `DECREASE` times `CROWDED_RATIO` is more than 1, so that the store never runs dry. No trial goes
    below the start.

    The latency of a round is the harmonic mean of its uploads': a slow tail hardly counts.
    """

    def __init__(self, now: Callable[[], float], *, start: int, least: int, most: int) -> None:
        """`now` is the monotonic clock, in seconds. The limit stays between `least` and `most`."""
        self._now = now
        self._least = least
        self._most = most
        self._set(start)
        self._start = self._exact
        self._doubled_below = float("inf")  # the limit up to which it doubles with every round
        self.is_starved = True  # nothing was stored since the last throttle, or ever
        self._was_throttled = False  # the last time that it was lowered
        self._is_held = True  # until the first verdict: there is nothing yet to compare a latency with
        self._lowered_at = float("-inf")
        self._baseline = float("inf")
        self._baseline_uploads = 0  # of which it is the mean
        self._baseline_until = now() + BASELINE_SECONDS
        self._trial: tuple[float, float] | None = None  # latency and limit before a decrease that may be in vain
        self._begin()
        # The first is short, for nothing grows before it is over: those that make connections, and as many behind them.
        self._round = min(2 * self.limit, MEASURED_UPLOADS)

    def resize(self, most: int) -> None:
        """Stay at or below `most` from now on."""
        self._most = most
        self._set(self._exact)

    def _begin(self) -> None:
        self._round = max(ROUND_UPLOADS, self.limit)
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
                self._set(self._exact + self._growth)
        if started_at >= self._lowered_at:
            self.is_starved = False
            self._count += 1
            if size <= MEASURED_BYTES_MAX:
                self._measured += 1
                self._speeds += 1.0 / max(self._now() - started_at, CLOCK_TICK_SECONDS)
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
        doubled_below = self._doubled_below
        self._lower(DECREASE_BY_THROTTLE)
        self._was_throttled = True
        if self.is_starved:  # not even this few are stored, so how many are too many is no news
            self._doubled_below = doubled_below
        self.is_starved = True
        self._is_held = False
        return self.limit != before

    @property
    def _growth(self) -> float:
        """By how much it grows with an upload."""
        if self._is_doubling:
            return 1.0
        share = 0.0 if self._was_throttled else REGROWTH
        return max(1.0 / self._exact, share * self._exact / self._round)

    @property
    def _is_doubling(self) -> bool:
        return self._exact < self._doubled_below

    def _judge(self) -> None:
        """A round is over: was it crowded, and did the last decrease help?"""
        measured, needed = self._measured, min(MEASURED_UPLOADS, self._round)
        speeds, was_full = self._speeds, self._was_full
        trial, self._trial = self._trial, None
        self._begin()
        self._is_held = False
        if measured < needed:
            return
        latency = measured / speeds
        if was_full and self._now() >= self._baseline_until:
            self._baseline = 0.0  # then any latency is crowded, and trials find out which one is not
        self._compare(latency, measured)
        if not was_full or latency <= CROWDED_RATIO * self._baseline:
            return
        if trial is not None and latency > HELPED_RATIO * trial[0]:  # in vain: it was not their number
            self._doubled_below = float("inf") if self._baseline > 0 else 0.0  # the store is another than it was
            self._set(trial[1])
            self._learn(latency, measured)
        elif self._exact * DECREASE < self._start:  # no room for a trial
            self._learn(latency, measured)
        else:
            if not self._is_doubling:  # a round in which the limit doubled has no one latency to compare with
                self._trial = latency, self._exact
            self._lower(DECREASE)
            self._was_throttled = False
            self._is_held = True

    def _compare(self, latency: float, uploads: int) -> None:
        """The baseline is the lowest latency of so many uploads; while it is of fewer, the mean of all that fit."""
        known = self._baseline_uploads
        if known < BASELINE_UPLOADS and latency <= CHANCE_RATIO * self._baseline:
            share = uploads / (known + uploads)
        elif latency < self._baseline:
            share = min(1.0, uploads / BASELINE_UPLOADS)
        else:
            return
        self._baseline = 1 / ((1 - share) / self._baseline + share / latency)
        self._baseline_uploads += uploads

    def _learn(self, baseline: float, uploads: int) -> None:
        self._baseline = baseline
        self._baseline_uploads = uploads
        self._baseline_until = self._now() + BASELINE_SECONDS

    def _lower(self, share: float) -> None:
        self._lowered_at = self._now()
        self._set(self._exact * share)
        self._doubled_below = self._exact
        self._begin()

    def _set(self, exact: float) -> None:
        self._exact = max(self._least, min(self._most, exact))
        self.limit = int(self._exact)  # uploads allowed at once
