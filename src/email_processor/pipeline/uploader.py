"""Uploaders: jobs in, objects stored, receipts out."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import partial

from email_processor.domain.document import email_document, quarantine_document
from email_processor.domain.email import Email, Pointer, read, read_payload
from email_processor.domain.errors import (
    ObjectRefusedError,
    PayloadTooLargeError,
    Reason,
    StoreFaultError,
    UnarchivableError,
)
from email_processor.domain.key import object_key, quarantine_key
from email_processor.domain.message import KeyTime, Message
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.fetching import Fetching
from email_processor.pipeline.ledger import Delivery, Job, State
from email_processor.pipeline.storing import Storing
from email_processor.ports import Stored

log = logging.getLogger(__name__)


class Outcome(Enum):
    """What became of a delivery in an uploader's hands."""

    ARCHIVED = auto()  # its object is durable
    PASSED_ON = auto()  # it is seen through elsewhere
    RELEASED = auto()  # the queue will hand it out again


@dataclass(frozen=True, slots=True)
class UploadRules:
    """What an uploader needs to know of the settings.

    `key_time` says which time of a message dates its key and its document. With `quarantine` off, what is not an email
    is left to the queue's dead-letter policy.
    """

    key_prefix: str
    quarantine_prefix: str
    quarantine: bool
    version: str
    key_time: KeyTime


class Uploader:
    """Turns deliveries into objects. `upload` is one worker; any number may run."""

    def __init__(
        self,
        context: StageContext,
        storing: Storing,
        fetching: Fetching,
        *,
        jobs: asyncio.Queue[Job],
        receipts: asyncio.Queue[Delivery],
        rules: UploadRules,
    ) -> None:
        """What is durable goes from `jobs` to `receipts`; what only points to its body comes back by `fetching`."""
        self._context = context
        self._metrics = context.metrics
        self._storing = storing
        self._fetching = fetching
        self._jobs = jobs
        self._receipts = receipts
        self._rules = rules
        self._put_seconds = context.calls.seconds(Operation.PUT)

    async def upload(self) -> None:
        """Work through jobs until cancelled."""
        while True:
            job = await self._jobs.get()
            try:
                if job.delivery.state is State.ARCHIVED:
                    self._receipts.put_nowait(job.delivery)
                elif job.delivery.state is State.STARTED:  # it comes back with its payload
                    await self._settle(job)
                elif self._context.ledger.may_start(job.delivery, self._put_seconds):
                    self._context.ledger.start(job.delivery)
                    self._metrics.queued_seconds.observe(self._context.clock.monotonic() - job.delivery.received_at)
                    await self._settle(job)
                else:
                    self._release(job, "lease_expired")
            finally:
                del job  # or an idle worker would keep its last body
                self._jobs.task_done()

    async def join(self) -> None:
        """Return when no job is left."""
        await self._jobs.join()
        await self._fetching.join()
        await self._jobs.join()  # what was fetched

    async def _settle(self, job: Job) -> None:
        """See a job through: stored as an email or in quarantine and on to the deleter, or left to the queue."""
        try:
            outcome = await self._archive(job)  # mutant: stored-first
        except UnarchivableError as error:
            outcome = await self._quarantine(job, error)
        except (ObjectRefusedError, PayloadTooLargeError, StoreFaultError) as error:
            outcome = await self._refused(job, error)
        except Exception as error:  # a bug that one message meets must not stop the others  # mutant: errors-only
            log.error("unexpected_error", exc_info=error, extra={"message_id": job.message.message_id})
            outcome = await self._refused(job, error)
        if outcome is Outcome.ARCHIVED:
            self._context.ledger.archived(job.delivery)
            self._receipts.put_nowait(job.delivery)

    async def _archive(self, job: Job) -> Outcome:
        if job.flaw is not None:
            raise job.flaw
        if job.payload is not None and job.pointer is not None:
            return await self._store_email(job, read_payload(job.payload, job.pointer))
        email = read(job.message.body)
        if isinstance(email, Pointer):
            self._fetching.add(job, email)
            return Outcome.PASSED_ON
        return await self._store_email(job, email)

    async def _store_email(self, job: Job, email: Email) -> Outcome:
        message, moment, rules = job.message, self._moment(job.message), self._rules
        key = object_key(rules.key_prefix, moment, email.sender, message.message_id)
        make_document = partial(email_document, message, email, moment, rules.version)
        stored = await self._storing.store(key, make_document, len(email.raw) + message.attribute_bytes)
        if stored is Stored.ALREADY_THERE:
            self._metrics.duplicates.labels("stored").inc()
            return Outcome.ARCHIVED
        self._metrics.archived.inc()
        sent_at = message.sent_at
        if sent_at is not None:
            self._metrics.sent_to_stored.observe(max(0.0, self._context.clock.wall() - sent_at))
        return Outcome.ARCHIVED

    async def _quarantine(self, job: Job, error: UnarchivableError) -> Outcome:
        message, moment, rules = job.message, self._moment(job.message), self._rules
        if not rules.quarantine:
            return self._release(job, "rejected")
        key = quarantine_key(rules.quarantine_prefix, moment, message.message_id)
        make_document = partial(quarantine_document, message, error, moment, rules.version, job.payload)
        try:
            stored = await self._storing.store(key, make_document, job.size)
        except ObjectRefusedError as refusal:
            log.error(
                "quarantine_refused",
                extra={"message_id": message.message_id, "error": refusal.detail, "fix": refusal.fix},
            )
            return self._release(job, "refused")
        if stored is Stored.ALREADY_THERE:
            self._metrics.duplicates.labels("stored").inc()
            return Outcome.ARCHIVED
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
        return Outcome.ARCHIVED

    async def _refused(self, job: Job, error: Exception) -> Outcome:
        """It fails alone: quarantine it on its last receive, before the dead-letter queue has it; else leave it."""
        count, limit = job.delivery.receive_count, self._context.ledger.max_receive_count
        if self._rules.quarantine and limit is not None and count >= limit:
            reason = UnarchivableError(Reason.UNDELIVERABLE, f"on its last receive ({count} of {limit}): {error}")
            return await self._quarantine(job, reason)
        log.error(
            "refused",
            extra={"message_id": job.message.message_id, "error": str(error), "fix": getattr(error, "fix", "")},
        )
        return self._release(job, "refused")

    def _moment(self, message: Message) -> datetime:
        """What dates its key and its document."""
        return message.moment(self._rules.key_time, self._context.clock.wall())  # mutant: dated-by-the-queue

    def _release(self, job: Job, reason: str) -> Outcome:
        """Let go of it: when its lease runs out the queue hands it out again, or moves it to the dead-letter queue."""
        self._metrics.released.labels(reason).inc()
        self._context.ledger.close(job.delivery)
        return Outcome.RELEASED
