"""Calls under way: since when, and until when, with one timer for all: one for each costs as much as its signature."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import cast

from email_processor.pipeline.health import Part
from email_processor.pipeline.waiting import EARLY_SECONDS


class Call:
    """A call that a task makes, until its deadline. Times are of the event loop's clock, in seconds.

    Health counts `since` then: what is granted to this call beyond others of its kind lies before that. `is_late` says
    that the task was told that its time is over.
    """

    __slots__ = ("cancelling", "deadline", "is_late", "part", "since", "task")

    def __init__(self, task: "asyncio.Task[object]", part: Part, since: float, deadline: float) -> None:
        """It begins."""
        self.task = task
        self.part = part
        self.since = since
        self.deadline = deadline
        self.cancelling = task.cancelling()
        self.is_late = False

    def takes_back_cancellation(self) -> bool:
        """Whether the cancellation that its task has met was that of the deadline, and nobody else's beside it."""
        if not self.is_late:
            return False
        self.is_late = False
        return self.task.uncancel() <= self.cancelling


class Deadlines:
    """As many `asyncio.timeout` as there are calls under way, at the price of one. A task makes one call at a time."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._calls: dict[asyncio.Task[object], Call] = {}  # in order: a simulation must repeat itself
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = inf

    def __iter__(self) -> Iterator[Call]:
        """The calls under way."""
        return iter(self._calls.values())

    def begin(self, part: Part, seconds: float, patience: float = 0.0) -> Call:
        """The running task begins a call of this part, and is cancelled after `seconds`; say `end` when it is over.

        `patience` is added to that of health.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        loop = task.get_loop()
        now = loop.time()
        call = self._calls[task] = Call(task, part, now + patience, now + seconds)
        if call.deadline < self._fires_at:
            self._arm(loop, call.deadline)
        return call

    def end(self, call: Call) -> None:
        """A call is over, however it went."""
        del self._calls[call.task]
        if call.is_late:  # and it has come to an end in spite of that
            call.task.uncancel()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Wait, within the call of this task, for something that is not its answer: that time does not count."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        loop, call = task.get_loop(), self._calls[task]
        left, call.deadline, call.since = call.deadline - loop.time(), inf, inf
        try:
            yield
        finally:
            call.since = loop.time()
            call.deadline = call.since + left
            if call.deadline < self._fires_at:
                self._arm(loop, call.deadline)

    def _arm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(when, self._expire, loop)
        self._fires_at = when

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._fires_at = inf
        due = loop.time() + EARLY_SECONDS  # or a timer that fired early would be set again at once, and again
        in_time = []
        for call in self._calls.values():
            if call.deadline > due:
                in_time.append(call.deadline)
            elif not call.is_late:
                call.is_late = True
                call.task.cancel()
        if (first := min(in_time, default=inf)) < inf:
            self._arm(loop, first)
