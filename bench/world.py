"""What one run is about: the scenario, the queue, the bucket, and what became of them."""

import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bench.aws import Bucket, Queue, Tally, Throttle
from bench.mail import Post


@dataclass(frozen=True, slots=True)
class Scenario:
    """What AWS is to be like. Latencies in seconds; `put_rate` is how many PUTs a second the bucket bears.

    `feed` is how many messages a second are sent to the queue, from the first receive on; None is a queue that never
    gets empty.
    """

    size: int = 4096
    queue_latency: float = 0.0
    store_latency: float = 0.0
    put_rate: float | None = None
    feed: float | None = None


class World:
    """Everything that the server serves, and what it knows of it."""

    def __init__(self, scenario: Scenario, first_receive: Callable[[float], None]) -> None:
        """`first_receive` is told when it is (monotonic seconds)."""
        self.scenario = scenario
        self.tally = Tally()
        self.requests: Counter[str] = Counter()
        self.throttle = Throttle(scenario.put_rate)
        post = Post(scenario.size)
        self.queue = Queue(post, self.tally, endless=scenario.feed is None)
        self.bucket = Bucket(post, self.queue, self.tally)
        self.waiting: list[Callable[[], bool]] = []  # long polls: each answers if it can, and says whether it has
        self.last_delete = 0.0
        self._first_receive: float | None = None
        self._first_receive_is = first_receive
        self._fed = 0

    def begin(self) -> None:
        """A receive has come."""
        if self._first_receive is None:
            self._first_receive = time.monotonic()
            self._first_receive_is(self._first_receive)

    def tick(self) -> None:
        """Send what is due, and answer the long polls that can be answered now."""
        if self.scenario.feed is not None and self._first_receive is not None:
            due = int((time.monotonic() - self._first_receive) * self.scenario.feed)
            for _ in range(due - self._fed):
                self.queue.send(time.time())
            self._fed = due
        self.waiting = [answered for answered in self.waiting if not answered()]

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
            "already_there": tally.already_there,
            "redelivered": tally.redelivered,
            "stale_handles": tally.stale_handles,
            "throttled": tally.throttled,
            "requests": dict(self.requests),
            "first_receive": self._first_receive,
            "last_delete": self.last_delete,
            "sent_to_stored": {f"p{p}": times[min(len(times) - 1, len(times) * p // 100)] for p in (50, 99) if times},
            "server_cpu": usage.ru_utime + usage.ru_stime,
        }
