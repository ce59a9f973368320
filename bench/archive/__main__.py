"""Measure the commands on the archive: `make bench-archive`, or `python -m bench.archive [--many N] [NAME ...]`."""

import argparse
import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.archive.bars import AT_LEAST, AT_MOST, EXACTLY, KIND, Measured, rows
from bench.archive.bucket import FIRST_DAY, DayOfMails, mails_of_sender
from bench.machine import machine, measured_on, versions
from bench.processes import Cores, ServerProcess, isolated, reap, start
from bench.report import RESULTS, markdown
from email_processor.tools.archive.reader import OBJECTS_AT_ONCE

COMMAND = str(Path(sys.executable).parent / "email-processor")
LARGE = 1_000_000
PAGE = 1000
KILLS = 20
METHODS = ("LIST", "GET", "PUT", "DELETE")
PATIENCE = 120.0  # seconds for the server to see that a command goes on
HEAD = ("what", "bar", "found", "")
METHOD = (
    "The installed command is on one core; on another is a server of S3's LIST, GET, PUT and DELETE on loopback, which "
    "takes 20 ms for each. Requests, and what became of the objects, are as the server saw them. A kill waits until "
    "the server has seen so many requests: so it hits the middle of the work, whatever else the machine does."
)


@dataclass(frozen=True, slots=True)
class Run:
    """A command that has ended: what it took, and when its first line came."""

    code: int
    seconds: float
    first: float
    cpu: float
    mebibytes: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A server with a bucket, and a folder for the commands."""

    server: ServerProcess
    pid: int  # the server's
    folder: Path
    variables: dict[str, str]
    core: int | None

    def begin(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command."""
        errors = (self.folder / "errors").open("wb")
        with errors:
            return start([COMMAND, *arguments], self.variables, subprocess.PIPE, errors, self.core)

    def run(self, *arguments: str) -> Run:
        """Run a command to its end, which must be a good one."""
        began = time.monotonic()
        process = self.begin(*arguments)
        first = 0.0
        for _ in process.stdout or ():
            first = first or time.monotonic() - began
        code, usage = reap(process)
        seconds = time.monotonic() - began
        if code:
            sys.exit(f"{' '.join(arguments)}: exit {code}: {(self.folder / 'errors').read_text()}")
        return Run(code, seconds, first, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def kill_when(self, method: str, count: int, *arguments: str) -> None:
        """Start a command, and kill it when the server has carried out `count` such requests in all."""
        process = self.begin(*arguments)
        while self.server.hear("asked", PATIENCE).get(method, 0) < count:
            pass
        os.kill(process.pid, signal.SIGKILL)
        reap(process)
        if process.stdout is not None:
            process.stdout.close()

    def report(self) -> dict[str, Any]:
        """What the server has seen so far, with all that was under way."""
        os.kill(self.pid, signal.SIGUSR1)
        report: dict[str, Any] = self.server.hear("report", PATIENCE)
        return report


@contextlib.contextmanager
def bench(**bucket: int) -> Iterator[Bench]:
    """A server with such a bucket."""
    cores = Cores.of_this_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = [f"--{option}={value}" for option, value in bucket.items()]
        with (folder / "server").open("wb") as log:
            process = start(
                [sys.executable, "-m", "bench.archive.server", *options],
                dict(os.environ),
                subprocess.PIPE,
                log,
                cores.server,
            )
        try:
            server = ServerProcess(process)
            url = f"http://127.0.0.1:{server.hear('port', 30)}"
            yield Bench(server, process.pid, folder, {**isolated(folder), "AWS_ENDPOINT_URL": url}, cores.subject)
        finally:
            process.terminate()
            process.wait()


def find_month(_many: int) -> Iterator[Measured]:
    """Of 1,000,000 objects in 31 days, a month of the sender with the most, and of one with few."""
    for sender in ("s0000", "s4000"):
        mails = 31 * mails_of_sender(int(sender[1:]), LARGE // 31)
        with bench(mails=LARGE, days=31) as at:
            run = at.run("find", "--from", sender, "--since", "2026-10-01", "--until", "2026-10-31", "--output", "keys")
            of = f"of 1,000,000 in 31 days, a sender's month of {mails:,}"
            yield Measured(f"{of}: LISTs", at.server.end()["LIST"], AT_MOST, 31 + mails // PAGE)
            yield Measured(f"{of}: seconds to the first row", run.first, AT_MOST, 1, 2)
            yield Measured(f"{of}: CPU seconds", run.cpu, digits=2)
            yield Measured(f"{of}: MiB", run.mebibytes, AT_MOST, 96)


def find_id(_many: int) -> Iterator[Measured]:
    """An id with its day, the last of the day."""
    wanted = DayOfMails(FIRST_DAY, LARGE // 31)[LARGE // 31 - 1].rpartition("/")[2].partition("_")[0]
    with bench(mails=LARGE, days=31) as at:
        at.run("find", "--id", wanted, "--day", FIRST_DAY.isoformat())
        yield Measured("an id with its day: LISTs", at.server.end()["LIST"], AT_MOST, 33)


def audit_day(_many: int) -> Iterator[Measured]:
    """A day of 1,000,000."""
    with bench(mails=LARGE, days=1) as at:
        run = at.run("audit", "--day", FIRST_DAY.isoformat())
        report = at.server.end()
    yield Measured("audit of a day of 1,000,000: seconds", run.seconds, AT_MOST, 60, 1)
    yield Measured("audit of a day of 1,000,000: CPU seconds", run.cpu, digits=1)
    yield Measured("audit of a day of 1,000,000: MiB", run.mebibytes, AT_MOST, 256)
    yield Measured("audit of a day of 1,000,000: LISTs", report["LIST"], AT_MOST, 1100)
    yield Measured("audit of a day of 1,000,000, nothing suspicious: GETs", report.get("GET", 0), EXACTLY, 0)


def export_many(many: int) -> Iterator[Measured]:
    """Many mails of 4 KiB, killed in the middle and continued."""
    with bench(mails=many, days=1) as at:
        to, first = at.folder / "day.jsonl", at.folder / "first.jsonl"
        day = FIRST_DAY.isoformat()
        arguments = ("export", "--day", day, "--format", "jsonl", "--to", str(to), "--max-requests", "9999999")
        whole = at.run(*arguments)
        to.rename(first)
        (at.folder / "day.jsonl.manifest.jsonl").unlink()
        at.kill_when("GET", many + many // 2, *arguments)
        there = len((at.folder / "day.jsonl.manifest.jsonl.part").read_bytes().splitlines()) - 1
        before = at.report()["GET"]
        at.run(*arguments, "--resume")
        again = at.server.end()["GET"] - before - (many - there)
        is_same = to.read_bytes() == first.read_bytes()
    yield Measured(f"export of {many:,} mails: mails a second", many / whole.seconds, AT_LEAST, 3000)
    yield Measured(f"export of {many:,} mails: mails a second of CPU", many / whole.cpu, AT_LEAST, 3000)
    yield Measured(f"export of {many:,} mails: MiB", whole.mebibytes)
    yield Measured("export killed half-way: mails that were complete", there)
    yield Measured("export killed half-way: of those, read again by --resume", again, EXACTLY, 0)
    yield Measured("export killed half-way: files that differ from one in one go", not is_same, EXACTLY, 0)


def release_many(many: int) -> Iterator[Measured]:
    """Many quarantined mails, through 20 kills."""
    with bench(quarantined=many) as at:
        began = time.monotonic()
        for kill in range(1, KILLS + 1):
            at.kill_when("PUT", many * kill // (KILLS + 1), "quarantine", "release")
        last = at.run("quarantine", "release")
        seconds = time.monotonic() - began
        report = at.report()
        at.run("quarantine", "release")
        end = at.server.end()
    requests = sum(report[name] for name in METHODS)
    most = 4 + KILLS * 4 * OBJECTS_AT_ONCE / many  # what was under way at a kill is asked for again
    yield Measured(f"release of {many:,} mails through {KILLS} kills: objects", end["written"], EXACTLY, many)
    yield Measured("there twice", end["written"] - end["written_to"], EXACTLY, 0)
    yield Measured("lost", end["lost"], EXACTLY, 0)
    yield Measured("left in quarantine", many - end["deleted"], EXACTLY, 0)
    yield Measured("seconds in all", seconds)
    yield Measured("requests a mail, 4 of them needed", requests / many, AT_MOST, most, 2)
    yield Measured("LISTs of all restarts together", report["LIST"])
    yield Measured(
        "CPU ms a mail of the last run, its start included", last.cpu / (many / (KILLS + 1)) * 1000, digits=2
    )
    yield Measured(
        "one more run, when all is released: requests",
        sum(end[it] - report[it] for it in METHODS),
        AT_MOST,
        1,
    )


SUBJECTS: dict[str, Callable[[int], Iterator[Measured]]] = {
    it.__name__.replace("_", "-"): it for it in (find_month, find_id, audit_day, export_many, release_many)
}


def main() -> int:
    """Measure what is named, all if nothing is; the results of all together are written as JSON and Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.archive", description=__doc__)
    parser.add_argument(
        "--many", type=int, default=100_000, help="mails that are exported, or released; 10,000 at least"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUBJECTS))
    arguments = parser.parse_args()
    if arguments.many < KILLS * 5 * OBJECTS_AT_ONCE:
        parser.error("with fewer mails a release could end before it is killed")
    results: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "name": KIND,
        "machine": machine(),
        "versions": versions(),
        "results": [],
    }
    lines = []
    for name in arguments.names or SUBJECTS:
        print(f"{name}: {SUBJECTS[name].__doc__}", file=sys.stderr, flush=True)
        for measured in SUBJECTS[name](arguments.many):
            print("    " + "  ".join(filter(None, measured.line())), file=sys.stderr, flush=True)
            results["results"] += rows([measured])
            lines.append(measured.line())
    text = "\n\n".join(
        [
            f"# {results['date']} {KIND}",
            measured_on(results["machine"], results["versions"]),
            METHOD,
            markdown(HEAD, lines),
        ]
    )
    print(text)
    if not arguments.names:
        arguments.output.mkdir(parents=True, exist_ok=True)
        base = arguments.output / f"{results['date']}-{KIND}"
        base.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
        base.with_suffix(".md").write_text(f"{text}\n")
        print(f"Written: {base}.json and .md; `make docs` puts them into docs/performance.md.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
