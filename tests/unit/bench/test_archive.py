"""What the benchmark of the commands on the archive says of a run, and the bucket that it invents."""

import pytest

from bench.archive.bars import AT_LEAST, AT_MOST, EXACTLY, Measured, lines, rows
from bench.archive.bucket import PAGE, ComputedBucket


@pytest.mark.parametrize(
    ("measured", "line"),
    [
        (Measured("LISTs", 1101, AT_MOST, 1100), ("LISTs", "at most 1,100", "1,101", "**missed**")),
        (Measured("seconds", 0.994, AT_MOST, 1, 2), ("seconds", "at most 1.00", "0.99", "met")),
        (Measured("a second", 2999.9, AT_LEAST, 3000), ("a second", "at least 3,000", "3,000", "**missed**")),
        (Measured("lost", 0, EXACTLY, 0), ("lost", "exactly 0", "0", "met")),
        (Measured("lost", 1, EXACTLY, 0), ("lost", "exactly 0", "1", "**missed**")),
        (Measured("LISTs in all", 121), ("LISTs in all", "", "121", "")),
    ],
)
def test_a_figure_stands_beside_its_bar(measured: Measured, line: tuple[str, ...]) -> None:
    """As it was measured, and as it is read again from what was kept."""
    assert [line] == list(lines({"results": rows([measured])}))


def test_what_was_deleted_is_not_listed() -> None:
    """Wherever it was; what became of all of it is told."""
    bucket = ComputedBucket(mails=0, days=1, quarantined=2 * PAGE)
    keys, is_last = bucket.page("quarantine/", "")
    assert not is_last
    bucket.put("emails/2026/10/01/ann/" + keys[0].rpartition("/")[2][:36] + "_000000.json", b"{}")
    bucket.deleted.update(keys[:3], keys[5:])
    rest, _ = bucket.page("quarantine/", keys[-1])
    assert ([*keys[3:5], *rest[:-2]], False) == bucket.page("quarantine/", "")
    assert {"written": 1, "written_to": 1, "deleted": PAGE - 2, "lost": PAGE - 3} == bucket.report()
