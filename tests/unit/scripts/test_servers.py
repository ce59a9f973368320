"""The table of independent servers."""

import pytest

from scripts.servers import BEGIN, END, SITUATIONS, compared, page


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(["a", "b"], "each once"), (["a"], "**1 lost, 0 twice**, of 2"), (["a", "b", "b"], "**0 lost, 1 twice**, of 2")],
)
def test_what_is_stored_is_compared_with_what_was_sent(stored: list[str], expected: str) -> None:
    """Nothing that is missing, and nothing that is there twice, passes for well."""
    assert expected == compared(stored, ["a", "b"])


def test_only_the_table_is_written_anew() -> None:
    """It has a row for each situation and a column for each pair, and what stands around it stays."""
    columns = [["one", *("yes" for _ in SITUATIONS)], ["other", *("a | b" for _ in SITUATIONS)]]
    written = page(f"before\n{BEGIN}old\n{END}\nafter\n", columns, 2000)
    rows = [line for line in written.splitlines() if line.startswith("|")]
    assert len(SITUATIONS) + 2 == len(rows)
    assert {4} == {row.count("|") for row in rows}
    assert "before" == written.splitlines()[0]
    assert "after" == written.splitlines()[-1]
    assert "old" not in written
