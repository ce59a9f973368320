"""Who took mails out of the archive, or anything away from it: when, what and why, as a log line and as an object."""

import getpass
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from email_processor.domain.errors import EmailProcessorError
from email_processor.tools.archive.json_text import json_bytes
from email_processor.tools.archive.reader import Reader

PREFIX = "access-records"


class UnrecordedError(EmailProcessorError):
    """The access record is not stored as it was written."""


class Because(NamedTuple):
    """Why something is done, and whether the access record of it is stored as an object."""

    text: str
    is_stored: bool


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """What is about to be done: `command` with `what`, and why. `objects` are those that it is about, if few."""

    command: str
    what: str
    because: Because
    objects: Sequence[Mapping[str, Any]] = ()

    def line(self, now: datetime) -> dict[str, Any]:
        """As it is logged."""
        return {
            "event": "archive_accessed",
            "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "who": _who(),
            "command": self.command,
            "what": self.what,
            "why": self.because.text,
        }


async def note(reader: Reader, record: AccessRecord) -> None:
    """Log the record and, if it is to be stored, write it as an object and read it back.

    Raises:
        UnrecordedError: what is there is not what was written.
    """
    now = datetime.now(UTC)
    line = record.line(now)
    click.echo(json_bytes(line), err=True, nl=False)
    if record.because.is_stored:
        key = f"{PREFIX}/{now:%Y/%m/%d/%H%M%S}-{secrets.token_hex(8)}.json"
        document = json_bytes({**line, "objects": list(record.objects)}, end="")
        await reader.put(key, document)
        if await reader.get(key) != document:
            raise UnrecordedError(f"{key} is not what was written.", fix="See who else may write there.")


def _who() -> str:
    """The user and the host: what AWS knows of the caller is in its own logs."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
