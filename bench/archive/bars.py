"""What the commands on the archive are measured by, and how far they are."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.report import RESULTS

AT_MOST, AT_LEAST, EXACTLY = "at most", "at least", "exactly"
KIND = "archive"  # in the names of the results' files


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of a run and, if there is a bar for it, on which side of which `bound` it should be."""

    what: str
    found: float
    kind: str = ""
    bound: float = 0.0
    digits: int = 0

    @property
    def verdict(self) -> str:
        """Whether the bar is met; empty if there is none."""
        if not self.kind:
            return ""
        is_met = {AT_MOST: self.found <= self.bound, AT_LEAST: self.found >= self.bound}
        return "met" if is_met.get(self.kind, self.found == self.bound) else "**missed**"

    def line(self) -> tuple[str, str, str, str]:
        """As a line of a table: what, the bar, what was found, and whether it is met."""
        bar = f"{self.kind} {self.bound:,.{self.digits}f}" if self.kind else ""
        return self.what, bar, f"{self.found:,.{self.digits}f}", self.verdict


def rows(measured: Iterable[Measured]) -> list[dict[str, Any]]:
    """As they are kept in a file."""
    return [asdict(each) for each in measured]


def lines(results: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """The lines of the table of a run that was kept."""
    return (Measured(**row).line() for row in results["results"])


def kept() -> dict[str, Any]:
    """The newest run whose results are kept; one without results if none is."""
    newest = max(RESULTS.glob(f"*-{KIND}.json"), default=None)
    results: dict[str, Any] = {"results": []} if newest is None else json.loads(newest.read_text())
    return results
