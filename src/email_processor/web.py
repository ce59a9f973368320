"""The HTTP port: `/healthz`, `/readyz` and `/metrics`, and nothing else."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
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
        server = await _listen(runner, host, port)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            _newest_first(cast("web.Server", runner.server)), host, port, backlog=CONNECTIONS_MAX
        )
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"Cannot listen on {host}:{port}: {_reason(error)}.",
            fix="Set HTTP_HOST to an address of this host and HTTP_PORT to a port that is free (0 takes any).",
        ) from error


def _newest_first(server: web.Server) -> Callable[[], asyncio.Protocol]:
    """Make room for a new connection by closing the oldest ones: no client can keep another from being heard.

    Whoever means it sends its request at once, and has its answer long before it is the oldest.
    """

    def accept() -> asyncio.Protocol:
        connections = server.connections
        for oldest in connections[: max(0, len(connections) - CONNECTIONS_MAX + 1)]:
            if oldest.transport is not None:
                oldest.transport.abort()  # at once, whatever is still to be sent
        return server()

    return accept


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
