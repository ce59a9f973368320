"""Alerts, runbook and dashboard fit each other and the metrics that the service has."""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from email_processor.metrics import PREFIX, Metrics
from tests.deploy.chart import CHART, ROOT, tool

RULES = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in RULES for rule in group["rules"] if "alert" in rule}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TESTS = [
    yaml.safe_load((ROOT / "tests" / "deploy" / name).read_text())["tests"]
    for name in ("alerts.yaml", "alerts_slow.yaml")
]
PARTS = ("**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mitigation.**", "**Safe to ignore when**")


def entries() -> dict[str, str]:
    """The runbook's entries by their heading."""
    _, *sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)
    return {section.split("\n", 1)[0]: section for section in sections}


def series() -> set[str]:
    """The names of all series that the service exposes."""
    registry = CollectorRegistry()
    Metrics(registry, "0")
    ProcessCollector(namespace=PREFIX, registry=registry)
    names = {sample.name for family in registry.collect() for sample in family.samples}
    # a gauge with labels has no series before it is set
    return names | {f"{PREFIX}_queue_messages"}


def used(queries: list[str]) -> set[str]:
    """The service's series that queries ask for."""
    return {name for query in queries for name in re.findall(rf"\b{PREFIX}_[a-z_]+", query)}


def test_every_alert_has_its_entry_in_the_runbook_and_every_entry_its_alert() -> None:
    """Nobody is paged without being told what to do; two entries are for what Prometheus does not see."""
    assert [*ALERTS, "The dead-letter queue", "Replaying the quarantine"] == list(entries())


@pytest.mark.parametrize("name", ALERTS)
def test_an_entry_says_all_that_is_needed(name: str) -> None:
    """Meaning, impact, three commands, mitigation, and when it may be ignored."""
    entry = entries()[name]
    assert [] == [part for part in PARTS if part not in entry]
    assert 3 == len(re.findall(r"^\$ ", entry, flags=re.MULTILINE))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_all_that_is_needed(name: str) -> None:
    """A severity, a static summary, a description with the values, and the way to its entry."""
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert "{{" not in alert["annotations"]["summary"]
    assert "$labels.job" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == f"RUNBOOK#{name.lower()}"


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_tested_for_firing(name: str) -> None:
    """The rule tests hold a case in which it fires."""
    fired = [
        sample["labels"]
        for tests in TESTS
        for test in tests
        for expression in test["promql_expr_test"]
        for sample in expression["exp_samples"]
    ]
    assert any(f'alertname="{name}"' in labels for labels in fired)


def test_the_rules_do_what_their_tests_say() -> None:
    """Promtool's verdict on the tests of the rules."""
    files = [str(ROOT / "tests" / "deploy" / name) for name in ("alerts.yaml", "alerts_slow.yaml")]
    answer = subprocess.run([tool("promtool"), "test", "rules", *files], capture_output=True, text=True, check=False)
    assert 0 == answer.returncode, answer.stdout + answer.stderr


def test_alerts_ask_only_for_series_that_exist() -> None:
    """No alert is silent because a metric was renamed."""
    expressions = [rule["expr"] for group in RULES for rule in group["rules"]]
    assert set() == used(expressions) - series()


def test_the_dashboard_asks_only_for_series_that_exist() -> None:
    """No panel is empty because a metric was renamed."""
    assert set() == used([target["expr"] for panel in PANELS for target in panel["targets"]]) - series()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_is_explained_and_finds_its_data_source(panel: dict[str, Any]) -> None:
    """A title, a description, a unit, and the data source that is chosen above."""
    source = {"type": "prometheus", "uid": "$datasource"}
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert [source] * (len(panel["targets"]) + 1) == [
        panel["datasource"],
        *(it["datasource"] for it in panel["targets"]),
    ]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """It has its own name and no number of some Grafana, and no two panels overlap."""
    assert (None, "email-processor") == (DASHBOARD["id"], DASHBOARD["uid"])
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
