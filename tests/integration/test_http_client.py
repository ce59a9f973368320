"""HTTP on the wire: answers however they arrive, connections that are kept and dropped, and deadlines."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from hypothesis import given
from hypothesis import strategies as st

from email_processor.aws import http_client
from email_processor.aws.http_client import ANSWER_MAX_BYTES, Answer, HttpClient
from email_processor.aws.resolver import AddressInfo, Resolver
from email_processor.aws.tls import Trust
from email_processor.ports import Admission
from tests.support.certificates import new_authority
from tests.support.emulators import free_port
from tests.support.serving import serving as serving_sockets

MIB = 2**20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: abc\r\n\r\nhello"
HELLO = Answer(200, {"content-length": "5", "etag": "abc"}, b"hello")
CHUNKED = b"HTTP/1.1 503 Slow Down\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
EARLY = b"HTTP/1.1 100 Continue\r\n\r\n" + OK
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"


class Server:
    """Sends scripted bytes for each request that comes, and knows the connections."""

    def __init__(self) -> None:
        self.answers: list[list[bytes]] = []  # of each request: what is sent, part by part
        self.closes = False  # after each answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self._news = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when something has come, or gone, that makes `condition` true."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    def talk(self, data: bytes) -> None:
        """Send without being asked, on the newest connection."""
        assert self._writer is not None
        self._writer.write(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open += 1
        self._writer = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                self._news.set()
                for part in self.answers.pop(0):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self._news.set()
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes | list[bytes], closes: bool = False) -> AsyncIterator[Server]:
    """Serve; each answer is whole, or in parts."""
    server = Server()
    server.answers = [answer if isinstance(answer, list) else [answer] for answer in answers]
    server.closes = closes
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.until(lambda: server.open == 0)


@asynccontextmanager
async def wired(
    port: int, longest: float = 5.0, admit: Admission | None = None, most: int = ANSWER_MAX_BYTES
) -> AsyncIterator[Callable[[], asyncio.Future[Answer]]]:
    """An HTTP client of `port`: call it to send a request."""
    http = HttpClient(f"http://127.0.0.1:{port}", tls=None, connect_timeout=1, timeout=longest, answer_max=most)

    def ask() -> asyncio.Future[Answer]:
        return asyncio.ensure_future(http.send("PUT", "/b/k", {"host": "h"}, b"body", admit))

    try:
        yield ask
    finally:
        http.close()


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines are looked after a hundred times a second."""
    monkeypatch.setattr(http_client, "SWEEP_SECONDS", 0.01)


async def test_a_request_is_sent_as_it_should_be() -> None:
    """Method, target, headers, that the answer be not compressed, length and body; nothing else."""
    async with serving(OK) as server, wired(server.port) as ask:
        assert HELLO == await ask()
    assert [
        b"PUT /b/k HTTP/1.1\r\nhost: h\r\naccept-encoding: identity\r\ncontent-length: 4\r\n\r\nbody"
    ] == server.requests


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [(OK, 200, b"hello"), (CHUNKED, 503, b"hello"), (EARLY, 200, b"hello"), (EMPTY, 204, b"")],
    ids=["length", "chunks", "after an early answer", "no body"],
)
async def test_an_answer_is_read_to_its_end(sent: bytes, status: int, body: bytes) -> None:
    """However its end is marked; the connection is used again."""
    async with serving(sent, OK) as server, wired(server.port) as ask:
        answer = await ask()
        assert HELLO == await ask()
    assert (answer.status, answer.body, server.connections) == (status, body, 1)


async def test_an_answer_may_end_with_the_connection() -> None:
    """Where the server says neither length nor chunks."""
    async with serving(ENDLESS, closes=True) as server, wired(server.port) as ask:
        answer = await ask()
    assert (200, b"hello") == (answer.status, answer.body)


