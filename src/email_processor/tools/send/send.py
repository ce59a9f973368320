"""`email-processor send`: sample messages onto the queue, to test a deployment with."""

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from email_processor import __version__
from email_processor.domain.errors import EmailProcessorError
from email_processor.settings import Settings, load
from email_processor.tools.send.samples.generate import Recipe, Sample, samples
from email_processor.tools.send.sender import open_sender

NEEDED = ("SQS_QUEUE_URL", "AWS_REGION")
EXIT_FAILED = 1
KIB = 1024


class Tally:
    """What has been sent so far."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._began = time.monotonic()
        self.count = 0
        self.bytes = 0
        self.broken = 0

    def add(self, sample: Sample) -> None:
        """One more."""
        self.count += 1
        self.bytes += len(sample.body.encode())
        self.broken += sample.flaw is not None

    def __str__(self) -> str:
        """Say it in one line."""
        seconds = time.monotonic() - self._began
        rate = f", {self.count / seconds:,.0f} a second" if seconds >= 1 else ""
        broken = f"; {self.broken:,} of them broken, for the quarantine" if self.broken else ""
        return f"{self.count:,} messages, {_size(self.bytes)}, in {seconds:.1f} s{rate}{broken}."


def send(count: int, recipe: Recipe) -> int:
    """Send `count` samples to SQS_QUEUE_URL; the exit code.

    Raises:
        SettingsError: SQS_QUEUE_URL or AWS_REGION is wrong; no other setting is looked at.
    """
    settings = load(needed=NEEDED)
    tally = Tally()
    try:
        with _progress(count) as advance:

            def sent(sample: Sample, _message_id: str) -> None:
                tally.add(sample)
                advance()

            asyncio.run(_send(settings.aws_region, settings.sqs_queue_url, samples(count, recipe), sent))
    except KeyboardInterrupt:
        click.echo(f"Interrupted. Until then: {tally}", err=True)
        return EXIT_FAILED
    except EmailProcessorError as error:
        click.echo(f"error: {error.detail}", err=True)
        if error.fix:
            click.echo(f"  fix: {error.fix}", err=True)
        if tally.count:
            click.echo(f"Until then: {tally}", err=True)
        return EXIT_FAILED
    click.echo(f"Sent {tally}")
    click.echo(_where_to_look(settings, tally))
    return 0


def preview(count: int, recipe: Recipe) -> int:
    """Print the bodies of `count` samples, one a line, and send nothing; the exit code."""
    tally = Tally()
    for sample in samples(count, recipe):
        tally.add(sample)
        click.echo(sample.body)
    click.echo(f"Nothing was sent. These were {tally}", err=True)
    return 0


async def _send(region: str, queue_url: str, letters: Iterator[Sample], sent: Callable[[Sample, str], None]) -> None:
    async with open_sender(region, queue_url, f"email-processor/{__version__}", run_id=uuid.uuid4().hex) as sender:
        await sender.send(letters, sent)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere; call the value for each message."""
    console = Console(stderr=True)
    columns = TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    is_live = console.is_terminal and not console.is_dumb_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_live) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _where_to_look(settings: Settings, tally: Tally) -> str:
    prefixes = [settings.s3_key_prefix, *([settings.s3_quarantine_prefix] if tally.broken else [])]
    bucket = os.environ.get("S3_BUCKET_NAME")  # in the settings an example may stand in for it
    if bucket:
        places = " and ".join(f"s3://{bucket}/{prefix}/" for prefix in prefixes)
    else:
        places = f"{' and '.join(f'{prefix}/' for prefix in prefixes)} of the bucket"
    return f"Look for them in {places}, and at email_processor_messages_archived_total in the service's /metrics."


def _size(size: float) -> str:
    if size < KIB:
        return f"{size:.0f} bytes"
    return f"{size / KIB:,.1f} KiB" if size < KIB**2 else f"{size / KIB**2:,.1f} MiB"
