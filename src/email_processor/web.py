"""The HTTP port: `/healthz`, `/readyz` and `/metrics`, and nothing else."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from email_processor.domain.errors import StartError
from email_processor.ports import Report

KEEP_ALIVE_SECONDS = 15
REQUEST_MAX_BYTES = 1024


@asynccontextmanager
async def serving(
    host: str, port: int, alive: Callable[[], Report], ready: Callable[[], Report], registry: CollectorRegistry
) -> AsyncIterator[int]:
    """Serve on `host:port` (0: any free port) for as long as the context lasts; the value is the port.

    Raises:
        StartError: the address cannot be had.
    """

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def healthz(_request: web.Request) -> web.Response:
        return _answer(alive())

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(ready())

    app = web.Application(client_max_size=REQUEST_MAX_BYTES)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=KEEP_ALIVE_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, shutdown_timeout=1.0).start()
        except OSError as error:
            raise StartError(
                f"Cannot listen on {host}:{port}: {error.strerror or error}.",
                fix="Set HTTP_HOST and HTTP_PORT to an address that is free (0 takes any free port).",
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _answer(report: Report) -> web.Response:
    body = {"status": "ok" if report.ok else "failing", **report.parts}
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_INDENT_2),
        status=200 if report.ok else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
