"""`email-processor send`: sample messages onto the queue, to test a deployment with."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from email_processor import __version__
from email_processor.settings import Settings, queue_region
from email_processor.tools.amounts import counted, size_of
from email_processor.tools.command import queue_settings, run_command
from email_processor.tools.send.samples.generate import Recipe, Sample, Shape, samples
from email_processor.tools.send.samples.sizes import TypicalSizes, parse
from email_processor.tools.send.sender import Repeats, open_sender


class SendTally:
    """What has been sent so far."""

    def __init__(self) -> None:
        """Start the clock: nothing has been sent yet."""
        self._began = time.monotonic()
        self.count = 0
        self.bytes = 0
        self.broken = 0
        self.repeats = Repeats()

    def add(self, sample: Sample) -> None:
        """Count one more sample."""
        self.count += 1
        self.bytes += len(sample.body.encode())
        self.broken += sample.flaw is not None

    def __str__(self) -> str:
        """Say in one line how many messages it is, and by how many the queue may have more."""
        seconds = time.monotonic() - self._began
        rate = f", {self.count / seconds:,.0f} a second" if seconds >= 1 else ""
        broken = f"; {self.broken:,} of them broken, for the quarantine" if self.broken else ""
        sent = f"{counted(self.count, 'message')}, {size_of(self.bytes)}"
        return f"{sent}, in {seconds:.1f} s{rate}{broken}{self._doubts()}."

    def _doubts(self) -> str:
        repeats, doubts = self.repeats, ""
        if repeats.requests:
            were = "request was" if repeats.requests == 1 else "requests were"
            doubts = f" ({repeats.requests:,} {were} repeated, so up to {repeats.messages:,} of the messages may be on "
            doubts += "the queue twice)"
        if repeats.unanswered:
            doubts += f"; up to {repeats.unanswered:,} more may be on the queue, as nobody answered"
        return doubts


def recipe_of(size: str | None, shape: str, *, broken: float, seed: int) -> Recipe:
    """Read the options that say what samples to make.

    Raises:
        BadParameter: `size` is no size.
    """
    try:
        sizes = parse(size) if size else TypicalSizes()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--size") from error
    return Recipe(seed=seed, shape=Shape(shape), sizes=sizes, broken=broken)


def send(count: int, recipe: Recipe, queue_url: str | None) -> int:
    """Send `count` samples to `queue_url`, or else to SQS_QUEUE_URL; the exit code."""
    if queue_url:
        os.environ["SQS_QUEUE_URL"] = queue_url
    tally = SendTally()

    async def work(settings: Settings) -> None:
        url, agent = settings.sqs_queue_url, f"email-processor/{__version__}"
        with _progress(count) as advance:

            def sent(sample: Sample, _message_id: str) -> None:
                tally.add(sample)
                advance()

            async with open_sender(queue_region(settings), url, agent, run_id=uuid.uuid4().hex) as sender:
                tally.repeats = sender.repeats
                await sender.send(samples(count, recipe), sent)
        click.echo(f"Sent {tally}")
        click.echo(_where_to_look(settings, tally))

    def so_far() -> str:
        return str(tally) if tally.count or tally.repeats.unanswered else ""

    return run_command(work, reads=queue_settings, so_far=so_far)


def preview(count: int, recipe: Recipe) -> int:
    """Print the bodies of `count` samples, one a line, and send nothing; the exit code."""
    tally = SendTally()
    for sample in samples(count, recipe):
        tally.add(sample)
        click.echo(sample.body)
    click.echo(f"Nothing was sent. These were {tally}", err=True)
    return 0


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere; call the value for each message."""
    console = Console(stderr=True)
    columns = TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    is_live = console.is_terminal and not console.is_dumb_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_live) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _where_to_look(settings: Settings, tally: SendTally) -> str:
    prefixes = [settings.s3_key_prefix, *([settings.s3_quarantine_prefix] if tally.broken else [])]
    bucket = os.environ.get("S3_BUCKET_NAME")  # in the settings an example may stand in for it
    if bucket:
        places = " and ".join(f"s3://{bucket}/{prefix}/" for prefix in prefixes)
    else:
        places = f"{' and '.join(f'{prefix}/' for prefix in prefixes)} of the bucket"
    return f"Look for them in {places}, and at email_processor_messages_archived_total in the service's /metrics."
