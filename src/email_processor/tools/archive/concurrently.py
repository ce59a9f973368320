"""Many requests at once, with their results in order, with a bound of memory, and with nothing left running."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

MOST_BYTES = 16 * 1024 * 1024  # of what is under way, waits to be taken or is used


class _Budget:
    """Bytes that one who begins work takes, and gives back when its result was used. Only one waits at a time."""

    def __init__(self) -> None:
        self._taken = 0
        self._given = asyncio.Event()

    async def take(self, size: int) -> None:
        """Take them if there are any left: the last one may take more than there are, however large it is."""
        while self._taken >= MOST_BYTES:
            self._given.clear()
            await self._given.wait()
        self._taken += size

    def give(self, size: int) -> None:
        self._taken -= size
        self._given.set()


def weightless(_: object) -> int:
    """The size of what needs no bound but that of its number."""
    return 0


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises the first error itself, not a group of errors."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__


@asynccontextmanager
async def mapped(
    source: AsyncGenerator[A, None],
    work: Callable[[A], Awaitable[B]],
    at_once: int,
    size_of: Callable[[A], int] = weightless,
) -> AsyncIterator[AsyncIterator[B]]:
    """The results of `work` for each item of `source`, in order; `at_once` are under way or wait to be taken.

    Together they have `MOST_BYTES` and one item more, if the result for an item has about `size_of` it in bytes: behind
    a slow one, results would fill the memory. Leaving the context early cancels what is under way.
    """
    order: asyncio.Queue[tuple[asyncio.Task[B], int] | None] = asyncio.Queue(at_once)
    budget = _Budget()
    running: set[asyncio.Task[B]] = set()

    async def one(item: A) -> B:
        return await work(item)

    async with task_group() as tasks:

        async def begin() -> None:
            async with aclosing(source):
                async for item in source:
                    size = size_of(item)
                    await budget.take(size)
                    task = tasks.create_task(one(item))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    await order.put((task, size))
            await order.put(None)

        async def results() -> AsyncIterator[B]:
            while (begun := await order.get()) is not None:
                task, size = begun
                yield await task
                del begun, task  # with the result in it
                budget.give(size)

        beginning = tasks.create_task(begin())
        yield results()
        beginning.cancel()
        for task in tuple(running):
            task.cancel()
