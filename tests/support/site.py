"""Where a service works: a queue and a bucket of its own."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.emulators import Bucket, Emulator, Queue, aws_environment
from tests.support.service import Service


@dataclass(frozen=True)
class Site:
    """A queue, a bucket, and a directory for a service that works between them."""

    queue: Queue
    bucket: Bucket
    directory: Path

    @classmethod
    def at(cls, emulator: Emulator, directory: Path, *, fifo: bool = False, **attributes: str) -> "Site":
        """A new one; `attributes` are those of the queue, as SQS names them."""
        return cls(emulator.new_queue(fifo=fifo, **attributes), emulator.new_bucket(), directory)

    @property
    def emulator(self) -> Emulator:
        """The emulator that it is on."""
        return self.queue.emulator

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a service that works here."""
        return {
            **aws_environment(self.emulator.url),
            "SQS_QUEUE_URL": self.queue.url,
            "S3_BUCKET_NAME": self.bucket.name,
        }

    def service(self, *, measured: bool = False, **settings: str) -> Service:
        """A service that works here, with some of its settings changed; `measured` by coverage if it is one of few."""
        return Service({**self.settings, **settings}, self.directory, measured=measured)
