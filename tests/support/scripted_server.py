"""A server that answers as it is told, well or badly, and remembers what it was asked: for SQS, S3, or a proxy."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.serving import serving

SQS_JSON = "application/x-amz-json-1.0"


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path, decoded as S3 decodes it."""
        return unquote(urlsplit(self.target).path)

    @property
    def operation(self) -> str:
        """The operation of SQS."""
        return self.headers["x-amz-target"].rpartition(".")[2]

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body, as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer; `length` is what the header says of the body, where it lies."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    def encode(self) -> bytes:
        """The bytes on the wire."""
        headers = {"Content-Length": str(len(self.body) if self.length is None else self.length), **self.headers}
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + self.body


class Fault(Enum):
    """What happens instead of an answer."""

    CLOSE = auto()  # the connection is closed
    RESET = auto()  # it is reset in the middle of the answer's head
    HANG = auto()  # nothing, for as long as the client waits


Script = Reply | Fault | Callable[[Asked], Reply | Fault]

STORED = Reply(headers={"ETag": '"0123456789abcdef"'})


def sqs(answer: object, status: int = 200, **headers: str) -> Reply:
    """An answer of SQS."""
    return Reply(status, json.dumps(answer).encode(), {"Content-Type": SQS_JSON, **headers})


def sqs_error(code: str, status: int = 400, *, query_code: str = "", message: str = "No.") -> Reply:
    """An error of SQS, with the code that older clients know in a header."""
    headers = {"x-amzn-query-error": f"{query_code};Sender"} if query_code else {}
    return sqs({"__type": f"com.amazonaws.sqs#{code}", "message": message}, status, **headers)


def s3_error(code: str, status: int) -> Reply:
    """An error of S3."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>No.</Message></Error>'
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})


class Fake:
    """The server: `script` is what it does next, `asked` what came."""

    def __init__(self) -> None:
        """Answer every request with 200 and nothing."""
        self.script: Script = Reply()
        self.asked: list[Asked] = []
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
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        asked = Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
        self.asked.append(asked)
        self._news.set()
        reply = self.script(asked) if callable(self.script) else self.script
        match reply:
            case Fault.CLOSE:
                return False
            case Fault.RESET:
                writer.write(b"HTTP/1.1 200 O")
                await writer.drain()
                writer.transport.abort()
                return False
            case Fault.HANG:
                await reader.read()
                return False
            case Reply():
                answer = reply.encode()
                writer.write(answer[: answer.index(b"\r\n\r\n") + 4] if method == "HEAD" else answer)
                await writer.drain()
        return reply.length is None


@asynccontextmanager
async def faking(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Fake]:
    """Serve for as long as the context lasts; `host` is the name in the URL, `port` any free one by default."""
    fake = Fake()
    async with serving(fake.serve, tls, port) as open_port:
        fake.url = f"{'https' if tls else 'http'}://{host}:{open_port}"
        yield fake
