"""Logging as it was: `logs.set_up` changes the whole process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from email_processor.logs import QUIET, QUIETER


@contextmanager
def restored_logging() -> Iterator[None]:
    """Take back what is changed inside: handlers, levels, captured warnings."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in (*QUIET, *QUIETER)}
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for handler in root.handlers:
            if handler not in handlers:
                with suppress(OSError):  # its disk is full
                    handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
