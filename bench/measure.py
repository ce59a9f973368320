"""One measurement: one subject, one scenario, one server, each of the two on a core of its own."""

import contextlib
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from bench.processes import (
    START_SECONDS,
    Cores,
    cpu_of,
    first_receive,
    isolated,
    reap,
    send_signal,
    serving,
    start,
    tail,
)
from bench.subjects import Subject
from bench.world import Scenario
from tests.support.certificates import new_authority


class BenchmarkError(Exception):
    """A measurement that must not be used."""


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
        """The measurement as the results file has it, in the units that its names say."""
        report = self.report
        scenario = self.scenario
        per_message = {name: n / self.messages for name, n in report["requests"].items()} if self.messages else {}
        return {
            "subject": self.subject,
            "size": scenario.size,
            "queue_latency_ms": scenario.queue_latency * 1000,
            "store_latency_ms": scenario.store_latency * 1000,
            "store_tail_ms": scenario.store_tail * 1000,
            "later_size": scenario.later_size,
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
        variables = {**isolated(folder), **dict(subject.environment)}
        if tls:
            authority = new_authority(folder)
            options = ["--certificate", str(authority.issue("localhost"))]
            variables |= {"AWS_CA_BUNDLE": str(authority.pem), "NODE_EXTRA_CA_CERTS": str(authority.pem)}
        server_log = stack.enter_context((folder / "server.log").open("wb"))
        server = stack.enter_context(serving(scenario, options, server_log, cores.server))
        port = server.hear("port", START_SECONDS)
        base = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        variables |= {"AWS_ENDPOINT_URL": base, "SQS_QUEUE_URL": f"{base}/123456789012/emails"}
        with (folder / "log").open("wb") as log:
            started = time.monotonic()
            process = start(list(subject.command), variables, log, log, cores.subject)
            try:
                received_at = first_receive(server, process.pid)
                cpu_before = cpu_of(process.pid)
                time.sleep(max(0.0, received_at + seconds - time.monotonic()))
                steady = cpu_of(process.pid) - cpu_before
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
            subject=subject.name,
            scenario=scenario,
            tls=tls,
            seconds=seconds,
            messages=report["counted"],
            cpu=usage.ru_utime + usage.ru_stime,
            steady_cpu=steady,
            rss=usage.ru_maxrss,
            first_receive=received_at - started,
            exit_code=exit_code,
            report=report,
        )


def _check(subject: Subject, report: dict[str, Any], exit_code: int, log: Path) -> None:
    wrong = {name: report[name] for name in ("lost", "damaged", "overwritten") if report[name]}
    if report["requests"].get("unsigned"):
        wrong["unsigned"] = report["requests"]["unsigned"]
    if exit_code not in {0, -signal.SIGTERM}:
        wrong["exit_code"] = exit_code
    if wrong:
        raise BenchmarkError(f"{subject.name} is not to be trusted with mail: {wrong}; {tail(log)}")
