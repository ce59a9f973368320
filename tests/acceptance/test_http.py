"""The HTTP port: two health answers, the metrics, and nothing else."""

import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from email_processor import __version__
from tests.support.service import Service


def test_healthz_says_how_every_part_is(quiet: Service) -> None:
    """It is JSON, green, never cached, and names every stage."""
    answer = quiet.get("/healthz")
    assert 200 == answer.status
    assert "application/json" == answer.headers["Content-Type"]
    assert "no-store" == answer.headers["Cache-Control"]
    assert "ok" == answer.json["status"]
    assert {"status", "receiving", "storing", "fetching", "deleting", "renewing", "measuring"} == answer.json.keys()


def test_readyz_says_what_it_depends_on(quiet: Service) -> None:
    """It is JSON, green, and names the circuit and what must work."""
    answer = quiet.get("/readyz")
    assert 200 == answer.status
    assert {
        "status": "ok",
        "draining": False,
        "circuit": "closed",
        "receiving": {"status": "ok"},
        "storing": {"status": "ok"},
        "deleting": {"status": "ok"},
        "renewing": {"status": "ok"},
        "fetching": {"status": "ok"},
    } == answer.json


def test_metrics_are_what_prometheus_reads(quiet: Service) -> None:
    """Every sample parses, carries the prefix, and the build is told."""
    answer = quiet.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert {"email"} == {family.name.partition("_processor_")[0] for family in families}
    assert 1 == quiet.metric("build_info", version=__version__)
    assert 1 == quiet.metric("ready")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_head_is_answered_without_a_body(quiet: Service, path: str) -> None:
    """HEAD is GET without the body."""
    answer = quiet.get(path, "HEAD")
    assert (200, b"") == (answer.status, answer.body)


@pytest.mark.parametrize("path", ["/", "/healthz/", "/metrics/../.env", "/%2e%2e/etc/passwd", "/debug", "//healthz"])
def test_any_other_path_is_not_found(quiet: Service, path: str) -> None:
    """Nothing else can be read."""
    assert 404 == quiet.get(path).status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_any_other_method_is_not_allowed(quiet: Service, method: str) -> None:
    """Only GET and HEAD are."""
    answer = quiet.get("/healthz", method)
    assert (405, "GET,HEAD") == (answer.status, answer.headers["Allow"])


def test_what_is_not_http_does_no_harm(quiet: Service) -> None:
    """A client that talks nonsense is told so, and the next one is served."""
    with socket.create_connection(("127.0.0.1", quiet.port), timeout=5) as client:
        client.sendall(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.0 400")
    assert quiet.is_alive()
