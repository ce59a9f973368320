"""The chart's alerts in a real Prometheus that scrapes the pods: a total stop pages, and its end is silent."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.cluster.cloud import ClusterAws
from tests.cluster.figures import Figures
from tests.cluster.kubernetes import RELEASE, Namespace
from tests.deploy.chart import only
from tests.deploy.prometheus import Prometheus, prometheus
from tests.support.mail import emails
from tests.support.waiting import eventually

QUICKER = 10  # times, than it is in the chart: all windows of queries, and for how long something must be so
UNITS = {"s": 1, "m": 60}

# What is refused, and which alert must ring. The first stop is there when the pods start.
STOPS = {
    "receiving denied, depth never read": ("SQS", "EmailProcessorStopped"),
    "receiving denied, depth last read as 0": ("SQS", "EmailProcessorStopped"),
    "circuit open": ("S3", "EmailProcessorCircuitOpen"),
}


def quicker(rules: str) -> str:
    """The rules with all times cut."""
    return re.sub(r"(?<![\w.])(\d+)([sm])(?!\w)", lambda found: f"{int(found[1]) * UNITS[found[2]] // QUICKER}s", rules)


@contextmanager
def scraping(space: Namespace, values: Path, directory: Path) -> Iterator[Prometheus]:
    """A Prometheus with the release's rules that scrapes its pods through the API server."""
    rendered = space.rendered(values, "--show-only", "templates/alerts.yaml")
    rule = only("PrometheusRule", yaml.safe_load_all(rendered))
    with space.proxied() as address:
        targets = [
            {
                "targets": [address],
                "labels": {
                    "__metrics_path__": f"/api/v1/namespaces/{space.name}/pods/{pod}:8080/proxy/metrics",
                    "namespace": space.name,
                    "job": RELEASE,
                    "pod": pod,
                },
            }
            for pod in space.pods()
        ]
        with prometheus(directory, quicker(yaml.safe_dump(rule["spec"])), *targets) as server:
            yield server


@pytest.mark.timeout(1200)
def test_a_total_stop_pages_and_its_end_is_silent(
    space: Namespace, aws: ClusterAws, figures: Figures, tmp_path: Path
) -> None:
    """Whatever it is that has stopped."""
    site, _ = aws.new_site(tmp_path)
    monitoring = {"scrape": "serviceMonitor", "alerts": {"enabled": True}}
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({**aws.values(site), "monitoring": monitoring}))
    aws.refuse("SQS")
    space.install(aws.values(site))
    eventually(lambda: len(space.pods()) == 2, "two pods", within=60)
    eventually(lambda: "Running" in space.kubectl("get", "pods"), "they run", within=60)

    with scraping(space, values, tmp_path) as server:

        def ringing() -> set[str]:
            samples = server.query('ALERTS{alertstate="firing", severity="critical"}')
            return {sample["metric"]["alertname"] for sample in samples}

        def ringing_of(name: str) -> Callable[[], bool]:
            return lambda: name in ringing()

        for name, (refused, expected) in STOPS.items():
            aws.refuse(refused)
            site.queue.send_all(emails(100))
            with figures.timed(f"alert with all times cut to a tenth: {name}"):
                eventually(ringing_of(expected), f"{expected} ({name})", within=240, every=1)
            aws.refuse("")
            with figures.timed(f"silence after it: {name}"):
                eventually(lambda: not ringing(), f"silence after: {name}", within=240, every=1)
            site.queue.wait_until_empty(within=60)
    space.helm("uninstall", RELEASE, "--wait")
