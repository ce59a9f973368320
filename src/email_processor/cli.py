"""The commands and their exit codes: 0 clean, 2 wrong settings or usage, 3 findings of an audit, 1 anything else.

Everything heavy is imported by the command that needs it, so that `--version` and `healthcheck` are quick.
"""

import gc
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from email_processor import __version__
from email_processor.domain.errors import EmailProcessorError, SettingsError
from email_processor.exit_codes import EXIT_FAILED, EXIT_SETTINGS
from email_processor.tools.archive.commands import COMMANDS
from email_processor.tools.loading import without_authorities

log = logging.getLogger(__name__)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="email-processor")
def main() -> None:
    """Archive every email from an SQS queue into an S3 bucket, exactly once."""
    _open_streams()


@main.result_callback()
def _end(code: int | None) -> None:
    """End with the exit code that a command returns."""
    if code is not None:
        _leave(code)


for command in COMMANDS:
    main.add_command(command)


@main.command(short_help="Run the service until SIGTERM or SIGINT.")
def run() -> None:
    """Run the service until SIGTERM or SIGINT, then finish what is in flight.

    Everything is set by environment variables or a .env file; SQS_QUEUE_URL and S3_BUCKET_NAME are required.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_before_start)  # as the first process of a container we would not get it otherwise
    gc.disable()  # until all is loaded: to look through it again and again would make the start slower
    import asyncio

    from email_processor import logs, settings
    from email_processor.event_loop import loop_factory

    try:
        configured = settings.load()
    except SettingsError as error:
        with suppress(OSError):  # nobody reads it: the exit code is still that of wrong settings
            click.echo(str(error), err=True)
        sys.exit(EXIT_SETTINGS)
    logs.set_up(level=configured.log_level, style=configured.log_format, file=configured.log_file)
    logs.write_aside()

    with without_authorities():
        from email_processor.service import serve

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            code = runner.run(serve(configured))
    except EmailProcessorError as error:
        log.error("cannot_start", extra={"error": error.detail, "fix": error.fix})
        code = EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_FAILED
    except BaseException as error:
        log.critical("crashed", exc_info=error)
        code = EXIT_FAILED
    _leave(code)


@main.command(short_help="Say what is wrong with settings or AWS, and how to mend it.")
@click.option("--write", is_flag=True, help="Also store probe objects, and receive a message and give it back.")
@click.option("--offline", is_flag=True, help="Look at the settings only, and send nothing.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(*, write: bool, offline: bool, strict: bool, as_json: bool) -> None:
    """Look at settings, credentials, queue, bucket, key and clock, and say how to mend what is wrong.

    Without --write nothing is changed and no message is received. Exit code 0 if nothing is found that stops the
    service, 1 if something is, 2 if the settings are wrong. docs/check.md explains every line.
    """
    from email_processor.tools.check.check import run_check

    _leave(run_check(write=write, offline=offline, strict=strict, as_json=as_json))


@main.command(short_help="Exit with 0 if the service in this container is alive.")
@click.option(
    "--path",
    type=click.Choice(["/healthz", "/readyz", "/metrics"]),
    default="/healthz",
    show_default=True,
    help="What to ask: whether it is alive, whether it is ready and if not why, or what it has counted.",
)
def healthcheck(path: str) -> None:
    """Ask the service in this container and print its answer: exit 0 if it is alive (or ready), 1 if not.

    Reads HTTP_HOST and HTTP_PORT from the environment, and no other setting.
    """
    from email_processor.tools import healthcheck as asking

    sys.exit(asking.healthcheck(os.environ, path))


@main.command(short_help="See the service work on an AWS in memory, without an account.")
@click.option("--messages", type=click.IntRange(10, 5000), default=300, show_default=True, help="How many to send.")
@click.option(
    "--broken",
    type=click.FloatRange(0, 100),
    default=5,
    show_default=True,
    help="Percent that are no emails and belong in quarantine.",
)
@click.option(
    "--outage",
    type=click.FloatRange(0, 600),
    default=3,
    show_default=True,
    help="Seconds that S3 stays away once the service has noticed; 0 for no outage.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same messages.")
@click.option("--keep", is_flag=True, help="Leave everything running afterwards, until Ctrl-C.")
def demo(messages: int, broken: float, outage: float, seed: int, *, keep: bool) -> None:
    """See the service work: with an SQS and an S3 in memory, without an account or any setting.

    The real service archives sample emails, some of them broken, through an S3 outage and a second delivery. At the end
    what is in the bucket is compared with what was sent.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_before_start)
    from email_processor.tools.demo.run import run as run_demo
    from email_processor.tools.demo.tour import Options

    sys.exit(run_demo(Options(messages=messages, seed=seed, broken=broken, outage=outage, keep=keep)))


@main.command(short_help="Put sample messages on the queue.")
@click.argument("count", type=click.IntRange(min=1), metavar="N")
@click.option(
    "--size", metavar="SIZE", help="Bytes of a body: 4096, 4KiB, or a range as 1KiB-64KiB. Default: as in a mailbox."
)
@click.option(
    "--shape",
    type=click.Choice(["mixed", "plain", "sns"]),
    default="mixed",
    show_default=True,
    help="mixed: some in SNS envelopes, some with attributes or extra fields.",
)
@click.option(
    "--broken",
    type=click.FloatRange(0, 100),
    default=0,
    show_default=True,
    help="Percent that are no emails and belong in quarantine.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same messages.")
@click.option("--queue-url", metavar="URL", help="In place of SQS_QUEUE_URL.")
@click.option("--dry-run", is_flag=True, help="Print the bodies, one a line, and send nothing.")
def send(
    count: int, size: str | None, shape: str, broken: float, seed: int, queue_url: str | None, *, dry_run: bool
) -> None:
    """Put N sample messages on the queue.

    Needs SQS_QUEUE_URL, AWS_REGION and permission for sqs:SendMessage, nothing else. FIFO queues work.

    A request that is not answered is repeated, so a standard queue may take some messages twice: the last line says how
    many at most. A FIFO queue recognises a repeated message and drops it.
    """
    from email_processor.tools.send import send as sending

    recipe = sending.recipe_of(size, shape, broken=broken, seed=seed)
    _leave(sending.preview(count, recipe) if dry_run else sending.send(count, recipe, queue_url))


def _end_before_start(_number: int, _frame: FrameType | None) -> NoReturn:
    """End at once: nothing is in flight yet."""
    os._exit(0)


def _open_streams() -> None:
    """Put something in the place of a stream that was closed when we began, or a socket would get its number."""
    sys.stdout, sys.stderr = (
        stream or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process lives
        for stream in (sys.stdout, sys.stderr)
    )


def _leave(code: int) -> NoReturn:
    """End without tearing the interpreter down.

    Threads that nothing can interrupt may still be at work: looking up a name, or writing for a slow reader.
    """
    from email_processor import logs

    logs.finish()  # not logging's own end, nor stderr's, which would wait for whoever does not read
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # its reader has seen enough
        pass
    except OSError as error:
        code = code or EXIT_FAILED
        with suppress(OSError):
            click.echo(f"error: What there was to say could not be written: {error.strerror}.", err=True)
    os._exit(code)
