"""What a run has seen, for docs/cluster.md."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Figures:
    """What was seen, row by row."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.rows: dict[str, str] = {}

    def add(self, what: str, found: object) -> None:
        """Note a figure."""
        self.rows[what] = str(found)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note how long it took."""
        begun = time.monotonic()
        yield
        self.add(what, f"{time.monotonic() - begun:.0f} s")
