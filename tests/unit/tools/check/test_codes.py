"""The table of checks."""

import re
from itertools import groupby
from pathlib import Path

from email_processor.tools.check.check import judge
from email_processor.tools.check.codes import CHECKS, PAGE, Group
from tests.unit.tools.check.known import facts

REPOSITORY = Path(__file__).parents[4]


def test_codes_are_unique() -> None:
    """A code names one check."""
    assert len({check.code for check in CHECKS}) == len(CHECKS)


def test_codes_are_numbered_by_group() -> None:
    """The hundreds of a code tell its group, and groups come in the order of the report."""
    found = [(number, group) for (number, group), _ in groupby(CHECKS, lambda check: (check.code[2], check.group))]
    assert [(str(number), group) for number, group in enumerate(Group, start=1)] == found


def test_each_check_reports() -> None:
    """Where all is well, each check that is not about the settings finds something, in the table's order."""
    expected = [check.code for check in CHECKS if check.group is not Group.SETTINGS]
    assert expected == [finding.code for finding in judge(facts())]


def test_documentation_has_each_anchor() -> None:
    """Every finding's link leads somewhere, and every entry has its check."""
    anchors = re.findall(r'<a id="(\w+)"></a>', (REPOSITORY / PAGE).read_text())
    assert [check.docs for check in CHECKS] == [f"{PAGE}#{anchor}" for anchor in anchors]
