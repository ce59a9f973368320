"""One measurement: one subject, one cell of the plan, one server, each of the two on a core of its own."""

import contextlib
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from bench.plan import Cell
from bench.pod import pod
from bench.processes import (
    START_SECONDS,
    Cores,
    Scheduled,
    first_receive,
    isolated,
    reap,
    send_signal,
    serving,
    start,
    tail,
)
from bench.subjects import Subject
from tests.support.certificates import new_authority

TRUST_VARIABLES = ("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")  # each subject reads one of them


class BenchmarkError(Exception):
    """A measurement that must not be used."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one measurement found. `cpu` is for the whole life of the process, start and stop included.

    `steady` is between the end of the subject's warm-up, which begins with its first receive, and the order to stop.
    """

    subject: Subject
    cell: Cell
    messages: int
    cpu: float
    steady: Scheduled
    steady_messages: int
    steady_seconds: float
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
        """CPU a message after the warm-up, in microseconds."""
        return self.steady.cpu / max(1, self.steady_messages) * 1e6

    @property
    def rate(self) -> float:
        """Messages a second, after the warm-up."""
        return self.steady_messages / self.steady_seconds

    def as_dict(self) -> dict[str, Any]:
        """The measurement as the results file has it, in the units that its names say."""
        report, steady = self.report, self.steady
        cell, scenario = self.cell, self.cell.scenario
        per_message = {name: n / self.messages for name, n in report["requests"].items()} if self.messages else {}
        return {
            "cell": cell.name,
            "subject": self.subject.name,
            "size": scenario.size,
            "queue_latency_ms": scenario.queue_latency * 1000,
            "store_latency_ms": scenario.store_latency * 1000,
            "store_tail_ms": scenario.store_tail * 1000,
            "later_size": scenario.later_size,
            "tls": cell.tls,
            "feed": scenario.feed,
            "put_rate": scenario.put_rate,
            "seconds": cell.seconds,
            "warm_up_seconds": self.subject.warm_up,
            "messages": self.messages,
            "cpu_us_per_message": round(self.cpu_us, 1) if self.messages else None,
            "steady_cpu_us_per_message": round(self.steady_us, 1) if self.messages else None,
            "messages_per_second": round(self.rate, 1) if self.messages else None,
            "peak_rss_mib": round(self.rss / 1024, 1),
            "cpu_seconds": round(self.cpu, 3),
            "steady_cpu_seconds": round(steady.cpu, 3),
            "busy_percent": round(100 * steady.cpu / cell.seconds, 3),
            "waited_percent": round(100 * steady.waited / cell.seconds, 3),
            "start_to_first_receive_seconds": round(self.first_receive, 3),
            "requests_per_message": {name: round(n, 3) for name, n in per_message.items()},
            "under_way": report["under_way"],
            "sent_to_stored_ms": {name: round(n * 1000, 1) for name, n in report["sent_to_stored"].items()},
            "redelivered": report["redelivered"],
            "throttled": report["throttled"],
            "server_cpu_us_per_message": round(report["server_cpu"] / self.messages * 1e6, 1)
            if self.messages
            else None,
            "exit_code": self.exit_code,
        }


def measure(subject: Subject, cell: Cell, cores: Cores) -> Result:
    """Let `subject` warm up, work as long as `cell` says, and stop; see what it did and cost.

    Raises:
        BenchmarkError: it did not start, no pod could be made, or it lost or damaged a message: then no number of it
            means anything.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        options: list[str] = []
        variables = {**isolated(folder), **dict(subject.environment)}
        if cell.tls:
            authority = new_authority(folder)
            options = ["--certificate", str(authority.issue("localhost"))]
            variables |= dict.fromkeys(TRUST_VARIABLES, str(authority.pem))
        server_log = stack.enter_context((folder / "server.log").open("wb"))
        server = stack.enter_context(serving(cell.scenario, options, server_log, cores.server))
        port = server.hear("port", START_SECONDS)
        base = f"{'https' if cell.tls else 'http'}://127.0.0.1:{port}"
        variables |= {"AWS_ENDPOINT_URL": base, "SQS_QUEUE_URL": f"{base}/123456789012/emails"}
        command = [*_within(cell, stack), *subject.command]
        with (folder / "log").open("wb") as log:
            started = time.monotonic()
            process = start(command, variables, log, log, cores.subject)
            try:
                received_at = first_receive(server, process.pid)
                _wait_until(received_at + subject.warm_up)
                before, (began, already) = Scheduled.of(process.pid), server.progress()
                _wait_until(began + cell.seconds)
                steady, (ended, counted) = Scheduled.of(process.pid) - before, server.progress()
                send_signal(process.pid, signal.SIGTERM)
            except BaseException as error:
                send_signal(process.pid, signal.SIGKILL)
                if isinstance(error, Empty):
                    raise BenchmarkError(f"{subject.name} received nothing: {tail(folder / 'log')}") from None
                raise
            finally:
                exit_code, usage = reap(process)
        report = server.end()
        if (folder / "server.log").stat().st_size:
            raise BenchmarkError(f"the server failed under {subject.name}: {tail(folder / 'server.log')}")
        _check(subject, report, exit_code, folder / "log")
        return Result(
            subject=subject,
            cell=cell,
            messages=report["counted"],
            cpu=usage.ru_utime + usage.ru_stime,
            steady=steady,
            steady_messages=counted - already,
            steady_seconds=ended - began,
            rss=usage.ru_maxrss,
            first_receive=received_at - started,
            exit_code=exit_code,
            report=report,
        )


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _within(cell: Cell, stack: contextlib.ExitStack) -> list[str]:
    """What the subject's command begins with, to run within the limits that the cell is about."""
    if not cell.pod:
        return []
    try:
        return stack.enter_context(pod())
    except OSError as error:
        raise BenchmarkError(f"no pod can be made here: {error}") from error


def _check(subject: Subject, report: dict[str, Any], exit_code: int, log: Path) -> None:
    wrong = {name: report[name] for name in ("lost", "damaged", "overwritten") if report[name]}
    if report["requests"].get("unsigned"):
        wrong["unsigned"] = report["requests"]["unsigned"]
    if exit_code not in {0, -signal.SIGTERM}:
        wrong["exit_code"] = exit_code
    if wrong:
        raise BenchmarkError(f"{subject.name} is not to be trusted with mail: {wrong}; {tail(log)}")
