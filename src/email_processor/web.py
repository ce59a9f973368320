"""The HTTP port: `/healthz`, `/readyz` and `/metrics`, and nothing else."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from email_processor.domain.errors import StartError
from email_processor.ports import Report

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 15  # also what a client has to send its first request
CLOSE_SECONDS = 1.0  # for answers under way at the end
CONNECTIONS_MAX = 64  # probes and Prometheus need a handful; what strangers hold open is not there for SQS and S3
BACKLOG = 256  # connections that the system keeps until we get to them; what comes when there are more, it drops
AT_ONCE_MAX = 96  # connections that are accepted in one turn of the event loop, beyond those that are kept
EVERYWHERE = "::"  # every address of this host, of IPv4 too
MOMENT_SECONDS = 0.05  # that a connection is given, however many come after it, to be read and answered


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Drop what aiohttp logs of malformed requests, stack trace and all: a port scan would fill the log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


log.addFilter(_is_worth_a_line)


@asynccontextmanager
async def serving(
    host: str, port: int, alive: Callable[[], Report], ready: Callable[[], Report], registry: CollectorRegistry
) -> AsyncIterator[int]:
    """Serve on `host:port` (0: any free port) for as long as the context lasts; the value is the port.

    Raises:
        StartError: the address cannot be had.
    """

    async def metrics(request: web.Request) -> web.Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # a version that is none
            encode, content_type = choose_encoder("")
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def healthz(_request: web.Request) -> web.Response:
        return _answer(alive())

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(ready())

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(
        app, access_log=None, logger=log, keepalive_timeout=KEEP_ALIVE_SECONDS, shutdown_timeout=CLOSE_SECONDS
    )
    await runner.setup()
    try:
        door = _Door(cast("web.Server", runner.server), await _bind(host, port))
        try:
            yield door.port
        finally:
            door.close()
    finally:
        await runner.cleanup()


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Sockets at the address, which nobody listens to yet."""
    try:
        if host == EVERYWHERE:
            return [_everywhere(port)]
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"Cannot listen on {f'[{host}]' if ':' in host else host}:{port}: {_reason(error)}.",
            fix="Set HTTP_HOST to an address of this host and HTTP_PORT to a port that is free (0 takes any).",
        ) from error
    sockets = [socket.socket(fileno=os.dup(each.fileno())) for each in server.sockets]
    server.close()
    return sockets


