"""The service as its users run it: the installed command as a process, its log, its HTTP port and its signals."""

import json
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.support.commands import COMMAND
from tests.support.environment import clean_environment, unmeasured
from tests.support.overheard import hear
from tests.support.waiting import eventually

LISTENING, NOBODYS = "0A", "0"  # a socket's state and inode, as Linux has them in /proc/net/tcp

# Short times, so that tests are quick; everything else as it is deployed.
QUICK = {
    "HTTP_HOST": "127.0.0.1",
    "HTTP_PORT": "0",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "DEBUG",
    "POLL_INTERVAL_SECONDS": "0",
    "S3_TIMEOUT_SECONDS": "2",
    "SHUTDOWN_GRACE_SECONDS": "10",
    "SQS_TIMEOUT_SECONDS": "3",
    "SQS_WAIT_TIME_SECONDS": "1",
    "VISIBILITY_TIMEOUT_SECONDS": "30",
}


@dataclass(frozen=True)
class HttpAnswer:
    """An answer of the HTTP port."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body, as JSON."""
        return json.loads(self.body)


class Service:
    """`email-processor run`, from entering the context to leaving it; killed if it still runs then."""

    def __init__(self, settings: Mapping[str, str], directory: Path, *, measured: bool = False) -> None:
        """Run with `settings` as its environment, on top of the quick ones, in `directory`.

        Coverage makes it slow: only a few are `measured`, and only those that end by themselves.
        """
        environment = clean_environment() if measured else unmeasured(clean_environment())
        self._environment = {**environment, **QUICK, **settings}
        self._directory = directory
        self._news = threading.Condition()
        self._is_over = False
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Start it, without waiting for anything."""
        self.process = subprocess.Popen(
            [COMMAND, "run"],
            env=self._environment,
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Kill it if need be."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if error is not None:
            error.add_note("The service's log:\n" + "\n".join(self.lines[-50:]))

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    if line.startswith("{"):
                        self.events.append(json.loads(line))
                    self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def wait_for(self, event: str, *, within: float = 20.0, **fields: object) -> dict[str, Any]:
        """The first log record of this event whose fields have these values, as soon as it is there."""

        def found() -> dict[str, Any] | None:
            return next(iter(self.logged(event, **fields)), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._is_over, within)
            record = found()
        assert record is not None, f"the service never logged {event} {fields}"
        return record

    def wait_for_line(self, text: str, *, within: float = 20.0) -> None:
        """Return when a line with this text is there, in whatever form."""
        with self._news:
            assert self._news.wait_for(lambda: any(text in line for line in self.lines), within)

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log records of this event whose fields have these values, so far."""
        return [record for record in self.events if record.get("event") == event and fields.items() <= record.items()]

    @property
    def port(self) -> int:
        """Its HTTP port, as soon as it is open."""
        return int(self.wait_for("started")["port"])

    def get(self, path: str, method: str = "GET") -> HttpAnswer:
        """Ask its HTTP port."""
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310 - a URL of ours
                answer = HttpAnswer(reply.status, dict(reply.headers), reply.read())
        except urllib.error.HTTPError as error:
            with error:
                answer = HttpAnswer(error.code, dict(error.headers), error.read())
        hear(f"the answer to {path}", f"{answer.headers}".encode() + answer.body)
        return answer

    def is_ready(self) -> bool:
        """Whether `/readyz` is green."""
        return self.get("/readyz").status == 200

    def is_alive(self) -> bool:
        """Whether `/healthz` is green."""
        return self.get("/healthz").status == 200

    def under_way(self, part: str) -> int:
        """How many operations this part of it has under way."""
        return int(self.get("/healthz").json[part]["under_way"])

    def wait_until_ready(self, within: float = 20.0) -> None:
        """Return when `/readyz` is green."""
        eventually(self.is_ready, "/readyz green", within=within)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; its name without the prefix."""
        name = f"email_processor_{name}"
        lines = self.get("/metrics").body.decode().splitlines(keepends=True)
        return sum(
            sample.value
            for family in text_string_to_metric_families("".join(line for line in lines if line.startswith(name)))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_until(self, name: str, at_least: float, *, within: float = 20.0, **labels: str) -> None:
        """Return when a metric has grown to `at_least`."""
        eventually(
            lambda: self.metric(name, **labels) >= at_least, f"{name} {labels} at least {at_least}", within=within
        )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def exit_code(self, within: float = 20.0) -> int:
        """Wait for its end; negative if it was a signal."""
        code = self.process.wait(within)
        self._reader.join(within)
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM, within: float = 20.0) -> int:
        """Ask it to stop, and wait for its exit code."""
        self.send(number)
        return self.exit_code(within)

    def cpu_seconds(self) -> float:
        """How much CPU it has used, on all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> list[int]:
        """The file descriptors that it has open."""
        return [int(entry.name) for entry in Path(f"/proc/{self.process.pid}/fd").iterdir()]

    def http_connections(self) -> int:
        """How many connections its HTTP port has open."""
        sockets = (line.split() for line in Path(f"/proc/{self.process.pid}/net/tcp").read_text().splitlines()[1:])
        here = f"0100007F:{self.port:04X}"
        return sum(fields[1] == here and fields[3] != LISTENING and fields[9] != NOBODYS for fields in sockets)

    def resident_bytes(self) -> int:
        """How much memory it has."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def wait_until_signals_are_caught(self, within: float = 10.0) -> None:
        """Return when it has a handler for SIGTERM: from then on it decides itself how to end."""
        status = Path(f"/proc/{self.process.pid}/status")

        def is_caught() -> bool:
            mask = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
            return bool(int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

        eventually(is_caught, "a handler for SIGTERM", within=within, every=0.001)
