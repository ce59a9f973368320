"""Logs: one JSON object a line on stderr, or a readable form on a terminal; to a file as well if asked for."""

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

log = logging.getLogger(__name__)

FILE_MAX_BYTES = 10 * 1024 * 1024
FILES_BEFORE = 2

# At DEBUG these write bodies, tokens or signed headers; what they have to say arrives as an error of ours anyway.
QUIET = ("aioboto3", "aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "urllib3")


def set_up(*, level: str, style: str, file: Path | None, stream: TextIO = sys.stderr) -> None:
    """Send the whole process's logs to `stream` and `file`. `style` is `json`, `console`, or `auto` for either."""
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    console = style == "console" or (style == "auto" and stream.isatty())
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    handlers[0].setFormatter(_formatter(console=console))
    if file is not None:
        handler = _File(file, maxBytes=FILE_MAX_BYTES, backupCount=FILES_BEFORE, encoding="utf-8", delay=True)
        handler.setFormatter(_formatter(console=False))
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


def _formatter(*, console: bool) -> logging.Formatter:
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    if console:
        final: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(colors=True)]
    else:
        final = [structlog.processors.format_exc_info, _in_order, structlog.processors.JSONRenderer(_dumps)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
    )


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    head = {key: event.pop(key) for key in ("time", "level", "event") if key in event}
    return {**head, **event}


def _dumps(value: object, **_options: Any) -> str:  # noqa: ANN401 - structlog hands over options of the json module
    return orjson.dumps(value, default=str).decode()
