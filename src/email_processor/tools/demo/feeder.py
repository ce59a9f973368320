"""Puts the samples on the queue, at the pace at which the service takes them off."""

from collections.abc import Iterator
from itertools import islice

from email_processor.ports import BATCH
from email_processor.tools.demo.figures import Watch
from email_processor.tools.send.samples.generate import Sample
from email_processor.tools.send.sender import Sender

BACKLOG = 60  # messages: what moto takes for one grows with all that are on its queue
PATIENCE_SECONDS = 60.0


class Feeder:
    """Sends samples; `sent` holds those that SQS has taken, by message id."""

    def __init__(self, sender: Sender, watch: Watch) -> None:
        """`watch` tells how many the service has received."""
        self._sender = sender
        self._watch = watch
        self.sent: dict[str, Sample] = {}

    async def feed(self, samples: Iterator[Sample], count: int) -> None:
        """Send the next `count` samples."""
        while count > 0 and (batch := list(islice(samples, min(count, BATCH)))):
            await self._watch.until(
                lambda now: len(self.sent) - now.seen_once <= BACKLOG - BATCH,
                PATIENCE_SECONDS,
                "the service to receive",
            )
            await self._sender.send(batch, self._note)
            count -= len(batch)

    def _note(self, sample: Sample, message_id: str) -> None:
        self.sent[message_id] = sample
