"""A gate in front of an emulator: everything passes and is noted, until a rule says otherwise."""

import http.client
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.waiting import eventually

HOP_BY_HOP = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


@dataclass(frozen=True)
class Request:
    """A request that came to the gate."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """The operation of SQS, or the method of a request to S3."""
        return self.headers.get("x-amz-target", self.method).rpartition(".")[2]

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body, as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What goes back instead of the emulator's own answer.

    Of its bytes on the wire the first `share` is sent, and then the connection closed if that is not all of it; with
    `pause`, one by one and so many seconds apart.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    share: float = 1.0
    pause: float = 0.0

    def encode(self, *, with_body: bool) -> bytes:
        """The bytes on the wire."""
        lines = [f"HTTP/1.1 {self.status} -", *(f"{name}: {value}" for name, value in self.headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""]).encode("latin-1")
        answer = head + self.body if with_body else head
        return answer[: int(len(answer) * self.share)]


class Cut(Exception):  # noqa: N818 - it is not an error, it is what the gate does
    """The connection is closed without an answer."""


class Reset(Cut):
    """The connection is reset instead of answered."""


Rule = Callable[[Request], Reply | None]


def pass_all(_request: Request) -> None:
    """Let everything through."""


def cut_all(_request: Request) -> None:
    """Close every connection without an answer."""
    raise Cut


def held_until(opened: threading.Event) -> Rule:
    """Let nothing through before `opened` is set."""

    def hold(_request: Request) -> None:
        opened.wait(60)

    return hold


def replying(status: int, code: str) -> Rule:
    """Answer everything with an error of S3."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>No.</Message></Error>'
    reply = Reply(status, body.encode(), {"Content-Type": "application/xml"})
    return lambda _request: reply


def only(operation: str, rule: Rule) -> Rule:
    """Apply a rule to one operation, and let the others through."""
    return lambda request: rule(request) if request.operation == operation else None


def changing_once(gate: "Gate", old: bytes, new: bytes) -> Rule:
    """Of all answers in which `old` stands, let the first through with `new` in its place."""
    changed: list[Reply] = []

    def change(request: Request) -> Reply:
        reply = gate.forward(request)
        other = Reply(reply.status, reply.body.replace(old, new), reply.headers)
        if changed or other == reply:
            return reply
        changed.append(other)
        return other

    return change


class _Server(ThreadingHTTPServer):
    """Listens for a gate, and knows its connections, so that it can break them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, gate: "Gate") -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.gate = gate
        self.connections: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        if self.gate.tls is not None:  # the handshake is left to the connection's own thread
            connection = self.gate.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self.connections.add(connection)
        return connection, peer

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Close it as it is: a farewell would come before a reset."""
        self.connections.discard(request)
        self.close_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that goes away is nothing to talk about."""


class _Handler(BaseHTTPRequestHandler):
    """One connection of a gate."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            self._send(self.server.gate.answer(Request(self.command, self.path, headers, body)))
        except Cut as cut:
            if isinstance(cut, Reset):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        answer = reply.encode(with_body=self.command != "HEAD")
        if reply.share < 1:
            self.close_connection = True
        if not reply.pause:
            self.wfile.write(answer)
            return
        for byte in answer:  # until the client has had enough
            time.sleep(reply.pause)
            self.wfile.write(bytes([byte]))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - http.server calls them so

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Gate:
    """What came, what went, and the rule in force."""

    def __init__(self, upstream: str) -> None:
        """Stand in front of `upstream`."""
        self.upstream = upstream
        self.port = 0
        self.url = ""
        self.rule: Rule = pass_all
        self.tls: ssl.SSLContext | None = None
        self.requests: list[Request] = []
        self.exchanges: list[tuple[Request, bytes]] = []
        self._under_way: set[int] = set()

    def accept(self) -> None:
        """Accept connections, from now on or again."""
        self._server = _Server(self.port, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Break every connection, and refuse new ones."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in tuple(self._server.connections):
            with suppress(OSError):  # it may have ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def count(self, operation: str) -> int:
        """How many requests of this operation came."""
        return sum(request.operation == operation for request in self.requests)

    def wait_for(self, operation: str, *, count: int = 1, within: float = 15.0) -> None:
        """Return when so many requests of this operation have come."""
        eventually(lambda: self.count(operation) >= count, f"{count} of {operation} at the gate", within=within)

    def receipt_handles(self) -> dict[str, str]:
        """The newest receipt handle of every message that went through."""
        return {message["MessageId"]: message["ReceiptHandle"] for message in self._handed_out()}

    def receive_counts(self) -> dict[str, int]:
        """How often the emulator says it has handed out every message that went through."""
        return {
            message["MessageId"]: int(message["Attributes"]["ApproximateReceiveCount"])
            for message in self._handed_out()
        }

    def _handed_out(self) -> Iterator[Any]:
        for request, answer in tuple(self.exchanges):
            if request.operation == "ReceiveMessage" and answer.startswith(b"{"):
                yield from json.loads(answer).get("Messages", ())

    def answer(self, request: Request) -> Reply:
        """Reply by the rule, else as the emulator does."""
        self.requests.append(request)
        self._under_way.add(id(request))
        try:
            return self.rule(request) or self.forward(request)
        finally:
            self._under_way.discard(id(request))

    def wait_until_answered(self) -> None:
        """Return when what is under way now is answered, whether or not its client still waits; others may follow."""
        under_way = set(self._under_way)
        eventually(lambda: not under_way & self._under_way, "an end of what was under way at the gate")

    def forward(self, request: Request) -> Reply:
        """What the emulator replies."""
        where = urlsplit(self.upstream)
        assert where.hostname is not None
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        try:
            connection.request(request.method, request.path, request.body, request.headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        self.exchanges.append((request, body))
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
        return Reply(answer.status, body, headers)


@contextmanager
def gate_before(upstream: str, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Gate]:
    """Put a gate in front of `upstream` for as long as the context lasts; `host` is the name in its URL.

    With `tls` it speaks HTTPS, with the certificate of that context: of another one as soon as `gate.tls` is.
    """
    gate = Gate(upstream)
    gate.tls = tls
    # Bound for as long as the gate lasts, so that nobody else gets the port while connections are refused.
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        gate.port = reserved.getsockname()[1]
        gate.url = f"{'https' if tls else 'http'}://{host}:{gate.port}"
        gate.accept()
        try:
            yield gate
        finally:
            gate.refuse()
