"""The HTTP port: health and metrics for probes and Prometheus, and nothing for anybody else."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, field

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from email_processor import web
from email_processor.domain.errors import StartError
from email_processor.ports import Report
from email_processor.settings import Settings
from tests.support.hostile import MALFORMED, REQUEST

HEALTH = {"/healthz": "alive", "/readyz": "ready"}
CLOSING = b"Connection: close\r\n"


@dataclass
class ServedSite:
    """A running port, and what it is to answer."""

    alive: Report = field(default_factory=lambda: Report(ok=True, parts={"receiving": {"status": "working"}}))
    ready: Report = field(default_factory=lambda: Report(ok=True, parts={"circuit": "closed"}))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    port: int = 0

    def serving(self, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[int]:
        """The port, for as long as the context lasts."""
        return web.serving(host, port, lambda: self.alive, lambda: self.ready, self.registry)

    def url(self, path: str) -> str:
        """Where to ask."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def send(self, data: bytes) -> bytes:
        """Whatever comes back for `data`, until the port closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await reader.read()
        except ConnectionResetError:  # it closed before it had read everything
            return b""
        finally:
            writer.close()

    async def is_well(self) -> bool:
        """Whether a probe gets its answer."""
        answer = await self.send(REQUEST % (b"/healthz", CLOSING))
        return answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.fixture
async def site() -> AsyncIterator[ServedSite]:
    """A port of its own for each test."""
    site = ServedSite()
    async with site.serving() as site.port:
        yield site


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that leaves no connection open."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.mark.parametrize("path", HEALTH)
@pytest.mark.parametrize(("ok", "status", "word"), [(True, 200, "ok"), (False, 503, "failing")])
async def test_health_is_json_that_says_how_each_part_is(
    site: ServedSite, client: aiohttp.ClientSession, path: str, ok: bool, status: int, word: str
) -> None:
    """Green is 200, red is 503; the parts stand in the body, and no cache keeps either."""
    setattr(site, HEALTH[path], Report(ok, {"storing": {"status": word, "cause": "denied"}}))
    async with client.get(site.url(path)) as answer:
        assert (status, "application/json", "no-store") == (
            answer.status,
            answer.content_type,
            answer.headers["Cache-Control"],
        )
        assert {"status": word, "storing": {"status": word, "cause": "denied"}} == await answer.json()


async def test_health_is_asked_anew_each_time(site: ServedSite, client: aiohttp.ClientSession) -> None:
    """An answer is that of its moment, on one connection as on two."""
    async with client.get(site.url("/readyz")) as answer:
        before = answer.status
    site.ready = Report(ok=False, parts={})
    async with client.get(site.url("/readyz")) as answer:
        assert (200, 503) == (before, answer.status)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_head_is_get_without_a_body(site: ServedSite, client: aiohttp.ClientSession, path: str) -> None:
    """The same status and headers, as HTTP has it."""
    Counter("email_processor_example", "An example.", registry=site.registry)
    async with client.get(site.url(path)) as get, client.head(site.url(path)) as head:
        assert (get.status, get.content_type, get.headers["Content-Length"]) == (
            head.status,
            head.content_type,
            head.headers["Content-Length"],
        )
        assert b"" == await head.read()


async def test_a_query_changes_nothing(site: ServedSite, client: aiohttp.ClientSession) -> None:
    """Probes may carry one."""
    async with client.get(site.url("/healthz?verbose=1")) as answer:
        assert 200 == answer.status


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/healthz/", "/HEALTHZ", "/metrics/x", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//healthz"],
)
async def test_there_is_nothing_else(site: ServedSite, path: str) -> None:
    """No other path is known, however it is written."""
    answer = await site.send(REQUEST % (path.encode(), CLOSING))
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(b"\r\n\r\n404: Not Found")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_only_get_and_head_are_allowed(
    site: ServedSite, client: aiohttp.ClientSession, method: str, path: str
) -> None:
    """Nothing can be changed through this port."""
    async with client.request(method, site.url(path)) as answer:
        assert (405, "GET,HEAD") == (answer.status, answer.headers["Allow"])


async def test_metrics_come_as_prometheus_asks_for_them(site: ServedSite, client: aiohttp.ClientSession) -> None:
    """OpenMetrics for a server that prefers it, the text format for everything else."""
    counter = Counter("email_processor_example", "An example.", registry=site.registry)
    counter.inc(3)
    for accept, content_type, parse in (
        ("*/*", "text/plain", parse_text),
        ("", "text/plain", parse_text),
        ("application/openmetrics-text;version=1.0.0,*/*;q=0.1", "application/openmetrics-text", parse_openmetrics),
    ):
        async with client.get(site.url("/metrics"), headers={"Accept": accept}) as answer:
            assert (200, content_type) == (answer.status, answer.content_type)
            found = {sample.name: sample.value for family in parse(await answer.text()) for sample in family.samples}
            assert 3 == found["email_processor_example_total"]


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=x", "a/b;version=1;q=x", ";;;,,,", "\xff"])
async def test_an_accept_header_that_is_malformed_is_as_none(
    site: ServedSite, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The text format for whoever cannot say what they want, and no stack trace in the log."""
    head = f"Accept: {accept}\r\n".encode("latin-1")
    answer = await site.send(REQUEST % (b"/metrics", head + CLOSING))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert [] == caplog.records


