"""What every one-off command is made of: the settings that it needs, an event loop, a client of AWS, and its end.

The work of a command is a coroutine. What goes wrong in it is told on stderr with its fix, never as a stack trace.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click
from aiobotocore.config import AioConfig

from email_processor.aws.connect import open_session, queue_client, usable_configuration
from email_processor.domain.errors import EmailProcessorError, SettingsError
from email_processor.event_loop import loop_factory
from email_processor.exit_codes import EXIT_FAILED, EXIT_SETTINGS
from email_processor.settings import Settings, load

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

T = TypeVar("T")


class WrongUseError(EmailProcessorError):
    """The command cannot be meant like this."""


def run_command(
    work: Callable[[Settings], Coroutine[Any, Any, int | None]],
    *,
    reads: Callable[[Settings], object],
    given: Collection[str] = (),
    so_far: Callable[[], str] = lambda: "",
    only_prints: bool = False,
) -> int:
    """Run `work` with the settings, and return the exit code: that of `work`, if it gives one.

    Only the settings that `reads` reads are looked at, without those that options have `given`; of the others, an
    example stands in for a wrong one. `so_far` says what has been done by the time that `work` fails or is
    interrupted; it is empty if that is nothing. If the reader of a pipe goes away, a command that `only_prints` is
    done, and every other one has failed half-way.
    """
    try:
        settings = load(reads=reads, given=given)
    except SettingsError as error:
        click.echo(str(error), err=True)
        return EXIT_SETTINGS
    try:
        return run_coroutine(work(settings)) or 0
    except BrokenPipeError:
        if only_prints:
            return 0  # its reader has seen enough
        with suppress(BrokenPipeError):
            click.echo(f"Nobody reads what it says. Until then: {so_far() or 'nothing.'}", err=True)
        return EXIT_FAILED
    except KeyboardInterrupt:
        click.echo(f"Interrupted. Until then: {so_far() or 'nothing.'}", err=True)
        return EXIT_FAILED
    except EmailProcessorError as error:
        click.echo(f"error: {error.detail}", err=True)
        if error.fix:
            click.echo(f"  fix: {error.fix}", err=True)
        if done := so_far():
            click.echo(f"Until then: {done}", err=True)
        return EXIT_SETTINGS if isinstance(error, SettingsError | WrongUseError) else EXIT_FAILED


def run_coroutine(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on an event loop of its own, with logging off: a command says what its reader has to know."""
    logging.disable(logging.CRITICAL)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def queue_settings(settings: Settings) -> object:
    """Read those settings that say which queue it is."""
    return settings.sqs_queue_url, settings.sqs_region, settings.aws_region


@asynccontextmanager
async def open_queue_client(url: str, region: str, config: AioConfig) -> AsyncIterator["SQSClient"]:
    """A client of a queue, with credentials and endpoints from where every AWS SDK looks for them.

    Raises:
        StartError: the AWS configuration itself is wrong (an unknown profile, a CA bundle that is not there).
    """
    async with AsyncExitStack() as stack:
        with usable_configuration():
            session, credentials = open_session(region)
            stack.push_async_callback(credentials.close)
            client = await stack.enter_async_context(queue_client(session, url, region, config))
        yield client
