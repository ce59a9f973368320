"""An event loop in virtual time: one seed, one schedule, on every machine and at every run.

A `Driver` owns time and order. Every simulated process has a thin `Loop` of its own, which can be paused and killed
between any two steps. Whatever a loop does not define here (threads, sockets, signals, subprocesses) raises
NotImplementedError.
"""

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import wraps
from heapq import heappop, heappush
from random import Random
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

TICKS = 1_000_000  # in a second: time is a whole number of microseconds, so that sums are exact and ties happen
NEVER = 2**62


def ticks(seconds: float) -> int:
    """Seconds as ticks."""
    return round(seconds * TICKS)


class Handle(asyncio.TimerHandle):
    """A callback that is due. Its lane is the task that it steps; what is no task's goes the lane of its loop."""

    __slots__ = ("lane",)

    def __init__(
        self, callback: Callable[..., object], args: tuple[object, ...], loop: "Loop | None", context: Context | None
    ) -> None:
        """Without a loop it is an event of the world, which no process can hold up."""
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._loop = loop
        self._context = context
        self.lane = loop.plain if loop is not None and not isinstance(_owner(callback), asyncio.Task) else None

    def cancel(self) -> None:
        """Never run it."""
        self._cancelled = True

    def run(self) -> None:
        """Run it, in its context."""
        if self._context is None:
            self._callback(*self._args)
        else:
            self._context.run(self._callback, *self._args)


def _owner(callback: Callable[..., object]) -> object:
    return getattr(callback, "__self__", None)


class Task(asyncio.Task[Any]):
    """A task whose hash is its birth number: TaskGroup and `asyncio.wait` walk through sets of tasks."""

    def __init__(self, birth: int, coroutine: Coroutine[Any, Any, Any], **options: Any) -> None:  # noqa: ANN401 - asyncio's
        self.birth = birth
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.birth


