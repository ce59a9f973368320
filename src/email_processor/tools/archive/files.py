"""Files that are whole or not there: written beside their place and moved into it."""

import os
from pathlib import Path

from email_processor.domain.errors import EmailProcessorError
from email_processor.tools.command import WrongUseError

PART = ".part"


class FileError(EmailProcessorError):
    """A file cannot be written."""


def file_error(path: Path | str, error: OSError) -> FileError:
    """What is said of a full disk and its like."""
    return FileError(f"{path} cannot be written: {error.strerror or error}.", fix="Make room, or write elsewhere.")


def refuse_existing(path: Path) -> None:
    """Write over nothing.

    Raises:
        WrongUseError: it is there already, or the folder that it should be in is not.
    """
    if path.exists() or path.is_symlink():
        raise WrongUseError(f"{path} is there already.", fix="Choose another name, or move it away.")
    if not path.absolute().parent.is_dir():
        raise WrongUseError(f"{path.parent} is no folder.", fix="Create it first.")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is not there yet; under its name it is whole.

    Raises:
        FileError: it cannot be written; nothing is left of it.
    """
    part = path.with_name(f"{path.name}{PART}")
    try:
        try:
            part.write_bytes(data)
            os.replace(part, path)  # noqa: PTH105 - as one step
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise file_error(path, error) from error
