"""Logs: one JSON object a line on stderr, or a readable form on a terminal; to a file as well if asked for.

Nobody who logs waits for who reads: a pipe that is full, or a disk that hangs, holds up a thread of the log's own.
"""

import io
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import MutableMapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO, cast

import orjson

log = logging.getLogger(__name__)

FILE_MAX_BYTES = 10 * 1024 * 1024
FILES_BEFORE = 2
WAITING_MAX = 1024 * 1024  # characters of lines that wait to be written; what comes when there are more is dropped
LAST_SECONDS = 1.0  # that the end of the process waits for the last lines to be written

# At DEBUG these write bodies, tokens or signed headers; what they have to say arrives as an error of ours anyway.
QUIET = ("aioboto3", "aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "urllib3")
# These write a stack trace at every refresh that fails, again and again while a role is refused.
QUIETER = ("aiobotocore.credentials", "aiobotocore.tokens", "botocore.credentials", "botocore.tokens")


def set_up(*, level: str, style: str, file: Path | None, stream: TextIO | None = None) -> None:
    """Send the whole process's logs to `stream`, by default stderr, and to `file`.

    `style` is `json`, `console`, or `auto`: console on a terminal, else json. The file is always json.
    """
    stream = stream or sys.stderr
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in QUIETER:
        logging.getLogger(name).setLevel(logging.ERROR)
    is_for_people = style == "console" or (style == "auto" and stream.isatty())
    handlers: list[logging.Handler] = [_Stream(stream)]
    handlers[0].setFormatter(_console(stream) if is_for_people else _Json())
    if file is not None:
        handler = _File(file, maxBytes=FILE_MAX_BYTES, backupCount=FILES_BEFORE, encoding="utf-8", delay=True)
        handler.setFormatter(_Json())
        handlers.append(handler)
    for each in handlers:
        root.addHandler(each)
    logging.captureWarnings(capture=True)


def write_aside() -> None:
    """From now on, each place that logs are sent to is written by a thread of its own."""
    root = logging.getLogger()
    root.handlers[:] = map(_Aside, cast("list[_Stream | _File]", root.handlers))  # of `set_up`


def dropped() -> int:
    """How many lines were not written, since the start; one that two places did not get counts twice."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, _Aside))


def finish() -> None:
    """Give the last lines a moment to be written."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class _Aside(logging.Handler):
    """Hands finished lines to a thread, which hands them to another handler."""

    def __init__(self, inner: "_Stream | _File") -> None:
        super().__init__()
        self.setFormatter(inner.formatter)
        inner.setFormatter(None)
        self._inner = inner
        self._lines: deque[str] = deque()
        self._size = 0
        self._is_writing = False
        self._news = threading.Condition()
        self._too_many = 0  # were dropped because nobody read
        self._unsaid = 0  # of them
        threading.Thread(target=self._write, name="log", daemon=True).start()

    @property
    def dropped(self) -> int:
        """How many lines were not written."""
        return self._too_many + self._inner.failures

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line until the thread has written those before it, if there is room."""
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - whoever logs goes on, whatever is wrong with what they log
            line = self._line("log_line_broken", what=str(record.msg), error=repr(error))
        with self._news:
            if self._size + len(line) > WAITING_MAX:
                self._too_many += 1
                self._unsaid += 1
                return
            self._say_dropped()
            self._keep(line)

    def flush(self) -> None:
        """Wait until all is written, but not for long."""
        with self._news:
            self._say_dropped()
            self._news.wait_for(lambda: not self._lines and not self._is_writing, LAST_SECONDS)

    def _say_dropped(self) -> None:
        """Put a line in the place of those that were dropped."""
        if self._unsaid:
            self._keep(self._line("log_lines_dropped", lines=self._unsaid))
            self._unsaid = 0

    def _line(self, event: str, **fields: object) -> str:
        return self.format(log.makeRecord(log.name, logging.WARNING, "", 0, event, (), None, extra=fields))

    def _keep(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        self._news.notify_all()

    def _write(self) -> None:
        while True:
            with self._news:
                self._is_writing = False
                self._news.notify_all()
                self._news.wait_for(lambda: self._lines)
                line = self._lines.popleft()
                self._is_writing = True
            self._inner.emit(logging.makeLogRecord({"msg": line}))
            with self._news:
                self._size -= len(line)


class _Stream(logging.StreamHandler[TextIO]):
    """Where the log is read, which may end before the process does."""

    failures = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the name is logging's
        """Count the line: who would read of it is gone."""
        self.failures += 1


class _File(RotatingFileHandler):
    """A log file that may fail (a full disk, a lost volume) without taking anything else with it."""

    failures = 0
    is_failing = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Count the line, and say once that the file cannot be written; the same record is on stderr."""
        self.failures += 1
        if self.is_failing or record.name == __name__:
            return
        self.is_failing = True
        log.error("log_file_failing", extra={"file": self.baseFilename, "error": str(sys.exc_info()[1])})


# What every record has of its own; the rest are the fields of whoever logs.
_STANDARD = frozenset({*vars(logging.makeLogRecord({})), "asctime", "message", "taskName"})


class _Json(logging.Formatter):
    """One JSON object a line, whatever is in the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level and event first."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1]:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        try:
            return orjson.dumps(fields, default=str).decode()
        except TypeError:  # a lone surrogate, a huge number: better shown in Python's way than lost
            return orjson.dumps({name: _plain(value) for name, value in fields.items()}).decode()


def _plain(value: object) -> str:
    return value if isinstance(value, str) and value.isascii() else ascii(value)


def _console(stream: TextIO) -> logging.Formatter:
    import structlog  # noqa: PLC0415 - only people pay for it: with rich behind it, it takes long to load

    # Not structlog's own choice of traceback, which prints the local variables: bodies and credentials among them.
    renderer = structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and not os.environ.get("NO_COLOR"),
        exception_formatter=_escaped_traceback,
        repr_native_str=True,  # escapes control characters
        timestamp_key="time",
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _escape_event, renderer],
    )


def _escaped_traceback(stream: TextIO, exc_info: Any) -> None:  # noqa: ANN401 - structlog's
    """The traceback, each line of it set in: an error's text can come from outside, and must not look like a record."""
    from structlog.dev import plain_traceback  # noqa: PLC0415 - as in `_console`

    text = io.StringIO()
    plain_traceback(text, exc_info)
    stream.write("\n".join(f"  {_escaped(line)}" for line in text.getvalue().split("\n")))


def _escape_event(_logger: object, _name: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What a library says of what came from outside."""
    fields["event"] = _escaped(str(fields["event"]))
    return fields


def _escaped(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