@given(st.sampled_from([OK, CHUNKED, EARLY]), st.data())
async def test_it_does_not_matter_how_an_answer_is_cut(sent: bytes, data: st.DataObject) -> None:
    """Any cut gives the same answer."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    parts = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    async with serving(parts) as server, wired(server.port) as ask:
        answer = await ask()
    assert (503 if sent is CHUNKED else 200) == answer.status
    assert b"hello" == answer.body


@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", OK[:-1], CHUNKED[:-2], b"SMTP ready\r\n\r\n", OK.replace(b"5", b"-1")],
    ids=["nothing", "half a head", "half a body", "no last chunk", "no HTTP", "no length"],
)
async def test_half_an_answer_is_none(sent: bytes) -> None:
    """It is an error of the network, not a shorter answer; the next request has a connection of its own."""
    async with serving(sent, closes=True) as server, wired(server.port) as ask:
        with pytest.raises(ConnectionClosedError):
            await ask()
        server.answers, server.closes = [[OK]], False
        assert HELLO == await ask()
    assert 2 == server.connections


async def test_a_server_that_wants_another_protocol_is_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody asked for one: it is no answer, and no stack trace in the log."""
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx"
    async with serving(upgrade, OK) as server, wired(server.port) as ask:
        with pytest.raises(ConnectionClosedError):
            await ask()
        assert HELLO == await ask()
    assert [] == caplog.records


async def test_two_answers_to_one_request_are_none() -> None:
    """Neither can be trusted to be meant."""
    async with serving(OK + EVIL, OK) as server, wired(server.port) as ask:
        with pytest.raises(ConnectionClosedError):
            await ask()
        assert HELLO == await ask()
    assert 2 == server.connections


async def test_what_comes_unasked_is_never_the_answer_to_the_next_request() -> None:
    """A connection on which the server goes on talking is dropped."""
    async with serving(OK, OK) as server, wired(server.port) as ask:
        await ask()
        server.talk(EVIL)
        await server.until(lambda: server.open == 0)
        assert HELLO == await ask()
    assert 2 == server.connections


async def test_a_connection_that_was_given_up_is_not_used_again() -> None:
    """Its answer would be taken for that of the next request."""
    async with serving([], OK) as server, wired(server.port) as ask:
        first = ask()
        await server.until(lambda: len(server.requests) == 1)
        first.cancel()
        assert HELLO == await ask()
    assert 2 == server.connections


async def test_an_answer_that_comes_as_its_request_is_given_up_frees_no_connection() -> None:
    """In one turn of the event loop: who gave up drops the connection, and with it whatever was sent on it next."""
    go = asyncio.Event()
    async with serving([], OK) as server:
        http = HttpClient(f"http://127.0.0.1:{server.port}", tls=None, connect_timeout=1, timeout=5)
        first = asyncio.ensure_future(http.send("PUT", "/", {}, b"body"))

        async def ask_next() -> Answer:
            await go.wait()
            return await http.send("PUT", "/", {}, b"body")

        following = asyncio.ensure_future(ask_next())
        await server.until(lambda: len(server.requests) == 1)
        (connection,) = http._open
        go.set()
        first.cancel()
        connection.data_received(OK)
        assert HELLO == await following
        http.close()


async def test_a_connection_that_the_server_closes_is_forgotten() -> None:
    """Between two requests, or by `Connection: close`: the next one opens another."""
    async with serving(OK, OK, closes=True) as server, wired(server.port) as ask:
        await ask()
        await server.until(lambda: server.open == 0)
        assert HELLO == await ask()
    assert 2 == server.connections


async def test_requests_at_the_same_time_have_a_connection_each() -> None:
    """And those are shared by the next ones."""
    async with serving(*[OK] * 6) as server, wired(server.port) as ask:
        for _ in range(2):
            assert {b"hello"} == {answer.body for answer in await asyncio.gather(ask(), ask(), ask())}
    assert 3 == server.connections


