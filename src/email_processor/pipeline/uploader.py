"""Uploaders: jobs in, objects stored, receipts out."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from email_processor.domain.document import email_document, quarantine_document
from email_processor.domain.email import Email, Pointer, read, read_payload
from email_processor.domain.errors import (
    ObjectRefusedError,
    Reason,
    UnarchivableError,
)
from email_processor.domain.key import object_key, quarantine_key
from email_processor.domain.message import KeyTime, Message
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.evidence import Blame
from email_processor.pipeline.fetching import Fetching
from email_processor.pipeline.jobs import Jobs
from email_processor.pipeline.ledger import Job, State
from email_processor.pipeline.receipts import Receipts
from email_processor.pipeline.storing import Storing
from email_processor.ports import SLOWEST_BYTES_PER_SECOND, Stored

log = logging.getLogger(__name__)

LAST_RECEIVE = 3  # of a message that is refused alone, if its queue has no dead-letter queue that takes it sooner


class Outcome(Enum):
    """What became of a delivery in an uploader's hands."""

    ARCHIVED = auto()  # its object is durable
    PASSED_ON = auto()  # it is seen through elsewhere
    RELEASED = auto()  # the queue will hand it out again


@dataclass(frozen=True, slots=True)
class UploadRules:
    """What an uploader needs to know of the settings.

    `key_time` says which time of a message dates its key and its document. With `quarantine` off, what is not an email
    is left to the queue's dead-letter policy. `blame` says when an object is held to be refused alone.
    """

    key_prefix: str
    quarantine_prefix: str
    quarantine: bool
    version: str
    key_time: KeyTime
    blame: Blame = field(default_factory=Blame)


class _Document(NamedTuple):
    """What is to be stored, under which key: `make` makes its bytes, about `expected_bytes` of them.

    `error` is why it goes to quarantine; None if it is an email.
    """

    key: str
    make: Callable[[], bytes]
    expected_bytes: int
    error: UnarchivableError | None = None


