"""Strangers at the HTTP port: they read nothing but health and metrics, and cost the pipeline nothing."""

import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from email_processor.web import CONNECTIONS_MAX
from tests.support.fault_proxy import fault_proxy
from tests.support.hostile import MALFORMED, REQUEST, SMUGGLING, exchange
from tests.support.mail import emails
from tests.support.service import Service
from tests.support.site import Site
from tests.support.waiting import eventually

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "FOO"]
OPEN = [  # the three that there are, in all their spellings
    b"/healthz",
    b"/%68ealthz",
    b"/healthz#x",
    b"/readyz",
    b"http://x/readyz",
    b"/metrics",
    b"/metrics?file=/etc/passwd",
    b"http://x/metrics",
]
CLOSED = [
    b"",
    b"*",
    b"/",
    b"//metrics",
    b"///healthz",
    b"/./metrics",
    b"/%2e/metrics",
    b"/%2fmetrics",
    b"/METRICS",
    b"/metrics/",
    b"/metrics/..",
    b"/metrics;x",
    b"/metrics%00",
    b"/metrics%3fx",
    b"/metrics%0d%0aX:%20y",
    b"/metrics/../.env",
    b"/metrics\\..\\..",
    b"/healthz/../../etc/passwd",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/..%2f..%2fetc%2fpasswd",
    b"/.env",
    b"/proc/self/environ",
    b"/debug/pprof",
    b"/\xff\xfe",
    b"/%ff%fe",
    b"/%",
    b"/%zz",
    b"x",
    b"example.com:443",
    b"https://example.com:443/",
    b"http://169.254.169.254/latest/meta-data/",
    b"http://x/../metrics",
    b"file:///etc/passwd",
]
ANSWERS = re.compile(
    rb"""HTTP/[01]\.[019]\ (
        200\ .* \r\n\r\n (\{\n\ \ "status":\ "(ok|failing)",\n .* \n\} | \#\ HELP\ .*)
        | 404\ .* \r\n\r\n 404:\ Not\ Found
        | 405\ .* \r\n\r\n 405:\ Method\ Not\ Allowed
        | 400\ .*
    )""",
    re.VERBOSE | re.DOTALL,
)
HEADS = re.compile(rb"HTTP/1\.[01] ((200|404|405) [^\n]*\r\n([\w-]+: [^\n]*\r\n)+\r\n|400 .*)", re.DOTALL)


@pytest.fixture
def service(one_site: Site) -> Iterator[Service]:
    """A service that has worked already, so that all its connections and threads are there."""
    with one_site.service() as running:
        archives(one_site, running)
        yield running


def archives(site: Site, service: Service, count: int = 40) -> None:
    """See that emails are archived, each once, and that the service is alive and ready."""
    before = site.bucket.message_ids()
    sent = site.queue.send_all(emails(count))
    site.queue.wait_until_empty()
    assert sorted(before + sent) == site.bucket.message_ids()
    assert service.is_alive()
    service.wait_until_ready()


def has_said_nothing(service: Service) -> bool:
    """Whether it has logged no trouble: strangers must not fill the log."""
    return not [record for record in service.events if record["level"] not in {"debug", "info"}]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_health_and_metrics_can_be_read(quiet: Service, method: str) -> None:
    """However a path is written: one of three answers to GET and HEAD, else not found, not allowed or a bad request."""
    for target in OPEN + CLOSED:
        request = b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (method.encode(), target)
        answer = exchange(quiet.port, request)
        known = (HEADS if method == "HEAD" else ANSWERS).fullmatch(answer)
        assert known is not None, (target, answer)
        is_read = answer[9:12] == b"200"
        assert (target in OPEN and method in {"GET", "HEAD"}) == is_read, (target, answer)


@pytest.mark.parametrize("request_", SMUGGLING, ids=range(len(SMUGGLING)))
def test_no_request_travels_inside_another(quiet: Service, request_: bytes) -> None:
    """Where it is not clear where a request ends, it is refused, and what follows it is not looked at."""
    answer = exchange(quiet.port, request_)
    assert (1, b"400") == (answer.count(b"HTTP/1."), answer[9:12])


