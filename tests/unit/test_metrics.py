"""Metrics: their names, their labels, and what is counted with them."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from email_processor.domain.errors import Cause, Reason
from email_processor.metrics import Metrics, Operation

REASONS = {
    "not_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "too_deep",
    "payload_missing",
    "corrupt",
    "undeliverable",
}
CAUSES = {
    "throttled",
    "timeout",
    "network",
    "server",
    "denied",
    "missing",
    "credentials",
    "clock",
    "configuration",
    "encryption",
}
OPERATIONS = {
    ("sqs", "ReceiveMessage"),
    ("sqs", "DeleteMessageBatch"),
    ("sqs", "ChangeMessageVisibilityBatch"),
    ("sqs", "GetQueueAttributes"),
    ("s3", "PutObject"),
    ("s3", "GetObject"),
}

# Dashboards and alerts are written against these: a change here is a breaking change.
COUNTERS: dict[str, set[tuple[str, ...]]] = {
    "log_lines_dropped_total": {()},
    "messages_received_total": {()},
    "messages_corrupt_total": {()},
    "messages_archived_total": {()},
    "messages_duplicate_total": {("stored",), ("in_flight",), ("remembered",)},
    "messages_quarantined_total": {(reason,) for reason in REASONS},
    "messages_released_total": {("shutdown",), ("lease_expired",), ("refused",), ("rejected",), ("deferred",)},
    "lease_extensions_total": {()},
    "leases_lost_total": {()},
    "deletes_total": {("deleted",), ("gone",), ("failed",)},
    "retries_total": {(cause,) for cause in CAUSES},
    "aws_requests_total": {
        (service, operation, outcome) for service, operation in OPERATIONS for outcome in {"ok", "refused"} | CAUSES
    },
}
GAUGES = {
    "credentials_expiry_timestamp_seconds",
    "in_flight_messages",
    "in_flight_bytes",
    "queue_messages",
    "circuit_open",
    "payload_circuits_open",
    "upload_concurrency_limit",
    "receivers_wanted",
    "ready",
    "build_info",
}
HISTOGRAMS = {"message_receive_count", "upload_seconds", "sent_to_stored_seconds", "queued_seconds"}


@pytest.fixture
def metrics() -> Metrics:
    """The metrics of a process that has done nothing yet."""
    return Metrics(CollectorRegistry(), "1.2.3")


def samples(metrics: Metrics) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Every sample of a scrape: name without prefix, values of labels, value."""
    for family in metrics.registry.collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                yield sample.name.removeprefix("email_processor_"), tuple(sample.labels.values()), sample.value


def families(metrics: Metrics, kind: str) -> set[str]:
    """The names of all metrics of a kind, without the prefix."""
    found = {family.name for family in metrics.registry.collect() if family.type == kind}
    assert all(name.startswith("email_processor_") for name in found)
    return {name.removeprefix("email_processor_") for name in found}


def test_the_metrics_are_those_that_dashboards_know(metrics: Metrics) -> None:
    """Names, types and units, none more and none less."""
    assert {name.removesuffix("_total") for name in COUNTERS} == families(metrics, "counter")
    assert GAUGES == families(metrics, "gauge")
    assert HISTOGRAMS == families(metrics, "histogram")


def test_every_metric_is_explained(metrics: Metrics) -> None:
    """In a sentence."""
    texts = {family.name: family.documentation for family in metrics.registry.collect()}
    assert [] == [name for name, text in texts.items() if not text.endswith(".")]


@pytest.mark.parametrize("name", COUNTERS)
def test_every_label_set_of_a_counter_is_there_from_the_start(metrics: Metrics, name: str) -> None:
    """At zero: an alert on an increase sees the first one."""
    found = {labels: value for sample, labels, value in samples(metrics) if sample == name}
    assert dict.fromkeys(COUNTERS[name], 0.0) == found


def test_no_label_is_one_that_prometheus_gives_a_target(metrics: Metrics) -> None:
    """A scrape renames ours if it is (`exported_service`), and an alert then tells the Service's name as AWS's."""
    metrics.queue_messages.labels("visible").set(0)
    targets = {"service", "job", "namespace", "pod", "container", "endpoint", "instance"}
    found = {label for family in metrics.registry.collect() for sample in family.samples for label in sample.labels}
    assert set() == found & targets


def test_the_enumerations_are_the_labels() -> None:
    """What the code can count is what the dashboards know."""
    assert (REASONS, CAUSES) == (set(Reason), set(Cause))
    assert OPERATIONS == {(operation.service, operation.value) for operation in Operation}


def test_the_queues_depth_is_absent_until_it_is_known(metrics: Metrics) -> None:
    """An autoscaler must not take "not read yet" for "empty"."""
    assert [] == [value for name, _, value in samples(metrics) if name == "queue_messages"]
    metrics.queue_messages.labels("visible").set(7)
    assert [(("visible",), 7.0)] == [sample[1:] for sample in samples(metrics) if sample[0] == "queue_messages"]


def test_the_version_is_a_label(metrics: Metrics) -> None:
    """As Prometheus has it, with the value 1."""
    assert ("build_info", ("1.2.3",), 1.0) in set(samples(metrics))


def test_totals_tell_what_became_of_every_message(metrics: Metrics) -> None:
    """Summed over labels, whole numbers, by name."""
    assert dict.fromkeys(metrics.totals(), 0) == metrics.totals()
    metrics.received.inc(20)
    metrics.archived.inc(8)
    metrics.quarantined.labels(Reason.NOT_JSON).inc(2)
    metrics.quarantined.labels(Reason.TOO_DEEP).inc()
    for kind in ("stored", "in_flight", "remembered"):
        metrics.duplicates.labels(kind).inc()
    metrics.released.labels("shutdown").inc(4)
    metrics.corrupt.inc()
    metrics.leases_lost.inc(5)
    assert {
        "received": 20,
        "archived": 8,
        "quarantined": 3,
        "duplicates": 3,
        "released": 4,
        "corrupt": 1,
        "leases_lost": 5,
    } == metrics.totals()


def test_in_flight_is_the_gauge(metrics: Metrics) -> None:
    """Up and down."""
    metrics.in_flight_messages.set(12)
    metrics.in_flight_messages.dec(2)
    assert 10 == metrics.in_flight()


def test_two_services_in_one_process_count_apart(metrics: Metrics) -> None:
    """Nothing is global: each has its own registry."""
    other = Metrics(CollectorRegistry(), "1.2.3")
    metrics.received.inc()
    assert (1, 0) == (metrics.totals()["received"], other.totals()["received"])


def test_no_label_is_one_that_a_target_has() -> None:
    """Prometheus would keep the target's and call ours `exported_`, and alerts would name another thing."""
    families = Metrics(CollectorRegistry(), "1").registry.collect()
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert labels.isdisjoint({"service", "job", "namespace", "pod", "container", "endpoint", "instance", "node"})
    assert "aws_service" in labels
