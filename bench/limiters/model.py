"""A model of S3 and of the processes that write to it, in virtual time: enough of both to tell limiters apart.

One heap of events and no event loop: 100,000 PUTs take a second.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count, pairwise
from random import Random
from typing import Protocol

OBJECT_BYTES = 4096
QUOTA_PERIOD = 0.1  # of the kernel's CPU bandwidth control
BACKOFF, BACKOFF_MAX = 0.1, 30.0
SUSTAINED_SECONDS = 10  # of throttling, after which the prefix is split; it takes S3 minutes


class Policy(Protocol):
    """What decides how many uploads may run."""

    @property
    def limit(self) -> int:
        """Uploads allowed at once."""
        ...

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> object:
        """An upload of `size` bytes is stored; `is_full` if all that is allowed was in use."""
        ...

    def throttle(self, started_at: float) -> object:
        """An upload was told to slow down."""
        ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """What S3 and the processes are like in one run. Times in seconds, rates in PUTs a second.

    A PUT takes `latency` at the median, spread log-normally by `spread`; a share `tail` takes five to fifty times that.
    From `slow[0]` to `slow[1]` it takes `slower` times as long. Beyond `rate` PUTs queue for at most `queue`, and are
    throttled then; ten seconds of that double the rate. Each of the `processes` has a core of which a PUT takes `cpu`,
    and which it may use for a share `quota` of every 100 ms. `windows` are looked at: a name, and from when to when.
    """

    name: str
    windows: tuple[tuple[str, float, float], ...] = (("", 5, 20),)
    latency: float = 0.04
    spread: float = 0.3
    tail: float = 0.01
    slow: tuple[float, float] = (math.inf, math.inf)
    slower: float = 1.0
    rate: float = math.inf
    queue: float = 0.03
    cpu: float = 0.0007
    quota: float = 1.0
    processes: int = 1
    least: int = 8
    most: int = 512


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen in a window: PUTs stored a second, the share of PUTs throttled, seconds a PUT, the mean limit.

    A throttled PUT takes from its first try to its last.
    """

    rate: float
    throttled: float
    p50: float
    p99: float
    limit: float


@dataclass(slots=True)
class _Put:
    process: "_Process"
    began_at: float
    started_at: float = 0.0
    tries: int = 0
    is_throttled: bool = False


class _Process:
    """A process with one core, a policy, and as many workers as uploads are ever allowed."""

    def __init__(self, policy: Policy, workers: int) -> None:
        self.policy = policy
        self.idle = workers
        self.running = 0
        self.free_at = 0.0  # the core
        self.again: list[_Put] = []  # throttled, waited, and due once more


class _Store:
    """S3: one prefix with a rate that follows sustained demand."""

    def __init__(self, rate: float, queue: float) -> None:
        self._rate = rate
        self._queue = queue
        self._free_at = 0.0
        self._throttled_since = self._throttled_at = -math.inf

    def wait(self, now: float) -> float | None:
        """Seconds in the queue; None if throttled."""
        begin = max(now, self._free_at)
        if begin - now > self._queue:
            self._throttle(now)
            return None
        self._free_at = begin + 1 / self._rate
        return begin - now

    def _throttle(self, now: float) -> None:
        if now - self._throttled_at > SUSTAINED_SECONDS / 2:  # it is not sustained after a pause
            self._throttled_since = now
        self._throttled_at = now
        if now - self._throttled_since >= SUSTAINED_SECONDS:
            self._rate *= 2
            self._throttled_since = now


