"""What an acceptance test works on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulators import Emulator
from tests.support.service import Service
from tests.support.site import Site


@pytest.fixture
def site(emulator: Emulator, tmp_path: Path) -> Site:
    """A queue and a bucket on each of the emulators in turn."""
    return Site.at(emulator, tmp_path)


@pytest.fixture
def one_site(ministack: Emulator, tmp_path: Path) -> Site:
    """A queue and a bucket on one emulator, for what has nothing to do with its ways."""
    return Site.at(ministack, tmp_path)


@pytest.fixture(scope="module")
def quiet(ministack: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that is ready, for the tests of a module that only ask."""
    site = Site.at(ministack, tmp_path_factory.mktemp("quiet"))
    with site.service() as running:
        running.wait_until_ready()
        yield running
