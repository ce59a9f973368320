"""Many requests at once, with their results in order and with nothing left running."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


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
    source: AsyncGenerator[A, None], work: Callable[[A], Awaitable[B]], at_once: int
) -> AsyncIterator[AsyncIterator[B]]:
    """The results of `work` for each item of `source`, in order; `at_once` are under way or wait to be taken.

    Leaving the context early cancels what is under way.
    """
    order: asyncio.Queue[asyncio.Task[B] | None] = asyncio.Queue(at_once)
    running: set[asyncio.Task[B]] = set()

    async def one(item: A) -> B:
        return await work(item)

    async with task_group() as tasks:

        async def begin() -> None:
            async with aclosing(source):
                async for item in source:
                    task = tasks.create_task(one(item))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    await order.put(task)
            await order.put(None)

        async def results() -> AsyncIterator[B]:
            while (task := await order.get()) is not None:
                yield await task

        beginning = tasks.create_task(begin())
        yield results()
        beginning.cancel()
        for task in tuple(running):
            task.cancel()
