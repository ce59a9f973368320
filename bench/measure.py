"""One measurement: one subject, one scenario, one server, each of the two on a core of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, BinaryIO

from bench import certificate
from bench.subjects import Subject
from bench.world import Scenario

START_SECONDS = 30.0
STOP_SECONDS = 60.0


class BenchmarkError(Exception):
    """A measurement that must not be used."""


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
class Result:
    """What one measurement found. `cpu` is for the whole life of the process, start and stop included.

    `steady_cpu` is the part of it between the first receive and the order to stop.
    """

    subject: str
    scenario: Scenario
    tls: bool
    seconds: float
    messages: int
    cpu: float
    steady_cpu: float
    rss: int
    first_receive: float
    exit_code: int
    report: dict[str, Any]

    @property
    def cpu_us(self) -> float:
        """CPU a message, in microseconds."""
        return self.cpu / self.messages * 1e6

    @property
    def steady_us(self) -> float:
        """CPU a message after the start, in microseconds."""
        return self.steady_cpu / self.messages * 1e6

    @property
    def rate(self) -> float:
        """Messages a second, from the first receive to the last delete."""
        seconds: float = self.report["last_delete"] - self.report["first_receive"]
        return self.messages / max(1e-9, seconds)

    def as_dict(self) -> dict[str, Any]:
        """For the results file."""
        report = self.report
        scenario = self.scenario
        per_message = {name: n / self.messages for name, n in report["requests"].items()} if self.messages else {}
        return {
            "subject": self.subject,
            "size": scenario.size,
            "queue_latency_ms": scenario.queue_latency * 1000,
            "store_latency_ms": scenario.store_latency * 1000,
            "tls": self.tls,
            "feed": scenario.feed,
            "put_rate": scenario.put_rate,
            "seconds": self.seconds,
            "messages": self.messages,
            "cpu_us_per_message": round(self.cpu_us, 1) if self.messages else None,
            "steady_cpu_us_per_message": round(self.steady_us, 1) if self.messages else None,
            "messages_per_second": round(self.rate, 1) if self.messages else None,
            "peak_rss_mib": round(self.rss / 1024, 1),
            "cpu_seconds": round(self.cpu, 3),
            "steady_cpu_seconds": round(self.steady_cpu, 3),
            "idle_percent": round(100 * self.steady_cpu / self.seconds, 3) if not self.messages else None,
            "start_to_first_receive_seconds": round(self.first_receive, 3),
            "requests_per_message": {name: round(n, 3) for name, n in per_message.items()},
            "sent_to_stored_ms": {name: round(n * 1000, 1) for name, n in report["sent_to_stored"].items()},
            "redelivered": report["redelivered"],
            "throttled": report["throttled"],
            "server_cpu_us_per_message": round(report["server_cpu"] / self.messages * 1e6, 1)
            if self.messages
            else None,
            "exit_code": self.exit_code,
        }


def measure(subject: Subject, scenario: Scenario, *, seconds: float, tls: bool, cores: Cores) -> Result:
    """Let `subject` work for `seconds` from its first receive on, then stop it and see what it did and cost.

    Raises:
        BenchmarkError: it did not start, or it lost or damaged a message: then no number of it means anything.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        options: list[str] = []
        environment = {**_environment(folder), **dict(subject.environment)}
        if tls:
            for_server, for_clients = certificate.write(folder)
            options = ["--certificate", str(for_server)]
            environment |= {"AWS_CA_BUNDLE": str(for_clients), "NODE_EXTRA_CA_CERTS": str(for_clients)}
        server_log = stack.enter_context((folder / "server.log").open("wb"))
        server = stack.enter_context(_server(scenario, options, server_log, cores.server))
        port = server.hear("port", START_SECONDS)
        base = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        environment |= {"AWS_ENDPOINT_URL": base, "SQS_QUEUE_URL": f"{base}/123456789012/emails"}
        with (folder / "log").open("wb") as log:
            started = time.monotonic()
            process = _start(list(subject.command), environment, log, log, cores.subject)
            try:
                first_receive = _first_receive(server, process.pid)
                cpu_before = cpu_of(process.pid)
                time.sleep(max(0.0, first_receive + seconds - time.monotonic()))
                steady = cpu_of(process.pid) - cpu_before
                _signal(process.pid, signal.SIGTERM)
            except BaseException as error:
                _signal(process.pid, signal.SIGKILL)
                if isinstance(error, Empty):
                    raise BenchmarkError(f"{subject.name} received nothing: {_tail(folder / 'log')}") from None
                raise
            finally:
                exit_code, usage = _reap(process)
        report = server.end()
        if (folder / "server.log").stat().st_size:
            raise BenchmarkError(f"the server failed under {subject.name}: {_tail(folder / 'server.log')}")
        _check(subject, report, exit_code, folder / "log")
        return Result(
            subject=subject.name,
            scenario=scenario,
            tls=tls,
            seconds=seconds,
            messages=report["counted"],
            cpu=usage.ru_utime + usage.ru_stime,
            steady_cpu=steady,
            rss=usage.ru_maxrss,
            first_receive=first_receive - started,
            exit_code=exit_code,
            report=report,
        )


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used so far, its threads included."""
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        return 0.0


class _Server:
    """The server's process, and what it says."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._news: Queue[dict[str, Any]] = Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._news.put(json.loads(line))

    def hear(self, name: str, timeout: float) -> Any:  # noqa: ANN401 - a port, a time or a report
        while True:
            news = self._news.get(timeout=timeout)
            if name in news:
                return news[name]

    def end(self) -> dict[str, Any]:
        self._process.terminate()
        report: dict[str, Any] = self.hear("report", STOP_SECONDS)
        return report


