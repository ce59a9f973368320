"""Uploaders: jobs in, objects stored, receipts out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from email_processor.domain.document import email_document, quarantine_document
from email_processor.domain.email import Email, Pointer, read, read_payload
from email_processor.domain.errors import (
    Cause,
    ObjectRefusedError,
    PayloadMissingError,
    PayloadTooLargeError,
    Reason,
    StoreFaultError,
    UnarchivableError,
)
from email_processor.domain.key import object_key, quarantine_key
from email_processor.metrics import Operation
from email_processor.pipeline.circuit import Circuit
from email_processor.pipeline.common import Common
from email_processor.pipeline.depth import Redrive
from email_processor.pipeline.ledger import Delivery, Job, State
from email_processor.pipeline.limiter import Limiter
from email_processor.ports import Archive, Payloads, Stored

log = logging.getLogger(__name__)

FAILURES_ALONE = 5
OTHERS_STORED_MEANWHILE = 20
FETCH_TRIES = 5


class Outcome(Enum):
    """What became of a delivery in an uploader's hands."""

    KEPT = auto()  # its object is durable
    MOVED = auto()  # another worker has it now
    LEFT = auto()  # the queue will hand it out again


@dataclass(frozen=True, slots=True)
class UploadRules:
    """What an uploader needs to know of the settings. Times in seconds.

    `upload_timeout` bounds one PUT. With `quarantine` off, what is not an email is left to the queue's dead-letter
    policy.
    """

    key_prefix: str
    quarantine_prefix: str
    quarantine: bool
    version: str
    upload_timeout: float


