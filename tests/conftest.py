"""What every test gets: an environment without AWS in it, and the emulators for those that ask."""

import os
from collections.abc import Iterator
from unittest import mock

import pytest

from tests.environment import clean_environment
from tests.servers import Emulator, ministack_server, moto_server


@pytest.fixture(autouse=True)
def _isolated_environment() -> Iterator[None]:
    """No test sees the machine's AWS settings, and none leaves its own behind."""
    with mock.patch.dict(os.environ, clean_environment(), clear=True):
        yield


@pytest.fixture(scope="session")
def moto() -> Iterator[Emulator]:
    """SQS and S3 by moto, in a process of their own."""
    with moto_server() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def ministack() -> Iterator[Emulator]:
    """SQS and S3 by ministack, an implementation independent of moto's."""
    with ministack_server() as emulator:
        yield emulator


@pytest.fixture(params=["moto", "ministack"])
def emulator(request: pytest.FixtureRequest) -> Emulator:
    """Each of the emulators in turn."""
    found: Emulator = request.getfixturevalue(request.param)
    return found
