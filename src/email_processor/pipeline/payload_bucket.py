"""A bucket of offloaded bodies: who waits for it, whether it is held to be down, and who fails by itself."""

import heapq
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from math import inf

from email_processor.domain.email import Pointer
from email_processor.pipeline.evidence import Blame, Evidence, Tally
from email_processor.pipeline.ledger import Delivery, Job
from email_processor.pipeline.waiting import Backoff

FAILURES_TO_OPEN = 3  # in a row: GETs are few, and to hold a bucket to be down by mistake costs little
BLAME = Blame()


@dataclass(slots=True, eq=False)
class Offloaded:
    """A message whose body is to be fetched; `number` says in which order they came.

    `failures` are those that may be blamed on it, and `before` is how its bucket had fared when the first one came.
    """

    job: Job
    pointer: Pointer
    number: int
    backoff: Backoff
    tries: int = 0
    failures: int = 0
    before: Tally = field(default_factory=Tally)
    is_retry: bool = False

    @property
    def delivery(self) -> Delivery:
        """The message, as the ledger knows it."""
        return self.job.delivery


@dataclass(slots=True, eq=False)
class PayloadBucket:
    """A bucket with a circuit of its own. At most `most` of it are fetched at once.

    The circuit opens after three failures in a row. From then on one GET at a time is the probe, further and further
    apart, and what has failed takes turns with what is fresh; the first answer closes it. What fails while others are
    answered is tried again by itself, in half of the places, so that it does not hold up the others.
    """

    backoff: Backoff
    most: int
    is_open: bool = False
    under_way: int = 0
    _retrying: int = 0
    _retried_last: bool = False
    _fresh: deque[Offloaded] = field(default_factory=deque)
    _failed: list[tuple[float, int, Offloaded]] = field(default_factory=list)  # a heap: when each is due
    _tally: Tally = field(default_factory=Tally)
    _failures_in_a_row: int = 0
    _probe_at: float = 0.0

    def __iter__(self) -> Iterator[Offloaded]:
        """Those that wait."""
        yield from self._fresh
        yield from (it for _, _, it in self._failed)

    def __len__(self) -> int:
        """How many wait, and how many are being fetched."""
        return len(self._fresh) + len(self._failed) + self.under_way

    @property
    def is_failing(self) -> bool:
        """Whether its last answer was a failure."""
        return self._failures_in_a_row > 0

    def add(self, it: Offloaded) -> None:
        """Let it wait for its turn."""
        self._fresh.append(it)

    def remove(self, those: Collection[Offloaded]) -> None:
        """They wait no longer."""
        self._fresh = deque(it for it in self._fresh if it not in those)
        self._failed = [entry for entry in self._failed if entry[2] not in those]
        heapq.heapify(self._failed)

    def next_at(self) -> float:
        """When the next one may be fetched (monotonic); never, if something has to happen before that."""
        if self.is_open:
            return inf if self.under_way or not (self._fresh or self._failed) else self._probe_at
        if self.under_way >= self.most:
            return inf
        if self._fresh:
            return -inf
        return self._failed[0][0] if self._may_retry else inf

    @property
    def _may_retry(self) -> bool:
        return bool(self._failed) and (self.is_open or self._retrying < max(1, self.most // 2))

    def take(self, now: float) -> Offloaded:
        """Whose turn it is, if one may be fetched; to be given to `release` when it is over."""
        is_due = self._may_retry and (self.is_open or self._failed[0][0] <= now)
        # a probe is what has failed only in every second turn, or one that fails by itself would stand for all
        is_retry = is_due and not (self._fresh and self.is_open and self._retried_last)
        self._retried_last = is_retry
        it = heapq.heappop(self._failed)[2] if is_retry else self._fresh.popleft()
        it.is_retry = is_retry
        it.tries += 1
        self.under_way += 1
        self._retrying += is_retry
        return it

    def release(self, it: Offloaded) -> None:
        """It is not being fetched any more."""
        self.under_way -= 1
        self._retrying -= it.is_retry

    def answered(self) -> None:
        """It has answered, be it that there is no such object."""
        self._tally.add(is_stored=True)
        self._failures_in_a_row = 0
        self.is_open = False
        self.backoff.reset()

    def failed(self, it: Offloaded, now: float, *, is_probe: bool, is_evidence: bool) -> None:
        """It did not answer for this one, which is to be tried again. A probe says nothing of whom it was made with."""
        if is_evidence and not is_probe:
            if not it.failures:
                it.before = replace(self._tally)
            it.failures += 1
            self._tally.add(is_stored=False)
        heapq.heappush(self._failed, (now + it.backoff.next(), it.number, it))
        self._failures_in_a_row += 1
        if is_probe or (not self.is_open and self._failures_in_a_row >= FAILURES_TO_OPEN):
            self.is_open = True  # what was under way when it opened says nothing new
            self._probe_at = now + self.backoff.next()

    def blames(self, it: Offloaded) -> bool:
        """Whether it fails by itself: as the others have fared since its first failure, that is no accident."""
        since = self._tally.since(it.before)
        others = Tally(since.stored, since.tried - it.failures, since.failed - it.failures)
        return BLAME.is_sure(Evidence(it.failures, others))
