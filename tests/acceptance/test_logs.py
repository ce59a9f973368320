"""Logs: one JSON object a line, silent about normal work, never a body."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.commands import COMMAND
from tests.support.emulators import free_port
from tests.support.environment import clean_environment, unmeasured
from tests.support.mail import CONFIDENTIAL, emails
from tests.support.service import QUICK
from tests.support.site import Site
from tests.support.waiting import eventually

HEAD = ["time", "level", "event"]


def test_every_line_is_json_with_time_level_and_event(one_site: Site) -> None:
    """In this order, the time in UTC; even at DEBUG no body and no secret is in any of them."""
    one_site.queue.send_all([*emails(5), f"not an email, but {CONFIDENTIAL}"])
    with one_site.service() as service:
        one_site.queue.wait_until_empty()
        assert 0 == service.stop()
    records = [json.loads(line) for line in service.lines]
    assert [list(record)[:3] for record in records] == [HEAD] * len(records)
    assert {record["level"] for record in records} <= {"debug", "info", "warning", "error"}
    ages = [datetime.now(UTC) - datetime.fromisoformat(record["time"]) for record in records]
    assert timedelta() < min(ages) <= max(ages) < timedelta(minutes=2)
    assert not [line for line in service.lines if CONFIDENTIAL in line]


def test_normal_work_is_silent_but_for_a_summary(one_site: Site) -> None:
    """At INFO there is the start, a summary of what was done now and then, and the stop, which says what was done."""
    one_site.queue.send_all(emails(5))
    with one_site.service(measured=True, LOG_LEVEL="INFO") as service:
        one_site.queue.wait_until_empty()
        assert 0 == service.stop()
    rest = [record["event"] for record in service.events if record["event"] != "summary"]
    assert ["started", "signal", "stopping", "stopped"] == rest
    assert 5 == service.events[-1]["archived"]


def test_a_log_file_gets_the_same_lines(one_site: Site) -> None:
    """With `LOG_FILE` every record is in the file as well."""
    with one_site.service(LOG_FILE="processor.log") as service:
        service.wait_until_ready()
        assert 0 == service.stop()
    lines = (one_site.directory / "processor.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == [record["event"] for record in service.events]


def test_the_console_form_is_for_people(one_site: Site) -> None:
    """It is no JSON, and says the same."""
    with one_site.service(LOG_FORMAT="console", HTTP_PORT="0") as service:
        service.wait_for_line("started")
        assert 0 == service.stop()
    assert [] == service.events
    assert any("stopped" in line and "left_in_flight" in line for line in service.lines)


@contextmanager
def running(site: Site, stderr: int | None, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The service with its log on a descriptor; None: on none at all."""
    environment = {**unmeasured(clean_environment()), **QUICK, **site.settings, **settings}
    command = [COMMAND, "run"]
    if stderr is None:
        command = [sys.executable, "-c", "import os, sys; os.close(2); os.execv(sys.argv[1], sys.argv[1:])", *command]
    with subprocess.Popen(command, env=environment, cwd=site.directory, stderr=stderr) as process:
        try:
            yield process
        finally:
            process.kill()


def is_alive(port: int) -> bool:
    """Whether `/healthz` is green."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def dropped_lines(port: int) -> float:
    """How many lines of the log were not written."""
    name = "email_processor_log_lines_dropped_total "
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_a_log_that_nobody_reads_holds_nothing_up(one_site: Site) -> None:
    """It goes on archiving and answering, and ends in time and cleanly."""
    port = free_port()
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, running(one_site, writing, HTTP_PORT=str(port)) as process:  # noqa: PTH123 - a descriptor
        os.close(writing)
        eventually(lambda: is_alive(port), "/healthz green")
        for _ in range(3):  # what is no email is a line each: the pipe is full before the last of them
            one_site.queue.send_all([*emails(20), *(f"no email, number {number}" for number in range(200))])
            one_site.queue.wait_until_empty(within=60)
            assert is_alive(port)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(20)
        assert len(pipe.read()) > 60_000  # as much as fits into it: it was full


def gone() -> int:
    """A pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("is_closed", [False, True], ids=["its reader is gone", "it is closed"])
@pytest.mark.parametrize(("settings", "code"), [({}, 0), ({"SQS_QUEUE_URL": "nonsense"}, 2)], ids=["clean", "settings"])
def test_a_log_that_goes_nowhere_changes_no_exit_code(
    one_site: Site, is_closed: bool, settings: Mapping[str, str], code: int
) -> None:
    """It archives, and its exit code says how it ended."""
    port = free_port()
    writing = None if is_closed else gone()
    with running(one_site, writing, **{"HTTP_PORT": str(port), **settings}) as process:
        if code == 0:
            one_site.queue.send_all(emails(5))
            one_site.queue.wait_until_empty()
            assert is_alive(port)
            assert (dropped_lines(port) > 0) is not is_closed
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == code
    if writing is not None:
        os.close(writing)
