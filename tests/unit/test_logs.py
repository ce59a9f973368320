"""Logs: one line a record, whatever is in it, wherever it goes."""

import io
import json
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from email_processor import logs
from email_processor.domain.errors import Cause
from tests.support.logging_state import restored_logging
from tests.support.waiting import eventually

log = logging.getLogger("email_processor.example")
ESCAPE = "\x1b"


class Terminal(io.StringIO):
    """A stream that people read."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """No test's set-up reaches another test."""
    with restored_logging():
        yield


def set_up(stream: io.StringIO, *, level: str = "DEBUG", style: str = "json", file: Path | None = None) -> None:
    """Log everything to `stream`, as JSON unless told otherwise."""
    logs.set_up(level=level, style=style, file=file, stream=stream)


@pytest.fixture
def stream() -> io.StringIO:
    """Where everything is logged to, as JSON."""
    made = io.StringIO()
    set_up(made)
    return made


def records(text: str) -> list[dict[str, Any]]:
    """What stands in a JSON log."""
    return [json.loads(line) for line in text.splitlines()]


def events(text: str) -> list[str]:
    """The events of a JSON log."""
    return [record["event"] for record in records(text)]


def test_a_record_is_one_json_object_with_time_level_and_event_first(stream: io.StringIO) -> None:
    """Then its fields, and whose it is; on one line, whatever is in it."""
    before = datetime.now(UTC)
    log.warning("quarantined", extra={"message_id": "m", "zone": 1, "a": "line\nline"})
    (record,) = records(stream.getvalue())
    assert ["time", "level", "event"] == list(record)[:3]
    assert before <= datetime.fromisoformat(record.pop("time")) <= datetime.now(UTC)
    assert {
        "level": "warning",
        "event": "quarantined",
        "logger": "email_processor.example",
        "message_id": "m",
        "zone": 1,
        "a": "line\nline",
    } == record
    assert 1 == stream.getvalue().count("\n")


def test_arguments_are_put_into_the_event(stream: io.StringIO) -> None:
    """Libraries log in the old way."""
    logging.getLogger("some.library").info("%s of %d", "one", 2)
    assert ["one of 2"] == events(stream.getvalue())


@pytest.mark.parametrize(
    ("level", "expected"),
    [("DEBUG", ["d", "i", "w", "e"]), ("INFO", ["i", "w", "e"]), ("WARNING", ["w", "e"]), ("ERROR", ["e"])],
)
def test_less_severe_records_are_not_logged(level: str, expected: list[str]) -> None:
    """From the level up."""
    stream = io.StringIO()
    set_up(stream, level=level)
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")
    assert expected == events(stream.getvalue())


@pytest.mark.parametrize("name", logs.QUIET)
@pytest.mark.parametrize("level", ["DEBUG", "ERROR"])
def test_libraries_that_log_bodies_are_quiet_at_any_level(name: str, level: str) -> None:
    """At DEBUG they write requests with bodies, tokens and signatures; their warnings are heard."""
    stream = io.StringIO()
    set_up(stream, level=level)
    library = logging.getLogger(f"{name}.part")
    library.debug("secret")
    library.info("secret")
    library.warning("warning")
    library.error("error")
    assert (["warning", "error"] if level == "DEBUG" else ["error"]) == events(stream.getvalue())


@pytest.mark.parametrize("name", logs.QUIETER)
def test_credentials_that_fail_to_refresh_are_not_told_at_every_try(stream: io.StringIO, name: str) -> None:
    """What they have to say arrives as an error of ours, once."""
    logging.getLogger(name).warning("refresh failed")
    logging.getLogger(name).error("error")
    assert ["error"] == events(stream.getvalue())


def test_an_exception_is_a_field_of_one_line(stream: io.StringIO) -> None:
    """With its stack trace, and its cause."""
    log.error("crashed", exc_info=failure())
    (record,) = records(stream.getvalue())
    assert record["exception"].startswith("Traceback (most recent call last):\n")
    assert record["exception"].endswith("ZeroDivisionError: division by zero")


def failure() -> ZeroDivisionError:
    """An error that was raised with a secret near."""
    body = "a secret " + "body"
    try:
        return ZeroDivisionError(f"{1 / (len(body) - len(body))}")
    except ZeroDivisionError as error:
        return error


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("stream_type", [io.StringIO, Terminal])
def test_a_stack_trace_shows_no_variables(style: str, stream_type: type[io.StringIO]) -> None:
    """What stands in variables when something crashes are bodies and credentials."""
    stream = stream_type()
    set_up(stream, style=style)
    log.error("crashed", exc_info=failure())
    assert "ZeroDivisionError" in stream.getvalue()
    assert "secret body" not in stream.getvalue()


