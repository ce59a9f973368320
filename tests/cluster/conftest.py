"""What the cluster check works in: a namespace, an AWS in it, and the figures that it leaves in docs/cluster.md."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.cluster.cloud import ClusterAws, cluster_aws
from tests.cluster.figures import Figures
from tests.cluster.kubernetes import Namespace, namespace
from tests.deploy.chart import ROOT

DOCUMENT = ROOT / "docs" / "cluster.md"
BEGIN, END = "<!-- the last run: make cluster-check -->", "<!-- the end of the last run -->"


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Those of this run; in the document they take the place of those of the same name, if every test was well."""
    found = Figures()
    yield found
    if request.session.testsfailed:
        return
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    rows = {
        what: (figure, day) for what, figure, day in re.findall(r"^\| (.*) \| (.*) \| (\d.*) \|$", old, re.MULTILINE)
    }
    rows |= {what: (figure, f"{datetime.now(UTC):%Y-%m-%d}") for what, figure in found.rows.items()}
    lines = [f"| {what} | {figure} | {day} |" for what, (figure, day) in rows.items()]
    table = "\n".join([BEGIN, "", "| what | seen | on |", "| --- | --- | --- |", *lines, "", END])
    DOCUMENT.write_text(before + table + after)


@pytest.fixture(scope="module")
def space(figures: Figures) -> Iterator[Namespace]:
    """A namespace for the tests of a module."""
    with namespace() as found:
        versions = json.loads(found.kubectl("version", "--output", "json"))
        figures.add("Kubernetes", versions["serverVersion"]["gitVersion"])
        figures.add("Helm", found.helm("version", "--template", "{{.Version}}"))
        yield found


@pytest.fixture(scope="module")
def aws(space: Namespace) -> Iterator[ClusterAws]:
    """SQS and S3 for the tests of a module."""
    with cluster_aws(space) as found:
        yield found