class LimiterRun:
    """One set of conditions with one kind of policy, played to its end."""

    def __init__(self, conditions: Conditions, policy: Callable[[Callable[[], float]], Policy], seed: int = 1) -> None:
        """`policy(clock)` makes a policy for a process."""
        self._conditions = conditions
        self._now = 0.0
        self._stored: list[tuple[float, float]] = []  # when, how long it took
        self._throttled: list[float] = []  # when
        self._limits = [(0.0, conditions.least)]  # of the first process: since when, how many
        self._random = Random(f"{conditions.name} {seed}")  # noqa: S311 - nothing secret
        self._store = _Store(conditions.rate, conditions.queue)
        self._processes = [_Process(policy(lambda: self._now), conditions.most) for _ in range(conditions.processes)]
        self._events: list[tuple[float, int, Callable[[_Put], None], _Put]] = []
        self._sequence = count()
        self._play()

    def _play(self) -> None:
        for process in self._processes:
            self._start(process)
        end = self._conditions.windows[-1][2]
        while self._events[0][0] < end:
            self._now, _, handle, put = heappop(self._events)
            handle(put)

    def _at(self, when: float, handle: Callable[[_Put], None], put: _Put) -> None:
        heappush(self._events, (when, next(self._sequence), handle, put))

    def _start(self, process: _Process) -> None:
        while process.running < process.policy.limit and (process.again or process.idle):
            if process.again:
                put = process.again.pop()
            else:
                process.idle -= 1
                put = _Put(process, self._now)
            process.running += 1
            self._send(put)

    def _send(self, put: _Put) -> None:
        random, conditions, now = self._random, self._conditions, self._now
        put.started_at = now
        wait = self._store.wait(now)
        put.is_throttled = wait is None
        seconds = conditions.latency * math.exp(random.gauss(0.0, conditions.spread))
        if random.random() < conditions.tail:
            seconds *= random.uniform(5, 50)
        if conditions.slow[0] <= now < conditions.slow[1]:
            seconds *= conditions.slower
        self._at(now + seconds + (wait or 0.0), self._arrive, put)

    def _arrive(self, put: _Put) -> None:
        """The answer is there; the process sees it when its core has done all that came before."""
        process, conditions = put.process, self._conditions
        free_at = max(process.free_at, self._now) + conditions.cpu
        if free_at % QUOTA_PERIOD > conditions.quota * QUOTA_PERIOD:  # stopped until the next period
            free_at = (free_at // QUOTA_PERIOD + 1) * QUOTA_PERIOD + conditions.cpu
        process.free_at = free_at
        self._at(free_at, self._answered, put)

    def _answered(self, put: _Put) -> None:
        process, policy, now = put.process, put.process.policy, self._now
        if put.is_throttled:
            self._throttled.append(now)
            policy.throttle(put.started_at)
            ceiling = min(BACKOFF_MAX, BACKOFF * 2**put.tries)
            put.tries += 1
            self._at(now + self._random.uniform(ceiling / 10, ceiling), self._retry, put)
        else:
            self._stored.append((now, now - put.began_at))
            policy.succeed(put.started_at, OBJECT_BYTES, is_full=process.running >= policy.limit)
            process.idle += 1
        process.running -= 1
        if process is self._processes[0] and policy.limit != self._limits[-1][1]:
            self._limits.append((now, policy.limit))
        self._start(process)

    def _retry(self, put: _Put) -> None:
        put.process.again.append(put)
        self._start(put.process)

    def observed(self, window: int = 0) -> Observed:
        """What was seen in one of the windows."""
        _, start, end = self._conditions.windows[window]
        stored = self._stored[bisect_left(self._stored, (start,)) : bisect_left(self._stored, (end,))]
        throttled = bisect_left(self._throttled, end) - bisect_left(self._throttled, start)
        seconds = sorted(took for _, took in stored)
        area = sum(
            limit * max(0.0, min(until, end) - max(since, start))
            for (since, limit), (until, _) in pairwise([*self._limits, (math.inf, 0)])
        )
        return Observed(
            rate=len(stored) / (end - start),
            throttled=throttled / max(1, throttled + len(stored)),
            p50=seconds[len(seconds) // 2],
            p99=seconds[len(seconds) * 99 // 100],
            limit=area / (end - start),
        )
