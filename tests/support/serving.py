"""A server of a test's own that leaves no connection behind."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[int]:
    """Serve connections with `handler` (on any free port, or one that is), and end them with the context.

    The value is the port.
    """
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await handler(reader, writer)
        except asyncio.CancelledError:  # by us, at the end
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", port, ssl=tls)
    gone = asyncio.ensure_future(server.wait_closed())  # begun before the close: else Python 3.11 does not wait
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in connections:
            task.cancel()
        async with asyncio.timeout(10):
            await gone
