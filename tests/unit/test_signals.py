"""Signals: the first asks for a stop, the second ends the process."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from types import FrameType

import pytest

from email_processor.signals import SIGNALS, end_now, stop_on_signal

SCRIPT = """
import asyncio, os, signal, sys, uvloop
from email_processor.signals import stop_on_signal

async def main():
    stop = asyncio.Event()
    with stop_on_signal(stop):
        print("ready", flush=True)
        await stop.wait()
        print("stopping", flush=True)
        if sys.argv[2] == "draining":
            await asyncio.Event().wait()
    print("stopped", flush=True)
    await asyncio.Event().wait()

def end_before_start(number, frame):
    os._exit(0)

signal.signal(signal.SIGTERM, end_before_start)
signal.signal(signal.SIGINT, end_before_start)
loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
with asyncio.Runner(loop_factory=loops[sys.argv[1]]) as runner:
    runner.run(main())
"""


def handle(_number: int, _frame: FrameType | None) -> None:
    """A handler that was there before."""


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_asks_for_a_stop(number: signal.Signals, caplog: pytest.LogCaptureFixture) -> None:
    """A real SIGTERM or SIGINT sets the event, and says so once."""
    caplog.set_level(logging.INFO)
    stop = asyncio.Event()
    with stop_on_signal(stop):
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await stop.wait()
    assert [("signal", number.name)] == [(record.msg, record.__dict__["signal"]) for record in caplog.records]


async def fail_at_a_stop(is_signalled: bool) -> None:
    """Raise where signals are listened to, after one or without one."""
    stop = asyncio.Event()
    with stop_on_signal(stop):
        if is_signalled:
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
        raise ZeroDivisionError


@pytest.mark.parametrize(("is_signalled", "after"), [(False, handle), (True, end_now)])
async def test_what_was_there_before_is_restored_unless_a_signal_came(is_signalled: bool, after: object) -> None:
    """If the block fails as well. A second signal that comes late still ends the process as an interrupted one."""
    for number in SIGNALS:
        signal.signal(number, handle)
    with pytest.raises(ZeroDivisionError):
        await fail_at_a_stop(is_signalled)
    assert [after, after] == [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("second", SIGNALS)
async def test_the_second_signal_asks_for_nothing(second: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first one, whichever it was, the next ends the process instead of setting anything."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    stop = asyncio.Event()
    with stop_on_signal(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        signal.raise_signal(second)
    assert [128 + second] == codes


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
@pytest.mark.parametrize("when", ["draining", "stopped"])
def test_a_second_signal_ends_the_process_at_once(
    loop: str, first: signal.Signals, second: signal.Signals, when: str
) -> None:
    """With the exit code that a shell gives for it, though the loop sleeps, whichever it is, and after the drain."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT, loop, when], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(first)
        assert "stopping\n" == process.stdout.readline()
        assert when == "draining" or process.stdout.readline() == "stopped\n"
        process.send_signal(second)
        assert process.wait(10) == 128 + second
