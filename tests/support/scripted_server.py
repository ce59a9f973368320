"""A server that answers as it is told, well or badly, and remembers what it was asked: for SQS, S3, or a proxy."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.aws_answers import CallFault, Reply, Request, Rule, act
from tests.support.serving import serving


class FakeAws:
    """The server: `rule` is what it does with every request, `requests` what came."""

    def __init__(self) -> None:
        """Answer every request with 200 and nothing."""
        self.rule: Rule = Reply()
        self.requests: list[Request] = []
        self.connections = 0  # that were ever made
        self.url = ""
        self._news = asyncio.Event()

    async def next_request(self) -> None:
        """Return when a request comes from now on."""
        self._news.clear()
        await self._news.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        headers: dict[str, str] = {}
        for name, _, value in (line.partition(":") for line in lines):
            before = headers.get(name.lower())
            headers[name.lower()] = value.strip() if before is None else f"{before}, {value.strip()}"
        request = Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
        self.requests.append(request)
        self._news.set()
        match act(self.rule, request):
            case CallFault.CUT:
                return False
            case CallFault.RESET:  # in the middle of the answer's head
                writer.write(b"HTTP/1.1 200 O")
                await writer.drain()
                writer.transport.abort()
                return False
            case CallFault.HANG:  # for as long as the client waits
                await reader.read()
                return False
            case Reply() as reply:
                writer.write(reply.encode(with_body=method != "HEAD"))
                await writer.drain()
                return reply.is_whole
            case other:
                raise NotImplementedError(other)


@asynccontextmanager
async def scripted_server(
    tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[FakeAws]:
    """Serve for as long as the context lasts; `host` is the name in the URL, `port` any free one by default."""
    server = FakeAws()
    async with serving(server.serve, tls, port) as open_port:
        server.url = f"{'https' if tls else 'http'}://{host}:{open_port}"
        yield server
