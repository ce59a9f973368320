"""A proxy in front of an emulator: everything passes and is noted, until a rule says that a fault happens."""

import http.client
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.aws_answers import Act, CallFault, Reply, Request, Rule, act
from tests.support.waiting import eventually

LONGER_THAN_ANY_TIMEOUT = 5.0  # seconds, of the services in front of it
HOP_BY_HOP = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


def pass_all(_request: Request) -> None:
    """Let everything through."""


def held_until(opened: threading.Event) -> Callable[[Request], None]:
    """Let nothing through before `opened` is set."""

    def hold(_request: Request) -> None:
        opened.wait(60)

    return hold


def only(operation: str, rule: Rule) -> Rule:
    """Apply a rule to one operation, and let the others through."""
    return lambda request: act(rule, request) if request.operation == operation else None


def after_a_good_start(proxy: "FaultProxy", rule: Rule) -> Rule:
    """Let the first two PUTs through, the probe object's and the first email's: then the service takes them all."""
    return lambda request: act(rule, request) if proxy.count("PUT") > 2 else None


def changing_once(proxy: "FaultProxy", old: bytes, new: bytes) -> Rule:
    """Of all answers in which `old` stands, let the first through with `new` in its place."""
    changed: list[Reply] = []

    def change(request: Request) -> Reply:
        reply = proxy.forward(request)
        other = replace(reply, body=reply.body.replace(old, new))
        if changed or other == reply:
            return reply
        changed.append(other)
        return other

    return change


class _Server(ThreadingHTTPServer):
    """Listens for a proxy, and knows its connections, so that it can break them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, proxy: "FaultProxy") -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.proxy = proxy
        self.connections: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        if self.proxy.tls is not None:  # the handshake is left to the connection's own thread
            connection = self.proxy.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self.connections.add(connection)
        return connection, peer

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Close it as it is: a farewell would come before a reset."""
        self.connections.discard(request)
        self.close_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that goes away is nothing to talk about."""


class _Handler(BaseHTTPRequestHandler):
    """One connection of a proxy."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.proxy.answer(Request(self.command, self.path, headers, body))
        if reply is CallFault.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if isinstance(reply, CallFault):
            self.close_connection = True
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        answer = reply.encode(with_body=self.command != "HEAD")
        if not reply.is_whole:
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


class FaultProxy:
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
        eventually(lambda: self.count(operation) >= count, f"{count} of {operation} at the proxy", within=within)

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

    def answer(self, request: Request) -> Reply | CallFault:
        """Reply by the rule, else as the emulator does; a fault if the connection is to end without an answer."""
        self.requests.append(request)
        self._under_way.add(id(request))
        try:
            return self._carry_out(act(self.rule, request), request)
        finally:
            self._under_way.discard(id(request))

    def _carry_out(self, what: Act, request: Request) -> Reply | CallFault:
        match what:
            case None:
                return self.forward(request)
            case CallFault.LOSE:
                self.forward(request)
            case CallFault.HANG:
                time.sleep(LONGER_THAN_ANY_TIMEOUT)
            case CallFault.CUT | CallFault.RESET | Reply():
                pass
            case _:
                raise NotImplementedError(what)
        return what

    def wait_until_answered(self) -> None:
        """Return when what is under way now is answered, whether or not its client still waits; others may follow."""
        under_way = set(self._under_way)
        eventually(lambda: not under_way & self._under_way, "an end of what was under way at the proxy")

    def forward(self, request: Request) -> Reply:
        """What the emulator replies."""
        where = urlsplit(self.upstream)
        assert where.hostname is not None
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        try:
            connection.request(request.method, request.target, request.body, request.headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        self.exchanges.append((request, body))
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
        return Reply(answer.status, body, headers)


@contextmanager
def fault_proxy(upstream: str, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[FaultProxy]:
    """Put a proxy in front of `upstream` for as long as the context lasts; `host` is the name in its URL.

    With `tls` it speaks HTTPS, with the certificate of that context: of another one as soon as `proxy.tls` is.
    """
    proxy = FaultProxy(upstream)
    proxy.tls = tls
    # Bound for as long as the proxy lasts, so that nobody else gets the port while connections are refused.
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        proxy.port = reserved.getsockname()[1]
        proxy.url = f"{'https' if tls else 'http'}://{host}:{proxy.port}"
        proxy.accept()
        try:
            yield proxy
        finally:
            proxy.refuse()
