"""The start: settings from everywhere, and a clear word when it cannot be."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.emulators import aws_environment
from tests.support.fault_proxy import fault_proxy
from tests.support.mail import email
from tests.support.service import Service
from tests.support.site import Site

EXIT_FAILED = 1
EXIT_SETTINGS = 2
MODULES_OF_A_START = 800  # 746 with Python 3.11; another library the size of a small one is noticed


def test_wrong_settings_end_it_with_one_report(tmp_path: Path) -> None:
    """Everything that is wrong is told at once, by name and with an example; the exit code is 2."""
    settings = {"SQS_QUEUE_URL": "emails", "MAX_MESSAGES_PER_POLL": "11", "S3_SSE": "rot13"}
    with Service(settings, tmp_path, measured=True) as service:
        assert EXIT_SETTINGS == service.exit_code()
    report = "\n".join(service.lines)
    assert "4 of the settings are wrong" in report
    for name in ("SQS_QUEUE_URL", "S3_BUCKET_NAME", "MAX_MESSAGES_PER_POLL", "S3_SSE"):
        assert f"for example: {name}=" in report


def test_a_password_in_a_setting_is_not_repeated(tmp_path: Path) -> None:
    """A queue URL with credentials is refused without being printed."""
    settings = {"SQS_QUEUE_URL": "https://user:hunter2@sqs.us-east-1.amazonaws.com/1/q", "S3_BUCKET_NAME": "archive"}
    with Service(settings, tmp_path) as service:
        assert EXIT_SETTINGS == service.exit_code()
    assert any("must not contain a user name or a password" in line for line in service.lines)
    assert not any("hunter2" in line for line in service.lines)


def test_a_port_that_is_taken_ends_it_with_a_clear_line(one_site: Site) -> None:
    """The log says which address and what to change; the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with one_site.service(measured=True, HTTP_PORT=port) as service:
            assert EXIT_FAILED == service.exit_code()
    record = service.wait_for("cannot_start", level="error")
    assert record["error"] == f"Cannot listen on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}."
    assert "HTTP_PORT" in record["fix"]


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_PROFILE", "no-such-profile"), ("AWS_CA_BUNDLE", "/nonexistent/ca.pem")]
)
def test_an_aws_configuration_that_cannot_be_used_ends_it_with_a_clear_line(
    one_site: Site, name: str, value: str
) -> None:
    """It is one line of log with what is wrong and a fix, no stack trace; the exit code is 1."""
    settings = {**one_site.settings, "AWS_ENDPOINT_URL": "https://127.0.0.1:1", name: value}
    with Service(settings, one_site.directory, measured=True) as service:
        assert EXIT_FAILED == service.exit_code()
    record = service.wait_for("cannot_start", level="error")
    assert value in record["error"]
    assert "AWS_" in record["fix"]


def test_settings_may_come_from_a_dotenv_file(one_site: Site) -> None:
    """A `.env` file gives what the environment does not, the AWS SDK's own variables included."""
    settings = {**one_site.settings, **aws_environment(one_site.emulator.url)}
    lines = [f'{name}="{value}"' for name, value in settings.items()]
    (one_site.directory / ".env").write_text("\n".join([*lines, "S3_KEY_PREFIX=from-the-file", "LOG_LEVEL=ERROR"]))
    sent = one_site.queue.send(email())
    with Service({"LOG_LEVEL": "INFO"}, one_site.directory) as service:
        assert service.wait_for("started")["bucket"] == one_site.bucket.name
        service.wait_until("messages_archived_total", 1)
    assert one_site.bucket.message_ids("from-the-file/") == [sent]


def test_the_first_receive_is_made_at_once(one_site: Site) -> None:
    """A new replica is at work after less than two seconds of CPU, which is as long as it takes on a free core."""
    with fault_proxy(one_site.emulator.url) as sqs, one_site.service(AWS_ENDPOINT_URL_SQS=sqs.url) as service:
        sqs.wait_for("ReceiveMessage", within=60)
        assert service.cpu_seconds() < 2.0


def test_a_start_loads_only_what_every_start_needs(one_site: Site) -> None:
    """Not what a terminal, other commands or transfers of files need."""
    with one_site.service(PYTHONPROFILEIMPORTTIME="1") as service:
        service.wait_for("started")
        assert 0 == service.stop()
    loaded = {line.rpartition("|")[2].strip() for line in service.lines if line.startswith("import time:")}
    assert {"aioboto3", "uvloop"} <= loaded
    needless = {"email_processor.tools.demo", "email_processor.tools.check", "moto", "rich", "s3transfer", "structlog"}
    assert set() == loaded & needless
    assert len(loaded) <= MODULES_OF_A_START


def test_a_start_reads_no_certificates_that_nobody_asks_for() -> None:
    """All of the system's, twice, is what aiohttp reads as it is imported: a tenth of a start."""
    code = """if True:
        import os
        from email_processor.tools.loading import without_authorities
        os.environ["SSL_CERT_FILE"] = "/as/before"
        with without_authorities():
            from aiohttp import connector
        contexts = connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED
        print([context.cert_store_stats()["x509"] for context in contexts], os.environ["SSL_CERT_FILE"])
    """
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[0, 0] /as/before\n" == answer.stdout
