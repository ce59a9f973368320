"""The installed command on the bucket of an emulator, in this process."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from botocore.loaders import create_loader
from click.testing import CliRunner, Result

from email_processor import cli
from tests.support.emulators import Emulator
from tests.support.logging_state import restored_logging
from tests.support.site import Site

LOADER = create_loader()


@dataclass(frozen=True)
class Place:
    """A queue and a bucket, and the commands that use them."""

    site: Site

    def run(self, *arguments: str) -> Result:
        """Run a command to its end."""
        result = CliRunner().invoke(cli.main, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    def add(self, objects: dict[str, bytes]) -> None:
        """Put objects into the bucket."""
        for key, document in objects.items():
            self.site.bucket.write(key, document)


@pytest.fixture
def place(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A new queue and a new bucket on each of the emulators; what ends the process is an exit code."""

    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    site = Site.at(emulator, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr("botocore.session.create_loader", lambda *_: LOADER)
    for name, value in site.settings.items():
        monkeypatch.setenv(name, value)
    with restored_logging():
        yield Place(site)
    logging.disable(logging.NOTSET)
