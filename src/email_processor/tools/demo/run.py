"""The life of the demo: what is opened in which order, and how it ends, whenever it ends."""

import asyncio
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from email_processor import __version__
from email_processor.domain.errors import EmailProcessorError
from email_processor.exit_codes import EXIT_FAILED
from email_processor.tools.demo import proof
from email_processor.tools.demo.archive_use import use_archive
from email_processor.tools.demo.cloud import BUCKET, QUEUE, opened_account, running_cloud
from email_processor.tools.demo.figures import watching
from email_processor.tools.demo.keep import Keeper
from email_processor.tools.demo.process import ServiceProcess, for_service, isolation, running_service
from email_processor.tools.demo.proof import Claim
from email_processor.tools.demo.screen import Screen
from email_processor.tools.demo.tour import Demo, Feeder, Options, Tour
from email_processor.tools.send.sender import Sender

STOP_SECONDS = 10.0
PLAIN_WIDTH = 160  # columns where there is no terminal that has any
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# As by default, but the queue is asked more often, so that nobody has to wait.
TEMPO = {
    "POLL_INTERVAL_SECONDS": "0",
    "SQS_WAIT_TIME_SECONDS": "1",
    "VISIBILITY_TIMEOUT_SECONDS": "30",
    "SHUTDOWN_GRACE_SECONDS": "5",
    "HTTP_HOST": "127.0.0.1",
    "HTTP_PORT": "0",
    "LOG_FORMAT": "json",
}


def run(options: Options) -> int:
    """Run the demo; the exit code: 0 if all went well or it was interrupted, 1 otherwise."""
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    screen = Screen(Console(highlight=False, width=width))
    logging.disable(logging.CRITICAL)  # moto logs every request, and what it cannot do with its whole stack
    with isolation():
        try:
            with screen.busy("Loading moto, which plays SQS and S3"):
                import moto.server  # noqa: F401 - said here, before anything has begun
        except ImportError as error:
            screen.problem(
                f"The demo needs moto, which is not installed ({error}).", "pip install 'email-processor[demo]'"
            )
            return EXIT_FAILED
        with asyncio.Runner() as runner:
            return runner.run(_run(options, screen))


async def _run(options: Options, screen: Screen) -> int:
    ending = Ending()
    try:
        with ending.on_signal():
            return await _play(options, screen, ending)
    except asyncio.CancelledError:
        screen.say("", "Interrupted. Everything was in memory and is gone.")
        return 0
    except (EmailProcessorError, ExceptionGroup) as error:
        cause = _first(error)
        if not isinstance(cause, EmailProcessorError):
            raise
        screen.problem(cause.detail, cause.fix)
        return EXIT_FAILED


class Ending:
    """What the first signal does: it cuts the tour short wherever it is, or ends the keeping."""

    def __init__(self) -> None:
        """Cut short whatever runs in this task."""
        task = asyncio.current_task()
        self._cut_short: Callable[[], object] = task.cancel if task is not None else lambda: None
        self.by: Callable[[], object] = self._cut_short

    @contextmanager
    def on_signal(self) -> Iterator[None]:
        """Listen for as long as the context lasts."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        end, self.by = self.by, self._cut_short  # a second signal does not wait for what the first one began
        end()


async def _play(options: Options, screen: Screen, ending: Ending) -> int:
    screen.title(__version__, options.messages, options.recipe.broken_of(options.messages), options.outage)
    # Each needs the ones before it: without AWS the service could not even drain.
    with running_cloud() as (switch, endpoint):
        async with opened_account(endpoint) as account, asyncio.TaskGroup() as background:
            await account.furnish()
            screen.event(f"SQS and S3 are up at [cyan]{endpoint}[/]: queue {QUEUE}, bucket {BUCKET}")
            environ = os.environ | for_service(endpoint, account.queue_url, BUCKET) | TEMPO
            async with running_service(background, environ, screen.log_line) as service:
                async with watching(background, service, screen.show) as watch:
                    screen.event("[bold]email-processor run[/] is starting")
                    with screen.busy("Waiting for the service to start"):
                        await service.started()
                    screen.event(f"[bold]email-processor run[/] is up at [cyan]{service.url}/metrics[/]")
                    feeder = Feeder(Sender(account.sqs, account.queue_url, run_id="demo"), watch)
                    stage = Demo(screen, switch, account, watch, feeder)
                    claims = await _tour(stage, options, environ)
                    if options.keep:
                        keeper = Keeper(stage, program(), service.url, endpoint)
                        ending.by = keeper.stop
                        await keeper.keep()
                end, last = await _stop(service)
    if options.keep:
        screen.heading("Stopped")
        screen.counters(watch.now.brought_up_to(last))
    screen.claims([end])
    screen.farewell(program(), is_kept=options.keep)
    return 0 if all(claim.is_good for claim in (*claims, end)) else EXIT_FAILED


async def _tour(stage: Demo, options: Options, environ: Mapping[str, str]) -> list[Claim]:
    tour = Tour(stage, options)
    await tour.emails_flow()
    await tour.show_bucket()
    stage.screen.counters(stage.watch.now)
    tour.claims.append(await use_archive(stage, environ))
    stage.screen.heading("Checked")
    stage.screen.claims(tour.claims)
    return tour.claims


async def _stop(service: ServiceProcess) -> tuple[Claim, Mapping[str, Any]]:
    """Stop the service; how that went, and the last line of its log."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    exit_code = await service.stop(STOP_SECONDS)
    seconds = loop.time() - began
    await service.silence()
    last: Mapping[str, Any] = next((entry for entry in service.log if entry["event"] == "stopped"), {})
    return proof.stopped_cleanly(exit_code, seconds, last.get("left_in_flight")), last


def program() -> str:
    """How the reader can call us: by name if the shell finds us by it, else as just now."""
    called = Path(sys.argv[0])
    if called.name != "email-processor":
        return f"{Path(sys.executable).name} -m email_processor"
    found = shutil.which(called.name)
    is_on_path = found is not None and Path(found).resolve() == called.resolve()
    return called.name if is_on_path else str(called)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
