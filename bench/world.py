"""What one run is about: the scenario, the queue, the bucket, and what became of them."""

import math
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.aws import CountingBucket, CountingQueue, Throttle, Totals
from bench.faults import FaultSchedule
from bench.mail import JumpingPost, MailSource, MixedPost, Post

REST_SECONDS = 8.0
SIGMAS_OF_TAIL = 2.326  # from the median of a normal distribution to its 99th percentile


@dataclass(frozen=True, slots=True)
class Scenario:
    """What AWS is to be like. Latencies in seconds; `put_rate` is how many PUTs a second the bucket bears.

    With `store_tail` the latency of a PUT is log-normal: `store_latency` is its median, and that its 99th percentile.
    After some thousands of emails of `size` all have `later_size`, if it is not 0.
    `feed` is how many messages a second are sent to the queue, from the first receive on; None is a queue that never
    gets empty. With `messages` it is an endurance run: so many messages, of mixed sizes, with faults, in `stages`
    with a rest after each.
    """

    size: int = 4096
    queue_latency: float = 0.0
    store_latency: float = 0.0
    store_tail: float = 0.0
    later_size: int = 0
    put_rate: float | None = None
    feed: float | None = None
    messages: int = 0
    stages: int = 1


class BenchWorld:
    """Everything that the server serves, and what it knows of it."""

    def __init__(self, scenario: Scenario, say: Callable[[str, object], None]) -> None:
        """`say` is told the `first_receive`, `progress` and `rest`: when it is (monotonic seconds), and how much."""
        self.scenario = scenario
        self.tally = Totals()
        self.requests: Counter[str] = Counter()
        self.throttle = Throttle(scenario.put_rate)
        self.faults = FaultSchedule() if scenario.messages else None
        post = _post_of(scenario)
        until = scenario.messages // scenario.stages if scenario.messages else math.inf
        self.queue = CountingQueue(post, self.tally, until=until if scenario.feed is None else 0, faults=self.faults)
        self.bucket = CountingBucket(post, self.queue, self.tally)
        self.under_way: Counter[str] = Counter()  # requests whose latency has not passed, by operation
        self._seen: list[dict[str, int]] = []  # what was under way, and in flight, tick by tick
        self.waiting: list[Callable[[], bool]] = []  # long polls: each answers if it can, and says whether it has
        self._first_receive: float | None = None
        self._say = say
        self._chance = random.Random(0)  # noqa: S311 - it draws latencies
        self._fed = 0
        self._stage = 1
        self._rests_since: float | None = None

    def store_latency(self) -> float:
        """How long the next request to the bucket takes, in seconds."""
        median, tail = self.scenario.store_latency, self.scenario.store_tail
        return (
            self._chance.lognormvariate(math.log(median), math.log(tail / median) / SIGMAS_OF_TAIL) if tail else median
        )

    def begin(self) -> None:
        """Note the first receive: from then on time is measured, and the faults begin."""
        if self._first_receive is None:
            self._first_receive = time.monotonic()
            self._say("first_receive", self._first_receive)
            if self.faults is not None:
                self.faults.start(self._first_receive)

    def tick(self) -> None:
        """Send what is due, and answer the long polls that can be answered now."""
        if self.scenario.feed is not None and self._first_receive is not None:
            due = int((time.monotonic() - self._first_receive) * self.scenario.feed)
            for _ in range(due - self._fed):
                self.queue.send(time.time())
            self._fed = due
        if self.faults is not None:
            self._go_on(self.faults, time.monotonic())
        self.waiting = [answered for answered in self.waiting if not answered()]
        if self._first_receive is not None:
            self._seen.append({**self.under_way, "messages": self.queue.counts(time.time())[1]})

    def tell_progress(self) -> None:
        """Say how many messages are stored and deleted so far."""
        self._say("progress", (time.monotonic(), self.tally.counted))

    def _go_on(self, faults: FaultSchedule, now: float) -> None:
        """See whether a stage or a rest is over. What comes back after the last message was sent meets no fault."""
        self.tell_progress()
        if self.queue.sent >= self.queue.until:
            faults.pause(now)
        if not self.queue.is_finished or self._stage > self.scenario.stages:
            return
        if self._rests_since is None:
            self._rests_since = now
        elif now - self._rests_since > REST_SECONDS:
            self._say("rest", now)
            self._rests_since = None
            self._stage += 1
            if self._stage > self.scenario.stages:
                self._say("done", now)
            else:
                self.queue.until = self.scenario.messages * self._stage // self.scenario.stages
                faults.start(now)

    def report(self) -> dict[str, object]:
        """What happened. Times in seconds."""
        tally = self.tally
        times = sorted(tally.sent_to_stored)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "counted": tally.counted,
            "lost": tally.lost,
            "damaged": tally.damaged,
            "overwritten": tally.overwritten,
            "twice": tally.twice,
            "quarantined": tally.quarantined,
            "already_there": tally.already_there,
            "redelivered": tally.redelivered,
            "stale_handles": tally.stale_handles,
            "throttled": tally.throttled,
            "requests": dict(self.requests),
            "troubles": dict(self.faults.troubles) if self.faults else {},
            "left": sum(self.queue.counts(time.time())),
            "first_receive": self._first_receive,
            "under_way": self._usual(),
            "sent_to_stored": {f"p{p}": times[min(len(times) - 1, len(times) * p // 100)] for p in (50, 99) if times},
            "server_cpu": usage.ru_utime + usage.ru_stime,
        }

    def _usual(self) -> dict[str, float]:
        """How much was under way at once: the median of what was seen in the second half of the run."""
        late = self._seen[len(self._seen) // 2 :]
        names = {name for seen in late for name in seen}
        return {name: median(seen.get(name, 0) for seen in late) for name in sorted(names)}


def _post_of(scenario: Scenario) -> MailSource:
    if scenario.messages:
        return MixedPost()
    return JumpingPost(scenario.size, scenario.later_size) if scenario.later_size else Post(scenario.size)
