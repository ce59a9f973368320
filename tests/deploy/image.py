"""The image, built and run as the pod runs it: `make image-check` (ENGINE: docker, podman, or one with its options).

RUN_OPTIONS are added to every `run`. Not collected with the other tests: it needs an engine, and the base image.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from email_processor import __version__
from tests.deploy.chart import ROOT
from tests.support.emulators import Emulator, free_port
from tests.support.mail import emails
from tests.support.site import Site
from tests.support.waiting import eventually

ENGINE = shlex.split(os.environ.get("ENGINE") or "docker")
IMAGE = "email-processor:check"
AS_THE_POD = (
    *("--network", "host", "--read-only", "--user", "1000", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
    *shlex.split(os.environ.get("RUN_OPTIONS", "")),
)
RECEIVED = 'email_processor_aws_requests_total{operation="ReceiveMessage",outcome="ok"'


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    subprocess.run([*ENGINE, "build", "--tag", IMAGE, str(ROOT)], check=True)


def run(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the image to its end."""
    command = [*ENGINE, "run", "--rm", *AS_THE_POD, *options, IMAGE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def running(name: str, settings: dict[str, str]) -> Iterator[None]:
    """The image's own command, in the background; killed at the end if it still runs."""
    variables = [option for key, value in settings.items() for option in ("--env", f"{key}={value}")]
    subprocess.run(
        [*ENGINE, "run", "--detach", "--name", name, *AS_THE_POD, *variables, IMAGE], capture_output=True, check=True
    )
    try:
        yield
    finally:
        subprocess.run([*ENGINE, "rm", "--force", name], capture_output=True, check=True)


def total(metrics: str, wanted: str) -> float:
    """The sum of the series that begin with `wanted`."""
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(wanted))


def test_it_says_its_version() -> None:
    """Arguments go to the command line."""
    answer = run("--version")
    assert 0 == answer.returncode, answer.stderr
    assert answer.stdout == f"email-processor, version {__version__}\n"


def test_it_refuses_to_run_without_settings() -> None:
    """Exit code 2, and the report names what is missing."""
    answer = run()
    assert 2 == answer.returncode
    assert "SQS_QUEUE_URL" in answer.stderr


def test_it_loads_only_compiled_modules() -> None:
    """Nothing is compiled at start: on a read-only root that would be so at every start."""
    code = "import email_processor.service, email_processor.settings, email_processor.logs, uvloop"
    answer = run("-I", "-B", "-v", "-c", code, options=("--entrypoint", "/app/bin/python"))
    assert 0 == answer.returncode
    assert [] == [
        line for line in answer.stderr.splitlines() if line.startswith("# code object from '") and ".py'" in line
    ]


def test_it_checks_with_what_is_left_of_the_sdk(ministack: Emulator, tmp_path: Path) -> None:
    """Of botocore's data the build keeps only what is called: `check --write` asks everything that is ever asked."""
    settings = Site.at(ministack, tmp_path).settings
    variables = tuple(option for key, value in settings.items() for option in ("--env", f"{key}={value}"))
    answer = run("check", "--write", "--json", options=variables)
    assert 0 == answer.returncode, answer.stdout + answer.stderr
    report = json.loads(answer.stdout)
    assert 0 == report["summary"]["failed"]
    assert report["identity"] is not None  # STS's word
    answered = {finding["group"] for finding in report["findings"] if finding["status"] == "ok"}
    assert answered >= {"settings", "credentials", "queue", "bucket", "clock"}


def test_it_archives_and_stops_as_the_pod(
    ministack: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It archives, is healthy by its own check, and a SIGTERM ends it with exit code 0."""
    site = Site.at(ministack, tmp_path)
    name, port = f"email-processor-{free_port()}", str(free_port())
    settings = {**site.settings, "HTTP_PORT": port, "POLL_INTERVAL_SECONDS": "1", "SQS_WAIT_TIME_SECONDS": "0"}
    with running(name, settings):

        def metrics() -> str:
            ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
            command = [*ENGINE, "exec", name, "/app/bin/python", "-I", "-c", ask]
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout

        def after_a_receive() -> str:
            text = metrics()
            return text if total(text, RECEIVED) else ""

        cpu = total(eventually(after_a_receive, "a receive", within=30), "email_processor_process_cpu_seconds_total")
        healthy = subprocess.run(
            [*ENGINE, "exec", name, "email-processor", "healthcheck"], capture_output=True, check=False
        )
        site.queue.send_all(emails(20))
        eventually(
            lambda: total(metrics(), "email_processor_messages_archived_total") == 20, "20 emails archived", within=30
        )
        subprocess.run([*ENGINE, "kill", "--signal", "TERM", name], capture_output=True, check=True)
        waited = subprocess.run([*ENGINE, "wait", name], capture_output=True, text=True, check=True)
    assert (0, "0") == (healthy.returncode, waited.stdout.strip())
    assert 20 == len(site.bucket.listing())
    with capsys.disabled():  # for people: how much is too much depends on the machine
        sys.stdout.write(f"\nCPU from the start to the first receive, with one scrape: {cpu:.2f} s\n")
