"""The deliberate bugs fit the source: quickly seen, without playing a single story."""

from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.mutants import MARKED, MARKER, MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_changes_one_line_and_nothing_else(mutant: Mutant) -> None:
    """The module with the bug compiles, and every line of it but the marked one stands as it was."""
    source = mutant.path.read_text()
    mutated = mutant.apply(source)
    compile(mutated, mutant.module, "exec")
    gone = Counter(source.split("\n")) - Counter(mutated.split("\n"))
    assert gone.total() <= 1
    assert mutated != source


def test_every_marker_is_there_once_and_has_its_mutant() -> None:
    """A marker that no mutant changes would say of a line that it is watched."""
    files = [path for room in MARKED for folder in room.__path__ for path in Path(folder).glob("*.py")]
    marked = [(path.stem, marker) for path in files for marker in MARKER.findall(path.read_text())]
    assert sorted({(mutant.module, mutant.marker) for mutant in MUTANTS}) == sorted(marked)


def test_every_mutant_has_a_name_of_its_own() -> None:
    """By it the gaps are kept, and the documents speak of it."""
    assert [] == [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1]
