"""A real Prometheus scrapes a running service: rules load, every panel of the dashboard has data."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.chart import CHART, tool
from tests.support.emulators import Emulator, free_port
from tests.support.environment import clean_environment
from tests.support.mail import emails
from tests.support.site import Site
from tests.support.waiting import eventually

DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
QUERIES = [
    (panel["title"], target["expr"])
    for panel in DASHBOARD["panels"]
    if panel["type"] != "row"
    for target in panel["targets"]
]


class Prometheus:
    """A server that answers queries."""

    def __init__(self, url: str) -> None:
        """At `url`."""
        self._url = url

    def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """The data of an answer of its API."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - a URL of ours
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """The samples of a query."""
        return list(self.ask("query", query=expression)["result"])

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.ask("status/runtimeinfo"))
        except OSError:
            return False


@contextmanager
def prometheus(directory: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus with the chart's rules that scrapes `target` every second."""
    port = free_port()
    (directory / "rules.yaml").write_text((CHART / "files" / "alerts.yaml").read_text())
    config = directory / "prometheus.json"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(directory / "rules.yaml")],
                "scrape_configs": [{"job_name": "email-processor", "static_configs": [{"targets": [target]}]}],
            }
        )
    )
    command = [
        tool("prometheus"),
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={directory / 'data'}",
        "--log.level=error",
    ]
    with subprocess.Popen(command, env=clean_environment(), cwd=directory) as process:
        server = Prometheus(f"http://127.0.0.1:{port}")
        try:
            eventually(server.is_ready, "an answer of Prometheus", within=60)
            yield server
        finally:
            process.kill()


def asked(expression: str) -> str:
    """A panel's query as Grafana sends it with everything chosen."""
    for variable, value in (("$__rate_interval", "5s"), ("$namespace", ".*"), ("$job", ".*")):
        expression = expression.replace(variable, value)
    return expression


def wait_for(server: Prometheus, expression: str) -> None:
    """Return when a query has an answer."""
    eventually(lambda: server.query(expression), expression)


def evaluated(server: Prometheus) -> list[Any]:
    """All rules, as soon as none is left that was not evaluated."""
    rules = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
    return [] if any(rule["health"] == "unknown" for rule in rules) else rules


def test_every_panel_has_data_and_every_rule_is_well(ministack: Emulator, tmp_path: Path) -> None:
    """While a service archives, each query of the dashboard answers with numbers and each rule evaluates."""
    site = Site.at(ministack, tmp_path)
    site.queue.send_all([*emails(40), "not an email"])
    with site.service() as service:
        port = service.wait_for("started")["port"]
        with prometheus(tmp_path, f"127.0.0.1:{port}") as server:
            service.wait_until("messages_archived_total", 40)
            wait_for(server, "email_processor_messages_archived_total == 40")
            site.queue.send_all(emails(20))
            wait_for(server, "rate(email_processor_messages_archived_total[5s]) > 0")
            empty = {title for title, expression in QUERIES if not server.query(asked(expression))}
            rules = eventually(lambda: evaluated(server), "an evaluation of every rule")
    assert set() == empty
    assert {"ok"} == {rule["health"] for rule in rules}
    assert 21 == len(rules)
