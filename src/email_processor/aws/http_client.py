"""HTTP/1.1 to one server, with little between a request and its socket.

It runs on the event loop's own thread. There are connections that are kept, TLS and deadlines; no proxies, no
redirects, no retries.
"""

import asyncio
import select
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from email_processor.allocator import map_read_buffers, use_the_heap
from email_processor.aws.faults import is_bug_of_ours
from email_processor.aws.resolver import Resolver
from email_processor.aws.tls import Trust
from email_processor.ports import SLOWEST_BYTES_PER_SECOND, Admission

IDLE_SECONDS = 10.0  # S3 and SQS close what has been idle for longer, perhaps under a request
SWEEP_SECONDS = 1.0
ANSWER_MAX_BYTES = 32 * 1024 * 1024  # a receive of ten messages of 1 MiB, escaped
NEXT_ADDRESS_SECONDS = 0.25  # that one address is tried alone before the next one is tried beside it (RFC 8305)
READ_AHEAD_BYTES = 64 * 1024  # a body up to here is read at once, without being admitted
# What the kernel reads ahead for each connection is memory of the container too, and it would take megabytes.
SOCKET_BUFFER_BYTES = 128 * 1024
HEAD_MAX_BYTES = 64 * 1024  # of the header lines of an answer, and of what the parser holds of a line that has no end
HEADERS_MAX = 256  # S3 has a dozen, and 2 KiB of user metadata
FINAL = 200  # HTTP statuses below only announce the answer


