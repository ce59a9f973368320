"""A gate in front of an emulator: everything passes and is noted, until a rule says otherwise."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.waiting import eventually

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
    """What goes back instead of the emulator's own answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Cut(Exception):  # noqa: N818 - it is not an error, it is what the gate does
    """The connection is closed without an answer."""


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


class Gate:
    """What came, what went, and the rule in force."""

    def __init__(self, upstream: str) -> None:
        """Stand in front of `upstream`."""
        self.upstream = upstream
        self.url = ""
        self.rule: Rule = pass_all
        self.requests: list[Request] = []
        self.exchanges: list[tuple[Request, bytes]] = []
        self._under_way: set[int] = set()

    def count(self, operation: str) -> int:
        """How many requests of this operation came."""
        return sum(request.operation == operation for request in self.requests)

    def wait_for(self, operation: str, *, count: int = 1, within: float = 15.0) -> None:
        """Return when so many requests of this operation have come."""
        eventually(lambda: self.count(operation) >= count, f"{count} of {operation} at the gate", within=within)

    def receipt_handles(self) -> dict[str, str]:
        """The newest receipt handle of every message that went through."""
        return {
            message["MessageId"]: message["ReceiptHandle"]
            for request, answer in self.exchanges
            if request.operation == "ReceiveMessage"
            for message in json.loads(answer).get("Messages", ())
        }

    def answer(self, request: Request) -> Reply:
        """Reply by the rule, else as the emulator does."""
        self.requests.append(request)
        self._under_way.add(id(request))
        try:
            return self.rule(request) or self.forward(request)
        finally:
            self._under_way.discard(id(request))

    def wait_until_idle(self) -> None:
        """Return when no request is under way, whether or not its client still waits for the answer."""
        eventually(lambda: not self._under_way, "no request at the gate")

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
def gate_before(upstream: str) -> Iterator[Gate]:
    """Put a gate in front of `upstream` for as long as the context lasts."""
    gate = Gate(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                reply = gate.answer(Request(self.command, self.path, headers, body))
            except Cut:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - http.server calls them so

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that goes away is nothing to talk about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        gate.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield gate
        finally:
            server.shutdown()
            thread.join()
