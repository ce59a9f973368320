"""Everything that the suite's processes print, log and answer is listened to, for what must never be told.

The credentials and the bodies that tests use hold canaries. While `listening`, each of these is searched for them: what
a child process writes into a pipe, what the command prints in this process, and every log record with its fields and
its stack trace. Answers of the HTTP port are handed over by `tests.support.service`, and what pytest captures by the
conftest.
"""

import io
import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from unittest import mock

from click.testing import CliRunner, Result

from email_processor.tools.send.samples.corpus import ENGLISH
from tests.support.emulators import SECRET_KEY, SESSION_TOKEN
from tests.support.mail import CONFIDENTIAL

CANARIES = {
    "a body": CONFIDENTIAL,
    "a sample's body": ENGLISH.sentences[0],
    "the secret key": SECRET_KEY,
    "the session token": SESSION_TOKEN,
}
_BYTES = {name: canary.encode() for name, canary in CANARIES.items()}
_OVERLAP = max(map(len, _BYTES.values())) - 1

_told: list[str] = []


def hear(where: str, said: str | bytes) -> None:
    """Note which canaries are in what was said, without repeating them."""
    data = said if isinstance(said, bytes) else said.encode(errors="replace")
    for name, canary in _BYTES.items():
        if canary in data and (note := f"{name} in {where}") not in _told:
            _told.append(note)


def take() -> list[str]:
    """What has been told since the last time, and where."""
    told = _told[:]
    _told.clear()
    return told


def check() -> None:
    """Fail if anything has been told since the last time."""
    told = take()
    assert [] == told, f"told: {', '.join(told)}"


@contextmanager
def listening() -> Iterator[None]:
    """Listen to all children, all commands and all loggers of this process."""
    with (
        mock.patch.object(subprocess, "Popen", _Popen),
        mock.patch.object(logging.Logger, "handle", _handle),
        mock.patch.object(CliRunner, "invoke", _invoke),
    ):
        yield


class _Popen(subprocess.Popen[Any]):
    """A child whose pipes lead through our ears."""

    def __init__(self, args: Any, *more: Any, **options: Any) -> None:  # noqa: ANN401 - those of Popen
        super().__init__(args, *more, **options)
        name = os.fsdecode(args if isinstance(args, str | bytes | os.PathLike) else next(iter(args)))
        for stream in ("stdout", "stderr"):
            if (pipe := getattr(self, stream)) is not None:
                setattr(self, stream, _tapped(pipe, f"{stream} of {os.path.basename(name)}"))  # noqa: PTH119 - of a str


def _tapped(pipe: IO[Any], where: str) -> IO[Any]:
    """A pipe like this one, with the same in it."""
    source = os.dup(pipe.fileno())
    ours, theirs = os.pipe()
    threading.Thread(target=_pump, args=(source, theirs, where), daemon=True).start()
    pipe.close()
    if isinstance(pipe, io.TextIOWrapper):
        return open(ours, encoding=pipe.encoding, errors=pipe.errors)  # noqa: PTH123 - a descriptor; its reader's
    return open(ours, "rb", buffering=0 if isinstance(pipe, io.FileIO) else -1)  # noqa: PTH123 - as above


def _pump(source: int, sink: int, where: str) -> None:
    """Pass everything on, each chunk after it was heard; what is cut in two as well."""
    try:
        before = b""
        while chunk := os.read(source, 65536):
            hear(where, before + chunk)
            before = (before + chunk)[-_OVERLAP:]
            os.write(sink, chunk)
    except BrokenPipeError:
        return  # nobody reads it any more, and the child hears of that
    finally:
        os.close(source)
        os.close(sink)


_original_handle = logging.Logger.handle
_original_invoke = CliRunner.invoke


def _handle(self: logging.Logger, record: logging.LogRecord) -> None:
    said = f"{vars(record)!r} {record.getMessage()}"
    if record.exc_info:
        said += logging.Formatter().formatException(record.exc_info)
    hear(f"the log of {record.name}", said)
    _original_handle(self, record)


def _invoke(self: CliRunner, *arguments: Any, **options: Any) -> Result:  # noqa: ANN401 - those of CliRunner
    result = _original_invoke(self, *arguments, **options)
    hear("what the command printed", result.output)
    return result
