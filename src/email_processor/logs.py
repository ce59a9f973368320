"""Logs: one JSON object a line on stderr, or a readable form on a terminal; to a file as well if asked for."""

import logging
import os
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

import orjson

log = logging.getLogger(__name__)

FILE_MAX_BYTES = 10 * 1024 * 1024
FILES_BEFORE = 2

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
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    handlers[0].setFormatter(_console(stream) if is_for_people else _Json())
    if file is not None:
        handler = _File(file, maxBytes=FILE_MAX_BYTES, backupCount=FILES_BEFORE, encoding="utf-8", delay=True)
        handler.setFormatter(_Json())
        handlers.append(handler)
    for each in handlers:
        root.addHandler(each)
    logging.captureWarnings(capture=True)


class _File(RotatingFileHandler):
    """A log file that may fail (a full disk, a lost volume) without taking anything else with it."""

    is_failing = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Say once that the file cannot be written; the same record is on stderr."""
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
    import structlog  # noqa: PLC0415 - only people pay for it: with rich behind it, it would be a tenth of a start

    # Not structlog's own choice of traceback, which prints the local variables: bodies and credentials among them.
    renderer = structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and not os.environ.get("NO_COLOR"),
        exception_formatter=structlog.dev.plain_traceback,
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
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
