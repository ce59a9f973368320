"""What every test gets: an environment without AWS in it, ears for what is told, and emulators for those that ask."""

import os
import signal
from collections.abc import Generator, Iterator
from unittest import mock

import pytest

from email_processor.signals import SIGNALS
from tests.support import overheard
from tests.support.emulators import Emulator, ministack_server, moto_server
from tests.support.environment import clean_environment


def pytest_configure() -> None:
    """Let what tests start be interrupted: below a shell's background job it would inherit that SIGINT is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _listening() -> Iterator[None]:
    """Whatever the suite's processes tell is heard, what they tell at their very end included."""
    with overheard.listening():
        yield
    overheard.check()


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """No test leaves its signal handlers to the next one of this process, which an interrupt could then end."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _nothing_confidential_is_told(_listening: None) -> Iterator[None]:
    """No test makes anything tell a body, a token or a credential."""
    yield
    overheard.check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has printed, as pytest has captured it, is heard as well; what it has logged was heard at once."""
    report = yield
    for name, text in report.sections:
        if not name.startswith("Captured log"):
            overheard.hear(name, text)
    return report


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
