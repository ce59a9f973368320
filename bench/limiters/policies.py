"""The limiters that are compared: ours, and three that are known."""

import math
from collections.abc import Callable, Mapping

from bench.limiters.model import Policy
from email_processor.pipeline.adaptive_limit import AdaptiveLimit

Clock = Callable[[], float]

LOWEST_SECONDS = 120.0  # for which the lowest latency is remembered


class ThrottlesOnly:
    """Additive increase, multiplicative decrease; only a throttle is a sign of too many."""

    def __init__(self, now: Clock, least: int, most: int) -> None:
        self._now, self._least, self._most = now, least, most
        self._exact = float(least)
        self._is_starting = True
        self._lowered_at = -math.inf

    @property
    def limit(self) -> int:
        return int(self._exact)

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> None:
        if is_full:
            self._exact = min(self._most, self._exact + (1.0 if self._is_starting else 1 / self._exact))

    def throttle(self, started_at: float) -> None:
        if started_at >= self._lowered_at:
            self._lower(0.5)

    def _lower(self, share: float) -> None:
        self._is_starting = False
        self._lowered_at = self._now()
        self._exact = max(self._least, self._exact * share)


class LatencyToo(ThrottlesOnly):
    """The same, and a smoothed latency of twice the lowest of the last two minutes is one more sign."""

    def __init__(self, now: Clock, least: int, most: int) -> None:
        super().__init__(now, least, most)
        self._smooth = self._low = self._lower_low = math.inf
        self._since = 0.0

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> None:
        now = self._now()
        latency = now - started_at
        self._smooth = latency if math.isinf(self._smooth) else self._smooth + (latency - self._smooth) / 50
        if now - self._since > LOWEST_SECONDS / 2:
            self._low, self._lower_low, self._since = self._smooth, self._low, now
        self._low = min(self._low, self._smooth)
        if self._smooth <= 2 * min(self._low, self._lower_low):
            super().succeed(started_at, size, is_full=is_full)
        elif started_at >= self._lowered_at and is_full:
            self._lower(0.8)


class Gradient:
    """Netflix's Gradient2: the limit follows long-term over short-term latency, with room for a queue."""

    def __init__(self, now: Clock, least: int, most: int) -> None:
        self._now, self._least, self._most = now, least, most
        self._exact = float(least)
        self._long = 0.0

    @property
    def limit(self) -> int:
        return int(self._exact)

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> None:
        latency = self._now() - started_at
        self._long = latency if not self._long else self._long + (latency - self._long) * 2 / 601
        if self._long > 2 * latency:
            self._long *= 0.95
        if is_full:
            gradient = max(0.5, min(1.0, 1.5 * self._long / latency))
            wanted = self._exact * gradient + math.sqrt(self._exact)
            self._exact = max(self._least, min(self._most, 0.8 * self._exact + 0.2 * wanted))

    def throttle(self, started_at: float) -> None:
        self._exact = max(self._least, self._exact * 0.9)


def ours(now: Clock, least: int, most: int) -> Policy:
    """What the pipeline has."""
    return AdaptiveLimit(now, start=least, least=1, most=most)


POLICIES: Mapping[str, Callable[[Clock, int, int], Policy]] = {
    "AIMD, throttles": ThrottlesOnly,
    "AIMD, latency": LatencyToo,
    "Gradient2": Gradient,
    "ours": ours,
}
