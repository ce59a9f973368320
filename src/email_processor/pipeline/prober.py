"""The prober: whether S3 takes objects is asked for by one task, when nobody else would find out."""

from email_processor.pipeline.circuit import Circuit
from email_processor.pipeline.jobs import Jobs
from email_processor.pipeline.ledger import Job
from email_processor.pipeline.storing import Storing
from email_processor.pipeline.uploader import Uploader


class Prober:
    """Tries one thing at a time: at the start, in doubt when nothing else is tried, and while the circuit is open.

    While it is open, an object that failed and one that did not take turns: so neither one that is refused for reasons
    of its own nor one that came at a bad moment decides for all. Where nothing else is in flight there is always the
    probe object, which says whether the store is up, and so whether those that failed may be at fault themselves.
    """

    def __init__(self, circuit: Circuit, storing: Storing, uploader: Uploader, jobs: Jobs) -> None:
        """The tries are those of `uploader`, but for the probe object."""
        self._circuit = circuit
        self._storing = storing
        self._uploader = uploader
        self._jobs = jobs
        self._is_turn_of_failed = True

    async def probe(self) -> None:
        """Probe whenever it is due, until cancelled."""
        while True:
            await self._circuit.probe_due()
            job = self._next() if self._circuit.is_open else None  # closed, the uploaders try all that is in flight
            if job is None:
                await self._storing.probe()
            else:
                await self._uploader.attempt(job, is_probe=True)
            del job  # or it would keep the body until the next doubt

    def _next(self) -> Job | None:
        is_turn_of_failed, self._is_turn_of_failed = self._is_turn_of_failed, not self._is_turn_of_failed
        return self._jobs.take_failed() if is_turn_of_failed else self._jobs.take_fresh()
