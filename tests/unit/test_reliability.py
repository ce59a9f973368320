"""docs/reliability.md says what shows each guarantee: everything that it names is there."""

import re
from pathlib import Path

import pytest

from tests.simulation.rules import Rule

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "reliability.md").read_text()
FILES = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.py)(?:::(\w+))?`", TEXT)
CODE = [(path, name) for path, name in FILES if not name and not path.startswith(("simulation/", "bench/"))]
TESTS = [(path, name) for path, name in FILES if name or path.startswith("simulation/")]


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_every_test_is_there(path: str, name: str) -> None:
    """By file and name; a file alone is one of the simulation's."""
    text = (ROOT / "tests" / path).read_text()
    assert not name or re.search(rf"^(async )?def {name}\(", text, re.MULTILINE)


@pytest.mark.parametrize("path", sorted({path for path, _ in CODE} | {path for path, _ in FILES if "bench/" in path}))
def test_every_file_is_there(path: str) -> None:
    """Of the service and of the benchmark."""
    assert (ROOT / path if path.startswith("bench/") else ROOT / "src" / "email_processor" / path).is_file()


def test_every_rule_is_one_and_each_is_named() -> None:
    """A rule of the simulation that belongs to no guarantee would be a promise that nobody made."""
    guarantees = TEXT.partition("## How it is proven")[0]
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", "".join(re.findall(r"\* Simulation: (.+)", guarantees))))
    assert {rule.name for rule in Rule} == named


def test_every_guarantee_says_what_it_rests_on_what_shows_it_and_what_it_leaves_out() -> None:
    """Ten of each."""
    words = ("**Rests on.**", "**Shown by.**", "**Not covered.**")
    assert [10, 10, 10] == [TEXT.count(word) for word in words]
    assert [str(number) for number in range(1, 11)] == re.findall(r"^### (\d+)\. ", TEXT, re.MULTILINE)


def test_every_picture_and_document_is_there() -> None:
    """Links that lead nowhere are worse than none."""
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", TEXT)]
    assert [] == [target for target in targets if target and not (ROOT / "docs" / target).exists()]