def test_malformed_requests_touch_nothing(one_site: Site, service: Service) -> None:
    """While garbage arrives from all sides everything is archived, and nobody hears of it."""
    with ThreadPoolExecutor(8) as strangers:
        answers = strangers.map(lambda data: exchange(service.port, data), (MALFORMED + SMUGGLING) * 20)
        archives(one_site, service)
        assert {answer[9:12] for answer in answers} <= {b"400", b""}
    archives(one_site, service)
    assert has_said_nothing(service)
    eventually(lambda: service.http_connections() == 0, "the connections to be closed")


def test_slow_clients_take_no_descriptor_from_the_pipeline(one_site: Site, service: Service) -> None:
    """With few descriptors and more half-open connections than that, everything is archived and probes are answered."""
    resident = service.resident_bytes()
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (256, 256))
    with ExitStack() as strangers:
        clients = [
            strangers.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20))
            for _ in range(400)
        ]
        for client in clients:
            try:
                client.sendall(REQUEST % (b"/healthz", b"X-Slow: "))
            except ConnectionError:  # it had to make room for the next one
                continue
        eventually(lambda: service.http_connections() == CONNECTIONS_MAX, "as many connections as it allows")
        archives(one_site, service)
    assert has_said_nothing(service)
    eventually(lambda: service.http_connections() == 0, "the connections to be closed")
    assert service.resident_bytes() < resident + 16 * 2**20


def test_a_flood_is_answered_and_nothing_waits_for_it(one_site: Site, service: Service) -> None:
    """Thousands of requests over hundreds of connections, while everything is archived."""
    resident = service.resident_bytes()
    last = b"Connection: close\r\n"
    burst = b"".join(REQUEST % (path, b"") for path in (b"/healthz", b"/readyz", b"/nothing") * 6)
    burst += REQUEST % (b"/metrics", b"") + REQUEST % (b"/healthz", last)
    with ThreadPoolExecutor(8) as strangers:
        answers = strangers.map(lambda _: exchange(service.port, burst), range(200))
        archives(one_site, service)
        assert {14} == {answer.count(b"HTTP/1.1 200 OK") for answer in answers}
    archives(one_site, service)
    assert has_said_nothing(service)
    eventually(lambda: service.http_connections() == 0, "the connections to be closed")
    assert service.resident_bytes() < resident + 32 * 2**20


# So many connections a second for so many seconds, of which none says anything.
FLOOD = """
import socket, sys, time
port, rate, seconds = map(int, sys.argv[1:])
clients, begun = [], time.monotonic()
for number in range(rate * seconds):
    time.sleep(max(0.0, begun + number / rate - time.monotonic()))
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    clients.append(client)
    if len(clients) > 500:
        clients.pop(0).close()
    if number == 0:
        print("begun", flush=True)
"""


def test_probes_are_answered_in_a_flood_of_connections(one_site: Site, service: Service) -> None:
    """The kubelet gives up after a second: each of its probes has its answer by then, and everything is archived."""
    command = [sys.executable, "-c", FLOOD, str(service.port), "1000", "6"]
    answers = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as flood:
        assert flood.stdout is not None
        flood.stdout.readline()
        while flood.poll() is None:
            answers.append(exchange(service.port, REQUEST % (b"/healthz", b"Connection: close\r\n"), timeout=1.0)[9:12])
            time.sleep(0.02)
    assert len(answers) > 20
    assert {b"200"} == set(answers)
    archives(one_site, service)
    assert has_said_nothing(service)


def test_without_a_descriptor_left_it_waits(one_site: Site) -> None:
    """Whoever took them: S3 cannot be reached, which is an outage like any other, and ends when there are some."""
    with fault_proxy(one_site.emulator.url) as s3, one_site.service(AWS_ENDPOINT_URL_S3=s3.url) as service:
        archives(one_site, service)
        before = one_site.bucket.message_ids()
        number = len(service.descriptors())
        s3.refuse()  # or a connection that is there already would still reach it
        eventually(lambda: len(service.descriptors()) < number, "the connections to S3 to be closed")
        s3.accept()
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (0, 1024))  # those that are open stay open
        sent = one_site.queue.send_all(emails(6))
        assert "network" == service.wait_for("failing", part="storing")["cause"]
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
        one_site.queue.wait_until_empty()
        assert 0 == service.stop()
    assert sorted(before + sent) == one_site.bucket.message_ids()
