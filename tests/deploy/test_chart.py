"""The chart: what it renders, in every combination of the matrix, by both helms."""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from email_processor.settings import Settings
from scripts.chart import alerts
from tests.deploy.chart import (
    CHART,
    CI_VALUES,
    HELMS,
    NAME,
    NAMESPACE,
    ROOT,
    by_ci,
    helm,
    objects,
    only,
    rendered,
    template,
    tool,
)

KUBERNETES = ("1.27", "1.30", "1.33", "1.37")
CUSTOM = ("ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor", "PrometheusRule")


def chart(name: str) -> list[dict[str, Any]]:
    """The objects of one file of the matrix."""
    return objects(rendered("helm3", by_ci(name)))


def pod_of(found: Iterable[dict[str, Any]]) -> Any:  # noqa: ANN401 - a Kubernetes object
    """The pod of the Deployment."""
    return only("Deployment", found)["spec"]["template"]["spec"]


def environment_of(found: Iterable[dict[str, Any]]) -> dict[str, str]:
    """What the application is told."""
    return dict(only("ConfigMap", (each for each in found if "dashboard" not in each["metadata"]["name"]))["data"])


def told(found: Iterable[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that the application makes of its environment."""
    for name, value in environment_of(found).items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_combination_is_valid_kubernetes(version: str, tmp_path: Path) -> None:
    """Both helms render every file of values into objects that this Kubernetes takes, unknown fields refused."""
    files = []
    for client in HELMS:
        for values in CI_VALUES:
            path = tmp_path / f"{client}-{values.name}"
            path.write_text(rendered(client, values))
            files.append(str(path))

    checked = subprocess.run(
        [tool("kubernetes-validate"), "--strict", "-k", version, *files], capture_output=True, text=True, check=False
    )

    output = (checked.stdout + checked.stderr).splitlines()
    assert 0 == checked.returncode, output
    warned = [line for line in output if "Couldn't find schema" in line and not any(kind in line for kind in CUSTOM)]
    assert [] == warned


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_both_helms_render_the_same(values: Path) -> None:
    """Helm 3 and helm 4 make the same objects."""

    def in_order(client: str) -> list[tuple[str, str, dict[str, Any]]]:
        found = objects(rendered(client, values))
        return sorted(((each["kind"], each["metadata"]["name"], each) for each in found), key=lambda each: each[:2])

    assert in_order("helm3") == in_order("helm4")


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_object_says_whose_it_is(values: Path) -> None:
    """Every object carries the common labels and is in the release's namespace."""
    for each in objects(rendered("helm3", values)):
        if each["metadata"]["name"].endswith("-extra"):
            continue
        assert ("archive" if values.stem == "extras" else NAMESPACE) == each["metadata"]["namespace"]
        assert (
            each["metadata"]["labels"].items()
            >= {
                "app.kubernetes.io/name": "email-processor",
                "app.kubernetes.io/instance": "email-processor",
                "app.kubernetes.io/managed-by": "Helm",
            }.items()
        )


def test_common_labels_and_annotations_reach_every_object() -> None:
    """What is asked for on everything is on everything, pods included."""
    found = chart("annotations")
    everything = [each["metadata"] for each in found] + [only("Deployment", found)["spec"]["template"]["metadata"]]
    assert {"mail"} == {metadata["labels"].get("team") for metadata in everything}
    assert {"mail@example.com"} == {metadata["annotations"].get("example.com/owner") for metadata in everything}


def test_the_config_map_has_every_setting_and_nothing_else() -> None:
    """Every setting of the application can be set; those that are empty are left to the application."""
    names = set(environment_of(chart("kms"))) | set(environment_of(chart("log-file")))
    assert names == {name.upper() for name in Settings.model_fields}


def test_the_charts_defaults_are_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation with only what is required runs as the application does with only that."""
    found = told(chart("defaults"), monkeypatch)
    defaults = Settings.model_construct(
        sqs_queue_url=found.sqs_queue_url,
        s3_bucket_name=found.s3_bucket_name,
        aws_region=found.aws_region,
        pod_termination_grace_seconds=found.pod_termination_grace_seconds,
    )
    assert defaults == found


def test_big_numbers_and_fractions_arrive_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number is written with an exponent or cut."""
    found = told(chart("big"), monkeypatch)
    assert (1073741824, 110.5, 0.0) == (
        found.in_flight_max_bytes,
        found.shutdown_grace_seconds,
        found.poll_interval_seconds,
    )


@pytest.mark.parametrize(("name", "seconds"), [("defaults", 35), ("big", 121)])
def test_the_pod_is_given_the_grace_period_and_ten_seconds(
    name: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubelet waits longer than the application drains, and the application knows how long."""
    found = chart(name)
    assert seconds == pod_of(found)["terminationGracePeriodSeconds"]
    assert seconds == told(found, monkeypatch).pod_termination_grace_seconds
    assert [] == list(told(found, monkeypatch).conflicts())


def test_a_changed_setting_rolls_the_pods() -> None:
    """The pods' annotation is a digest of the settings."""
    digests = {
        only("Deployment", chart(name))["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for name in ("defaults", "big", "kms")
    }
    assert 3 == len(digests)


@pytest.mark.parametrize(("name", "replicas"), [("defaults", 2), ("bare", 0)])
def test_the_chart_sets_the_number_of_replicas_without_autoscaling(name: str, replicas: int) -> None:
    """Zero is a number too."""
    assert replicas == only("Deployment", chart(name))["spec"]["replicas"]


@pytest.mark.parametrize("name", ["keda", "hpa", "external"])
def test_an_autoscaler_owns_the_number_of_replicas(name: str) -> None:
    """An upgrade of the chart does not undo what the autoscaler did."""
    assert "replicas" not in only("Deployment", chart(name))["spec"]


def test_after_a_drain_by_the_docs_pods_work_again() -> None:
    """No autoscaler leaves zero by itself, so what is scaled to zero is scaled back, and what is paused goes on."""
    upgrade = (ROOT / "docs" / "deploy.md").read_text().partition("\n## Upgrade\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^\$ kubectl (.*)", upgrade, flags=re.MULTILINE)
    replicas = [int(count) for it in commands for count in re.findall("--replicas=([0-9]+)", it)]
    paused = [said for it in commands for said in re.findall(r"autoscaling\.keda\.sh/paused(=true|-)", it)]
    least = yaml.safe_load((CHART / "values.yaml").read_text())["autoscaling"]["minReplicas"]
    assert [0, least] == replicas
    assert ["=true", "-"] == paused


def test_keda_looks_at_the_queue_with_its_own_identity() -> None:
    """The trigger counts what is in flight as well, and never goes to zero."""
    found = chart("keda")
    spec = only("ScaledObject", found)["spec"]
    (trigger,) = spec["triggers"]
    assert {
        "queueURL": "https://sqs.eu-west-1.amazonaws.com/123456789012/emails",
        "awsRegion": "eu-west-1",
        "queueLength": "5000",
        "activationQueueLength": "0",
        "scaleOnInFlight": "true",
    } == trigger["metadata"]
    assert trigger["authenticationRef"]["name"] == only("TriggerAuthentication", found)["metadata"]["name"]
    assert (2, 20, 4) == (spec["minReplicaCount"], spec["maxReplicaCount"], spec["fallback"]["replicas"])


@pytest.mark.parametrize(
    ("name", "budget"),
    [
        ("defaults", {"maxUnavailable": 1}),
        ("disruption", {"maxUnavailable": 0}),
        ("disruption-min-available", {"minAvailable": "50%"}),
    ],
)
def test_the_disruption_budget_is_what_was_asked_for(name: str, budget: dict[str, object]) -> None:
    """Zero does not vanish, and pods that are not ready never block a drain."""
    spec = only("PodDisruptionBudget", chart(name))["spec"]
    del spec["selector"]
    assert spec == {**budget, "unhealthyPodEvictionPolicy": "AlwaysAllow"}


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_pod_is_locked_down(values: Path) -> None:
    """Service, periodic check and test run as user 1000, read-only, without capabilities and without a token."""
    found = objects(rendered("helm3", values))
    pods = [pod_of(found)]
    pods += [each["spec"] for each in found if each["kind"] == "Pod"]
    pods += [each["spec"]["jobTemplate"]["spec"]["template"]["spec"] for each in found if each["kind"] == "CronJob"]
    for pod in pods:
        container = pod["containers"][0]
        assert not pod["automountServiceAccountToken"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert (None if values.stem == "openshift" else 1000) == pod["securityContext"].get("runAsUser")
        assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container["securityContext"]


def test_more_old_pods_go_when_the_new_one_has_shown_what_it_can() -> None:
    """A pod that cannot store its first emails is found out by its readiness probe before it counts as available."""
    found = chart("defaults")
    probe = pod_of(found)["containers"][0]["readinessProbe"]
    assert only("Deployment", found)["spec"]["minReadySeconds"] > probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize(
    ("values", "at_once"),
    [
        ({}, 1),
        ({"replicaCount": 5}, 1),
        ({"replicaCount": 1}, 1),
        ({"replicaCount": 1, "strategy.rollingUpdate.maxUnavailable": 0}, 0),
    ],
)
def test_as_many_old_pods_go_at_once_as_the_docs_say(values: dict[str, str | int | None], at_once: int) -> None:
    """Before any new pod is ready: one, and none if there is but one and it was asked to stay."""
    assert at_once == gone_at_once(only("Deployment", objects(template("helm3", values).stdout))["spec"])
    upgrade = (ROOT / "docs" / "deploy.md").read_text().partition("\n## Upgrade\n")[2]
    assert "One old pod goes at once" in upgrade
    assert "set `strategy.rollingUpdate.maxUnavailable: 0`" in upgrade


def gone_at_once(spec: dict[str, Any]) -> int:
    """Old pods that a Deployment's rollout takes while no new one is ready, as Kubernetes reckons it."""
    replicas, rolling = spec["replicas"], spec["strategy"]["rollingUpdate"]
    new = rolling["maxSurge"]
    return int(replicas + new - (replicas - rolling["maxUnavailable"]) - new)


def test_what_charts_have_that_are_used_everywhere() -> None:
    """A registry for all charts, sidecars, DNS of one's own, two IP families, and annotations on every pod."""
    found = chart("extras")
    pod = pod_of(found)
    assert "registry.example.com/mail/email-processor:1.0.0" == pod["containers"][0]["image"]
    assert [{"name": "registry"}] == pod["imagePullSecrets"]
    assert (["email-processor", "proxy"], ["wait"]) == tuple(
        [container["name"] for container in pod[kind]] for kind in ("containers", "initContainers")
    )
    for container in (*pod["containers"], *pod["initContainers"]):  # or PodSecurity `restricted` refuses the pod
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert ["ALL"] == container["securityContext"]["capabilities"]["drop"]
    assert {"type": "Recreate"} == only("Deployment", found)["spec"]["strategy"]
    assert ["IPv6", "IPv4"] == only("Service", found)["spec"]["ipFamilies"]
    assert (
        "ClusterTriggerAuthentication"
        == only("ScaledObject", found)["spec"]["triggers"][0]["authenticationRef"]["kind"]
    )
    assert ["job", "team"] == [
        it["targetLabel"] for it in only("PodMonitor", found)["spec"]["podMetricsEndpoints"][0]["relabelings"]
    ]
    templates = [only("CronJob", found)["spec"]["jobTemplate"]["spec"], only("Deployment", found)["spec"]]
    everything = [each["metadata"] for each in found] + [each["template"]["metadata"] for each in templates]
    assert {"mail@example.com"} == {metadata["annotations"].get("example.com/owner") for metadata in everything}


def test_dns_is_let_out_as_its_pods_listen() -> None:
    """OpenShift's DNS listens on 5353, and a network policy sees the port of the pod and not of its Service."""
    dns = only("NetworkPolicy", chart("defaults"))["spec"]["egress"][0]["ports"]
    assert [(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")] == [(it["port"], it["protocol"]) for it in dns]


def test_the_probes_ask_the_port_that_is_set() -> None:
    """Alive is /healthz, ready is /readyz, and both are asked where the application listens."""
    (container,) = pod_of(chart("big"))["containers"]
    asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
    assert {
        "startup": {"path": "/healthz", "port": "http"},
        "liveness": {"path": "/healthz", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
    } == asked
    assert [{"name": "http", "containerPort": 9090}] == container["ports"]


def test_a_digest_wins_over_the_tag() -> None:
    """An image that is given by digest is that image."""
    (container,) = pod_of(chart("irsa"))["containers"]
    assert container["image"].endswith("/email-processor@sha256:" + "0123456789abcdef" * 4)


def test_a_role_becomes_the_annotation_of_irsa() -> None:
    """The service account assumes the role that was given."""
    annotations = only("ServiceAccount", chart("irsa"))["metadata"]["annotations"]
    assert {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/email-processor"} == annotations


def test_a_log_file_gets_a_place_to_be_written() -> None:
    """The root is read-only, so the file's directory is a volume, larger than the files kept."""
    pod = pod_of(chart("log-file"))
    assert [{"name": "log", "mountPath": "/var/log/email-processor"}] == pod["containers"][0]["volumeMounts"]
    assert [{"name": "log", "emptyDir": {"sizeLimit": "64Mi"}}] == pod["volumes"]


def test_checks_are_not_taken_for_the_service() -> None:
    """Service and disruption budget select the pods of the Deployment and not those of the checks."""
    found = chart("health-check")
    check = only("CronJob", found)["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    service = only("Deployment", found)["spec"]["template"]["metadata"]["labels"]
    for selector in (
        only("Service", found)["spec"]["selector"],
        only("PodDisruptionBudget", found)["spec"]["selector"]["matchLabels"],
        only("Deployment", found)["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= service.items()
        assert not selector.items() <= check.items()


def test_the_rules_are_the_releases_own() -> None:
    """The alert for a release that is gone names its job and namespace, and every alert its runbook."""
    rules = only("PrometheusRule", chart("service-monitor"))["spec"]["groups"][1]["rules"]
    assert rules[0]["expr"] == f'absent(up{{namespace="{NAMESPACE}", job="email-processor"}} == 1)'
    assert NAMESPACE == rules[0]["labels"]["namespace"]
    assert {"https://wiki.example.com/email-processor"} == {
        rule["annotations"]["runbook_url"].split("#")[0] for rule in rules
    }


def test_alerts_are_changed_one_by_one() -> None:
    """Switched off, or with another threshold, duration or severity; without an address nothing points nowhere."""
    alerts = alerts_of(chart("annotations"))
    changed = alerts["EmailProcessorBacklogGrowing"]
    assert "> 900 # threshold" in changed["expr"]
    assert ("30m", "info", "mail") == (changed["for"], changed["labels"]["severity"], changed["labels"]["team"])
    assert "EmailProcessorThrottled" not in alerts
    assert {"EmailProcessorLatencyBurn", "EmailProcessorAbsent"} < alerts.keys()
    assert [] == [name for name, rule in alerts.items() if "runbook_url" in rule["annotations"]]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_can_be_switched_off_and_every_threshold_set(rule: dict[str, Any]) -> None:
    """By its name, and nothing else changes."""
    path = f"monitoring.alerts.rules.{rule['alert']}"
    before = alerts_with({})
    assert before.keys() - {rule["alert"]} == alerts_with({f"{path}.enabled": False}).keys()
    if rule["threshold"] is not None:
        after = alerts_with({f"{path}.threshold": 7})
        assert (
            before[rule["alert"]].replace(f"{rule['threshold']} # threshold", "7 # threshold") == after[rule["alert"]]
        )
        assert before != after


def alerts_with(values: dict[str, str | int | None]) -> dict[str, str]:
    """The query of every alert, with these values."""
    answer = template("helm3", {"monitoring.alerts.enabled": True, **values})
    return {name: rule["expr"] for name, rule in alerts_of(objects(answer.stdout)).items()}


def alerts_of(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Every alert of a rendered chart, by its name."""
    groups = only("PrometheusRule", found)["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_a_seldom_receive_is_not_taken_for_none() -> None:
    """An idle queue may be looked at once an hour."""
    query = alerts_with({"settings.POLL_INTERVAL_SECONDS": 3600})["EmailProcessorStopped"]
    assert re.search(r'outcome="ok"}\[7260s\]', query)
    assert "email_processor_ready" in query.split("[5m]")[0]


@pytest.mark.parametrize(("interval", "wait"), [(0, "10m"), (300, "10m"), (301, "601s"), (3600, "3900s")])
def test_an_email_may_wait_for_the_next_look(interval: int, wait: str) -> None:
    """Who looks at an idle queue this seldom is not paged for what came just after a look, and may say otherwise."""
    values = {"monitoring.alerts.enabled": True, "settings.POLL_INTERVAL_SECONDS": interval}
    path = "monitoring.alerts.rules.EmailProcessorNotConsuming.for"
    found = [
        alerts_of(objects(template("helm3", {**values, **own}).stdout))["EmailProcessorNotConsuming"]["for"]
        for own in ({}, {path: "2h"})
    ]
    assert [wait, "2h"] == found


def test_every_release_has_a_dashboard_of_its_own() -> None:
    """Its file, uid and title are no other's, and its queries ask for nothing else's series."""
    found = []
    for name in ("ep", "another"):
        answer = template("helm3", {"monitoring.dashboard.enabled": True, "fullnameOverride": name})
        (config,) = [it for it in objects(answer.stdout) if it["metadata"]["name"] == f"{name}-dashboard"]
        ((file, text),) = config["data"].items()
        dashboard = json.loads(text)
        queries = re.findall(r"email_processor_[a-z_]+\{[^,]*, [^,}]*", text.replace('\\"', '"'))
        scopes = {query.split("{")[1] for query in queries}
        assert {f'namespace="{NAMESPACE}", job="{name}"'} == scopes
        assert ["datasource"] == [variable["name"] for variable in dashboard["templating"]["list"]]
        found.append((file, dashboard["uid"], dashboard["title"]))
    assert 6 == len({text for each in found for text in each})


@pytest.mark.parametrize("length", [5, 46, 47, 50, 52, 53])
def test_a_release_may_have_any_name(length: int) -> None:
    """Kubernetes takes the names of all objects, and the alerts know the pods by the name that it gives them."""
    values: dict[str, str | int | None] = {
        "fullnameOverride": "a" * length,
        "healthCheck.enabled": True,
        "monitoring.dashboard.enabled": True,
        "monitoring.alerts.enabled": True,
        "monitoring.scrape": "annotations",
    }
    found = objects(template("helm3", values).stdout)
    most = {"CronJob": 52, "Service": 63}
    names = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert [] == [(kind, name) for kind, name in names if len(name) > most.get(kind, 253)]
    query = alerts_of(found)["EmailProcessorNotReady"]["expr"]
    (selector,) = set(re.findall('pod=~"([^"]*)"', query))
    assert re.fullmatch(selector, pod_name(only("Deployment", found)["metadata"]["name"]))


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize(
    "values", [by_ci("extras"), by_ci("hpa"), by_ci("service-monitor")], ids=lambda path: path.stem
)
def test_a_release_and_its_namespace_may_be_numbers(version: str, values: Path) -> None:
    """As the number of an AWS account: every name, label and annotation is a string, as Kubernetes wants it."""
    numbers = [
        "nameOverride=2024",
        "namespaceOverride=123456789012",
        "serviceAccount.name=1e3",
        "priorityClassName=007",
    ]
    options = [option for number in numbers for option in ("--set-string", number)]
    answer = helm(version, "template", "2024", str(CHART), "--namespace", "12", "--values", str(values), *options)
    found = objects(answer.stdout)
    assert {"2024"} == {each["metadata"]["name"].partition("-")[0] for each in found} - {"1e3"}
    assert {"123456789012"} == {each["metadata"]["namespace"] for each in found}
    assert [] == [(path, value) for each in found for path, value in texts(each) if not isinstance(value, str)]


TEXTS = {"namespace", "serviceAccountName", "priorityClassName", "topologyKey", "replacement"}
MAPS = {"labels", "annotations", "matchLabels", "selector", "data"}


def texts(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """All that has to be a string in an object, names before all, with where it is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, path)
    elif path and (path[-1] in TEXTS or "name" in path[-1].lower() or MAPS & {*path[-2:-1]}):
        yield path, value


WITHIN = (
    "autoscaling.keda",
    "image.repository",
    "monitoring.alerts",
    "monitoring.dashboard",
    "resources.limits",
    "serviceAccount.annotations",
    "strategy.rollingUpdate",
    "topologySpread.topologyKeys",
)


@pytest.mark.parametrize("version", HELMS)
def test_what_is_taken_away_is_gone_or_asked_for(version: str) -> None:
    """Null in place of any value, Helm's word for a default that is not wanted: never a panic, never half an object."""
    everything = by_ci("extras"), by_ci("service-monitor"), by_ci("health-check"), by_ci("keda")
    options = [option for file in everything for option in ("--values", str(file))]
    refused = set()
    for path in [*yaml.safe_load((CHART / "values.yaml").read_text()), *WITHIN]:
        answer = helm(version, "template", NAME, str(CHART), *options, "--set", f"{path}=null")
        if answer.returncode:
            assert re.search("required|missing propert|execution error at", answer.stderr), f"{path}: {answer.stderr}"
            refused.add(path)
        assert all("metadata" in each for each in objects(answer.stdout)), path
    assert {"image", "settings", "strategy", "image.repository", "autoscaling.keda"} <= refused
    assert {"resources", "livenessProbe", "podAnnotations", "imagePullSecrets"} & refused == set()


def test_a_probe_that_is_taken_away_is_not_there() -> None:
    """The others stay, and one without any number of its own has those of Kubernetes."""
    numbers = ("periodSeconds", "timeoutSeconds", "failureThreshold")
    bare = {f"readinessProbe.{number}": None for number in numbers}
    (container,) = pod_of(objects(template("helm3", {"livenessProbe": None, **bare}).stdout))["containers"]
    assert "livenessProbe" not in container
    assert {"httpGet": {"path": "/readyz", "port": "http"}} == container["readinessProbe"]
    assert 60 == container["startupProbe"]["failureThreshold"]


def test_more_objects_may_be_given_as_text(tmp_path: Path) -> None:
    """As an object or as the text of one, with templates in both."""
    as_object = {"kind": "Secret", "metadata": {"name": "{{ .Release.Name }}-object"}}
    as_text = "kind: Secret\nmetadata:\n  name: {{ .Release.Name }}-text\n"
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"extraObjects": [as_object, as_text]}))
    answer = helm("helm3", "template", NAME, str(CHART), "--values", str(by_ci("defaults")), "--values", str(values))
    secrets = [each["metadata"]["name"] for each in objects(answer.stdout) if each["kind"] == "Secret"]
    assert [f"{NAME}-object", f"{NAME}-text"] == secrets


def test_the_notes_look_where_the_pods_are() -> None:
    """Kubectl in the namespace of the objects, helm in that of the release."""
    options = ("--dry-run=client", "--namespace", NAMESPACE, "--values", str(by_ci("extras")))
    # helm 3 wants a cluster for that
    notes = helm("helm4", "install", NAME, str(CHART), *options).stdout.partition("\nNOTES:\n")[2]
    asked = re.findall(r"^  (kubectl|helm) -n (\S+) (\S+)", notes, flags=re.MULTILINE)
    assert [
        ("kubectl", "archive", "rollout"),
        ("kubectl", "archive", "exec"),
        ("helm", NAMESPACE, "test"),
        ("kubectl", "archive", "logs"),
    ] == asked


def pod_name(deployment: str) -> str:
    """What Kubernetes calls a pod of a Deployment: with a hash of its template, cut, and five random characters."""
    return f"{deployment}-5d9c7b6f4b-"[:58] + "x2x4z"
