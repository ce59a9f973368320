"""The dashboard's generator: a change of one panel is a small change of the file."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import replace

from scripts.dashboard import ROW_SLOT, ROWS, Panel, Row, dashboard, drawn, metric, panels

NEW = Panel("Size of an email", "Bytes of an email, by pod.", "bytes", {"": metric("email_bytes")})


def lines(rows: Sequence[Row]) -> list[str]:
    """The lines of the file."""
    return json.dumps(dashboard(rows), indent=2).splitlines()


def with_panel(row: int, at: int) -> list[Row]:
    """The rows with a new panel in one of them."""
    found = list(ROWS)
    found[row] = replace(found[row], panels=[*found[row].panels[:at], NEW, *found[row].panels[at:]])
    return found


def changes(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """What a diff shows, with its marks."""
    return [line for line in difflib.ndiff(before, after) if line[0] in "+-"]


def test_a_panel_at_the_end_of_a_row_adds_only_its_own_lines() -> None:
    """No other panel gets another id or another place."""
    for number, row in enumerate(ROWS):
        if row.kind == "stat":
            continue  # they share one line, so that one more makes the others narrower
        found = changes(lines(ROWS), lines(with_panel(number, len(row.panels))))
        own = json.dumps(drawn(NEW, row, {"x": 0, "y": 0, "w": 0, "h": 0}), indent=2).splitlines()
        assert {"+"} == {line[0] for line in found}
        assert len(own) == len(found)


def test_a_panel_in_between_moves_only_what_comes_after_it_in_its_row() -> None:
    """It moves their places, and not their ids."""
    before = {panel["id"]: panel for panel in panels(ROWS)}
    after = {panel["id"]: panel for panel in panels(with_panel(1, 2))}
    moved = [number for number in before if before[number] != after[number]]
    titles = [panel.title for panel in ROWS[1].panels[2:]]
    assert titles == [before[number]["title"] for number in moved]
    for number in moved:
        assert before[number] | {"gridPos": None} == after[number] | {"gridPos": None}


def test_every_row_fits_into_its_slot() -> None:
    """A row that was higher would overlap with the next one."""
    bottom: dict[int, int] = {}
    for panel in panels(ROWS):
        row = panel["gridPos"]["y"] // ROW_SLOT
        bottom[row] = max(bottom.get(row, 0), panel["gridPos"]["y"] + panel["gridPos"]["h"])
    assert list(range(len(ROWS))) == list(bottom)
    assert all(y <= (row + 1) * ROW_SLOT for row, y in bottom.items())
