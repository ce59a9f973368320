"""A real Prometheus: it scrapes a running service, and it has scraped the pipeline in all its states."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from email_processor.domain.errors import Cause
from email_processor.metrics import Operation
from tests.deploy.chart import CHART, NAME, objects, only, template, tool
from tests.deploy.history import Pod, played
from tests.deploy.prometheus import Prometheus, prometheus
from tests.simulation.connection import CHANGE_VISIBILITY, DELETE, PUT, QUEUE_STATE, RECEIVE, refused, slow
from tests.support.emulators import Emulator
from tests.support.mail import emails
from tests.support.site import Site
from tests.support.waiting import eventually
from tests.unit.pipeline.kit import later

RULES = (CHART / "files" / "alerts.yaml").read_text()
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
NUMBERS = yaml.safe_load(Path(__file__).with_name("dashboard.yaml").read_text())


def asked(expression: str, *, interval: str = "5s", job: str = ".*") -> str:
    """A panel's query as Grafana sends it with every namespace and these jobs chosen."""
    for variable, value in (("$__rate_interval", interval), ("$namespace", ".*"), ("$job", job)):
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
        with prometheus(tmp_path, RULES, {"targets": [f"127.0.0.1:{port}"]}) as server:
            service.wait_until("messages_archived_total", 40)
            wait_for(server, "email_processor_messages_archived_total == 40")
            site.queue.send_all(emails(20))
            wait_for(server, "rate(email_processor_messages_archived_total[5s]) > 0")
            empty = {title for title, expression in QUERIES if not server.query(asked(expression))}
            rules = eventually(lambda: evaluated(server), "an evaluation of every rule")
    assert set() == empty
    assert {"ok"} == {rule["health"] for rule in rules}
    assert 23 == len(rules)


SQS = (RECEIVE, QUEUE_STATE, DELETE, CHANGE_VISIBILITY)
OUTAGE = range(300, 1800)  # seconds


def idle(_pod: Pod) -> None:
    """Nothing is sent."""


def busy(pod: Pod) -> None:
    """Two emails a second, and S3 takes 40 ms."""
    pod.script.always(PUT, slow(0.04))
    pod.send_steadily(10, every=5, until=4500)


def backlog(pod: Pod) -> None:
    """Much was sent at once, and S3 is slow."""
    pod.script.always(PUT, slow(0.5))
    pod.send(5000)


def s3_outage(pod: Pod) -> None:
    """S3 is down from the fifth minute to the thirtieth."""
    busy(pod)
    outage(pod, OUTAGE, PUT)


def sqs_outage(pod: Pod) -> None:
    """SQS is denied from the fifth minute to the thirtieth."""
    busy(pod)
    outage(pod, OUTAGE, *SQS)


def never_received(pod: Pod) -> None:
    """SQS is denied from the start to the thirtieth minute."""
    pod.send(50)
    outage(pod, range(OUTAGE.stop), *SQS)


def outage(pod: Pod, when: range, *operations: Operation) -> None:
    """These operations fail meanwhile."""
    for operation in operations:
        later(when.start, pod.script.always, operation, refused(Cause.SERVER if operation is PUT else Cause.DENIED))
    later(when.stop, pod.script.clear, *operations)


# Archived a second, waiting, seconds to drain, p99 of sent to stored, open circuits, pods not ready; None: unknown.
STATS = {
    "idle": (0, 0, 0, None, 0, 0),
    "busy": (2, 0, 0, 0.099, 0, 0),
    "backlog": (4, 2629, 657.2, 894, 0, 0),
    "S3 outage": (0, 510, float("inf"), None, 1, 1),
    "SQS outage": (0, None, None, None, 0, 1),
}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, float]]:
    """A Prometheus that has scraped a pod in each state for ten minutes, as a job of that name; when it did so last."""
    directory = tmp_path_factory.mktemp("prometheus")
    stories = (idle, busy, backlog, s3_outage, sqs_outage)
    histories = [
        played(story, 10, uploads=2 if story is backlog else 256, job=name)
        for name, story in zip(STATS, stories, strict=True)
    ]
    text = directory / "history"
    text.write_text("\n".join([*(line for history in histories for line in history.lines()), "# EOF", ""]))
    command = [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(directory / "data")]
    subprocess.run(command, check=True, capture_output=True)
    with prometheus(directory, RULES) as server:
        yield server, histories[0].end


@pytest.mark.parametrize("state", STATS)
def test_the_first_row_tells_how_it_is(scraped: tuple[Prometheus, float], state: str) -> None:
    """At a glance: what is not known is not shown as a number, and what does not drain takes for ever."""
    stats = [panel for panel in PANELS if panel["type"] == "stat"]
    assert STATS[state] == tuple(shown(scraped, panel, state).get("__auto") for panel in stats)


@pytest.mark.parametrize("state", STATS)
def test_every_number_of_the_dashboard_is_the_one_of_the_state(scraped: tuple[Prometheus, float], state: str) -> None:
    """What each panel shows at the end; CPU and memory are a process's, and here there is none."""
    panels = [panel for panel in PANELS if panel["type"] != "stat"]
    found = {panel["title"]: numbers for panel in panels if (numbers := shown(scraped, panel, state))}
    assert {title: pytest.approx(numbers, rel=0.1) for title, numbers in NUMBERS[state].items()} == found


