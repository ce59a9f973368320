"""A model of S3 and of the processes that write to it, in virtual time: enough of both to tell limiters apart.

One heap of events and no event loop: a minute of 3,500 PUTs a second takes two seconds.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Protocol

BUCKET_SECONDS = 0.5
QUOTA_PERIOD = 0.1  # of the kernel's CPU bandwidth control
BACKOFF, BACKOFF_MAX = 0.1, 30.0
BYTES_A_SECOND = 20e6  # of one PUT's body
SUSTAINED_SECONDS = 60  # of throttling, after which S3 splits a prefix


class Policy(Protocol):
    """What decides how many uploads may run."""

    @property
    def limit(self) -> int:
        """Uploads allowed at once."""
        ...

    def succeed(self, started_at: float, size: int, *, is_full: bool) -> object:
        """An upload of `size` bytes is stored; whether all that is allowed was in use."""
        ...

    def throttle(self, started_at: float) -> object:
        """An upload was told to slow down."""
        ...


@dataclass(frozen=True, slots=True)
class Spell:
    """Something that is different from `start` to `end`. `neighbours` take this share of the store's capacity."""

    start: float
    end: float
    slower: float = 1.0
    neighbours: float = 0.0
    is_down: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """The world of one run. Times in seconds, rates in PUTs a second.

    A PUT takes `latency` at the median, spread log-normally by `spread`; a share `tail` takes five to fifty times that.
    Beyond `rate` they queue for at most `queue`, and are throttled then; a minute of that doubles the rate. Each of the
    `processes` has a core of which a PUT takes `cpu`, and which it may use for a share `quota` of every 100 ms.
    """

    name: str
    seconds: float = 30.0
    latency: float = 0.04
    spread: float = 0.3
    tail: float = 0.01
    rate: float = math.inf
    queue: float = 0.03
    cpu: float = 0.0002
    quota: float = 1.0
    processes: int = 1
    least: int = 8
    most: int = 512
    sizes: tuple[tuple[float, int], ...] = ((1.0, 4096),)  # share of PUTs, bytes
    spells: tuple[Spell, ...] = ()
    steady_from: float = 10.0

    @property
    def attainable(self) -> float:
        """PUTs a second of all processes at the start, if nothing but the world limits them."""
        mean = self.latency * math.exp(self.spread**2 / 2) * (1 + 27 * self.tail)
        mean += sum(share * size for share, size in self.sizes) / BYTES_A_SECOND
        return min(self.rate, self.processes * min(self.quota / self.cpu, self.most / mean))

    @property
    def healed_at(self) -> float:
        """When the last spell is over."""
        return max((spell.end for spell in self.spells), default=0.0)


@dataclass(slots=True)
class _Put:
    process: "_Process"
    started_at: float
    size: int
    tries: int
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

    def __init__(self, scenario: Scenario) -> None:
        self.rate = scenario.rate
        self._queue = scenario.queue
        self._free_at = 0.0
        self._throttled_since = self._throttled_at = -math.inf

    def wait(self, now: float, neighbours: float) -> float | None:
        """Seconds in the queue; None if throttled."""
        if math.isinf(self.rate):
            return 0.0
        begin = max(now, self._free_at)
        if begin - now > self._queue:
            self._throttle(now)
            return None
        self._free_at = begin + 1 / (self.rate * (1 - neighbours))
        return begin - now

    def _throttle(self, now: float) -> None:
        if now - self._throttled_at > 10:  # it is not sustained after a pause
            self._throttled_since = now
        self._throttled_at = now
        if now - self._throttled_since >= SUSTAINED_SECONDS:
            self.rate *= 2
            self._throttled_since = now


