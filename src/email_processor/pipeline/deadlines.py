"""Deadlines for many calls at once, with one timer for all of them: a timer for each costs as much as its signature."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TypeVar, cast

from email_processor.pipeline.waiting import EARLY_SECONDS

Answer = TypeVar("Answer")


class _Waiter:
    """A task that waits for an answer, until when, and whether it was told that this is over."""

    __slots__ = ("cancelling", "deadline", "is_late", "task")

    def __init__(self, task: "asyncio.Task[object]", deadline: float) -> None:
        self.task = task
        self.deadline = deadline
        self.cancelling = task.cancelling()
        self.is_late = False


class Deadlines:
    """As many `asyncio.timeout` as are needed, at the price of one."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._waiters: dict[asyncio.Task[object], _Waiter] = {}  # in order: a simulation must repeat itself
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = inf

    async def within(self, seconds: float, request: Awaitable[Answer]) -> Answer:
        """The answer to `request`; a task makes one at a time.

        Raises:
            TimeoutError: there was none after `seconds`; the request was cancelled.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        loop = task.get_loop()
        waiter = _Waiter(task, loop.time() + seconds)
        self._waiters[task] = waiter
        if waiter.deadline < self._fires_at:
            self._arm(loop, waiter.deadline)
        try:
            return await request
        except asyncio.CancelledError as error:
            if waiter.is_late:
                waiter.is_late = False
                if task.uncancel() <= waiter.cancelling:  # it was us, and nobody else beside us
                    raise TimeoutError from error
            raise
        finally:
            del self._waiters[task]
            if waiter.is_late:  # and the request has come to an end in spite of it
                task.uncancel()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Wait, within the request of this task, for something that is not its answer: that time does not count."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        loop, waiter = task.get_loop(), self._waiters[task]
        left, waiter.deadline = waiter.deadline - loop.time(), inf
        try:
            yield
        finally:
            waiter.deadline = loop.time() + left
            if waiter.deadline < self._fires_at:
                self._arm(loop, waiter.deadline)

    def _arm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(when, self._expire, loop)
        self._fires_at = when

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._fires_at = inf
        due = loop.time() + EARLY_SECONDS  # or a timer that fired early would be set again at once, and again
        in_time = []
        for waiter in self._waiters.values():
            if waiter.deadline > due:
                in_time.append(waiter.deadline)
            elif not waiter.is_late:
                waiter.is_late = True
                waiter.task.cancel()
        if (first := min(in_time, default=inf)) < inf:
            self._arm(loop, first)
