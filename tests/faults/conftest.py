"""What a test of faults works on: a queue, and a bucket that keeps whatever is written to it."""

from pathlib import Path

import pytest

from tests.support.emulators import Emulator
from tests.support.site import Site


@pytest.fixture
def site(emulator: Emulator, tmp_path: Path) -> Site:
    """On each of the emulators in turn."""
    return keeping_versions(Site.at(emulator, tmp_path))


@pytest.fixture
def one_site(ministack: Emulator, tmp_path: Path) -> Site:
    """On one emulator, for what has nothing to do with its ways."""
    return keeping_versions(Site.at(ministack, tmp_path))


def keeping_versions(site: Site) -> Site:
    """With every write kept, so that a second one is seen even if it wrote the same."""
    site.bucket.keep_versions()
    return site
