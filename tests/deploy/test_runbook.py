"""The runbook's commands work in the state that they are for: each is run, and what it prints is read."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.deploy.api_server import Cluster, FakePod, serving
from tests.deploy.chart import BIN, NAME, NAMESPACE, ROOT
from tests.support.aws_answers import DENY
from tests.support.emulators import BIN as COMMANDS
from tests.support.emulators import Emulator
from tests.support.environment import clean_environment
from tests.support.fault_proxy import fault_proxy
from tests.support.mail import emails, pointer
from tests.support.service import Service
from tests.support.site import Site

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
FENCED = re.compile(r"```console\n(.*?)```", re.DOTALL)
CRASHED = (
    "The settings are wrong, so nothing was started.",
    "SQS_QUEUE_URL is required and not set",
)


def commands(text: str) -> list[str]:
    """The commands of a part of the runbook, with the lines that go on."""
    return [
        command.rstrip()
        for block in FENCED.findall(text)
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]


def entry(heading: str) -> list[str]:
    """The commands of one entry."""
    return commands(RUNBOOK.split(f"\n## {heading}\n")[1].split("\n## ")[0])


INTRODUCTION = commands(RUNBOOK.split("\n## ")[0])
PREPARATION = "\n".join(INTRODUCTION[:-3]).replace(f"NS={NAME}", f"NS={NAMESPACE}")


class Shell:
    """A shell of whoever is on call."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """With kubectl and aws for one state."""
        self._environment = environment

    def printed(self, *said: str) -> str:
        """What the last of these commands prints, on stdout and stderr."""
        script = "\n".join([PREPARATION, *said[:-1], "exec 2>&1", said[-1]])
        done = subprocess.run(
            ["/bin/bash", "-c", script], env=self._environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout


@contextmanager
def archiving(
    emulator: Emulator, directory: Path, refused: str = "", *, offloaded: bool = False
) -> Iterator[tuple[Site, Cluster]]:
    """Two pods of a running service; `SQS` or `S3` refuses it, or bodies are `offloaded` to one that is missing."""
    site = Site.at(emulator, directory)
    dead = emulator.new_queue()
    policy = f'{{"deadLetterTargetArn": "{dead.arn}", "maxReceiveCount": "5"}}'
    emulator.sqs.set_queue_attributes(QueueUrl=site.queue.url, Attributes={"RedrivePolicy": policy})
    dead.send("given up on")
    away = [pointer("not-there", f"{number}") for number in range(4)] if offloaded else []
    site.queue.send_all([*emails(5), "no email", *away])
    with ExitStack() as stack:
        told = dict(site.settings)
        if refused:
            proxy = stack.enter_context(fault_proxy(emulator.url))
            proxy.rule = DENY
            told[f"AWS_ENDPOINT_URL_{refused}"] = proxy.url
        service = stack.enter_context(Service(told, directory))
        told |= {"HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(service.port)}
        if refused:
            service.wait_for("failing")
        else:
            service.wait_until("messages_quarantined_total", 1)
            service.wait_until("messages_archived_total", 5)
        if offloaded:
            service.wait_until("payload_circuits_open", 1)
        pods = [FakePod(f"{NAME}-{it}", is_ready=not refused, log=service.lines, environment=told) for it in ("a", "b")]
        yield site, Cluster(pods, {**told, "S3_QUARANTINE_PREFIX": "quarantine", "POLL_INTERVAL_SECONDS": "30"})


@contextmanager
def crashing(emulator: Emulator, directory: Path) -> Iterator[tuple[Site, Cluster]]:
    """One pod dies again and again, another waits for its image."""
    pods = [
        FakePod(f"{NAME}-a", "CrashLoopBackOff", is_ready=False, restarts=7, log_before=list(CRASHED)),
        FakePod(f"{NAME}-b", "ImagePullBackOff", is_ready=False),
    ]
    site = Site.at(emulator, directory)
    yield site, Cluster(pods, site.settings)


STATES: dict[str, Callable[[Emulator, Path], AbstractContextManager[tuple[Site, Cluster]]]] = {
    "green": archiving,
    "SQS denied": lambda emulator, directory: archiving(emulator, directory, "SQS"),
    "S3 denied": lambda emulator, directory: archiving(emulator, directory, "S3"),
    "bodies missing": lambda emulator, directory: archiving(emulator, directory, offloaded=True),
    "crashing": crashing,
}

MISUNDERSTOOD = (
    "command not found|syntax error|Traceback|unrecognized arguments|unknown (flag|shorthand|command)|a resource type"
)
A_MESSAGE = "$(aws s3 ls \"s3://$(setting S3_BUCKET_NAME)/quarantine/\" | tail -1 | awk -F/ '{print $NF}')"

NOTHING = r"\A\Z"
RED = r'"receiving": {\s+"status": "failing"'
# For each entry the state that it is for, and what its commands print there, in order.
EXPECTED = {
    "EmailProcessorAbsent": (
        "crashing",
        ["CrashLoopBackOff +7", "2 total.*2 unavailable", "SQS_QUEUE_URL is required"],
    ),
    "EmailProcessorStopped": ("SQS denied", ["0/1", "failing.*denied.*fix", "FAIL"]),
    "EmailProcessorNotConsuming": ("SQS denied", ["failing.*denied", "FAIL", RED]),
    "EmailProcessorCircuitOpen": ("S3 denied", ['"part":"storing".*denied', "FAIL.*s3:", "BucketRegion"]),
    "EmailProcessorPayloadCircuitOpen": (
        "bodies missing",
        ['"part":"fetching".*not-there.*fix', r'"fetching": {\s+"status": "failing"', "circuits_open 1"],
    ),
    "EmailProcessorLatencyBurn": ("green", ["process_cpu_seconds_total [0-9.]+", "No resources", ""]),
    "EmailProcessorLatencyBurnSlow": ("green", ["process_cpu_seconds_total [0-9.]+", NAME, "^30$"]),
    "EmailProcessorBacklogGrowing": ("green", [NAME, "process_resident_memory_bytes [0-9.]+", ""]),
    "EmailProcessorQuarantine": ("green", [r'reason="not_json"} 1', r"\.json", '"reason"']),
    "EmailProcessorLeasesLost": ("green", [NOTHING, "ok   EP", "process_cpu_seconds_total [0-9.]+"]),
    "EmailProcessorRedeliveries": ("crashing", ["CrashLoopBackOff +7", "SQS_QUEUE_URL is required", "Attributes"]),
    "EmailProcessorAwsErrors": ("SQS denied", ["failing.*denied", "FAIL", "ReceiveMessage.*denied.* [1-9]"]),
    "EmailProcessorThrottled": ("green", ["upload_concurrency_limit [0-9.]+", NAME, ""]),
    "EmailProcessorDeletesFailing": ("green", [NOTHING, "ok   EP", r'deletes_total{outcome="failed"} 0']),
    "EmailProcessorNotReady": ("SQS denied", ["0/1", RED, "failing.*denied"]),
    "The dead-letter queue": ("green", ["", "", "given up on", "TaskHandle|error"]),
    "Replaying the quarantine": ("green", ["", "not_json +1 ", "1 still no email", "1 still no email"]),
}


@pytest.fixture(scope="module", params=STATES)
def state(
    request: pytest.FixtureRequest, moto: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Shell]]:
    """Each state, and a shell in it."""
    directory = tmp_path_factory.mktemp("runbook")
    tools = directory / "bin"
    tools.mkdir()
    (tools / "kubectl").symlink_to(BIN / "kubectl")
    (tools / "email-processor").symlink_to(COMMANDS / "email-processor")
    (tools / "aws").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("aws_cli.py")}" "$@"\n')
    (tools / "aws").chmod(0o755)
    with STATES[request.param](moto, directory) as (site, cluster), serving(cluster, directory) as config:
        environment = {
            **clean_environment(),
            **{name: value for name, value in site.settings.items() if name.startswith("AWS_")},
            "AWS_DEFAULT_REGION": "us-east-1",
            "KUBECONFIG": str(config),
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
        }
        yield request.param, Shell(environment)


def test_each_entry_is_read() -> None:
    """None is left out."""
    assert re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE) == list(EXPECTED)
    assert {heading: len(said) for heading, (_, said) in EXPECTED.items()} == {
        name: len(entry(name)) for name in EXPECTED
    }


@pytest.mark.parametrize(
    ("state", "heading"), [(meant, heading) for heading, (meant, _) in EXPECTED.items()], indirect=["state"]
)
def test_every_command_of_an_entry_says_what_is_the_matter(state: tuple[str, Shell], heading: str) -> None:
    """In the state that the entry is for, and with no word that kubectl or the shell did not understand."""
    _, shell = state
    variables: list[str] = []
    for command, expected in zip(entry(heading), EXPECTED[heading][1], strict=True):
        printed = shell.printed(*variables, command.replace("MESSAGE_ID.json", A_MESSAGE))
        assert re.search(expected, printed, re.MULTILINE), f"{heading}: {command}\n{printed}"
        assert not re.search(MISUNDERSTOOD, printed), f"{heading}: {command}\n{printed}"
        variables += [command] if re.match(r"(export )?[A-Z0-9_]+=", command) else []


@pytest.mark.parametrize("command", INTRODUCTION[-3:])
def test_the_first_commands_never_fail_as_commands(state: tuple[str, Shell], command: str) -> None:
    """Whatever the state: they print something of each pod, or why not."""
    name, shell = state
    printed = shell.printed(command)
    assert not re.search(MISUNDERSTOOD, printed), printed
    if command.startswith("each"):
        assert ["== pod/email-processor-a", "== pod/email-processor-b"] == re.findall(
            "^== .*", printed, re.MULTILINE
        ), name
