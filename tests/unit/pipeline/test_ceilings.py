"""Ceilings: what a container of some size allows."""

import pytest

from email_processor.pipeline.ceilings import Ceilings
from email_processor.pipeline.room import Budget
from email_processor.ports import Limits

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("memory", "descriptors", "expected"),
    [
        (256, 1_048_576, Ceilings(64, 64, 1024, Budget(2048, 16 * MIB))),
        (256, 1024, Ceilings(64, 64, 768, Budget(2048, 16 * MIB))),
        (520, 1024, Ceilings(64, 64, 768, Budget(4160, 60 * MIB))),
        (8200, 1_048_576, Ceilings(64, 64, 2048, Budget(8192, 1340 * MIB))),
        (64, 64, Ceilings(4, 4, 48, Budget(512, 10 * MIB))),
        (1, 1, Ceilings(1, 1, 1, Budget(10, 10 * MIB))),
    ],
    ids=["the chart's default", "few open files", "more memory", "no end of it", "small", "hardly any"],
)
def test_the_ceilings_follow_from_memory_and_open_files(memory: int, descriptors: int, expected: Ceilings) -> None:
    """A batch of the largest messages fits into the smallest container that there may be."""
    assert expected == Ceilings.of(Limits(memory * MIB, descriptors), batch=10)


def test_a_person_may_say_how_many_bytes_are_in_flight() -> None:
    """Where a container is not alone with its memory, or has no limit that could be read."""
    found = Ceilings.of(Limits(256 * MIB, 1024), batch=10, max_bytes=100 * MIB)
    assert 100 * MIB == found.budget.max_bytes
