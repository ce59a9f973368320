"""A real Prometheus."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.chart import tool
from tests.support.emulators import free_port
from tests.support.environment import clean_environment
from tests.support.waiting import eventually


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

    def query(self, expression: str, **at: str) -> list[Any]:
        """The samples of a query, now or at a `time`."""
        return list(self.ask("query", query=expression, **at)["result"])

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.ask("status/runtimeinfo"))
        except OSError:
            return False


@contextmanager
def prometheus(directory: Path, rules: str, *targets: Mapping[str, object]) -> Iterator[Prometheus]:
    """A Prometheus with these rules that scrapes these `static_configs` each second, on the data that are there."""
    port = free_port()
    (directory / "rules.yaml").write_text(rules)
    config = directory / "prometheus.json"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(directory / "rules.yaml")],
                "scrape_configs": [{"job_name": "email-processor", "static_configs": targets}],
            }
        )
    )
    command = [
        tool("prometheus"),
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={directory / 'data'}",
        "--query.lookback-delta=20s",  # data that were put there have no marks where a series ends
        "--log.level=error",
    ]
    with subprocess.Popen(command, env=clean_environment(), cwd=directory) as process:
        server = Prometheus(f"http://127.0.0.1:{port}")
        try:
            eventually(server.is_ready, "an answer of Prometheus", within=60)
            yield server
        finally:
            process.kill()
