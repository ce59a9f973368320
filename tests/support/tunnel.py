"""A proxy that lets TLS through, as HTTPS_PROXY has it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.serving import serving


class Tunnel:
    """The proxy: `url` is its own, `targets` where it was asked to connect to."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.url = ""
        self.targets: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: connect to where it asks for, and carry bytes both ways until one side has enough."""
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_carry(reader, back), _carry(there, writer))
        finally:
            back.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tunnelling() -> AsyncIterator[Tunnel]:
    """Serve for as long as the context lasts."""
    tunnel = Tunnel()
    async with serving(tunnel.serve) as port:
        tunnel.url = f"http://127.0.0.1:{port}"
        yield tunnel
