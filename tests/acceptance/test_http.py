"""The HTTP port: two health answers, the metrics, and nothing else."""

import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from email_processor import __version__
from tests.support.service import Service


def test_healthz_says_how_every_part_is(quiet: Service) -> None:
    """It is JSON, green, never cached, and names every stage."""
    answer = quiet.get("/healthz")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["status"] == "ok"
    assert answer.json.keys() == {"status", "receiving", "storing", "deleting", "renewing", "measuring"}


def test_readyz_says_what_it_depends_on(quiet: Service) -> None:
    """It is JSON, green, and names the circuit and what must work."""
    answer = quiet.get("/readyz")
    assert answer.status == 200
    assert answer.json == {
        "status": "ok",
        "draining": False,
        "circuit": "closed",
        "receiving": {"status": "ok"},
        "storing": {"status": "ok"},
        "deleting": {"status": "ok"},
    }


def test_metrics_are_what_prometheus_reads(quiet: Service) -> None:
    """Every sample parses, carries the prefix, and the build is told."""
    answer = quiet.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert {family.name.partition("_processor_")[0] for family in families} == {"email"}
    assert quiet.metric("build_info", version=__version__) == 1
    assert quiet.metric("ready") == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_head_is_answered_without_a_body(quiet: Service, path: str) -> None:
    """HEAD is GET without the body."""
    answer = quiet.get(path, "HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("path", ["/", "/healthz/", "/metrics/../.env", "/%2e%2e/etc/passwd", "/debug", "//healthz"])
def test_any_other_path_is_not_found(quiet: Service, path: str) -> None:
    """Nothing else can be read."""
    assert quiet.get(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_any_other_method_is_not_allowed(quiet: Service, method: str) -> None:
    """Only GET and HEAD are."""
    answer = quiet.get("/healthz", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")


def test_what_is_not_http_does_no_harm(quiet: Service) -> None:
    """A client that talks nonsense is told so, and the next one is served."""
    with socket.create_connection(("127.0.0.1", quiet.port), timeout=5) as client:
        client.sendall(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.0 400")
    assert quiet.is_alive()
