"""SIGTERM and SIGINT: the first one asks for a clean stop, the second one ends the process at once."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signal(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` at the first signal; restore what was there before at the end, unless there was one.

    After a signal the next one ends the process to the last, as one that was interrupted: what was there before may
    end it as one that has nothing left to do.
    """
    loop = asyncio.get_running_loop()
    after = {number: signal.getsignal(number) for number in SIGNALS}

    def ask(number: int) -> None:
        for each in SIGNALS:
            after[each] = end_now
            loop.remove_signal_handler(each)
            signal.signal(each, end_now)
        log.info("signal", extra={"signal": signal.Signals(number).name})
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, ask, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, after[number])


def end_now(number: int, _frame: FrameType | None) -> NoReturn:
    """End the process with the exit code a shell gives for this signal.

    Not the default action: as the first process of a container it would be ignored.
    """
    os._exit(128 + number)