class Run:
    """One scenario with one kind of policy, and what was seen."""

    def __init__(self, scenario: Scenario, policy: Callable[[Callable[[], float]], Policy], seed: int = 1) -> None:
        """`policy(clock)` makes a policy for a process."""
        self.scenario = scenario
        self.now = 0.0
        self.stored: Counter[int] = Counter()  # by half second
        self.latencies: list[tuple[float, float]] = []  # when, how long
        self.throttled = 0
        self.limits: list[tuple[float, int]] = []  # of the first process: since when, how many
        self._random = Random(f"{scenario.name} {seed}")
        self._store = _Store(scenario)
        self._processes = [_Process(policy(lambda: self.now), scenario.most) for _ in range(scenario.processes)]
        self._events: list[tuple[float, int, Callable[[_Put], None], _Put]] = []
        self._sequence = count()

    def play(self) -> "Run":
        """Play it to its end."""
        events = self._events
        for process in self._processes:
            self._start(process)
        for spell in self.scenario.spells:
            if spell.is_down:
                for process in self._processes:
                    self._at(spell.end, self._resume, _Put(process, 0.0, 0, 0))
        while events and events[0][0] < self.scenario.seconds:
            self.now, _, handle, put = heappop(events)
            handle(put)
        return self

    def _at(self, when: float, handle: Callable[[_Put], None], put: _Put) -> None:
        heappush(self._events, (when, next(self._sequence), handle, put))

    def _spell(self) -> Spell:
        now = self.now
        for spell in self.scenario.spells:
            if spell.start <= now < spell.end:
                return spell
        return _FAIR

    def _start(self, process: _Process) -> None:
        if self._spell().is_down:  # the circuit is open
            return
        while process.running < process.policy.limit and (process.again or process.idle):
            if process.again:
                put = process.again.pop()
            else:
                process.idle -= 1
                put = _Put(process, 0.0, self._size(), 0)
            process.running += 1
            self._send(put)

    def _resume(self, put: _Put) -> None:
        self._start(put.process)

    def _size(self) -> int:
        roll = self._random.random()
        for share, size in self.scenario.sizes:
            roll -= share
            if roll < 0:
                return size
        return self.scenario.sizes[-1][1]

    def _send(self, put: _Put) -> None:
        spell, random, scenario = self._spell(), self._random, self.scenario
        put.started_at = self.now
        wait = self._store.wait(self.now, spell.neighbours)
        put.is_throttled = wait is None
        seconds = scenario.latency * math.exp(random.gauss(0.0, scenario.spread)) * spell.slower
        if random.random() < scenario.tail:
            seconds *= random.uniform(5, 50)
        self._at(self.now + seconds + (wait or 0.0) + put.size / BYTES_A_SECOND, self._arrive, put)

    def _arrive(self, put: _Put) -> None:
        """The answer is there; the process sees it when its core has done all that came before."""
        process, cost = put.process, self.scenario.cpu
        free_at = max(process.free_at, self.now) + cost
        if self.scenario.quota < 1:
            used = self.scenario.quota * QUOTA_PERIOD
            if free_at % QUOTA_PERIOD > used:  # stopped until the next period
                free_at = (free_at // QUOTA_PERIOD + 1) * QUOTA_PERIOD + cost
        process.free_at = free_at
        self._at(free_at, self._answered, put)

    def _answered(self, put: _Put) -> None:
        process = put.process
        policy = process.policy
        before = policy.limit
        if put.is_throttled:
            self.throttled += 1
            policy.throttle(put.started_at)
            ceiling = min(BACKOFF_MAX, BACKOFF * 2**put.tries)
            put.tries += 1
            self._at(self.now + self._random.uniform(ceiling / 10, ceiling), self._retry, put)
        elif self._spell().is_down:
            process.again.append(put)
        else:
            self.stored[int(self.now / BUCKET_SECONDS)] += 1
            self.latencies.append((self.now, self.now - put.started_at))
            policy.succeed(put.started_at, put.size, is_full=process.running >= policy.limit)
            process.idle += 1
        process.running -= 1
        if process is self._processes[0] and (policy.limit != before or not self.limits):
            self.limits.append((self.now, policy.limit))
        self._start(process)

    def _retry(self, put: _Put) -> None:
        put.process.again.append(put)
        self._start(put.process)

    def rate(self, start: float, end: float) -> float:
        """PUTs stored a second, from one time to another (multiples of half a second)."""
        first, last = int(start / BUCKET_SECONDS), int(end / BUCKET_SECONDS)
        return sum(self.stored[bucket] for bucket in range(first, last)) / (end - start)

    def reaches(self, rate: float, after: float = 0.0) -> float:
        """Seconds from `after` until a whole second has 90 % of `rate`; infinite if none has."""
        bucket = int(after / BUCKET_SECONDS)
        while bucket * BUCKET_SECONDS < self.scenario.seconds - 1:
            if self.stored[bucket] + self.stored[bucket + 1] >= 0.9 * rate:
                return bucket * BUCKET_SECONDS - after
            bucket += 1
        return math.inf

    def latency(self, percent: int) -> float:
        """A percentile of the stored PUTs' seconds, once steady."""
        seconds = sorted(it for when, it in self.latencies if when >= self.scenario.steady_from)
        return seconds[min(len(seconds) - 1, len(seconds) * percent // 100)] if seconds else math.inf

    def mean_limit(self, start: float, end: float) -> float:
        """The first process's limit, averaged over time."""
        total, limit, since = 0.0, self.scenario.least, 0.0
        for when, value in [*self.limits, (self.scenario.seconds, 0)]:
            total += limit * max(0.0, min(when, end) - max(since, start))
            limit, since = value, when
        return total / (end - start)

    @property
    def throttled_share(self) -> float:
        """Throttled PUTs among all."""
        return self.throttled / max(1, self.throttled + len(self.latencies))


_FAIR = Spell(0.0, math.inf)