async def test_requests_are_written_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the work for the next one in between, each would wake its reader anew, and find cold caches."""
    ask, happened = http_client._Connection.ask, []

    def told(connection: http_client._Connection, request: bytes, *, may_hold: bool) -> Any:  # noqa: ANN401 - as `ask` does
        happened.append("written")
        return ask(connection, request, may_hold=may_hold)

    monkeypatch.setattr(http_client._Connection, "ask", told)
    async with serving(*[OK] * 6) as server:
        http = HttpClient(f"http://127.0.0.1:{server.port}", tls=None, connect_timeout=1, timeout=5)

        async def work() -> None:
            happened.append("made")
            await http.send("PUT", "/", {}, b"body")

        await asyncio.gather(work(), work(), work())
        happened.clear()
        await asyncio.gather(work(), work(), work())
        http.close()
    assert ["made"] * 3 + ["written"] * 3 == happened


async def test_who_gives_up_at_once_has_asked_nothing() -> None:
    """And leaves the connection to others."""
    async with serving(OK, OK) as server, wired(server.port) as ask:
        await ask()
        hasty = ask()
        await asyncio.sleep(0)
        hasty.cancel()
        assert HELLO == await ask()
    assert (2, 1) == (len(server.requests), server.connections)


@pytest.mark.usefixtures("swift")
async def test_a_request_takes_no_longer_than_allowed() -> None:
    """Then its connection is dropped."""
    async with serving([]) as server, wired(server.port, longest=0.05) as ask:
        with pytest.raises(ReadTimeoutError):
            await ask()
        await server.until(lambda: server.open == 0)


@pytest.mark.usefixtures("swift")
async def test_a_large_request_is_given_the_time_that_it_takes_to_send_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked gives up first."""
    monkeypatch.setattr(http_client, "SLOWEST_BYTES_PER_SECOND", 10)
    async with serving([]) as server, wired(server.port, longest=0.05) as ask:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ask()


@pytest.mark.usefixtures("swift")
async def test_an_idle_connection_is_dropped_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the server drops it under a request."""
    monkeypatch.setattr(http_client, "IDLE_SECONDS", 0.02)
    async with serving(OK, OK) as server, wired(server.port) as ask:
        await ask()
        await server.until(lambda: server.open == 0)
        assert HELLO == await ask()


async def test_an_answer_that_is_too_large_is_not_kept() -> None:
    """Memory is bounded, whatever the server says."""
    async with serving(OK) as server, wired(server.port, most=4) as ask:
        with pytest.raises(ConnectionClosedError):
            await ask()


SLOWLY = 20_000  # parts, a byte each, which take longer than the request may


@pytest.mark.usefixtures("swift")
async def test_a_very_large_answer_has_the_time_that_its_size_takes() -> None:
    """It is let in where objects of any size are read."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {ANSWER_MAX_BYTES + 1}\r\n\r\n".encode()
    parts = [head, *[b"x"] * SLOWLY, bytes(ANSWER_MAX_BYTES + 1 - SLOWLY)]
    async with serving(parts) as server, wired(server.port, longest=0.2, most=2 * ANSWER_MAX_BYTES) as ask:
        answer = await ask()
    assert ANSWER_MAX_BYTES + 1 == len(answer.body)


HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS_HEADS = {
    "headers without end": (HEAD, b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
    "tiny headers without end": (HEAD, b"X:\r\n"),
    "a name without end": (HEAD, b"X-Filler-"),
    "a value without end": (HEAD + b"X: ", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    "a reason without end": (b"HTTP/1.1 200 ", b"OK and more "),
    "early answers without end": (b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"),
    "trailers without end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Filler: aaaaaaaaaaaaaaaaaaaaa\r\n"),
    "a chunk's extension without end": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;",
        b"x=yyyyyyyyyyyyyyyyyyyyyyyyyyy;",
    ),
}


@pytest.mark.parametrize(("begin", "again"), ENDLESS_HEADS.values(), ids=ENDLESS_HEADS)
async def test_a_head_without_end_is_not_kept(begin: bytes, again: bytes) -> None:
    """Whatever of it has no end: the connection is dropped after little more than is allowed."""
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"body")
        writer.write(begin)
        try:
            while sent < 256 * MIB:
                writer.write(again * (65536 // len(again)))
                sent += 65536
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with serving_sockets(pour) as port, wired(port, longest=60) as ask:
        with pytest.raises(ConnectionClosedError):
            await ask()
    assert sent < 16 * MIB  # what the sockets hold on the way included


async def test_as_many_headers_as_aws_sends_are_read() -> None:
    """The bound on heads is far from what S3 sends of an object with all the metadata that it may have."""
    metadata = b"".join(b"x-amz-meta-%d: %s\r\n" % (number, b"v" * 100) for number in range(200))
    async with serving(HEAD + metadata + b"Content-Length: 0\r\n\r\n") as server, wired(server.port) as ask:
        answer = await ask()
    assert 201 == len(answer.headers)


@pytest.mark.parametrize(
    ("sent", "announced"),
    [
        ([OK], []),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", bytes(70_000)], [70_000]),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + bytes(70_000)], [70_000]),
        ([CHUNKED], [ANSWER_MAX_BYTES]),
    ],
    ids=["small", "large", "large, all at once", "of unknown size"],
)
@pytest.mark.usefixtures("swift")
async def test_an_answer_is_asked_about_before_it_is_read_if_it_may_be_large(
    sent: list[bytes], announced: list[int]
) -> None:
    """However long it takes until it is admitted: that is no time that the request takes."""
    asked: list[int] = []

    async def admit(size: int) -> None:
        asked.append(size)
        await asyncio.sleep(0.2)

    async with serving(sent, sent) as server, wired(server.port, longest=0.1, admit=admit) as ask:
        first, second = await ask(), await ask()
    assert first == second
    assert len(first.body) in {5, 70_000}
    assert announced * 2 == asked


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
async def test_an_answer_that_is_not_admitted_stays_with_the_server(is_secure: bool, tmp_path: Path) -> None:
    """Of 16 MiB hardly any is on its way until there is room; if there is none, the connection is dropped."""
    authority = new_authority(tmp_path)
    sent, size = 0, 16 * MIB

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"body")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        sent = 0
        with suppress(ConnectionError):
            while sent < size:
                writer.write(bytes(MIB // 16))
                sent += MIB // 16
                await writer.drain()
        writer.close()

    async def admit(_: int) -> None:
        before = -1
        while before < sent:  # until the server can send no more
            before = sent
            await asyncio.sleep(0.1)
        held.append(sent)

    async def refuse(_: int) -> None:
        raise PermissionError

    held: list[int] = []
    trusted = Trust(str(authority.pem)) if is_secure else None
    async with serving_sockets(answer, authority.server if is_secure else None) as port:
        url = f"{'https' if is_secure else 'http'}://localhost:{port}"
        http = HttpClient(url, tls=trusted, connect_timeout=5, timeout=5)
        with pytest.raises(PermissionError):
            await http.send("GET", "/", {}, b"body", refuse)
        assert size == len((await http.send("GET", "/", {}, b"body", admit)).body)
        http.close()
    assert held[0] < size // 2


async def test_the_read_buffer_of_a_connection_is_mapped_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS makes it in the turn of the event loop in which it begins; from the next one on bodies are on the heap."""
    authority = new_authority(tmp_path)
    happened: list[str] = []
    loop = type(asyncio.get_running_loop())
    start_tls = loop.start_tls

    async def begin(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the loop's own
        happened.append("TLS")
        made = await start_tls(*arguments, **options)
        happened.append("made")
        return made

    monkeypatch.setattr(loop, "start_tls", begin)
    monkeypatch.setattr(http_client, "map_read_buffers", lambda: happened.append("mapped"))
    monkeypatch.setattr(http_client, "use_the_heap", lambda: happened.append("heap"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"body")
        writer.write(ENDLESS)
        writer.close()

    async with serving_sockets(answer, authority.server) as port:
        http = HttpClient(f"https://localhost:{port}", tls=Trust(str(authority.pem)), connect_timeout=5, timeout=5)
        assert b"hello" == (await http.send("PUT", "/k", {}, b"body")).body
        http.close()
    assert ["mapped", "TLS", "heap", "made"] == happened


async def test_a_server_that_goes_while_its_answer_waits_has_given_none() -> None:
    """Nobody knows how it would have ended. If it was not waited for to the end, there is nobody to tell."""
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + bytes(1000)
    for is_patient in (True, False):

        async def admit(_: int, is_patient: bool = is_patient) -> None:
            await asyncio.sleep(0.1)
            if not is_patient:
                raise PermissionError

        async with serving(begun, closes=True) as server, wired(server.port, admit=admit) as ask:
            with pytest.raises(ConnectionClosedError if is_patient else PermissionError):
                await ask()
    gc.collect()


async def test_who_is_not_admitted_any_more_leaves_the_connection_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that had come whole, together with its head, waits in memory: its connection is another request's."""
    monkeypatch.setattr(http_client, "READ_AHEAD_BYTES", 4)
    is_waiting = asyncio.Event()

    async def admit(_: int) -> None:
        if not is_waiting.is_set():
            is_waiting.set()
            await asyncio.Event().wait()

    async with serving(OK, []) as server, wired(server.port, admit=admit) as ask:
        first = ask()
        await is_waiting.wait()
        second = ask()
        await server.until(lambda: len(server.requests) == 2)
        first.cancel()
        await asyncio.wait([first])
        server.talk(OK)
        assert 200 == (await second).status
        assert 1 == server.connections


async def test_a_connection_that_was_just_made_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst of new connections to a server that keeps none, with the sweeper at work in every turn of the loop."""
    monkeypatch.setattr(http_client, "SWEEP_SECONDS", 0.0)
    over = asyncio.Event()

    async def keeping_none(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readuntil(b"body")).startswith(b"PUT /last "):
            await over.wait()
        writer.write(ENDLESS)
        writer.close()

    async with serving_sockets(keeping_none) as port:
        http = HttpClient(f"http://127.0.0.1:{port}", tls=None, connect_timeout=5, timeout=60)
        last = asyncio.ensure_future(http.send("PUT", "/last", {}, b"body"))  # there is always one to look after
        for _ in range(20):
            answers = await asyncio.gather(*[http.send("PUT", "/k", {}, b"body") for _ in range(10)])
            assert {b"hello"} == {answer.body for answer in answers}
        over.set()
        assert b"hello" == (await last).body


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
async def test_a_connection_with_unsent_bytes_is_not_used_again(is_secure: bool, tmp_path: Path) -> None:
    """Answered before it was all sent, a request's rest would be read as the next request's beginning."""
    authority = new_authority(tmp_path)
    firsts = []

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        firsts.append(await reader.readline())
        writer.write(OK)
        await writer.drain()
        await closed.wait()
        writer.close()

    closed = asyncio.Event()
    trusted = Trust(str(authority.pem)) if is_secure else None
    async with serving_sockets(hasty, authority.server if is_secure else None) as port:
        url = f"{'https' if is_secure else 'http'}://localhost:{port}"
        http = HttpClient(url, tls=trusted, connect_timeout=5, timeout=5)
        try:
            for _ in range(2):
                assert b"hello" == (await http.send("PUT", "/b/k", {"host": "h"}, bytes(16 * MIB))).body
        finally:
            http.close()
            closed.set()
    assert [b"PUT /b/k HTTP/1.1\r\n"] * 2 == firsts


async def test_a_server_that_is_not_there_is_told() -> None:
    """Nobody listens."""
    async with wired(free_port()) as ask:
        with pytest.raises(EndpointConnectionError):
            await ask()


@contextmanager
def silent_port(address: str) -> Iterator[int]:
    """A port that takes no connection and refuses none: its queue is full, and nobody empties it."""
    with socket.create_server((address, 0), backlog=0) as silent, ExitStack() as waiting:
        port = silent.getsockname()[1]
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((address, port))
        yield port


async def test_a_server_that_does_not_take_the_call_is_not_waited_for() -> None:
    """Connecting has a deadline of its own."""
    with silent_port("127.0.0.1") as port:
        http = HttpClient(f"http://127.0.0.1:{port}", tls=None, connect_timeout=0.1, timeout=1)
        with pytest.raises(ConnectTimeoutError):
            await http.send("PUT", "/", {}, b"")


async def test_the_next_address_is_tried_while_one_is_silent() -> None:
    """A host has several; one that is gone costs a moment and no request."""

    def look_up(_host: str) -> list[AddressInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]

    with silent_port("127.0.0.2") as port:
        server = Server()
        server.answers = [[OK]]
        listening = await asyncio.start_server(server.serve, "127.0.0.1", port)
        resolver = Resolver(look_up)
        http = HttpClient(f"http://s3.test:{port}", tls=None, connect_timeout=5, timeout=5, resolver=resolver)
        assert HELLO == await http.send("PUT", "/b/k", {"host": "h"}, b"body")
        http.close()
        await server.until(lambda: server.open == 0)
        listening.close()


async def test_closing_ends_what_is_under_way() -> None:
    """A request that has no answer yet has none."""
    async with serving([]) as server:
        async with wired(server.port) as ask:
            request = ask()
            await server.until(lambda: len(server.requests) == 1)
        with pytest.raises(BotoCoreError):
            await request


async def test_a_connection_that_is_lost_before_its_first_request_says_so() -> None:
    """The request that made it gets the error, and it is heard there and nowhere else."""
    http = HttpClient("http://archive.test", tls=None, connect_timeout=1, timeout=1)
    with pytest.raises(ConnectionClosedError):
        await http_client._Connection(http).ask(b"", may_hold=False)


async def test_a_connection_that_is_gone_is_not_kept() -> None:
    """Not even until the garbage collector comes: under faults there are many."""
    gc.collect()
    async with serving(OK, closes=True) as server:
        http = HttpClient(f"http://127.0.0.1:{server.port}", tls=None, connect_timeout=1, timeout=5)
        await http.send("PUT", "/b/k", {"host": "h"}, b"body")
        async with asyncio.timeout(5):
            while http._open:  # noqa: ASYNC110 - turns of the loop, until the end is read
                await asyncio.sleep(0)
        kept = [each for each in gc.get_objects() if isinstance(each, http_client._Connection)]
    assert [] == kept


async def test_a_server_that_closes_after_each_answer_without_a_word_costs_no_request() -> None:
    """Its end of the connection is there before the event loop has read it."""
    async with serving(*[OK] * 100, closes=True) as server:
        http = HttpClient(f"http://127.0.0.1:{server.port}", tls=None, connect_timeout=1, timeout=5)

        async def work() -> None:
            for _ in range(25):
                assert HELLO == await http.send("PUT", "/b/k", {"host": "h"}, b"body")

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(work())
        http.close()
    assert 100 == server.connections


async def test_who_gives_up_when_the_answer_is_there_leaves_the_connection_to_others() -> None:
    """In one turn of the event loop: another request is on it by then."""
    go = asyncio.Event()
    async with serving([], OK) as server:
        http = HttpClient(f"http://127.0.0.1:{server.port}", tls=None, connect_timeout=1, timeout=5)

        async def ask_next() -> Answer:
            await go.wait()
            return await http.send("PUT", "/", {}, b"body")

        following = asyncio.ensure_future(ask_next())
        first = asyncio.ensure_future(http.send("PUT", "/", {}, b"body"))
        await server.until(lambda: len(server.requests) == 1)
        (connection,) = http._open
        go.set()  # so that it takes its turn before the first has heard of its answer
        connection.data_received(OK)
        first.cancel()
        assert HELLO == await following
        http.close()
    assert 1 == server.connections


def test_a_server_that_ends_a_connection_before_tls_is_one_that_cannot_be_reached(tmp_path: Path) -> None:
    """Not one that is waited for without end: a balancer with nothing behind it does so, and uvloop does not tell."""

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def connect_in_vain() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # uvloop's own, of the handshake
        listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        trust = Trust(str(new_authority(tmp_path).pem))
        http = HttpClient(f"https://127.0.0.1:{port}", tls=trust, connect_timeout=5, timeout=5)
        async with asyncio.timeout(60):
            for _ in range(50):
                with pytest.raises(EndpointConnectionError):
                    await http.send("PUT", "/b/k", {"host": "h"}, b"body")
        http.close()
        listening.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(connect_in_vain())
