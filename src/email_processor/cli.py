"""The commands and their exit codes: 0 clean, 2 wrong settings or usage, 1 anything else.

Everything heavy is imported by the command that needs it, so that `--version` and `healthcheck` are quick.
"""

import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from email_processor import __version__
from email_processor.domain.errors import EmailProcessorError, SettingsError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_SETTINGS = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="email-processor")
def main() -> None:
    """Archive every email from an SQS queue into an S3 bucket, exactly once."""


@main.command()
def run() -> None:
    """Run the service until SIGTERM or SIGINT, then finish what is in hand."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_before_start)  # as the first process of a container we would not get it otherwise
    import asyncio

    from email_processor import logs, settings

    try:
        configured = settings.load()
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_SETTINGS)
    logs.set_up(level=configured.log_level, style=configured.log_format, file=configured.log_file)

    from email_processor.service import serve

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(serve(configured))
    except EmailProcessorError as error:
        log.error("cannot_start", extra={"error": error.detail, "fix": error.fix})
        code = EXIT_FAILED
    except BaseException as error:
        log.critical("crashed", exc_info=error)
        code = EXIT_FAILED
    _leave(code)


def _end_before_start(_number: int, _frame: FrameType | None) -> NoReturn:
    """Nothing is in hand yet."""
    os._exit(0)


def _leave(code: int) -> NoReturn:
    """End without tearing the interpreter down: obstore's threads may still want it, and crash if it goes first."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    """Uvloop's where it installs, else the standard one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
