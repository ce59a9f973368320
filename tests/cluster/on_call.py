"""Every command of the runbook, by a real kubectl, against pods that are green, red, or do not run."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.cluster.cloud import ClusterAws
from tests.cluster.figures import Figures
from tests.cluster.kubernetes import RELEASE, Namespace
from tests.deploy.runbook import FIRST, Shell, entry, headings_of, kubeconfig
from tests.support.mail import emails, pointer
from tests.support.site import Site
from tests.support.waiting import eventually


@contextmanager
def installed(aws: ClusterAws, site: Site, *options: str, **more: object) -> Iterator[None]:
    """A release that works at a site, with the poll interval that the runbook expects."""
    aws.space.install({**aws.values(site, POLL_INTERVAL_SECONDS=30), **more}, *options)
    try:
        yield
    finally:
        aws.refuse("")
        aws.space.helm("uninstall", RELEASE, "--wait")


@contextmanager
def archiving(aws: ClusterAws, directory: Path, refused: str = "", *, offloaded: int = 0) -> Iterator[Site]:
    """Two pods of a running service; `SQS` or `S3` refuses it, or so many bodies are `offloaded` and missing."""
    site, dead = aws.new_site(directory)
    dead.send("given up on")
    with installed(aws, site, "--wait"):
        aws.refuse(refused)
        if refused == "SQS":
            # Before anything is sent: what a receive brings that is on its way would make deleting red, and first.
            eventually(lambda: len(aws.space.pods(ready=False)) == 2, "receiving is red everywhere", within=90, every=1)
        site.queue.send_all([*emails(50), "no email", *(pointer("not-there", f"{it}") for it in range(offloaded))])
        if refused == "S3":
            eventually(lambda: aws.space.pods(ready=False), "a pod that received an email is red", within=180, every=1)
        elif not refused:
            eventually(lambda: not site.queue.visible, "all received", within=90)
            eventually(lambda: len(site.bucket.listing()) == 51, "all that can be stored", within=90)
        yield site


@contextmanager
def crashing(aws: ClusterAws, directory: Path) -> Iterator[Site]:
    """A setting is wrong that only the service sees."""
    environment = [{"name": "SQS_QUEUE_URL", "value": ""}]
    site, _ = aws.new_site(directory)
    with installed(aws, site, extraEnv=environment):

        def reasons() -> set[str]:
            statuses = [it for pod in aws.space.items("pods") for it in pod["status"].get("containerStatuses", ())]
            return {it["state"].get("waiting", {}).get("reason", "") for it in statuses}

        eventually(lambda: reasons() == {"CrashLoopBackOff"}, "pods that crash again and again", within=180, every=1)
        yield site


STATES: dict[str, Callable[[ClusterAws, Path], AbstractContextManager[Site]]] = {
    "green": archiving,
    "SQS denied": lambda aws, directory: archiving(aws, directory, "SQS"),
    "S3 denied": lambda aws, directory: archiving(aws, directory, "S3"),
    "bodies missing": lambda aws, directory: archiving(aws, directory, offloaded=8),
    "crashing": crashing,
}


@pytest.fixture(scope="module", params=STATES)
def state(
    request: pytest.FixtureRequest, aws: ClusterAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Shell]]:
    """Each state, and a shell of whoever is on call in it."""
    directory = tmp_path_factory.mktemp("on-call")
    kubectl = shutil.which("kubectl")
    assert kubectl is not None
    with STATES[request.param](aws, directory) as site:
        shell = Shell(directory, site, kubectl=kubectl, config=kubeconfig(), namespace=aws.space.name)
        yield request.param, shell


@pytest.mark.timeout(600)
def test_every_command_of_an_entry_says_what_is_the_matter(state: tuple[str, Shell], figures: Figures) -> None:
    """In the state that the entry is for."""
    name, shell = state
    for heading in headings_of(name):
        shell.follow(heading)
    figures.add(f"commands of the runbook against pods that are {name}", sum(map(len, map(entry, headings_of(name)))))


@pytest.mark.timeout(600)
def test_the_first_commands_never_fail_as_commands(space: Namespace, state: tuple[str, Shell]) -> None:
    """Whatever the state: they print something of each pod, or why not."""
    _, shell = state
    for command in FIRST:
        printed = shell.printed(command)
        if command.startswith("each"):
            assert [f"== pod/{name}" for name in space.pods()] == re.findall("^== .*", printed, re.MULTILINE)
