"""Jobs: what the uploaders have to do, and when. Those that failed wait apart until they are due again."""

import asyncio
from heapq import heappop, heappush
from itertools import count

from email_processor.pipeline.circuit import Circuit
from email_processor.pipeline.ledger import Job
from email_processor.pipeline.waiting import EARLY_SECONDS, pause
from email_processor.ports import Clock


class Jobs(asyncio.Queue[Job]):
    """The jobs for which an uploader is wanted, first come first served.

    What failed leaves its uploader and waits here, with its body but without a slot, until it is due: then it goes to
    the end of the queue, behind what is fresh. While the circuit is open nothing becomes due: only the prober tries.

    `task_done` is called when a job is settled, and not when it is merely handed on: so `join` waits for them all.
    """

    def __init__(self, most: int, clock: Clock, circuit: Circuit) -> None:
        """There are never more than `most` jobs, being those of messages in flight."""
        super().__init__(most)
        self._now = clock.monotonic
        self._circuit = circuit
        self._failed: list[tuple[float, int, Job]] = []  # a heap, by when they are due
        self._number = count()
        self._sooner = asyncio.Event()

    def put_back(self, job: Job) -> None:
        """Let a job that was taken wait for its turn once more."""
        self.put_nowait(job)
        self.task_done()

    def retry(self, job: Job, seconds: float) -> None:
        """Let a job that failed wait for so long."""
        heappush(self._failed, (self._now() + seconds, next(self._number), job))
        self._sooner.set()

    async def recall(self) -> None:
        """Put back what is due, until cancelled."""
        while True:
            await self._circuit.closed()
            while self._failed and self._failed[0][0] <= self._now() + EARLY_SECONDS:
                self.put_back(heappop(self._failed)[2])
            self._sooner.clear()
            await pause(self._failed[0][0] - self._now() if self._failed else None, self._sooner)

    def take_failed(self) -> Job | None:
        """Take the one of those that failed that is due first, whether it is due yet or not."""
        return heappop(self._failed)[2] if self._failed else None

    def take_fresh(self) -> Job | None:
        """Take one that has not failed yet; those on the way to it that have failed join the others that have."""
        while not self.empty():
            job = self.get_nowait()
            if job.history is None or not job.history.has_failed:
                return job
            self.retry(job, 0.0)
        return None
