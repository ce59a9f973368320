"""The service as a process of its own, in an environment that leads to no account; its log is read from outside."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from email_processor.domain.errors import EmailProcessorError
from email_processor.settings import Settings

_FOREIGN = ("AWS_", "MOTO_", "S3_", "SQS_")
_PROXIES = frozenset({"ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY"})
_SETTINGS = frozenset(name.upper() for name in Settings.model_fields)

REGION = "us-east-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "no-account-knows-this",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
START_SECONDS = 20.0
HURRY_SECONDS = 1.0
LOG_LINES_KEPT = 200
LOG_LINE_MAX = 1024 * 1024  # bytes


def isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without AWS, moto, proxies and every setting of ours; credentials that open nothing instead."""
    kept = {name: value for name, value in environ.items() if not _is_foreign(name.upper())}
    return kept | CREDENTIALS | {"NO_PROXY": "*"}


def for_service(endpoint: str, queue_url: str, bucket: str) -> dict[str, str]:
    """The settings that the service runs with, as one could paste them into a shell."""
    return {
        "SQS_QUEUE_URL": queue_url,
        "S3_BUCKET_NAME": bucket,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }


@contextmanager
def isolation() -> Iterator[None]:
    """Isolate this process for as long as the context lasts."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(isolated(before))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name in _PROXIES or name in _SETTINGS


class DemoError(EmailProcessorError):
    """The demo failed."""


class ServiceProcess:
    """The running service. `log` keeps what it logged last, as dicts."""

    def __init__(self, process: Process, on_log: Callable[[Mapping[str, Any]], None]) -> None:
        """`on_log` hears of every line that it logs."""
        self._process = process
        self._on_log = on_log
        self._started = asyncio.Event()
        self._silent = asyncio.Event()
        self.log: deque[Mapping[str, Any]] = deque(maxlen=LOG_LINES_KEPT)
        self.url = ""

    @property
    def pid(self) -> int:
        """Its process id, for tests that send it signals."""
        return self._process.pid

    async def started(self) -> None:
        """Return when it is up; it picks its own port, so `url` is known only then.

        Raises:
            DemoError: it ended instead, or takes too long.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._started.wait()
        except TimeoutError:
            raise DemoError(f"The service did not start within {START_SECONDS:g} s.") from None
        if not self.url:
            raise self.ended()

    def ended(self) -> DemoError:
        """What to say if it ended when it should not."""
        last = self.log[-1] if self.log else {"error": "it said nothing"}
        return DemoError(f"The service ended by itself; its last words: {json.dumps(last, ensure_ascii=False)}")

    async def follow(self) -> None:
        """Read its log until it ends. It must be read: a service drops the lines that nobody reads."""
        stream = self._process.stderr
        if stream is not None:
            async for line in stream:
                self._note(line)
        self._started.set()
        self._silent.set()

    async def silence(self) -> None:
        """Return when its log has been read to the end."""
        await self._silent.wait()

    async def stop(self, patience: float) -> int:
        """Stop it as Kubernetes does, and kill it if it has not stopped after `patience` seconds; its exit code."""
        try:
            async with asyncio.timeout(patience):
                if self._process.returncode is None:
                    self._process.terminate()
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()
        except asyncio.CancelledError:
            self._process.kill()
            raise

    def _note(self, line: bytes) -> None:
        try:
            entry: Mapping[str, Any] = json.loads(line)
        except ValueError:
            entry = {"level": "error", "event": line.decode(errors="replace").rstrip()}
        self.log.append(entry)
        self._on_log(entry)
        if entry.get("event") == "started":
            self.url = f"http://127.0.0.1:{entry['port']}"
            self._started.set()


@asynccontextmanager
async def running_service(
    background: asyncio.TaskGroup, environ: Mapping[str, str], on_log: Callable[[Mapping[str, Any]], None]
) -> AsyncIterator[ServiceProcess]:
    """Run the service for as long as the context lasts. It may still be starting when the context begins."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # else the working directory could stand in for the standard library
        *("-m", "email_processor", "run"),
        env=environ,
        cwd=Path(__file__).parent,  # where there is no .env file
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=PIPE,
        limit=LOG_LINE_MAX,
        start_new_session=True,  # Ctrl-C is ours to handle
    )
    service = ServiceProcess(process, on_log)
    following = background.create_task(service.follow(), name="log")
    try:
        yield service
    finally:
        await service.stop(HURRY_SECONDS)  # it has stopped already, unless the demo was cut short
        following.cancel()
