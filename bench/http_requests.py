"""HTTP/1.1 requests out of a byte stream: as little of it as SDKs use, as fast as Python can."""

import asyncio
from typing import NamedTuple, cast


class RawRequest(NamedTuple):
    """One request. `head` is the raw head in lower case; `path` is as it was sent."""

    method: bytes
    path: bytes
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """A header's value; empty if it is not there. `name` is in lower case, and so is the value."""
        return _header(self.head, name)


class Reader:
    """Collects what arrives and cuts it into requests."""

    def __init__(self) -> None:
        """Begin with an empty buffer, as a connection does."""
        self._buffer = bytearray()
        self._head = b""
        self._raw_head = b""
        self._needed = 0
        self._chunked = False

    def feed(self, data: bytes) -> None:
        """Add what has arrived on the connection."""
        self._buffer += data

    def wants_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body; True once for each request."""
        if not self._parse_head() or b"\r\nexpect: 100-continue" not in self._head:
            return False
        self._head = self._head.replace(b"\r\nexpect: 100-continue", b"")
        return True

    def next(self) -> RawRequest | None:
        """Cut the next request out of the buffer; None until all of it has arrived."""
        if not self._parse_head():
            return None
        if self._chunked:
            decoded = decode_chunks(self._buffer)
            if decoded is None:
                return None
            body, end = decoded
        elif len(self._buffer) < self._needed:
            return None
        else:
            body, end = bytes(self._buffer[: self._needed]), self._needed
        del self._buffer[:end]
        if b"aws-chunked" in _header(self._head, b"content-encoding"):
            decoded = decode_chunks(body)
            if decoded is None:
                raise ValueError("an aws-chunked body without its last chunk")
            body = decoded[0]
        method, path, _ = self._raw_head.split(b" ", 2)
        request = RawRequest(method, path, self._head, body)
        self._head = b""
        return request

    def _parse_head(self) -> bool:
        """Read the head of the next request, if it has not been read; whether it is there."""
        if self._head:
            return True
        end = self._buffer.find(b"\r\n\r\n")
        if end == -1:
            return False
        self._raw_head = bytes(self._buffer[: end + 2])
        del self._buffer[: end + 4]
        self._head = self._raw_head.lower()
        self._needed = int(_header(self._head, b"content-length") or 0)
        self._chunked = b"chunked" in _header(self._head, b"transfer-encoding")
        return True


class ServerConnection(asyncio.Protocol):
    """A client's connection to a server of a benchmark, which cuts what arrives into requests with `_reader`."""

    def __init__(self) -> None:
        """Nothing has arrived."""
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers are written to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """Nobody is there to answer to any more."""
        self._transport = None


def decode_chunks(data: bytes | bytearray) -> tuple[bytes, int] | None:
    """The content of chunks and where they end; None if the last is not there yet.

    HTTP's chunks and aws-chunked ones are alike: size in hex, perhaps an extension, a line end, data, a line end; after
    the last, of size 0, trailers and an empty line.
    """
    parts = []
    at = 0
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end == -1:
            return None
        size = int(bytes(data[at:line_end]).partition(b";")[0], 16)
        if size == 0:
            break
        start = line_end + 2
        at = start + size + 2
        if at > len(data):
            return None
        parts.append(bytes(data[start : start + size]))
    end = data.find(b"\r\n\r\n", line_end)  # the last chunk's own line end is the first half if there are no trailers
    return None if end == -1 else (b"".join(parts), end + 4)


def _header(head: bytes, name: bytes) -> bytes:
    start = head.find(b"\r\n" + name + b":")
    if start == -1:
        return b""
    start += len(name) + 3
    return head[start : head.index(b"\r\n", start)].strip()
