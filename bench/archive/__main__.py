"""Measure the commands on the archive: `python -m bench.archive [--many N] [NAME ...]`, all if no name is given."""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.archive.bucket import FIRST_DAY, DayOfMails
from bench.processes import Cores, ServerProcess, isolated, reap, start

COMMAND = str(Path(sys.executable).parent / "email-processor")
LARGE = 1_000_000
KILLS = 20


@dataclass(frozen=True, slots=True)
class Run:
    """A command that has ended: what it took, and when its first line came."""

    code: int
    seconds: float
    first: float
    cpu: float
    mebibytes: float

    def __str__(self) -> str:
        return (
            f"exit {self.code}, {self.seconds:.1f} s, first line after {self.first:.2f} s, {self.cpu:.1f} s of CPU, "
            f"{self.mebibytes:.0f} MiB"
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """A server with a bucket, and a folder for the commands."""

    server: ServerProcess
    folder: Path
    variables: dict[str, str]
    core: int | None

    def begin(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command."""
        errors = (self.folder / "errors").open("wb")
        with errors:
            return start([COMMAND, *arguments], self.variables, subprocess.PIPE, errors, self.core)

    def run(self, *arguments: str) -> Run:
        """Run a command to its end."""
        began = time.monotonic()
        process = self.begin(*arguments)
        first = 0.0
        for _ in process.stdout or ():
            first = first or time.monotonic() - began
        code, usage = reap(process)
        seconds = time.monotonic() - began
        return Run(code, seconds, first, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def said(self) -> str:
        """The last line that it wrote to stderr."""
        return (self.folder / "errors").read_text().strip().rpartition("\n")[2]


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
            yield Bench(server, folder, {**isolated(folder), "AWS_ENDPOINT_URL": url}, cores.subject)
        finally:
            process.terminate()
            process.wait()


def find_month(_many: int) -> str:
    """Of 1,000,000 objects in 31 days, a month of the sender with the most, and of one with few."""
    lines = []
    for sender in ("s0000", "s4000"):
        with bench(mails=LARGE, days=31) as at:
            run = at.run("find", "--from", sender, "--since", "2026-10-01", "--until", "2026-10-31", "--output", "keys")
            lines.append(f"{sender}: {run}; {at.said()}; {at.server.end()['LIST']} LISTs")
    return "\n    ".join(lines)


def find_id(_many: int) -> str:
    """An id with its day, the last of the day."""
    wanted = DayOfMails(FIRST_DAY, LARGE // 31)[LARGE // 31 - 1].rpartition("/")[2].partition("_")[0]
    with bench(mails=LARGE, days=31) as at:
        run = at.run("find", "--id", wanted, "--day", FIRST_DAY.isoformat())
        return f"{run}; {at.said()}; {at.server.end()['LIST']} LISTs"


def audit_day(_many: int) -> str:
    """A day of 1,000,000."""
    with bench(mails=LARGE, days=1) as at:
        run = at.run("audit", "--day", FIRST_DAY.isoformat())
        return f"{run}; {at.said()}; {at.server.end()}"


def export_many(many: int) -> str:
    """Many mails of 4 KiB, killed in the middle and continued."""
    with bench(mails=many, days=1) as at:
        to = at.folder / "day.jsonl"
        arguments = (
            "export",
            "--day",
            FIRST_DAY.isoformat(),
            "--format",
            "jsonl",
            "--to",
            str(to),
            "--max-requests",
            "999999",
        )
        whole = at.run(*arguments)
        rate = many / whole.seconds
        said = at.said()
        to.rename(at.folder / "first.jsonl")
        (at.folder / "day.jsonl.manifest.jsonl").unlink()
        process = at.begin(*arguments)
        time.sleep(whole.seconds / 2)
        os.kill(process.pid, signal.SIGKILL)
        reap(process)
        there = len((at.folder / "day.jsonl.manifest.jsonl.part").read_bytes().splitlines()) - 1
        resumed = at.run(*arguments, "--resume")
        is_same = to.read_bytes() == (at.folder / "first.jsonl").read_bytes()
        return (
            f"{whole}, {rate:,.0f} a second, {many / whole.cpu:,.0f} a CPU second; {said}\n"
            f"    killed with {there:,} complete; "
            f"{resumed}; {at.said()}; the same bytes: {is_same}"
        )


def release_many(many: int) -> str:
    """Many quarantined mails, through 20 kills."""
    chance = random.Random(7)  # noqa: S311 - when to kill
    with bench(quarantined=many) as at:
        began = time.monotonic()
        for _ in range(KILLS):
            process = at.begin("quarantine", "release")
            time.sleep(chance.uniform(1.5, 5))
            os.kill(process.pid, signal.SIGKILL)
            reap(process)
        last = at.run("quarantine", "release")
        again = at.run("quarantine", "release")
        report: dict[str, Any] = at.server.end()
        return f"{time.monotonic() - began:.0f} s in all, the last run {last}, one more {again}; {report}"


SUBJECTS: dict[str, Callable[[int], str]] = {
    it.__name__.replace("_", "-"): it for it in (find_month, find_id, audit_day, export_many, release_many)
}


def main() -> int:
    """Measure what is named."""
    parser = argparse.ArgumentParser(prog="python -m bench.archive", description=__doc__)
    parser.add_argument("--many", type=int, default=100_000, help="mails that are exported, or released")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUBJECTS))
    arguments = parser.parse_args()
    for name in arguments.names or SUBJECTS:
        print(f"{name}: {SUBJECTS[name].__doc__}\n    {SUBJECTS[name](arguments.many)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
