"""Fetching: bodies that were too big for the queue are read from the bucket that their message points to."""

import asyncio
import logging
from dataclasses import replace

from email_processor.domain.email import Pointer
from email_processor.domain.errors import (
    Cause,
    EmailProcessorError,
    PayloadMissingError,
    Reason,
    StoreFaultError,
    UnarchivableError,
)
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.ledger import Job
from email_processor.ports import Payloads

log = logging.getLogger(__name__)

FETCH_TRIES = 5


class Fetching:
    """Reads payloads, one at a time; the job goes on with what was read, or with what is wrong.

    Payloads are outside the byte budget and may lie in a bucket that we cannot read: they have a queue and a single
    worker of their own, so that one is in memory at a time and none of them holds up the emails.
    """

    def __init__(self, context: StageContext, payloads: Payloads, jobs: asyncio.Queue[Job]) -> None:
        """What is fetched goes back to `jobs`."""
        self._context = context
        self._payloads = payloads
        self._jobs = jobs
        self._offloaded: asyncio.Queue[tuple[Job, Pointer]] = asyncio.Queue(jobs.maxsize)
        self._room = asyncio.Semaphore(1)

    def add(self, job: Job, pointer: Pointer) -> None:
        """Fetch what this job points to."""
        self._offloaded.put_nowait((job, pointer))

    async def fetch(self) -> None:
        """Fetch one after the other until cancelled."""
        while True:
            job, pointer = await self._offloaded.get()
            try:
                await self._room.acquire()
                await self._fetch_one(job, pointer)
            finally:
                del job  # or an idle worker would keep its last message
                self._offloaded.task_done()

    async def join(self) -> None:
        """Return when no payload is left to be fetched."""
        await self._offloaded.join()

    async def _fetch_one(self, job: Job, pointer: Pointer) -> None:
        try:
            payload = await self._read(pointer)
        except EmailProcessorError as error:
            self._room.release()
            self._jobs.put_nowait(replace(job, pointer=pointer, flaw=error))
            return
        if payload is None:
            self._room.release()
            self._offloaded.put_nowait((job, pointer))
            return
        job.delivery.free_payload = self._room.release
        self._jobs.put_nowait(replace(job, pointer=pointer, payload=payload))

    async def _read(self, pointer: Pointer) -> bytes | None:
        """Read a payload; None if it should be tried again later, after the others.

        Raises:
            UnarchivableError: it does not exist.
            PayloadTooLargeError: it is more than we may hold.
            StoreFaultError: it cannot be read until a person mends it.
        """
        where = f"s3://{pointer.bucket}/{pointer.key}"
        backoff = self._context.new_backoff()
        fault: StoreFaultError | None = None
        for tries in range(1, FETCH_TRIES + 1):
            try:
                return await self._context.calls.bounded(Operation.FETCH, self._payloads.fetch(pointer))
            except PayloadMissingError as error:
                raise UnarchivableError(Reason.PAYLOAD_MISSING, f"{where} does not exist") from error
            except StoreFaultError as error:
                is_its_own = error.cause.needs_a_person and error.cause is not Cause.CREDENTIALS
                if is_its_own and tries == FETCH_TRIES:
                    raise
                fault = error
            self._context.metrics.retries.labels(fault.cause).inc()
            await backoff.wait()
        log.warning("payload_unreadable", extra={"payload": where, "error": str(fault)})
        return None