class Uploader:
    """Turns deliveries into objects. `upload` is one worker; any number may run."""

    def __init__(
        self,
        common: Common,
        archive: Archive,
        payloads: Payloads,
        *,
        jobs: asyncio.Queue[Job],
        receipts: asyncio.Queue[Delivery],
        limiter: Limiter,
        redrive: Redrive,
        rules: UploadRules,
    ) -> None:
        """What is durable goes from `jobs` to `receipts`; `redrive` tells which receive is a message's last."""
        self._common = common
        self._metrics = common.metrics
        self._archive = archive
        self._payloads = payloads
        self._jobs = jobs
        self._receipts = receipts
        self._limiter = limiter
        self._redrive = redrive
        self._rules = rules
        # Payloads are outside the byte budget and may lie in a bucket that we cannot read: they have a queue and a
        # single worker of their own, so that one is in memory at a time and none of them holds up the emails.
        self._offloaded: asyncio.Queue[tuple[Job, Pointer]] = asyncio.Queue(jobs.maxsize)

    async def upload(self) -> None:
        """Work through jobs until cancelled."""
        while True:
            job = await self._jobs.get()
            try:
                if job.delivery.state is State.ARCHIVED:
                    self._receipts.put_nowait(job.delivery)
                elif self._common.ledger.may_start(job.delivery, self._rules.upload_timeout):
                    job.delivery.state = State.STARTED
                    self._metrics.queued_seconds.observe(self._common.clock.monotonic() - job.delivery.received_at)
                    await self._settle(job, self._archive_body)
                else:
                    self._release(job, "lease_expired")
            finally:
                del job  # or an idle worker would keep its last body
                self._jobs.task_done()

    async def upload_offloaded(self) -> None:
        """Work through the messages whose body lies in a bucket, one at a time, until cancelled."""
        while True:
            job, pointer = await self._offloaded.get()
            try:
                await self._settle(job, partial(self._archive_payload, pointer))
            finally:
                del job  # as above
                self._offloaded.task_done()

    async def join(self) -> None:
        """Return when no job is left."""
        await self._jobs.join()
        await self._offloaded.join()

    async def _settle(self, job: Job, archive: Callable[[Job], Awaitable[Outcome]]) -> None:
        """See a job through: stored as an email or in quarantine and on to the deleter, or left to the queue."""
        try:
            outcome = await archive(job)
        except UnarchivableError as error:
            outcome = await self._quarantine(job, error)
        except (ObjectRefusedError, PayloadTooLargeError, StoreFaultError) as error:
            outcome = await self._refused(job, error)
        except Exception as error:  # a bug that one message meets must not stop the others
            log.error("unexpected_error", exc_info=error, extra={"message_id": job.message.message_id})
            outcome = await self._refused(job, error)
        if outcome is Outcome.KEPT:
            self._common.ledger.archived(job.delivery)
            self._receipts.put_nowait(job.delivery)

    async def _archive_body(self, job: Job) -> Outcome:
        email = read(job.message.body)
        if isinstance(email, Pointer):
            self._offloaded.put_nowait((job, email))
            return Outcome.MOVED
        return await self._store_email(job, email)

    async def _archive_payload(self, pointer: Pointer, job: Job) -> Outcome:
        payload = await self._fetch(pointer)
        if payload is None:
            self._offloaded.put_nowait((job, pointer))
            return Outcome.MOVED
        return await self._store_email(job, read_payload(payload, pointer))

    async def _store_email(self, job: Job, email: Email) -> Outcome:
        message, moment, rules = job.message, job.delivery.moment, self._rules
        key = object_key(rules.key_prefix, moment, email.sender, message.message_id)
        document = partial(email_document, message, email, moment, rules.version)
        if await self._put(key, document, len(email.raw) + message.attribute_bytes) is Stored.ALREADY_THERE:
            self._metrics.duplicates.labels("stored").inc()
            return Outcome.KEPT
        self._metrics.archived.inc()
        sent_at = message.sent_at
        if sent_at is not None:
            self._metrics.sent_to_stored.observe(max(0.0, self._common.clock.wall() - sent_at))
        return Outcome.KEPT

    async def _quarantine(self, job: Job, error: UnarchivableError) -> Outcome:
        message, moment, rules = job.message, job.delivery.moment, self._rules
        if not rules.quarantine:
            return self._release(job, "rejected")
        key = quarantine_key(rules.quarantine_prefix, moment, message.message_id)
        document = partial(quarantine_document, message, error, moment, rules.version)
        try:
            stored = await self._put(key, document, len(message.body) + message.attribute_bytes)
        except ObjectRefusedError as refusal:
            log.error(
                "quarantine_refused",
                extra={"message_id": message.message_id, "error": refusal.detail, "fix": refusal.fix},
            )
            return self._release(job, "refused")
        if stored is Stored.ALREADY_THERE:
            self._metrics.duplicates.labels("stored").inc()
            return Outcome.KEPT
        self._metrics.quarantined.labels(error.reason).inc()
        log.warning(
            "quarantined",
            extra={
                "message_id": message.message_id,
                "reason": error.reason.value,
                "detail": error.detail,
                "key": key,
                "receive_count": job.delivery.receive_count,
            },
        )
        return Outcome.KEPT

    async def _refused(self, job: Job, error: Exception) -> Outcome:
        """It fails alone: quarantine it on its last receive, before the dead-letter queue has it; else leave it."""
        count, limit = job.delivery.receive_count, self._redrive.max_receive_count
        if self._rules.quarantine and limit is not None and count >= limit:
            reason = UnarchivableError(Reason.UNDELIVERABLE, f"on its last receive ({count} of {limit}): {error}")
            return await self._quarantine(job, reason)
        log.error(
            "refused",
            extra={"message_id": job.message.message_id, "error": str(error), "fix": getattr(error, "fix", "")},
        )
        return self._release(job, "refused")

    def _release(self, job: Job, reason: str) -> Outcome:
        """Let go of it: when its lease runs out the queue hands it out again, or moves it to the dead-letter queue."""
        self._metrics.released.labels(reason).inc()
        self._common.ledger.close(job.delivery)
        return Outcome.LEFT

    async def _put(self, key: str, document: Callable[[], bytes], size: int) -> Stored:
        """Store it, however long S3 takes to recover; ObjectRefusedError if this object alone keeps failing.

        The document, of about `size` bytes, is made when its turn has come: only those under way are in memory.
        """
        circuit = self._common.circuit
        alone = _Alone(circuit)
        backoff = None
        with circuit.trying():
            while True:
                async with self._limiter.slot(size), circuit.admitted():
                    is_probe = circuit.is_open
                    started_at = self._common.clock.monotonic()
                    try:
                        stored = await self._common.calls.bounded(Operation.PUT, self._archive.put(key, document()))
                    except StoreFaultError as fault:
                        self._metrics.retries.labels(fault.cause).inc()
                        is_spaced = False
                        if fault.cause is Cause.THROTTLED:
                            self._limiter.throttle(started_at)
                        else:
                            circuit.fail(fault)
                            alone.failed(fault, is_probe=is_probe)
                            is_spaced = circuit.is_open  # then the circuit itself spaces the tries
                    else:
                        self._limiter.succeed(started_at, size)
                        circuit.succeed()
                        return stored
                    finally:
                        self._metrics.upload_seconds.observe(self._common.clock.monotonic() - started_at)
                backoff = backoff or self._common.new_backoff()
                if not is_spaced:
                    await backoff.wait()

    async def _fetch(self, pointer: Pointer) -> bytes | None:
        """Read a payload; None if it should be tried again later, after the others.

        Raises:
            UnarchivableError: it does not exist.
            PayloadTooLargeError: it is more than we may hold.
            StoreFaultError: it cannot be read until a person mends it.
        """
        where = f"s3://{pointer.bucket}/{pointer.key}"
        backoff = self._common.new_backoff()
        fault: StoreFaultError | None = None
        for _ in range(FETCH_TRIES):
            try:
                return await self._common.calls.bounded(Operation.FETCH, self._payloads.fetch(pointer))
            except PayloadMissingError as error:
                raise UnarchivableError(Reason.PAYLOAD_MISSING, f"{where} does not exist") from error
            except StoreFaultError as error:
                fault = error
            self._metrics.retries.labels(fault.cause).inc()
            await backoff.wait()
        if fault is not None and fault.cause.needs_a_person and fault.cause is not Cause.CREDENTIALS:
            raise fault
        log.warning("payload_unreadable", extra={"payload": where, "error": str(fault)})
        return None


class _Alone:
    """Evidence that one object fails while the store is well: it failed often and the others hardly ever did.

    What the others did before its first failure says nothing: then it can be the first to meet an outage. Nor does a
    failure as the probe of an open circuit: the store was held to be down, and who is sent to ask is chance.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._stored_before = self._failed_before = 0
        self._failures = 0

    def failed(self, fault: StoreFaultError, *, is_probe: bool) -> None:
        """One more failure of this object; raises `ObjectRefusedError` when it can no longer be the store."""
        if is_probe:
            self._failed_before += 1  # none of this object's failures that count, and none of the others'
            return
        if not self._failures:
            self._stored_before = self._circuit.stored
            self._failed_before = self._circuit.failed - 1  # this one is counted already
        self._failures += 1
        others_stored = self._circuit.stored - self._stored_before
        others_failed = self._circuit.failed - self._failed_before - self._failures
        if (
            self._failures >= FAILURES_ALONE
            and others_stored >= OTHERS_STORED_MEANWHILE
            and others_failed * 10 <= others_stored
        ):
            raise ObjectRefusedError(
                f"{self._failures} tries failed while others succeeded: {fault.detail}", fix=fault.fix
            )
