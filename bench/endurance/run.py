"""One endurance run: the server and the service as processes of their own, watched from outside and from inside."""

import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from signal import SIGKILL, SIGTERM
from typing import Any

import orjson

from bench.endurance import outside
from bench.mail import MixedPost
from bench.measure import BenchmarkError
from bench.processes import (
    START_SECONDS,
    Cores,
    ServerProcess,
    first_receive,
    isolated,
    reap,
    send_signal,
    serving,
    start,
    tail,
)
from bench.world import REST_SECONDS, Scenario

LOOK_SECONDS = 1.0
BAD_EVENTS = ("crashed", "unexpected_error", "refused", "quarantine_refused", "not JSON")

# Short times, so that a lease is renewed or runs out many times in a run, and a hung answer costs seconds; the rest are
# the defaults.
SETTINGS = {
    "POLL_INTERVAL_SECONDS": "1",
    "S3_TIMEOUT_SECONDS": "3",
    "SQS_TIMEOUT_SECONDS": "3",
    "SQS_WAIT_TIME_SECONDS": "2",
    "VISIBILITY_TIMEOUT_SECONDS": "30",
    "LOG_FORMAT": "json",
}


@dataclass(slots=True)
class EnduranceRun:
    """What was seen. Times are monotonic seconds; `progress` is when how many messages were stored and deleted.

    `outside` and `inside` are samples with a time `at`; `rests` are when a rest ended.
    """

    messages: int
    broken: int
    began_at: float = 0.0
    ended_at: float = 0.0
    exit_code: int = 0
    cpu: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    bad_lines: list[str] = field(default_factory=list)
    progress: list[tuple[float, int]] = field(default_factory=list)
    rests: list[float] = field(default_factory=list)
    outside: list[dict[str, float]] = field(default_factory=list)
    inside: list[dict[str, Any]] = field(default_factory=list)

    def at_rest(self, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The last of `samples` in each rest."""
        found = []
        for end in self.rests:
            resting = [sample for sample in samples if end - REST_SECONDS / 2 < sample["at"] < end]
            found += resting[-1:]
        return found


def run(messages: int, stages: int, *, minutes: float) -> EnduranceRun:
    """Let the service archive so many messages, in so many stages.

    Raises:
        BenchmarkError: it did not start, ended by itself, or was not done after so many minutes.
    """
    found = EnduranceRun(messages, MixedPost.broken_below(messages))
    cores = Cores.of_this_machine()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        log, looks, server_log = folder / "log", folder / "looks", folder / "server.log"
        errors = stack.enter_context(server_log.open("wb"))
        scenario = Scenario(messages=messages, stages=stages)
        server = stack.enter_context(serving(scenario, [], errors, cores.server))
        base = f"http://127.0.0.1:{server.hear('port', START_SECONDS)}"
        variables = {**isolated(folder), **SETTINGS, "AWS_ENDPOINT_URL": base}
        variables["SQS_QUEUE_URL"] = f"{base}/123456789012/emails"
        lines = stack.enter_context(log.open("wb"))
        command = [sys.executable, "-m", "bench.endurance.inside", str(looks)]
        process = start(command, variables, lines, lines, cores.subject)
        number = SIGKILL
        try:
            found.began_at = first_receive(server, process.pid)
            _watch(found, server, process.pid, found.began_at + 60 * minutes)
            number = SIGTERM
        except (Empty, OSError) as error:
            raise BenchmarkError(f"it received nothing, or ended by itself: {tail(log)}") from error
        finally:
            send_signal(process.pid, number)
            found.exit_code, usage = reap(process)
        found.cpu = usage.ru_utime + usage.ru_stime
        found.report = server.end()
        if server_log.stat().st_size:
            raise BenchmarkError(f"the server failed: {tail(server_log)}")
        found.inside = [orjson.loads(line) for line in looks.read_bytes().splitlines()]
        _read(log, found)
        if not found.inside or found.inside[-1]["at"] < found.ended_at - 10 * LOOK_SECONDS:
            raise BenchmarkError(f"the look inside has ended: {tail(log)}")
    return found


def _watch(found: EnduranceRun, server: ServerProcess, pid: int, until: float) -> None:
    """Look at the process once a second until the server says that everything is done."""
    next_look = time.monotonic()
    while True:
        now = time.monotonic()
        if now > until:
            raise BenchmarkError(f"not done in time: {found.progress[-1:]}")
        if now >= next_look:
            found.outside.append({"at": now, **outside.look(pid)})
            next_look = now + LOOK_SECONDS
        try:
            news = server.news(max(0.01, next_look - time.monotonic()))
        except Empty:
            continue
        match news:
            case {"progress": [at, counted]}:
                found.progress.append((at, counted))
            case {"rest": at}:
                found.rests.append(at)
                print(f"{at - found.began_at:.0f} s: {found.progress[-1][1]:,} messages; a rest", file=sys.stderr)
            case {"done": at}:
                found.ended_at = at
                return


def _read(log: Path, found: EnduranceRun) -> None:
    """How often the service logged what, and the lines that it should not have logged."""
    for line in log.read_text(errors="replace").splitlines():
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record = {"event": "not JSON"}
        event = str(record["event"])
        found.events[event] += 1
        if event in BAD_EVENTS or record.get("logger") == "asyncio":  # which has only errors to tell
            found.bad_lines.append(line)