def shown(scraped: tuple[Prometheus, float], panel: dict[str, Any], state: str) -> dict[str, float]:
    """The last numbers of a panel, by legend; of rates those that are zero are left out."""
    server, end = scraped
    found = {}
    for target in panel["targets"]:
        for sample in server.query(asked(target["expr"], interval="1m", job=state), time=str(end)):
            legend = target["legendFormat"]
            for label in re.findall(r"{{(\w+)}}", legend):
                legend = legend.replace(f"{{{{{label}}}}}", sample["metric"].get(label, ""))
            found[legend.strip()] = float(f"{float(sample['value'][1]):.4g}")
    is_rate = panel["type"] != "stat" and panel["fieldConfig"]["defaults"]["unit"] in {"ops", "reqps"}
    return {legend: value for legend, value in found.items() if value or not is_rate}


# Which critical alerts are up near the end of the outage.
STOPS: dict[Callable[[Pod], None], set[str]] = {
    never_received: {"EmailProcessorStopped"},  # the depth was never read
    sqs_outage: {"EmailProcessorStopped", "EmailProcessorNotConsuming"},  # the depth was last read as 0
    s3_outage: {"EmailProcessorCircuitOpen", "EmailProcessorNotConsuming"},
    busy: set(),
}


@pytest.mark.parametrize(
    ("story", "scrape"), [*((story, "serviceMonitor") for story in STOPS), (sqs_outage, "annotations")]
)
def test_a_total_stop_pages_and_its_end_is_silent(tmp_path: Path, story: Callable[[Pod], None], scrape: str) -> None:
    """The chart's rules know the release, whatever finds its pods, from another one in its namespace that is down."""
    ours = played(story, 75, job=NAME if scrape == "serviceMonitor" else "kubernetes-pods")
    other = [
        {"series": it["series"].replace(NAME, "another"), "values": it["values"]}
        for it in played(
            never_received, 30, job="another" if scrape == "serviceMonitor" else "kubernetes-pods"
        ).input_series()
    ]
    values: dict[str, str | int | None] = {"monitoring.alerts.enabled": True, "monitoring.scrape": scrape}
    paged = {"29m": STOPS[story], "74m": set[str]()}
    assert_pages(tmp_path, values, [*ours.input_series(), *other], paged)


# The largest for which ten minutes are long enough, the next one, and the largest that there is.
@pytest.mark.parametrize("interval", [300, 301, 900, 3600])
def test_an_email_that_waits_for_the_next_look_pages_nobody(tmp_path: Path, interval: int) -> None:
    """It came just after an idle queue was looked at, and is archived at the next look."""
    minutes = 2 * interval // 60 + 15
    series = played(lambda pod: later(40, pod.send, 3), minutes, job=NAME, poll_interval=interval).input_series()
    values: dict[str, str | int | None] = {
        "monitoring.alerts.enabled": True,
        "monitoring.scrape": "serviceMonitor",
        "settings.POLL_INTERVAL_SECONDS": interval,
    }
    assert_pages(tmp_path, values, series, {f"{minute}m": set() for minute in range(1, minutes)})


def test_a_stop_pages_however_seldom_the_queue_is_looked_at(tmp_path: Path) -> None:
    """Later, but it does: an email that was not archived at the next look either."""
    values: dict[str, str | int | None] = {
        "monitoring.alerts.enabled": True,
        "monitoring.scrape": "serviceMonitor",
        "settings.POLL_INTERVAL_SECONDS": 900,
    }

    def denied(pod: Pod) -> None:
        later(40, pod.send, 3)
        later(60, pod.script.always, RECEIVE, refused(Cause.DENIED))

    series = played(denied, 60, poll_interval=900).input_series()
    assert_pages(tmp_path, values, series, {"59m": {"EmailProcessorStopped", "EmailProcessorNotConsuming"}})


def assert_pages(
    directory: Path,
    values: Mapping[str, str | int | None],
    series: Sequence[Mapping[str, str]],
    paged: Mapping[str, set[str]],
) -> None:
    """The critical alerts of the chart with these values that fire at each time are these, on these series."""
    answer = template("helm3", values)
    (directory / "rules.yaml").write_text(yaml.safe_dump(only("PrometheusRule", objects(answer.stdout))["spec"]))
    critical = 'count by (alertname) (ALERTS{alertstate="firing", severity="critical"})'
    expected = {
        time: [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)]
        for time, names in paged.items()
    }
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "15s",
                "input_series": series,
                "promql_expr_test": [
                    {"expr": critical, "eval_time": time, "exp_samples": samples} for time, samples in expected.items()
                ],
            }
        ],
    }
    (directory / "test.yaml").write_text(yaml.safe_dump(document))
    tested = subprocess.run(
        [tool("promtool"), "test", "rules", str(directory / "test.yaml")], capture_output=True, text=True, check=False
    )
    assert 0 == tested.returncode, tested.stdout + tested.stderr
