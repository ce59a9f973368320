"""`email-processor healthcheck`: what the container's HEALTHCHECK runs."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.support.emulators import BIN
from tests.support.environment import clean_environment

PROXY = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}


@contextmanager
def answering(status: int, path: str = "/healthz") -> Iterator[int]:
    """A server that answers a path with `status`, and anything else with 404; its port."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == path else 404)
            self.end_headers()
            self.wfile.write(b'{"status": "..."}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def healthcheck(variables: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [str(BIN / "email-processor"), "healthcheck", *options],
        env={**clean_environment(), **PROXY, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_the_exit_code_is_the_services_health(status: int, code: int) -> None:
    """Alive is 0, anything else 1; the answer is shown, and no proxy is asked."""
    with answering(status) as port:
        answer = healthcheck({"HTTP_PORT": str(port)})
    assert (answer.returncode, answer.stdout) == (code, '{"status": "..."}\n')


def test_whether_it_is_ready_can_be_asked_too() -> None:
    """A red pod is behind no Service: its own container asks it."""
    with answering(503, "/readyz") as port:
        answer = healthcheck({"HTTP_PORT": str(port)}, "--path", "/readyz")
    assert (1, '{"status": "..."}\n') == (answer.returncode, answer.stdout)


def test_the_address_of_the_service_is_asked() -> None:
    """Where HTTP_HOST says that it listens."""
    with answering(200) as port:
        assert 0 == healthcheck({"HTTP_HOST": "localhost", "HTTP_PORT": str(port)}).returncode


@pytest.mark.parametrize(("host", "port"), [("HTTP_HOST", "HTTP_PORT"), ("http_host", "http_port")])
def test_the_address_is_read_as_the_service_reads_it(host: str, port: str) -> None:
    """A line break at its end, as secrets often have, and names in any case."""
    with answering(200) as number:
        answer = healthcheck({host: "127.0.0.1\n", port: f" {number}\n"})
    assert (0, "") == (answer.returncode, answer.stderr)


def test_an_address_that_the_service_refuses_is_not_asked() -> None:
    """It says which variable is wrong."""
    answer = healthcheck({"HTTP_PORT": "none"})
    assert (1, "") == (answer.returncode, answer.stdout)
    assert answer.stderr.startswith("There is no address to ask: HTTP_PORT must be a whole number from 0 to 65535; ")


@pytest.mark.parametrize("port", ["1", "0"])
def test_no_service_is_not_alive(port: str) -> None:
    """Nobody there, or no port to ask: 1, and why."""
    answer = healthcheck({"HTTP_PORT": port})
    assert 1 == answer.returncode
    assert answer.stderr.startswith(f"No answer on port {port}: ")


def test_it_needs_nothing_heavy() -> None:
    """It is run every half a minute in 200 millicores: no AWS SDK, no event loop, no settings model."""
    heavy = ("aiohttp", "asyncio", "botocore", "pydantic")
    imports = "import sys, email_processor.cli, email_processor.tools.healthcheck"
    code = f"{imports}; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == answer.stdout
