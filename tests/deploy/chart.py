"""The chart as its users render it: the real helm, 3 and 4."""

import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv-deploy" / "bin"
CHART = ROOT / "helm" / "email-processor"
CI_VALUES = sorted((CHART / "ci").glob("*.yaml"))
HELMS = ("helm3", "helm4")
NAME = "email-processor"
NAMESPACE = "mail"

REQUIRED = {
    "settings.SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/emails",
    "settings.S3_BUCKET_NAME": "my-email-archive",
    "settings.AWS_REGION": "eu-west-1",
}


def tool(name: str) -> str:
    """A tool's path; without it nothing here can be tested, so that is a failure and not a skip."""
    path = BIN / name
    assert path.exists(), f"{name} is missing: run `make .venv-deploy/stamp`"
    return str(path)


def helm(version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a helm to its end."""
    return subprocess.run([tool(version), *arguments], capture_output=True, text=True, check=False)


def template(version: str, values: Mapping[str, str | int | None]) -> subprocess.CompletedProcess[str]:
    """`helm template` with the required values and these, by path."""
    arguments = ["template", NAME, str(CHART), "--namespace", NAMESPACE]
    for path, value in {**REQUIRED, **values}.items():
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["--set-string" if isinstance(value, str) else "--set", f"{path}={shown}"]
    return helm(version, *arguments)


@cache
def rendered(version: str, file: Path) -> str:
    """What the chart renders with a file of values and nothing else."""
    answer = helm(version, "template", NAME, str(CHART), "--namespace", NAMESPACE, "--values", str(file))
    assert 0 == answer.returncode, answer.stderr
    return answer.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a rendered chart."""
    return [document for document in yaml.safe_load_all(text) if document]


def only(kind: str, found: Iterable[Mapping[str, Any]]) -> Any:  # noqa: ANN401 - a Kubernetes object
    """The one object of this kind."""
    (match,) = [each for each in found if each["kind"] == kind]
    return match


def by_ci(name: str) -> Path:
    """A file of values of the chart's matrix."""
    return CHART / "ci" / f"{name}.yaml"