class Loop(asyncio.AbstractEventLoop):
    """The event loop of one process."""

    def __init__(self, driver: "Driver", name: str) -> None:
        """Made by `Driver.loop`."""
        self.driver = driver
        self.name = name
        self.steps = 0
        self.plain: deque[Handle] = deque()  # callbacks that step no task keep their order
        self.parked: list[Handle] | None = None  # while paused: what has come due
        self.is_killed = False
        self.tasks: list[Task] = []  # held, so that a killed process's coroutines are not closed by the collector
        self.errors: list[str] = []

    def start(self, coroutine: Coroutine[Any, Any, T], name: str = "main") -> asyncio.Task[T]:
        """Run a coroutine as a task of this process, in a context of its own."""
        return self.create_task(coroutine, name=name, context=Context())

    def unfinished(self) -> list[Task]:
        """Tasks that are not done."""
        return [task for task in self.tasks if not task.done()]

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        """Run it at this tick."""
        handle = Handle(callback, args, self, context or copy_context())
        self.driver.push(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run it `delay` seconds from now."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run it at a time."""
        handle = Handle(callback, args, self, context or copy_context())
        tick = ticks(when)
        if tick <= self.driver.now and when > self.time():  # in seconds: the last digit is lost in a product
            tick = self.driver.now + 1  # later is later, or a wait for less than a tick would never end
        self.driver.schedule(tick, handle)
        return handle

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self.driver.now / TICKS

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:  # noqa: ANN401 - asyncio's
        """Make a task."""
        task = Task(self.driver.new_birth(), coro, loop=self, **options)
        self.tasks.append(task)
        return task

    def get_debug(self) -> bool:
        """Off."""
        return False

    def is_running(self) -> bool:
        """Whether one of its callbacks is being run."""
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what nobody caught."""
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")


class Driver:
    """Time and order for all processes of a run."""

    def __init__(self, seed: int | None = None) -> None:
        """With a seed, what is ready at the same tick runs in any order; without, first come first served."""
        self.now = 0
        self.steps = 0
        self.loops: list[Loop] = []
        self.errors: list[str] = []
        self.before_step: Callable[[Loop], None] | None = None
        self._is_shuffled = seed is not None
        self._random = Random(f"order {seed}").random
        self._births = 0
        self._sequence = 0
        self._ready: list[Handle | deque[Handle]] = []
        self._timers: list[tuple[int, int, Handle]] = []
        self._is_halted = False

    @property
    def seconds(self) -> float:
        """Virtual seconds since the start."""
        return self.now / TICKS

    def loop(self, name: str = "process") -> Loop:
        """A new process."""
        loop = Loop(self, name)  # type: ignore[abstract]  # what it lacks raises
        self.loops.append(loop)
        return loop

    def new_birth(self) -> int:
        """Number the next task."""
        self._births += 1
        return self._births

    def later(self, seconds: float, callback: Callable[..., object], *args: object) -> Handle:
        """Let something happen in the world, whatever becomes of the processes."""
        handle = Handle(callback, args, None, None)
        self.schedule(self.now + ticks(seconds), handle)
        return handle

    def schedule(self, tick: int, handle: Handle) -> None:
        """Make it ready at a tick, or now if that has gone by."""
        if tick <= self.now:
            self.push(handle)
        else:
            self._sequence += 1
            heappush(self._timers, (tick, self._sequence, handle))

    def push(self, handle: Handle) -> None:
        """Make it ready."""
        loop: Loop | None = handle._loop
        if loop is not None and loop.parked is not None:
            loop.parked.append(handle)
        elif handle.lane is None or not self._is_shuffled:
            self._ready.append(handle)
        else:
            if not handle.lane:
                self._ready.append(handle.lane)
            handle.lane.append(handle)

    def pause(self, loop: Loop) -> None:
        """Run nothing of a process, not even its `finally`, until it is resumed. What comes due is kept."""
        if loop.parked is not None:
            return
        mine = [item for item in self._ready if isinstance(item, Handle) and item._loop is loop]
        self._ready = [
            item for item in self._ready if item is not loop.plain and getattr(item, "_loop", None) is not loop
        ]
        loop.parked = [*loop.plain, *mine]
        loop.plain.clear()

    def kill(self, loop: Loop) -> None:
        """Run nothing of a process any more. What it has sent still arrives."""
        self.pause(loop)
        loop.is_killed = True

    def resume(self, loop: Loop) -> None:
        """Go on with a process that was paused."""
        parked, loop.parked = loop.parked or [], None
        for handle in parked:
            self.push(handle)

    def halt(self, *_: object) -> None:
        """End `run` after the callback that is running."""
        self._is_halted = True

    def run(self, deadline: float = NEVER / TICKS) -> None:
        """Run until halted, until nothing is left to wait for, or until a time (virtual seconds)."""
        last = ticks(deadline)
        self._is_halted = False
        outer = events._get_running_loop()
        try:
            while not self._is_halted:
                if self._ready:
                    self._step()
                elif not self._advance(last):
                    break
        finally:
            events._set_running_loop(outer)

    def _advance(self, last: int) -> bool:
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
        if not timers:
            return False
        if timers[0][0] > last:
            self.now = last
            return False
        self.now = timers[0][0]
        while timers and timers[0][0] == self.now:
            self.push(heappop(timers)[2])
        return True

    def _step(self) -> None:
        ready = self._ready
        index = int(self._random() * len(ready)) if self._is_shuffled else 0
        item = ready[index]
        if isinstance(item, Handle):
            del ready[index]
            handle = item
        else:
            handle = item.popleft()
            if not item:
                del ready[index]
        if handle._cancelled:
            return
        loop: Loop | None = handle._loop
        self.steps += 1
        if loop is not None:
            loop.steps += 1
            if self.before_step is not None:
                self.before_step(loop)
                if loop.parked is not None:  # paused or killed right here
                    loop.parked.insert(0, handle)
                    return
        events._set_running_loop(loop)
        try:
            handle.run()
        except Exception as error:
            if loop is None:
                raise
            self.errors.append(f"{handle._callback!r} raised {error!r}")

    def complete(self, coroutine: Coroutine[Any, Any, T], *, within: float = 7 * 86_400.0) -> T:
        """Run a coroutine to its end and return its result.

        Fails if it is not done `within` so many virtual seconds, or leaves a task or an error behind.
        """
        loop = self.loop("main")
        main = loop.start(coroutine)
        main.add_done_callback(self.halt)
        self.run(self.seconds + within)
        waiting = [task.get_name() for task in loop.unfinished()]
        is_done = main.done()
        self.clear()
        assert is_done, f"still waiting after {self.seconds:g} s: {', '.join(waiting)}"
        assert not waiting, f"tasks left behind: {', '.join(waiting)}"
        result = main.result()
        errors = [*loop.errors, *self.errors]
        assert not errors, "; ".join(errors)
        return result

    def clear(self) -> None:
        """Cancel all tasks of all processes and let them end, so that no coroutine is left."""
        self.before_step = None
        self._timers.clear()
        for loop in self.loops:
            self.resume(loop)
        for _ in range(5):  # a task may wait once more in its `finally`
            for loop in self.loops:
                for task in loop.unfinished():
                    task.cancel()
            self.run(self.seconds)
        for loop in self.loops:
            loop.errors += [f"{task.get_name()} cannot be cancelled" for task in loop.unfinished()]


def simulate(coroutine: Coroutine[Any, Any, T], seed: int | None = None, *, within: float = 7 * 86_400.0) -> T:
    """Run a coroutine in virtual time and return its result; fails if it never ends or leaves tasks behind."""
    return Driver(seed).complete(coroutine, within=within)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Let a coroutine test run by `simulate`: it waits for hours in no time, and must leave no task behind."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        simulate(test(*args, **kwargs))

    return run