class Unwritable:
    """Something that JSON has no form for."""

    def __str__(self) -> str:
        return "unwritable"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (b"\xff", "b'\\xff'"),
        (Unwritable(), "unwritable"),
        (Path("/a/b"), "/a/b"),
        (ValueError("wrong"), "wrong"),
        (Cause.DENIED, "denied"),
        (datetime(2024, 12, 10, tzinfo=UTC), "2024-12-10T00:00:00+00:00"),
        ({"a": [1, None]}, {"a": [1, None]}),
        ("café \u202e", "café \u202e"),
        (f"{ESCAPE}[31m", f"{ESCAPE}[31m"),
        # what is beyond orjson is shown in Python's way
        (2**64, "18446744073709551616"),
        ("\ud800", "'\\ud800'"),
        ({1: 2}, "{1: 2}"),
        (["\udfff"], "['\\udfff']"),
    ],
)
def test_no_value_can_spoil_a_line(stream: io.StringIO, value: object, written: object) -> None:
    """A record with an odd value in it is logged all the same, and is JSON."""
    log.info("odd", extra={"value": value, "text": "kept"})
    (record,) = records(stream.getvalue())
    assert (written, "odd", "info", "kept") == (record["value"], record["event"], record["level"], record["text"])


@pytest.mark.parametrize(
    ("style", "stream_type", "is_json"),
    [
        ("json", io.StringIO, True),
        ("json", Terminal, True),
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("console", io.StringIO, False),
        ("console", Terminal, False),
    ],
)
def test_people_get_text_and_machines_json(style: str, stream_type: type[io.StringIO], is_json: bool) -> None:
    """`auto` looks where it writes to."""
    stream = stream_type()
    set_up(stream, style=style)
    log.info("started", extra={"port": 8080})
    assert "started" in stream.getvalue()
    assert is_json is stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    ("stream_type", "no_color", "has_colours"), [(Terminal, "", True), (Terminal, "1", False), (io.StringIO, "", False)]
)
def test_colours_are_for_terminals(
    stream_type: type[io.StringIO], no_color: str, has_colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only for those who want them: https://no-color.org."""
    monkeypatch.setenv("NO_COLOR", no_color)
    stream = stream_type()
    set_up(stream, style="console")
    log.info("started")
    assert has_colours is (ESCAPE in stream.getvalue())


def test_no_value_can_write_to_the_terminal() -> None:
    """Control characters that a sender put into a message do not reach the terminal of whoever reads the log."""
    stream = io.StringIO()
    set_up(stream, style="console")
    log.warning("payload_unreadable", extra={"payload": f"s3://bucket/{ESCAPE}[2J\nINFO forged"})
    assert ESCAPE not in stream.getvalue()
    assert 1 == stream.getvalue().count("\n")


def test_warnings_of_python_are_logged(stream: io.StringIO) -> None:
    """Deprecations and unclosed resources are for the log, not for stderr as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", stacklevel=1)
    (record,) = records(stream.getvalue())
    assert ("warning", "py.warnings") == (record["level"], record["logger"])
    assert "UserWarning: old ways" in record["event"]


def test_a_file_gets_json_beside_the_stream(tmp_path: Path) -> None:
    """What people read on the terminal, machines read in the file; it is appended to."""
    file = tmp_path / "processor.log"
    file.write_text('{"event":"before"}\n')
    stream = io.StringIO()
    set_up(stream, style="console", file=file)
    log.info("started")
    assert ["before", "started"] == events(file.read_text())
    assert not stream.getvalue().startswith("{")


def test_no_file_is_made_before_there_is_something_to_say(tmp_path: Path) -> None:
    """`check` and other commands leave nothing behind."""
    set_up(io.StringIO(), file=tmp_path / "processor.log")
    assert [] == list(tmp_path.iterdir())


def test_three_files_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log never fills a disk: the file is begun anew at its limit, and the two before it are kept."""
    monkeypatch.setattr(logs, "FILE_MAX_BYTES", 300)
    file = tmp_path / "processor.log"
    set_up(io.StringIO(), file=file)
    for number in range(20):
        log.info("event", extra={"number": number})
    assert ["processor.log", "processor.log.1", "processor.log.2"] == sorted(path.name for path in tmp_path.iterdir())
    assert 19 == records(file.read_text())[-1]["number"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 300


def test_a_full_disk_is_said_once_and_takes_nothing_with_it() -> None:
    """The stream goes on; the file is given up on, with one line that says so."""
    stream = io.StringIO()
    set_up(stream, file=Path("/dev/full"))
    for number in range(3):
        log.info("event", extra={"number": number})
    assert ["event", "log_file_failing", "event", "event"] == events(stream.getvalue())
    failing = records(stream.getvalue())[1]
    assert ("error", "/dev/full") == (failing["level"], failing["file"])
    assert "No space left on device" in failing["error"]


def test_a_file_that_can_be_written_again_is_written_again(tmp_path: Path) -> None:
    """A volume that comes back gets what is logged from then on."""
    file = tmp_path / "volume" / "processor.log"
    stream = io.StringIO()
    set_up(stream, file=file)
    log.info("lost")
    file.parent.mkdir()
    log.info("kept")
    assert ["lost", "log_file_failing", "kept"] == events(stream.getvalue())
    assert ["kept"] == events(file.read_text())


class Unread(io.StringIO):
    """A pipe: whoever writes waits until somebody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = threading.Event()

    def write(self, text: str) -> int:
        """Write, when it is read."""
        self.is_read.wait(30)
        return super().write(text)


@pytest.fixture
def pipe() -> Iterator[Unread]:
    """One that is read at the end, so that no thread waits for ever."""
    stream = Unread()
    yield stream
    stream.is_read.set()
    logs.finish()


def test_nobody_waits_for_who_does_not_read_the_log(pipe: Unread, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is no room for is dropped and counted, and a line in its place says how much when it is read again."""
    monkeypatch.setattr(logs, "WAITING_MAX", 2000)
    monkeypatch.setattr(logs, "LAST_SECONDS", 0.01)
    set_up(pipe)
    logs.write_aside()
    for number in range(100):
        log.info("event", extra={"number": number})
    kept = 100 - logs.dropped()
    assert 5 < kept < 50
    logs.finish()
    assert "" == pipe.getvalue()
    monkeypatch.setattr(logs, "LAST_SECONDS", 10.0)
    pipe.is_read.set()
    logs.finish()
    log.info("after")
    logs.finish()
    lines = records(pipe.getvalue())
    assert [line["event"] for line in lines] == ["event"] * kept + ["log_lines_dropped", "after"]
    assert 100 - kept == lines[kept]["lines"] == logs.dropped()


def test_a_log_file_is_written_though_nobody_reads_the_stream(pipe: Unread, tmp_path: Path) -> None:
    """Each has a thread of its own."""
    file = tmp_path / "processor.log"
    set_up(pipe, file=file)
    logs.write_aside()
    log.info("event")
    eventually(lambda: file.exists() and events(file.read_text()) == ["event"], "the line in the file")
    assert "" == pipe.getvalue()


def test_a_reader_that_is_gone_is_counted() -> None:
    """Its lines are lost, and nothing else is."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        logs.set_up(level="INFO", style="json", file=None, stream=stream)
        logs.write_aside()
        for _ in range(3):
            log.info("event")
        logs.finish()
        assert 3 == logs.dropped()
        with suppress(BrokenPipeError):  # what it has kept
            stream.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_lines_that_a_full_disk_does_not_take_are_counted() -> None:
    """The one that says so is one of them."""
    set_up(io.StringIO(), file=Path("/dev/full"))
    logs.write_aside()
    for _ in range(3):
        log.info("event")
    eventually(lambda: logs.dropped() == 4, "every line counted")


def test_a_mistake_in_a_line_is_a_line(pipe: Unread) -> None:
    """Whoever logs goes on."""
    pipe.is_read.set()
    set_up(pipe)
    logs.write_aside()
    (handler,) = logging.getLogger().handlers
    handler.handle(logging.makeLogRecord({"msg": "%d emails", "args": ("no number",)}))
    logs.finish()
    (record,) = records(pipe.getvalue())
    assert ("log_line_broken", "%d emails") == (record["event"], record["what"])


def test_a_stack_trace_cannot_write_to_the_terminal() -> None:
    """An error's text can come from outside: nothing in it reaches the terminal, or looks like a record."""
    stream = Terminal()
    set_up(stream, style="console")
    log.error("crashed", exc_info=ValueError(f"{ESCAPE}[2J\r\u202e\n2026-01-01 [info] forged"))
    text = re.sub(rf"{ESCAPE}\[\d*m", "", stream.getvalue())  # colours of ours
    assert ESCAPE not in text
    assert "\\x1b[2J\\r\\u202e" in text
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


def test_an_event_cannot_write_to_the_terminal() -> None:
    """A library's warning may quote what came from outside."""
    stream = io.StringIO()
    set_up(stream, style="console")
    logging.getLogger("some.library").warning("odd header: %s", f"{ESCAPE}[2J\nforged")
    assert ESCAPE not in stream.getvalue()
    assert 1 == stream.getvalue().count("\n")