def _everywhere(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6; for IPv4 alone on a host that has no IPv6."""
    if socket.has_dualstack_ipv6():
        return socket.create_server((EVERYWHERE, port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


class _Door:
    """Lets connections in, and makes room for them by closing the oldest: no client can keep another from being heard.

    Whoever means it sends its request at once, and has its answer long before it is the oldest. In a flood:

    * All that wait are accepted in one turn of the event loop. uvloop would accept one, and where a turn takes long the
      system would drop most of what comes, probes among it.
    * A connection costs next to nothing until its client says something. The oldest of the silent are closed.
    * Each connection is closed a moment after its place was taken, when it was read, and answered if it had something
      to say. At once only those are closed that were there before a turn that brought a flood.
    """

    def __init__(self, server: web.Server, sockets: Sequence[socket.socket]) -> None:
        """Listen on `sockets` for `server`."""
        self._server = server
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._replaced: dict[web.RequestHandler, float] = {}  # and when each is closed, in this order
        self._closing: asyncio.TimerHandle | None = None
        self._entering: set[asyncio.Task[None]] = set()
        self._silent: dict[socket.socket, float] = {}  # have sent nothing yet, and when each is closed
        self._tidying: asyncio.TimerHandle | None = None
        for each in sockets:
            each.settimeout(0)
            each.listen(BACKLOG)
            self._listen(each)
        self.port = int(sockets[0].getsockname()[1])

    def close(self) -> None:
        """Let nobody in any more."""
        for each in (*self._sockets, *self._silent):
            self._loop.remove_reader(each)
            each.close()
        if self._tidying is not None:
            self._tidying.cancel()
        for task in self._entering:
            task.cancel()
        if self._closing is not None:
            self._closing.cancel()

    def _listen(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:  # else it was closed in the meantime
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE_MAX):
            try:
                client, _ = listening.accept()
            except (BlockingIOError, ConnectionError, InterruptedError):
                break
            except OSError:  # no descriptor is left: those that we hold are the only ones that we can get back
                self._give_back()
                self._loop.remove_reader(listening)
                self._loop.call_later(MOMENT_SECONDS, self._listen, listening)
                break
            client.settimeout(0)
            self._silent[client] = self._loop.time() + KEEP_ALIVE_SECONDS
            self._loop.add_reader(client, self._speaks, client)
            if len(self._silent) > 2 * AT_ONCE_MAX:  # those of the turn before, which are about to be read, can stay
                self._forget(next(iter(self._silent))).close()
        self._make_room()

    def _give_back(self) -> None:
        """Close what is beyond the bounds, or half of everything if nothing is."""
        is_crowded = max(len(self._silent), len(self._server.connections)) > CONNECTIONS_MAX
        most = CONNECTIONS_MAX if is_crowded else CONNECTIONS_MAX // 2
        for oldest in tuple(self._silent)[: max(0, len(self._silent) - most)]:
            self._forget(oldest).close()
        self._close_before(most)

    def _make_room(self) -> None:
        """Close the oldest of the silent connections in a moment."""
        soon = self._loop.time() + MOMENT_SECONDS
        for oldest in tuple(self._silent)[: max(0, len(self._silent) - CONNECTIONS_MAX)]:
            self._silent[oldest] = min(self._silent[oldest], soon)
        if self._tidying is None:
            self._tidying = self._loop.call_later(MOMENT_SECONDS, self._tidy)

    def _tidy(self) -> None:
        now = self._loop.time()
        for client, due in tuple(self._silent.items()):
            if due <= now:
                self._forget(client).close()
        self._tidying = self._loop.call_later(MOMENT_SECONDS, self._tidy) if self._silent else None

    def _forget(self, client: socket.socket) -> socket.socket:
        self._loop.remove_reader(client)
        del self._silent[client]
        return client

    def _speaks(self, client: socket.socket) -> None:
        """Hand a connection over: there is something to read, or its end."""
        self._forget(client)
        task = self._loop.create_task(self._enter(client), name="connection")
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._server, client)
        except OSError:  # it is gone already
            client.close()
        self._close_before(CONNECTIONS_MAX + AT_ONCE_MAX)
        connections = self._server.connections
        for oldest in connections[: max(0, len(connections) - CONNECTIONS_MAX)]:
            if oldest.transport is not None:
                self._replaced.setdefault(oldest, self._loop.time() + MOMENT_SECONDS)
        if self._replaced and self._closing is None:
            self._closing = self._loop.call_later(MOMENT_SECONDS, self._close_replaced)

    def _close_replaced(self) -> None:
        now = self._loop.time()
        for connection, due in tuple(self._replaced.items()):
            if due <= now or connection.transport is None:
                self._close(connection)
        self._closing = self._loop.call_later(MOMENT_SECONDS, self._close_replaced) if self._replaced else None

    def _close_before(self, most: int) -> None:
        """Close the oldest connections, so that there are no more than `most`."""
        connections = self._server.connections
        for oldest in connections[: max(0, len(connections) - most)]:
            self._close(oldest)

    def _close(self, connection: web.RequestHandler) -> None:
        self._replaced.pop(connection, None)
        if connection.transport is not None:
            connection.transport.abort()  # at once, whatever is still to be sent


def _reason(error: OSError | UnicodeError) -> str:
    """Why, in the system's words: those of an event loop have the address in them once more."""
    if isinstance(error, UnicodeError):
        return "not a host name"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _answer(report: Report) -> web.Response:
    body = {"status": "ok" if report.ok else "failing", **report.parts}
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_INDENT_2),
        status=200 if report.ok else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