class Answer(NamedTuple):
    """What the server said. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Held(NamedTuple):
    """An answer whose body is not read yet: the most bytes that it can have, and the answer to come."""

    size: int
    rest: "asyncio.Future[Answer | _Held]"


class HttpClient:
    """One server. Errors are those of the SDK's own HTTP session."""

    def __init__(
        self,
        url: str,
        *,
        tls: Trust | None,
        connect_timeout: float,
        timeout: float,
        resolver: Resolver | None = None,
        answer_max: int = ANSWER_MAX_BYTES,
    ) -> None:
        """`tls` is for `https`; `timeout` (seconds, to the second) is how long a request may take once it is sent.

        That it takes its time to send a large one is allowed for: see `SLOWEST_BYTES_PER_SECOND`. So it is to read an
        answer of more than `ANSWER_MAX_BYTES`, if `answer_max` (bytes) lets one in.
        """
        parts = urlsplit(url)
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.answer_max = answer_max
        self._host = parts.hostname or ""
        self._port = parts.port or (80 if tls is None else 443)
        self._tls = tls
        self._resolver = resolver or Resolver()
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._open: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()  # the longest idle first
        self._sweeper: asyncio.TimerHandle | None = None

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, admit: Admission | None = None
    ) -> Answer:
        """Send a request and return the answer, which is asked for as it is: some servers compress unasked.

        If `admit` is given, an answer of more than `READ_AHEAD_BYTES`, or of unknown size, stays on the socket until
        `admit` has returned. How long that takes does not count for the request's time.

        Raises:
            BotoCoreError: there was none.
        """
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        lines += f"accept-encoding: identity\r\ncontent-length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        # Only after all that is ready now. Requests that are written one after another cost less than with the work for
        # the next one in between: the kernel's code stays in the caches, and whoever reads them stays awake.
        await asyncio.sleep(0)
        connection = self._take() or await self._connect()
        asked = connection.ask(head + body, may_hold=admit is not None)
        try:
            said = await asked
            if isinstance(said, _Held):
                asked = said.rest
                if admit is not None:
                    await admit(said.size)
                said = await connection.read_on(said)
            return cast("Answer", said)
        except BaseException:
            if not _is_answered(asked):  # else it may be another request's by now
                connection.abort()  # what may still arrive on it is no answer to anything
            raise

    def close(self) -> None:
        """Drop every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._open):
            connection.abort()

    def _take(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> "_Connection":
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await self._establish()
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=self.url, error=error) from error
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise SSLError(endpoint_url=self.url, error=error) from error
        except (OSError, RuntimeError) as error:  # uvloop's sockets raise either
            raise EndpointConnectionError(endpoint_url=self.url, error=error) from error

    async def _establish(self) -> "_Connection":
        if self._tls is None:
            return await self._connect_with(None)
        used = self._tls.context
        try:
            return await self._connect_with(used)
        except ssl.SSLCertVerificationError:
            if not self._tls.is_other_than(used):
                raise
        return await self._connect_with(self._tls.context)

    async def _connect_with(self, tls: ssl.SSLContext | None) -> "_Connection":
        connection = _Connection(self)
        try:
            sock = await start_connection(
                await self._resolver.addresses(self._host, self._port), happy_eyeballs_delay=NEXT_ADDRESS_SECONDS
            )
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
            try:
                await self._loop.create_connection(lambda: connection, sock=sock)
            except BaseException:
                sock.close()
                raise
            if tls is not None:
                await connection.secure(tls, self._host)
        except BaseException:
            connection.abort()
            raise
        return connection

    def opened(self, connection: "_Connection") -> None:
        """Keep account of a connection that was made, and look after its deadlines."""
        self._open.add(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def is_free(self, connection: "_Connection") -> None:
        """A connection has done its work and may do more."""
        self._idle.append(connection)

    def lost(self, connection: "_Connection") -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _sweep(self) -> None:
        """Look after all deadlines together: a timer for each request would cost as much as its signature."""
        now = self._loop.time()
        for connection in tuple(self._open):
            connection.expire(asked_before=now - self._timeout, idle_since=now - IDLE_SECONDS)
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep) if self._open else None


def _is_answered(asked: "asyncio.Future[Answer | _Held]") -> bool:
    """Whether its whole answer is there, whoever has heard of it."""
    is_heard = asked.done() and not asked.cancelled() and asked.exception() is None
    return is_heard and isinstance(asked.result(), Answer)


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time on it."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._socket_transport: asyncio.Transport | None = None  # below TLS, where there is any
        self._transport: asyncio.Transport | None = None  # the same, or TLS on top of it
        self._unread = select.poll()
        self._parser = HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer | _Held] | None = None
        self._may_hold = False  # the body, until whoever waits for it has room
        self._is_held = False
        self._answer: Answer | None = None
        self._is_kept = False
        self._is_unbounded = False  # the body ends with the connection
        self._since = self._loop.time()  # when it was begun, its last request was sent, or answered
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._head_lines = 0
        self._unparsed = 0  # most that the parser can hold of an unfinished line
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def is_open(self) -> bool:
        """Whether a request can still be sent on it."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_usable(self) -> bool:
        """Whether it is open and silent. What can be read on it, unasked, is mostly its end, which comes unannounced.

        The event loop may not have read it yet: servers that close after each answer do so at once.
        """
        return self.is_open and not self._unread.poll(0)

    @property
    def _is_sent(self) -> bool:
        """Whether the server can have read the whole request: the rest would be taken for the start of the next one.

        Asked of what is on the socket, because TLS does not count what it has handed on.
        """
        return self._socket_transport is not None and self._socket_transport.get_write_buffer_size() == 0

    async def secure(self, tls: ssl.SSLContext, host: str) -> None:
        """Put TLS between the socket and the requests."""
        below = self._socket_transport
        if below is None:
            raise ConnectionResetError
        map_read_buffers()
        self._loop.call_soon(use_the_heap)  # its read buffer is made before this turn of the event loop is over
        transport = await self._loop.start_tls(below, self, tls, server_hostname=host)
        if transport is None or transport.is_closing():  # uvloop returns one for a connection that has ended before
            raise ConnectionResetError
        self._transport = transport

    def ask(self, request: bytes, *, may_hold: bool) -> "asyncio.Future[Answer | _Held]":
        """Send a request; the future is its answer, which is held before a large body if it `may_hold`."""
        waiter = self._waiter = self._loop.create_future()
        self._may_hold = may_hold
        self._since = self._loop.time() + len(request) / SLOWEST_BYTES_PER_SECOND  # when it is sent at the latest
        if self._transport is None:
            self._fail(ConnectionClosedError(endpoint_url=self._http.url))
        else:
            self._transport.write(request)
        return waiter

    def read_on(self, held: _Held) -> "asyncio.Future[Answer | _Held]":
        """Read the body that was held; the future is the whole answer."""
        if self._waiter is held.rest:  # else it has come already, with the head, or never will
            self._since = self._loop.time()
            self._release()
        return held.rest

    def _hold(self, waiter: "asyncio.Future[Answer | _Held]", size: int) -> None:
        """Read no further until `read_on`."""
        self._is_held = True
        if self._transport is not None:
            self._transport.pause_reading()
        rest = self._waiter = self._loop.create_future()
        rest.add_done_callback(lambda rest: rest.cancelled() or rest.exception())  # who gave up does not ask for it
        waiter.set_result(_Held(size, rest))

    def _release(self) -> None:
        self._is_held = False
        if self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Drop it at once."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._http.lost(self)

    def expire(self, *, asked_before: float, idle_since: float) -> None:
        """Drop it if its request is older than allowed, or if it has been idle for too long."""
        if self._waiter is None:
            if self._since < idle_since:
                self.abort()
        elif self._since < asked_before and not self._is_held:
            self._fail(ReadTimeoutError(endpoint_url=self._http.url))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server has accepted: requests can be sent."""
        self._socket_transport = self._transport = cast("asyncio.Transport", transport)
        self._unread.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._http.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended: whoever waits for an answer has it now, or hears that there is none."""
        self._transport = None
        self._http.lost(self)
        if error is None and self._is_unbounded:
            self.on_message_complete()
            self._deliver()
        else:
            self._fail_over(error)
        del self._parser  # the two hold on to each other: they would wait for the garbage collector

    def data_received(self, data: bytes) -> None:
        """Read on in the answer."""
        self._unparsed += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:  # the latter: a server that wants another protocol
            self._refuse(error)
        else:
            if self._answer is not None:
                self._deliver()
            elif self._unparsed > HEAD_MAX_BYTES:
                self._refuse(ValueError(f"more than {HEAD_MAX_BYTES} bytes without an end to the line"))

    def _refuse(self, error: Exception) -> None:
        """Take no more of what the server sends: it is no answer that can be understood."""
        self._fail_over(error.__context__ if isinstance(error, HttpParserCallbackError) else error)
        self.abort()

    def on_message_begin(self) -> None:
        """An answer begins. Only one was asked for: a second could be taken for that of the next request."""
        if self._waiter is None or self._answer is not None:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is read: of the head, or behind a body that came in chunks."""
        self._unparsed = 0
        self._head_lines += 1
        self._head_size += len(name) + len(value)
        if self._head_lines > HEADERS_MAX or self._head_size > HEAD_MAX_BYTES:
            raise ValueError(f"more than {HEADERS_MAX} headers, or more than {HEAD_MAX_BYTES} bytes of them")
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is read."""
        self._is_unbounded = self._parser.get_status_code() >= FINAL and not (
            {"content-length", "transfer-encoding"} & self._headers.keys() or self._parser.should_keep_alive()
        )
        length = self._headers.get("content-length", "")
        size = min(int(length) if length.isdecimal() else ANSWER_MAX_BYTES, self._http.answer_max)
        if size > ANSWER_MAX_BYTES:
            self._since += size / SLOWEST_BYTES_PER_SECOND
        if self._may_hold and self._parser.get_status_code() >= FINAL:
            self._may_hold = False
            if size > READ_AHEAD_BYTES and self._waiter is not None and not self._waiter.done():
                self._hold(self._waiter, size)

    def on_body(self, part: bytes) -> None:
        """A part of the body is read."""
        self._unparsed = 0
        self._size += len(part)
        if self._size > self._http.answer_max:
            raise ValueError(f"an answer of more than {self._http.answer_max} bytes")
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """The answer is read to its end."""
        status = self._parser.get_status_code()
        if status >= FINAL:
            self._answer = Answer(status, self._headers, b"".join(self._parts))
            self._is_kept = self._parser.should_keep_alive()
            self._head_lines = self._head_size = 0  # those before the answer count as well: they could go on for ever
        self._unparsed = 0
        self._headers, self._parts, self._size = {}, [], 0

    def _deliver(self) -> None:
        answer, waiter = self._answer, self._waiter
        self._answer = self._waiter = None
        self._since = self._loop.time()
        if self._is_held:
            self._release()
        is_awaited = waiter is not None and not waiter.done()
        if is_awaited and self._is_kept and self.is_open and self._is_sent:
            self._http.is_free(self)
        else:  # whoever gave up is about to drop it, and would drop the next request with it
            self.abort()
        if waiter is not None and answer is not None and is_awaited:
            waiter.set_result(answer)

    def _fail_over(self, error: BaseException | None) -> None:
        """Let the request fail for what has ended its connection, or broken off its answer."""
        if isinstance(error, Exception) and is_bug_of_ours(error):
            self._fail(error)
        else:
            self._fail(ConnectionClosedError(endpoint_url=self._http.url, error=error))

    def _fail(self, error: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