class Uploader:
    """Turns deliveries into objects. `upload` is one worker; any number may run."""

    def __init__(
        self,
        context: StageContext,
        storing: Storing,
        fetching: Fetching,
        *,
        jobs: Jobs,
        receipts: Receipts,
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

    async def upload(self, is_wanted: Callable[[], bool]) -> None:
        """Work through jobs while one more worker `is_wanted`, but take none while the circuit is open."""
        circuit = self._context.circuit
        while is_wanted():
            if circuit.is_open:
                await circuit.closed()
            job = await self._jobs.get()
            if circuit.is_open:  # it opened while there was nothing to do
                self._jobs.put_back(job)
            else:
                await self.attempt(job)
            del job  # or an idle worker would keep its last body

    async def attempt(self, job: Job, *, is_probe: bool = False) -> None:
        """Have one try at a job that was taken; `is_probe` says that it is for the prober, whom the circuit admits."""
        if job.delivery.state is State.ARCHIVED:
            self._receipts.add(job.delivery)
            self._context.circuit.refund()
            outcome = Outcome.ARCHIVED
        elif self._is_too_late(job):
            outcome = self._release(job, "lease_expired")
        else:
            outcome = await self._settle(job, is_probe=is_probe)
        if outcome is not Outcome.PASSED_ON:
            self._jobs.task_done()

    def _is_too_late(self, job: Job) -> bool:
        """Whether it is for others now: its lease would not last for the first try, or was lost before another one."""
        if job.delivery.state is not State.QUEUED:
            return job.delivery.lost
        needed = self._put_seconds + job.delivery.size / SLOWEST_BYTES_PER_SECOND  # nothing is fetched for it yet
        return not self._context.ledger.may_start(job.delivery, needed)

    async def join(self) -> None:
        """Return when no job is left, those that wait for another try or for their payload included."""
        await self._jobs.join()

    async def _settle(self, job: Job, *, is_probe: bool) -> Outcome:
        """Store a message as an email or in quarantine and hand it on to the deleter, or leave it to the queue."""
        is_aside = False
        try:
            document = self._document_of(job)
            if not isinstance(document, _Document):
                return self._without_body(job, document)
            is_aside = document.error is not None
            if is_aside and not self._rules.quarantine:
                return self._release(job, "rejected")
            self._blame(job)
            # mutant of the next line: stored-first
            answer = await self._storing.store(
                job.delivery,
                document.key,
                document.make,
                expected_bytes=document.expected_bytes,
                is_aside=is_aside,
                history=job.history,
                is_probe=is_probe,
            )
        except ObjectRefusedError as error:
            return self._refused(job, error, is_aside=is_aside)
        except Exception as error:  # a bug that one message meets must not stop the others  # mutant: errors-only
            log.error("unexpected_error", exc_info=error, extra={"message_id": job.message.message_id})
            return self._refused(job, error, is_aside=is_aside)
        if isinstance(answer, Stored):
            return self._stored(job, document, answer)
        if answer is None:  # the circuit was open
            self._jobs.put_back(job)
        else:
            self._context.ledger.free_payload(job.delivery)  # it is fetched anew: payloads in memory do not wait
            self._jobs.retry(job._replace(payload=None, history=answer), answer.pause())
        return Outcome.PASSED_ON

    def _document_of(self, job: Job) -> _Document | Pointer | Exception:
        """The document of a message, or where its body is, or why that cannot be had."""
        message, moment, rules = job.message, self._moment(job.message), self._rules
        found = self._read(job)
        if isinstance(found, UnarchivableError):
            return _Document(
                quarantine_key(rules.quarantine_prefix, moment, message.message_id),
                partial(quarantine_document, message, found, moment, rules.version, job.payload),
                job.size,
                found,
            )
        if not isinstance(found, Email):
            return found
        return _Document(
            object_key(rules.key_prefix, moment, found.sender, message.message_id),
            partial(email_document, message, found, moment, rules.version),
            len(found.raw) + message.attribute_bytes,
        )

    def _read(self, job: Job) -> Email | Pointer | Exception:
        """What a message is, or what is wrong with it: not raised, for a traceback holds on to the body."""
        if job.flaw is not None:
            return job.aside or job.flaw
        try:
            if job.payload is not None and job.pointer is not None:
                found: Email | Pointer = read_payload(job.payload, job.pointer)
            else:
                found = read(job.message.body)
        except UnarchivableError as error:
            return error.anew()
        return found if job.aside is None or isinstance(found, Pointer) else job.aside

    def _without_body(self, job: Job, why: Pointer | Exception) -> Outcome:
        """Have its body fetched, or give up what cannot be."""
        if isinstance(why, Exception):
            return self._refused(job, why, is_aside=False)
        self._context.ledger.start(job.delivery)
        self._fetching.add(job, why)
        self._context.circuit.refund()
        return Outcome.PASSED_ON

    def _stored(self, job: Job, document: _Document, stored: Stored) -> Outcome:
        """It is durable: count it, and let it be deleted."""
        if stored is Stored.ALREADY_THERE:
            self._metrics.duplicates.labels("stored").inc()
        elif document.error is None:
            self._metrics.archived.inc()
            sent_at = job.message.sent_at
            if sent_at is not None:
                self._metrics.sent_to_stored.observe(max(0.0, self._context.clock.wall() - sent_at))
        else:
            self._metrics.quarantined.labels(document.error.reason).inc()
            log.warning(
                "quarantined",
                extra={
                    "message_id": job.message.message_id,
                    "reason": document.error.reason.value,
                    "detail": document.error.detail,
                    "key": document.key,
                    "receive_count": job.delivery.receive_count,
                },
            )
        self._context.ledger.archived(job.delivery)
        self._receipts.add(job.delivery)
        return Outcome.ARCHIVED

    def _blame(self, job: Job) -> None:
        """Raise ObjectRefusedError if the object of a job has failed before and is held to be refused alone."""
        history, blame = job.history, self._rules.blame
        if history is None or history.fault is None:
            return
        is_last = job.delivery.receive_count >= self._last_receive
        if history.is_sure(blame) if is_last else history.is_suspected(blame):  # mutant: blamed-with-others
            others = "the probe object was, and no email" if history.is_alone else "others were"
            detail = f"{history.failures} tries failed while {others} stored: {history.fault.detail}"
            raise ObjectRefusedError(detail, fix=history.fault.fix) from history.fault

    @property
    def _last_receive(self) -> int:
        """At which receive a message that is refused alone is set aside: before the dead-letter queue has it, if any.

        Without one it would come again until its retention ends, and in a FIFO queue its group would wait for it.
        With quarantine off it is the queue alone that ends it.
        """
        known = self._context.ledger.max_receive_count or sys.maxsize
        return min(known, LAST_RECEIVE) if self._rules.quarantine else known

    def _refused(self, job: Job, error: Exception, *, is_aside: bool) -> Outcome:
        """It fails alone: quarantine it on its last receive, before the dead-letter queue has it; else leave it.

        `is_aside` says that it is quarantine that it fails in.
        """
        count, limit = job.delivery.receive_count, self._last_receive
        if self._rules.quarantine and not is_aside and job.aside is None and count >= limit:
            aside = UnarchivableError(Reason.UNDELIVERABLE, f"on its last receive ({count} of {limit}): {error}")
            self._jobs.put_back(job._replace(aside=aside, history=None))
            return Outcome.PASSED_ON
        log.error(
            "quarantine_refused" if is_aside else "refused",
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
        self._context.circuit.refund()
        return Outcome.RELEASED
