"""Storing: one try to put an object into the bucket; the limiter and the circuit hear how it went."""

from collections.abc import Callable
from dataclasses import dataclass

from email_processor.domain.errors import Cause, ObjectRefusedError, StoreFaultError
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.evidence import History, Tally
from email_processor.pipeline.health import Part
from email_processor.pipeline.ledger import Delivery, State
from email_processor.pipeline.limiter import Limiter
from email_processor.ports import SLOWEST_BYTES_PER_SECOND, Archive, ProbeObject, Stored


@dataclass(frozen=True, slots=True)
class StoreRules:
    """How many objects are put at once, and what is put to probe.

    The adaptive limit begins at `start` and finds its level up to `most`. Documents of more than `most_bytes` together
    are not under way at once: the HTTP client buffers each of them once more. A larger one goes beside them, alone.
    """

    most: int
    probe: ProbeObject
    start: int = 8
    most_bytes: int = 8 * 1024 * 1024


class Storing:
    """Puts objects, within the adaptive limit and as the circuit admits them."""

    def __init__(self, context: StageContext, archive: Archive, rules: StoreRules) -> None:
        """Nothing is under way."""
        self._context = context
        self._archive = archive
        self._limiter = Limiter(
            context.clock,
            context.metrics,
            context.new_backoff(),
            start=rules.start,
            most=rules.most,
            most_bytes=rules.most_bytes,
        )
        self._probe = rules.probe
        # By prefix, for which different permissions may hold.
        self._emails = Tally()
        self._asides = Tally()
        self._probes = Tally()
        self._are_emails_denied = False  # the last one was, or whatever else needs a person
        context.ledger.on_closed(self._forget_denial)

    @property
    def limit(self) -> int:
        """How many objects may be put at once."""
        return self._limiter.limit

    def resize(self, most: int) -> None:
        """Let the limit find its level up to `most` from now on."""
        self._limiter.resize(most)

    def follow(self, workers: Callable[[], int]) -> None:
        """`workers` tells how many are at work."""
        self._limiter.follow(workers)

    async def above(self, workers: Callable[[], int]) -> None:
        """Return when more objects may be put at once than there are `workers`."""
        await self._limiter.above(workers)

    async def store(
        self,
        delivery: Delivery,
        key: str,
        make_document: Callable[[], bytes],
        *,
        expected_bytes: int,
        is_aside: bool = False,
        history: History | None = None,
        is_probe: bool = False,
    ) -> Stored | History | None:
        """Try once to store a document of a delivery under `key`.

        The document, of about `expected_bytes`, is made when its turn has come: only those under way are in memory.
        `is_aside` says that it goes to quarantine.

        If nothing is stored because all are throttled, it stays in the line and is tried again in its turn.

        Returns its history if that failed, and None if nothing was tried because the circuit was open by then.

        Raises:
            ObjectRefusedError: S3 says itself that it will never take this object.
        """
        circuit, tally = self._context.circuit, self._asides if is_aside else self._emails
        while True:
            if not self._limiter.take(expected_bytes):
                await self._limiter.turn(expected_bytes, delivery.received_at)
            try:  # not `slot`: of every email, that is two more coroutines and a generator
                if circuit.is_open and not is_probe:
                    return None
                answer = await self._try(delivery, key, make_document, history, tally, is_probe=is_probe)
            finally:
                self._limiter.give(expected_bytes)
            if is_probe or not isinstance(answer, History) or not answer.is_paced:
                return answer
            history = answer

    async def _try(
        self,
        delivery: Delivery,
        key: str,
        make_document: Callable[[], bytes],
        history: History | None,
        tally: Tally,
        *,
        is_probe: bool,
    ) -> Stored | History:
        circuit = self._context.circuit
        if delivery.state is State.QUEUED:
            self._context.metrics.queued_seconds.observe(self._context.clock.monotonic() - delivery.received_at)
        self._context.ledger.start(delivery)
        was_open, is_first = circuit.is_open, history is None or not history.has_failed
        if history is not None and history.fault is not None:
            self._context.metrics.retries.labels(history.fault.cause).inc()
        try:
            stored = await self._put(key, make_document, is_probe=is_probe)
        except StoreFaultError as fault:
            history = history or History(tally, self._probes, circuit, self._context.new_backoff())
            if fault.cause is not Cause.THROTTLED:
                tally.add(is_first=is_first, is_stored=False)
                circuit.fail(key, fault, is_news=not history.is_refused)
                delivery.state = State.FAILED
            if tally is self._emails and fault.cause.needs_a_person:
                self._are_emails_denied = True
                if not is_first and history.is_alone:  # they may be too few to open the circuit
                    self._context.health.failed(Part.STORING, fault)
            history.fail(fault, was_open=was_open)
            return history
        tally.add(is_first=is_first, is_stored=True)
        if tally is self._emails:
            self._are_emails_denied = False
        self._say_well()
        circuit.succeed()
        return stored

    def _say_well(self) -> None:
        """Something was stored: all is well, unless an email waits to whose prefix nothing may be written.

        The probe object, and what is quarantined, have another prefix, and vouch for theirs only.
        """
        if not (self._are_emails_denied and self._context.ledger.has_failed):
            self._context.health.well(Part.STORING)

    def _forget_denial(self) -> None:
        """Something is in flight no more: if it was the last that failed, nobody knows how the next email would fare.

        Whoever let go of it: the uploader, but a payload that is hidden, the deleter and the leases as well.
        """
        if self._are_emails_denied and not self._context.ledger.has_failed:
            self._are_emails_denied = False
            self._context.health.idle(Part.STORING)

    async def probe(self) -> None:
        """Put the probe object."""
        circuit, probe = self._context.circuit, self._probe
        async with self._limiter.slot(len(probe.document)):
            try:
                await self._put(probe.key, lambda: probe.document, is_probe=True)
            except StoreFaultError as fault:
                if fault.cause is not Cause.THROTTLED:
                    self._probes.add(is_stored=False)
                    circuit.fail(probe.key, fault, is_probe_object=True)
                return
            except ObjectRefusedError:
                pass  # the store is up, and has an opinion
            self._probes.add(is_stored=True)
            self._say_well()
            circuit.succeed(is_probe_object=True)

    async def _put(self, key: str, make_document: Callable[[], bytes], *, is_probe: bool) -> Stored:
        """One PUT, and a look at an object that is there already."""
        clock, metrics, circuit = self._context.clock, self._context.metrics, self._context.circuit
        circuit.begin()
        started_at = clock.monotonic()
        try:
            document = make_document()
            longer = len(document) / SLOWEST_BYTES_PER_SECOND
            # mutant of the next line: found-is-stored
            stored = await self._context.calls.bounded(Operation.PUT, self._archive.put(key, document), longer)
        except StoreFaultError as fault:
            if fault.cause is Cause.THROTTLED:
                self._limiter.throttle(started_at)
                circuit.throttle(fault)
            raise
        finally:
            metrics.upload_seconds.observe(clock.monotonic() - started_at)
            if is_probe:
                circuit.probed()
            circuit.end()
        if stored is Stored.CREATED:  # that an object is there takes more requests than one: its time says nothing
            self._limiter.succeed(started_at, len(document))
        return stored