def has_ipv6() -> bool:
    """Whether this machine has a loopback address of IPv6: many a container has none."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("dual_stack", "address"),
    [
        (True, "127.0.0.1"),
        pytest.param(True, "::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")),
        (False, "127.0.0.1"),
    ],
)
async def test_by_default_every_address_answers(
    monkeypatch: pytest.MonkeyPatch, *, dual_stack: bool, address: str
) -> None:
    """IPv4 and IPv6 on one port, whichever the pod has; a host without IPv6 is no reason not to start."""
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: dual_stack)
    async with ServedSite().serving(Settings.model_fields["http_host"].default) as port:
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(REQUEST % (b"/healthz", CLOSING))
        assert b"HTTP/1.1 200 OK" == await reader.readuntil(b"OK")
        writer.close()


async def test_a_port_that_is_taken_is_said_with_what_to_do() -> None:
    """By a name of the address, the reason, and the settings to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as caught:
            await ServedSite().serving(port=port).__aenter__()
    assert str(caught.value) == (
        f"email-processor could not start. Cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Set HTTP_HOST to an address of this host and HTTP_PORT to a port that is free (0 takes any)."
    )


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("2001:db8::1", "Cannot assign requested address|could not bind on any address out of .*"),
        ("192.0.2.1", "Cannot assign requested address|could not bind on any address out of .*"),
        ("a..b", "not a host name"),
        ("x" * 70, "not a host name"),
        ("no host", "Name or service not known"),
    ],
)
async def test_a_host_that_is_not_here_is_said(host: str, reason: str) -> None:
    """An address of another host, in the words of the Python version, or no address at all."""
    with pytest.raises(StartError) as caught:
        await ServedSite().serving(host).__aenter__()
    shown = re.escape(f"[{host}]" if ":" in host else host)
    assert re.fullmatch(rf"Cannot listen on {shown}:0: ({reason})\.", caught.value.detail)


async def test_the_port_is_closed_at_the_end() -> None:
    """With the context, at once, though a client keeps its connection open."""
    site = ServedSite()
    async with asyncio.timeout(10), site.serving() as site.port:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(REQUEST % (b"/healthz", b""))
        await reader.readuntil(b"\r\n\r\n")
    await reader.read()
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", site.port)


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_request_is_refused_in_silence(
    site: ServedSite, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Its sender gets a 400 or a closed connection; a port scan does not fill the log, and probes are answered."""
    caplog.set_level(logging.INFO)
    answer = await site.send(data)
    assert answer[9:12] in {b"400", b""}
    assert await site.is_well()
    assert [] == caplog.records


async def test_a_mistake_of_ours_is_logged_and_not_told(site: ServedSite, caplog: pytest.LogCaptureFixture) -> None:
    """A health check that raises is a 500 without details, and a stack trace in the log."""
    site.ready = Report(ok=True, parts={"unwritable": object()})
    answer = await site.send(REQUEST % (b"/readyz", CLOSING))
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"Traceback" not in answer
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "email_processor.web" == record.name


def one_byte_of_a_request(writer: asyncio.StreamWriter) -> None:
    """A slow client's progress."""
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")


@pytest.mark.parametrize(
    "begin", [lambda _writer: None, one_byte_of_a_request], ids=["sends nothing", "does not finish its request"]
)
async def test_a_slow_client_is_dropped(
    begin: Callable[[asyncio.StreamWriter], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection without a whole request is closed in time, and holds nobody up until then."""
    monkeypatch.setattr(web, "KEEP_ALIVE_SECONDS", 0.2)
    site = ServedSite()
    async with site.serving() as site.port:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        begin(writer)
        assert await site.is_well()
        assert b"" == await reader.read()
        writer.close()


async def test_many_idle_connections_hold_nobody_up(site: ServedSite) -> None:
    """Neither a flood of connections nor one of requests keeps a probe from its answer."""
    idle = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(200)]
    pipelined = await site.send(REQUEST % (b"/healthz", b"") * 99 + REQUEST % (b"/healthz", CLOSING))
    assert 100 == pipelined.count(b"HTTP/1.1 200 OK")
    assert await site.is_well()
    for _, writer in idle:
        writer.close()


async def test_a_new_connection_takes_the_place_of_the_oldest(
    site: ServedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many are open and no more; whoever came last is heard, however many wait before."""
    monkeypatch.setattr(web, "CONNECTIONS_MAX", 8)
    idle = []
    for number in range(1, 21):  # one after the other, or it accepts them all before it counts
        idle.append(await asyncio.open_connection("127.0.0.1", site.port))
        assert await site.is_well(), number
    closed = [await asyncio.wait_for(reader.read(), 5) for reader, _ in idle[:13]]
    assert [b""] * 13 == closed
    reader, writer = idle[-1]
    writer.write(REQUEST % (b"/healthz", CLOSING))
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    for _, each in idle:
        each.close()


async def test_a_probe_is_answered_though_a_flood_came_right_behind_it(site: ServedSite) -> None:
    """All of it while the event loop was busy: the probe is read before it has to make room for anybody."""
    with ExitStack() as strangers:
        probe = strangers.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=5))
        probe.sendall(REQUEST % (b"/healthz", CLOSING))
        for _ in range(100):  # no turn of the loop in between
            strangers.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=5))
        answer = await asyncio.to_thread(probe.recv, 100)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_body_is_not_waited_for(site: ServedSite) -> None:
    """A request that brings megabytes is refused by its method."""
    head = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\nConnection: close\r\n\r\n"
    assert (await site.send(head + b"a" * 3_000_000)).startswith(b"HTTP/1.1 405")


async def test_health_is_readable_for_people(site: ServedSite) -> None:
    """Whoever asks with curl at 3 a.m. sees lines."""
    answer = await site.send(REQUEST % (b"/healthz", CLOSING))
    body = answer.partition(b"\r\n\r\n")[2].decode()
    assert json.dumps({"status": "ok", "receiving": {"status": "working"}}, indent=2) == body
