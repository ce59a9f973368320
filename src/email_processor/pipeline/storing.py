"""Storing: an object is put into the bucket, however often that has to be tried, unless it alone is to blame."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from email_processor.domain.errors import Cause, ObjectRefusedError, StoreFaultError
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.limiter import Limiter
from email_processor.ports import SLOWEST_BYTES_PER_SECOND, Archive, Stored


class Next(Enum):
    """What follows a failed try."""

    BACK_OFF = auto()  # another try, after a pause that grows with every try
    PROBE = auto()  # another try, when the open circuit admits it: the circuit spaces the tries
    GIVE_UP = auto()  # no other try: this object alone is to blame


@dataclass(frozen=True, slots=True)
class Evidence:
    """How often the PUT of one object failed, and what became of the other PUTs since its first failure."""

    failures: int = 0
    others_stored: int = 0
    others_failed: int = 0


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When an object is tried again whose PUT failed, and when it is given up.

    A failure of S3 is never a failure of a message. So an object is given up only if it failed at least
    `failures_least` times, at least `others_stored_least` others were stored meanwhile, and for each other failure
    there were at least `stored_for_each_failed` others stored.
    """

    failures_least: int = 5
    others_stored_least: int = 20
    stored_for_each_failed: int = 10

    def after(self, cause: Cause, evidence: Evidence, *, is_open: bool) -> Next:
        """What follows a failure for this `cause`; `is_open` says whether the circuit is open after it."""
        if self._blames(evidence):
            return Next.GIVE_UP
        if is_open and cause is not Cause.THROTTLED:  # a throttled probe tells the circuit nothing: it backs off itself
            return Next.PROBE
        return Next.BACK_OFF

    def _blames(self, evidence: Evidence) -> bool:
        return (
            evidence.failures >= self.failures_least  # mutant: blamed-with-others
            and evidence.others_stored >= self.others_stored_least
            and evidence.others_failed * self.stored_for_each_failed <= evidence.others_stored
        )


@dataclass(frozen=True, slots=True)
class StoreRules:
    """How many objects are put at once, and what follows a failure.

    The adaptive limit begins at `start` and finds its level up to `most`. Documents of more than `most_bytes` together
    are not under way at once: the HTTP client buffers each of them once more. A larger one goes beside them, alone.
    """

    most: int
    start: int = 8
    most_bytes: int = 8 * 1024 * 1024
    retry: RetryPolicy = RetryPolicy()


@dataclass(slots=True)
class _Tally:
    """How many PUTs of all objects were stored and how many failed; throttled ones are neither."""

    stored: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed try, and whether it was the probe of an open circuit."""

    fault: StoreFaultError
    is_probe: bool


class _History:
    """The failures of one object, against the background of all the others.

    What the others did before its first failure says nothing: it can be the first to meet an outage. Nor does a
    failure as the probe of an open circuit: the store was held to be down, and which object is the probe is chance.
    """

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._stored_before = self._failed_before = 0
        self._failures = 0

    def add(self, failure: _Failure) -> Evidence:
        """The evidence after this failure, which is in the tally already; none if the failure says nothing."""
        if failure.fault.cause is Cause.THROTTLED:
            return NO_EVIDENCE
        if failure.is_probe:
            self._failed_before += 1  # it counts neither for this object nor for the others
            return NO_EVIDENCE
        if not self._failures:
            self._stored_before = self._tally.stored
            self._failed_before = self._tally.failed - 1
        self._failures += 1
        return Evidence(
            failures=self._failures,
            others_stored=self._tally.stored - self._stored_before,
            others_failed=self._tally.failed - self._failed_before - self._failures,
        )


class Storing:
    """Puts objects: within the adaptive limit, as the circuit admits them, and again after a failure."""

    def __init__(self, context: StageContext, archive: Archive, rules: StoreRules) -> None:
        """Nothing is under way."""
        self._context = context
        self._archive = archive
        self._limiter = Limiter(
            context.clock, context.metrics, start=rules.start, most=rules.most, most_bytes=rules.most_bytes
        )
        self._policy = rules.retry
        self._tally = _Tally()

    @property
    def limit(self) -> int:
        """How many objects may be put at once."""
        return self._limiter.limit

    def resize(self, most: int) -> None:
        """Let the limit find its level up to `most` from now on."""
        self._limiter.resize(most)

    async def above(self, limit: int) -> None:
        """Return when more than `limit` objects may be put at once."""
        await self._limiter.above(limit)

    async def store(self, key: str, make_document: Callable[[], bytes], expected_bytes: int) -> Stored:
        """Store a document under `key`, however long S3 takes to recover.

        The document, of about `expected_bytes`, is made when its turn has come: only those under way are in memory.

        Raises:
            ObjectRefusedError: S3 refuses this object, or it keeps failing while the others are stored.
        """
        history = backoff = None
        with self._context.circuit.trying():
            while True:
                answer = await self._try(key, make_document, expected_bytes)
                if isinstance(answer, Stored):
                    return answer
                history = history or _History(self._tally)
                backoff = backoff or self._context.new_backoff()
                following = self._after(answer, history)
                self._context.metrics.retries.labels(answer.fault.cause).inc()
                if following is Next.BACK_OFF:
                    await backoff.wait()

    async def _try(self, key: str, make_document: Callable[[], bytes], expected_bytes: int) -> Stored | _Failure:
        """One PUT, and a look at an object that is there already; the limiter and the circuit hear how it went."""
        circuit, limiter = self._context.circuit, self._limiter
        async with limiter.slot(expected_bytes), circuit.admitted():
            is_probe = circuit.is_open
            started_at = self._context.clock.monotonic()
            try:
                document = make_document()
                longer = len(document) / SLOWEST_BYTES_PER_SECOND
                # mutant of the next line: found-is-stored
                stored = await self._context.calls.bounded(Operation.PUT, self._archive.put(key, document), longer)
            except StoreFaultError as fault:
                self._failed(fault, started_at)
                return _Failure(fault, is_probe)
            finally:
                self._context.metrics.upload_seconds.observe(self._context.clock.monotonic() - started_at)
            if stored is Stored.CREATED:  # that an object is there takes more requests than one: its time says nothing
                limiter.succeed(started_at, expected_bytes)
            circuit.succeed()
            self._tally.stored += 1
            return stored

    def _failed(self, fault: StoreFaultError, started_at: float) -> None:
        if fault.cause is Cause.THROTTLED:
            self._limiter.throttle(started_at)
        else:
            self._context.circuit.fail(fault)
            self._tally.failed += 1

    def _after(self, failure: _Failure, history: _History) -> Next:
        """What follows this failure, if another try does; ObjectRefusedError if none does."""
        fault = failure.fault
        evidence = history.add(failure)
        following = self._policy.after(fault.cause, evidence, is_open=self._context.circuit.is_open)
        if following is Next.GIVE_UP:
            raise ObjectRefusedError(
                f"{evidence.failures} tries failed while others succeeded: {fault.detail}", fix=fault.fix
            ) from fault
        return following
