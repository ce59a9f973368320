"""The workflows: what a tag publishes is ours to publish."""

import re
from typing import Any

import yaml

from tests.deploy.chart import ROOT

RELEASE = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yaml").read_text())["jobs"]


def done(job: dict[str, Any]) -> str:
    """All that a job runs and uses."""
    return "\n".join(step.get("run", step.get("uses", "")) for step in job["steps"])


def test_no_package_goes_to_an_index_that_has_another_of_its_name() -> None:
    """As docs/install.md says: an upload would be refused, and what has the name there would be taken for ours."""
    assert "no public index has this package" in (ROOT / "docs" / "install.md").read_text()
    publishing = re.compile("pypi|twine|hatch(ling)? publish|uv publish")
    assert [] == [name for name, job in RELEASE.items() if publishing.search(done(job))]


def test_what_is_built_can_be_had_from_the_run() -> None:
    """Wheel, sdist and checksums are kept, and every job publishes what was built first and nothing else."""
    upload = next(step for step in RELEASE["build"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert ("dist", "dist/") == (upload["with"]["name"], upload["with"]["path"])
    others = {name: job for name, job in RELEASE.items() if name != "build"}
    assert {"image-and-chart"} == others.keys()
    assert all(job["needs"] == "build" and "download-artifact" in done(job) for job in others.values())