@contextlib.contextmanager
def _server(scenario: Scenario, options: list[str], log: BinaryIO, core: int | None) -> Iterator[_Server]:
    arguments = [f"--size={scenario.size}", f"--queue-latency={scenario.queue_latency}"]
    arguments += [f"--store-latency={scenario.store_latency}"]
    if scenario.put_rate is not None:
        arguments.append(f"--put-rate={scenario.put_rate}")
    if scenario.feed is not None:
        arguments.append(f"--feed={scenario.feed}")
    command = [sys.executable, "-m", "bench.server", *arguments, *options]
    process = _start(command, dict(os.environ), subprocess.PIPE, log, core)
    try:
        yield _Server(process)
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _start(
    command: list[str],
    environment: dict[str, str],
    output: BinaryIO | int,
    errors: BinaryIO,
    core: int | None,
) -> "subprocess.Popen[bytes]":
    """Start a process on `core`.

    It inherits this process's affinity (no code need run between fork and exec), and its peak of memory: keep this one
    small.
    """
    before = os.sched_getaffinity(0) if core is not None else set()
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    finally:
        if core is not None:
            os.sched_setaffinity(0, before)


def _first_receive(server: "_Server", pid: int) -> float:
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


def _signal(pid: int, number: signal.Signals) -> None:
    """Not by Popen's own methods: they reap a process that has ended, and its usage is lost."""
    os.kill(pid, number)


def _reap(process: "subprocess.Popen[bytes]") -> tuple[int, Any]:
    """Wait for the end; exit code and resource usage of the process and of all its children that it waited for."""
    timer = threading.Timer(STOP_SECONDS, _signal, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of this machine's AWS, and no proxy."""
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


def _check(subject: Subject, report: dict[str, Any], exit_code: int, log: Path) -> None:
    wrong = {name: report[name] for name in ("lost", "damaged", "overwritten") if report[name]}
    if report["requests"].get("unsigned"):
        wrong["unsigned"] = report["requests"]["unsigned"]
    if exit_code not in {0, -signal.SIGTERM}:
        wrong["exit_code"] = exit_code
    if wrong:
        raise BenchmarkError(f"{subject.name} is not to be trusted with mail: {wrong}; {_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
