"""docker-compose.yml: its shape, and its pieces one by one, since not every machine has an engine."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.chart import ROOT, tool
from tests.support.emulators import BIN, Bucket, Emulator
from tests.support.environment import clean_environment
from tests.support.service import Service

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Mapping[str, Any] = COMPOSE["services"]
OURS = ("init", "email-processor", "sender")


def environment(service: str, emulator: Emulator) -> dict[str, str]:
    """What a service of the file is told, with the emulator where this test has it."""
    told: dict[str, str] = SERVICES[service]["environment"]
    return {name: value.replace("http://aws:5000", emulator.url) for name, value in told.items()}


def run(command: list[str], variables: Mapping[str, str], directory: Path) -> str:
    """Run a command of the file to its good end; its output."""
    answer = subprocess.run(
        command, env={**clean_environment(), **variables}, cwd=directory, capture_output=True, text=True, check=False
    )
    assert 0 == answer.returncode, answer.stderr
    return answer.stdout


def test_ours_run_as_in_the_cluster() -> None:
    """Read-only root, user 1000, no capabilities, and as long to stop as the chart gives."""
    for name in OURS:
        service = SERVICES[name]
        assert (True, "1000:1000", ["ALL"]) == (service["read_only"], service["user"], service["cap_drop"])
    assert "35s" == SERVICES["email-processor"]["stop_grace_period"]


def test_every_file_that_is_mounted_is_there() -> None:
    """Docker would make an empty directory of a file that is missing."""
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    assert [] == [path for path in mounted if not (ROOT / path).is_file()]


def test_every_image_has_its_version() -> None:
    """Nothing changes under the feet of who runs it twice."""
    assert [] == [
        service["image"] for service in SERVICES.values() if service["image"].endswith((":latest", "email-processor"))
    ]


def test_ports_are_open_to_this_machine_only() -> None:
    """Nothing here has a password."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]


def test_the_pieces_work_one_after_the_other(moto: Emulator, tmp_path: Path) -> None:
    """The init step makes queue and bucket, twice if need be; what the sender sends, the service archives."""
    init = [sys.executable, str(ROOT / "infra" / "compose" / "init.py")]
    for _ in range(2):
        said = run(init, environment("init", moto), tmp_path)
        assert "Queue emails and bucket email-archive are there.\n" == said
    run([str(BIN / "email-processor"), "send", "20", "--broken", "5"], environment("sender", moto), tmp_path)

    with Service(environment("email-processor", moto), tmp_path) as service:
        service.wait_until("messages_received_total", 20)
        assert 0 == service.stop()

    bucket = Bucket(moto, "email-archive")
    assert 20 == len(bucket.listing("emails/")) + len(bucket.listing("quarantine/"))


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    """Promtool accepts the scrape configuration, rules included, at the places where the file mounts them."""
    config = (ROOT / "infra" / "compose" / "prometheus.yaml").read_text()
    volumes = dict(volume.removesuffix(":ro").split(":") for volume in SERVICES["prometheus"]["volumes"])
    for path, place in volumes.items():
        config = config.replace(place, str(ROOT / path))
    file = tmp_path / "prometheus.yml"
    file.write_text(config)
    assert "SUCCESS" in run([tool("promtool"), "check", "config", str(file)], {}, tmp_path)


def test_grafana_finds_its_dashboard_and_its_data() -> None:
    """The dashboard is mounted where the provider looks, and the data source is the Prometheus of the file."""
    grafana = ROOT / "infra" / "compose" / "grafana"
    (provider,) = yaml.safe_load((grafana / "dashboards.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((grafana / "datasources.yaml").read_text())["datasources"]
    places = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/email-processor.json" in places
    assert ("prometheus", "http://prometheus:9090") == (source["type"], source["url"])
