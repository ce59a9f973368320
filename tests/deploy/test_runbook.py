"""The runbook's commands work in the state that they are for: each is run, and what it prints is read."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.deploy.api_server import Cluster, FakePod, serving
from tests.deploy.chart import BIN, NAME, NAMESPACE
from tests.deploy.runbook import EXPECTED, FIRST, RUNBOOK, Shell, entry, headings_of, kubeconfig
from tests.support.aws_answers import DENY
from tests.support.commands import COMMAND, run_to_end
from tests.support.emulators import Emulator
from tests.support.fault_proxy import fault_proxy
from tests.support.mail import emails, pointer
from tests.support.service import Service
from tests.support.site import Site


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
    site = Site.at(emulator, directory)
    said = run_to_end(COMMAND, "run", directory=directory, **{**site.settings, "SQS_QUEUE_URL": ""}).stderr.splitlines()
    pods = [
        FakePod(f"{NAME}-a", "CrashLoopBackOff", is_ready=False, restarts=7, log_before=said),
        FakePod(f"{NAME}-b", "ImagePullBackOff", is_ready=False),
    ]
    yield site, Cluster(pods, site.settings)


STATES: dict[str, Callable[[Emulator, Path], AbstractContextManager[tuple[Site, Cluster]]]] = {
    "green": archiving,
    "SQS denied": lambda emulator, directory: archiving(emulator, directory, "SQS"),
    "S3 denied": lambda emulator, directory: archiving(emulator, directory, "S3"),
    "bodies missing": lambda emulator, directory: archiving(emulator, directory, offloaded=True),
    "crashing": crashing,
}


@pytest.fixture(scope="module", params=STATES)
def state(
    request: pytest.FixtureRequest, moto: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Shell]]:
    """Each state, and a shell in it."""
    directory = tmp_path_factory.mktemp("runbook")
    with STATES[request.param](moto, directory) as (site, cluster), serving(cluster, directory) as config:
        kubectl = str(BIN / "kubectl")
        yield request.param, Shell(directory, site, kubectl=kubectl, config=str(config), namespace=NAMESPACE)


def test_each_entry_is_read() -> None:
    """None is left out."""
    assert re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE) == list(EXPECTED)
    assert {heading: len(said) for heading, (_, said) in EXPECTED.items()} == {
        name: len(entry(name)) for name in EXPECTED
    }


@pytest.mark.timeout(300)  # dozens of commands, and some start our program
def test_every_command_of_an_entry_says_what_is_the_matter(state: tuple[str, Shell]) -> None:
    """In the state that the entry is for, and with no word that kubectl or the shell did not understand."""
    name, shell = state
    for heading in headings_of(name):
        shell.follow(heading)


def test_the_first_commands_never_fail_as_commands(state: tuple[str, Shell]) -> None:
    """Whatever the state: they print something of each pod, or why not."""
    name, shell = state
    for command in FIRST:
        printed = shell.printed(command)
        if command.startswith("each"):
            assert ["== pod/email-processor-a", "== pod/email-processor-b"] == re.findall(
                "^== .*", printed, re.MULTILINE
            ), name


def test_without_kubeconfig_the_cluster_is_the_one_of_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As kubectl has it, and as kind leaves it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert str(tmp_path / ".kube" / "config") == kubeconfig()
    monkeypatch.setenv("KUBECONFIG", "/a:/b")
    assert "/a:/b" == kubeconfig()
