"""What the API server says of every set of values of the chart, and the CronJob at work."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.cloud import ClusterAws
from tests.cluster.figures import Figures
from tests.cluster.kubernetes import RELEASE, Namespace
from tests.deploy.chart import CI_VALUES
from tests.support.waiting import eventually

# What a set of values needs of a cluster that this one may not have.
ELSEWHERE = {"extras": "service.ipFamilies=null", "placement": "priorityClassName=system-cluster-critical"}


@contextmanager
def accounts_of(space: Namespace, rendered: str) -> Iterator[None]:
    """The service accounts that are named: a pod is refused without, and what is only tried makes none."""
    names = set(re.findall(r"serviceAccountName: (\S+)", rendered))
    for name in names:
        made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        space.kubectl("apply", "--server-side", "--filename", "-", stdin=made)
    try:
        yield
    finally:
        space.kubectl("delete", "serviceaccounts", *sorted(names))


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_the_api_server_takes_every_set_of_values(space: Namespace, figures: Figures, values: Path) -> None:
    """By server-side apply with validation, the custom resources of Prometheus's operator and of KEDA included."""
    here = ("--set", f"namespaceOverride={space.name},{ELSEWHERE.get(values.stem, '')}")
    rendered = space.rendered(values, *here)
    options = ("--dry-run=server", "--force-conflicts", "--validate=strict", "--warnings-as-errors")
    with accounts_of(space, rendered):
        applied = space.kubectl("apply", "--server-side", *options, "--filename", "-", stdin=rendered)
    assert len(applied.splitlines()) == rendered.count("\nkind: ")
    figures.add("sets of values that the API server takes", len(CI_VALUES))


@pytest.mark.timeout(300)
def test_the_cron_job_checks(space: Namespace, aws: ClusterAws, figures: Figures, tmp_path: Path) -> None:
    """It runs when it is due, ends well, and its log is the report."""
    site, _ = aws.new_site(tmp_path)
    values = {**aws.values(site), "healthCheck": {"enabled": True, "schedule": "* * * * *"}}
    space.install(values, "--wait")
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=check"

    def ended() -> list[str]:
        pods = space.items("pods", selector)
        return [it["metadata"]["name"] for it in pods if it["status"]["phase"] == "Succeeded"]

    (name, *_) = eventually(ended, "a check that ended well", within=150, every=1)
    report = json.loads(space.kubectl("logs", name))
    assert 0 == report["summary"]["failed"]
    figures.add("findings of the CronJob's check", len(report["findings"]))
    space.helm("uninstall", RELEASE, "--wait")
    eventually(lambda: not space.leftovers(), "nothing left of the release", within=60)
