"""The processes of a run: the server, the subject, and where they run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, BinaryIO

from bench.world import Scenario

START_SECONDS = 30.0
STOP_SECONDS = 60.0
CPU_CLOCK = 2  # what Linux's id of a process's CPU clock has beside the process id: see clock_getcpuclockid(3)


@dataclass(frozen=True, slots=True)
class Cores:
    """Where server and subject run; the same core, or none, where the machine has no two to pin to."""

    server: int | None
    subject: int | None

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """The first for the server, the last for the subject."""
        if not hasattr(os, "sched_getaffinity"):
            return cls(None, None)
        mine = sorted(os.sched_getaffinity(0))
        return cls(mine[0], mine[-1])


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Seconds that a process has had a core so far, and that its threads have waited for one that others had.

    Threads that have ended count as well for the first, but not for the second.
    """

    cpu: float
    waited: float

    @classmethod
    def of(cls, pid: int) -> "Scheduled":
        """So far; nothing where the system does not tell."""
        try:
            cpu = time.clock_gettime(~pid << 3 | CPU_CLOCK)
            waited = [int((task / "schedstat").read_text().split()[1]) for task in Path(f"/proc/{pid}/task").iterdir()]
        except OSError:
            return cls(0.0, 0.0)
        return cls(cpu, sum(waited) / 1e9)

    def __sub__(self, before: "Scheduled") -> "Scheduled":
        """What came since `before`."""
        return Scheduled(self.cpu - before.cpu, self.waited - before.waited)


class ServerProcess:
    """The server's process, and what it says."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Read what `process` prints, in a thread of its own, so that it never waits for its reader."""
        self._process = process
        self._news: Queue[dict[str, Any]] = Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._news.put(json.loads(line))

    def news(self, timeout: float) -> dict[str, Any]:
        """What it says next, one name and its value; `queue.Empty` after `timeout` seconds of silence."""
        return self._news.get(timeout=timeout)

    def hear(self, name: str, timeout: float) -> Any:  # noqa: ANN401 - a port, a time or a report
        """What it says next under `name`; what it says before is forgotten."""
        while True:
            news = self.news(timeout)
            if name in news:
                return news[name]

    def progress(self) -> tuple[float, int]:
        """The time (monotonic seconds), and how many messages are stored and deleted so far."""
        send_signal(self._process.pid, signal.SIGUSR1)
        at, counted = self.hear("progress", STOP_SECONDS)
        return at, counted

    def end(self) -> dict[str, Any]:
        """Stop the server, and give its report of what it stored and deleted."""
        self._process.terminate()
        report: dict[str, Any] = self.hear("report", STOP_SECONDS)
        return report


@contextlib.contextmanager
def serving(scenario: Scenario, options: list[str], log: BinaryIO, core: int | None) -> Iterator[ServerProcess]:
    """Run the server on `core` for as long as the context lasts; its errors go to `log`."""
    arguments = [f"--size={scenario.size}", f"--queue-latency={scenario.queue_latency}"]
    arguments += [f"--store-latency={scenario.store_latency}", f"--store-tail={scenario.store_tail}"]
    arguments += [f"--later-size={scenario.later_size}"]
    if scenario.put_rate is not None:
        arguments.append(f"--put-rate={scenario.put_rate}")
    if scenario.feed is not None:
        arguments.append(f"--feed={scenario.feed}")
    if scenario.messages:
        arguments += [f"--messages={scenario.messages}", f"--stages={scenario.stages}"]
    command = [sys.executable, "-m", "bench.server", *arguments, *options]
    process = start(command, dict(os.environ), subprocess.PIPE, log, core)
    try:
        yield ServerProcess(process)
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def start(
    command: list[str],
    variables: dict[str, str],
    output: BinaryIO | int,
    errors: BinaryIO,
    core: int | None,
) -> "subprocess.Popen[bytes]":
    """Start a process on `core`, with `variables` as its environment.

    It inherits this process's affinity (no code need run between fork and exec), and its peak of memory: keep this one
    small.
    """
    before = os.sched_getaffinity(0) if core is not None else set()
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        return subprocess.Popen(
            command,
            env=variables,
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    finally:
        if core is not None:
            os.sched_setaffinity(0, before)


def first_receive(server: "ServerProcess", pid: int) -> float:
    """When it is; `queue.Empty` if the process ends, or takes too long, before."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            at: float = server.hear("first_receive", 0.1)
        except Empty:
            has_ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            if has_ended or time.monotonic() > until:
                raise
        else:
            return at


def send_signal(pid: int, number: signal.Signals) -> None:
    """Not by Popen's own methods: they reap a process that has ended, and its usage is lost."""
    os.kill(pid, number)


def reap(process: "subprocess.Popen[bytes]") -> tuple[int, Any]:
    """Wait for the end; exit code and resource usage of the process and of all its children that it waited for."""
    timer = threading.Timer(STOP_SECONDS, send_signal, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def isolated(folder: Path) -> dict[str, str]:
    """An environment with nothing of this machine's AWS, and no proxy."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_BUCKET_NAME": "emails",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
    }


def tail(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-2000:]
