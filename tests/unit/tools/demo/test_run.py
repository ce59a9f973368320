"""How the demo begins and ends."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from email_processor.tools.demo.keep import keys
from email_processor.tools.demo.run import Ending, program
from email_processor.tools.demo.tour import Options


async def test_the_first_signal_ends_the_keeping_and_the_second_one_everything() -> None:
    """Nobody has to wait for what the first one began."""
    ending, kept = Ending(), asyncio.Event()
    ending.by = kept.set
    with ending.on_signal():
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await kept.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_cuts_the_tour_short(number: signal.Signals) -> None:
    """Ctrl-C, an orchestrator, a terminal that closes."""
    with Ending().on_signal():
        os.kill(os.getpid(), number)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()


async def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither from a file nor from a standard input that is closed."""
    found = []
    with (tmp_path / "input").open("w+") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        with keys(lambda _key: None) as has_keyboard:
            found.append(has_keyboard)
    with keys(lambda _key: None) as has_keyboard:
        found.append(has_keyboard)
    assert [False, False] == found


def test_the_reader_is_told_a_command_that_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By name if the shell finds it by name, else as it was called."""
    command = tmp_path / "email-processor"
    command.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    told = []
    for called in (str(command), "email-processor", ".venv/bin/email-processor", "/x/email_processor/__main__.py"):
        monkeypatch.setattr(sys, "argv", [called, "demo"])
        told.append(program())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["email-processor", "demo"])
    told.append(program())
    python = f"{Path(sys.executable).name} -m email_processor"
    assert told == ["email-processor", "email-processor", ".venv/bin/email-processor", python, "email-processor"]


def test_by_default_it_shows_everything_in_little_time() -> None:
    """A few hundred emails, some broken, one short outage, and nothing left running."""
    assert Options() == Options(messages=300, seed=1, broken=5.0, outage=3.0, keep=False)
