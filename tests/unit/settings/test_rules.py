"""Rules between settings: each is found, named under the setting to change, with an example that cures it."""

import os

import pytest

from email_processor.settings import Settings, load
from tests.unit.settings.environment import named, report

# variables that break one rule, the setting to change, the example, the text
BROKEN = [
    (
        {"VISIBILITY_TIMEOUT_SECONDS": "30", "SQS_WAIT_TIME_SECONDS": "20", "SQS_TIMEOUT_SECONDS": "10"},
        "VISIBILITY_TIMEOUT_SECONDS",
        "300",
        (
            "is 30, but a receive may take 30 s (SQS_WAIT_TIME_SECONDS + SQS_TIMEOUT_SECONDS) and must end while its "
            "messages are hidden"
        ),
    ),
    (
        {"VISIBILITY_TIMEOUT_SECONDS": "30", "S3_TIMEOUT_SECONDS": "15.5"},
        "S3_TIMEOUT_SECONDS",
        "15",
        (
            "is 15.5, but must be at most half of VISIBILITY_TIMEOUT_SECONDS (30), so that an upload ends while its "
            "message is hidden"
        ),
    ),
    (
        {"IN_FLIGHT_MAX_BYTES": "10485759"},
        "IN_FLIGHT_MAX_BYTES",
        "50331648",
        (
            "is 10485759, but one receive can bring 10485760 (MAX_MESSAGES_PER_POLL is 10, of 1 MiB each): nothing "
            "would ever be received"
        ),
    ),
    (
        {"S3_QUARANTINE_PREFIX": "/emails/"},
        "S3_QUARANTINE_PREFIX",
        "quarantine",
        "is emails, as S3_KEY_PREFIX: the two must differ",
    ),
    (
        {"S3_KEY_PREFIX": "quarantine"},
        "S3_QUARANTINE_PREFIX",
        "rejected",
        "is quarantine, as S3_KEY_PREFIX: the two must differ",
    ),
    (
        {"S3_KMS_KEY_ID": "alias/mail", "S3_SSE": "AES256"},
        "S3_SSE",
        "aws:kms",
        "is AES256, but S3_KMS_KEY_ID is only for aws:kms",
    ),
    ({"SQS_REGION": "eu-west-1"}, "SQS_REGION", "us-east-1", "is eu-west-1, but SQS_QUEUE_URL is in us-east-1"),
    (
        {"SHUTDOWN_GRACE_SECONDS": "25.5", "POD_TERMINATION_GRACE_SECONDS": "30"},
        "SHUTDOWN_GRACE_SECONDS",
        "25",
        (
            "is 25.5, but must be at least 5 s less than the pod's terminationGracePeriodSeconds (30), or the kubelet "
            "kills the pod before it is done"
        ),
    ),
]
KEPT = [
    {"VISIBILITY_TIMEOUT_SECONDS": "30", "SQS_WAIT_TIME_SECONDS": "20", "SQS_TIMEOUT_SECONDS": "9.9"},
    {"VISIBILITY_TIMEOUT_SECONDS": "30", "S3_TIMEOUT_SECONDS": "15", "SQS_TIMEOUT_SECONDS": "8"},
    {"IN_FLIGHT_MAX_BYTES": "10485760"},
    {"IN_FLIGHT_MAX_BYTES": "1048576", "MAX_MESSAGES_PER_POLL": "1"},
    {"S3_KEY_PREFIX": "mail", "S3_QUARANTINE_PREFIX": "mail/quarantine"},
    {"S3_KMS_KEY_ID": "alias/mail", "S3_SSE": "aws:kms"},
    {"S3_SSE": "aws:kms"},
    {"SHUTDOWN_GRACE_SECONDS": "25", "POD_TERMINATION_GRACE_SECONDS": "30"},
    {"SHUTDOWN_GRACE_SECONDS": "1", "POD_TERMINATION_GRACE_SECONDS": "6"},
]


@pytest.mark.parametrize(("variables", "name", "example", "text"), BROKEN)
def test_a_broken_rule_is_reported(variables: dict[str, str], name: str, example: str, text: str) -> None:
    """Under the setting to change, with both values in the text."""
    lines = report(**variables).splitlines()
    assert f"  {name}: {text}" == lines[1]
    assert f"    for example: {name}={example}" == lines[3]
    assert 5 == len(lines)


@pytest.mark.parametrize(("variables", "name", "example"), [broken[:3] for broken in BROKEN])
def test_the_example_cures_it(variables: dict[str, str], name: str, example: str) -> None:
    """Whoever does as the report says has a service that starts."""
    os.environ.update({**variables, name: example})
    assert [] == list(load().conflicts())


@pytest.mark.parametrize("variables", KEPT)
def test_on_the_edge_of_a_rule_is_allowed(variables: dict[str, str]) -> None:
    """Each rule refuses only what does not work."""
    os.environ.update(variables)
    assert [] == list(load().conflicts())


def test_all_broken_rules_are_reported_together() -> None:
    """Nobody mends eight things in eight deployments."""
    variables = {
        "VISIBILITY_TIMEOUT_SECONDS": "30",
        "SQS_TIMEOUT_SECONDS": "10",
        "S3_TIMEOUT_SECONDS": "16",
        "IN_FLIGHT_MAX_BYTES": "1048576",
        "S3_QUARANTINE_PREFIX": "emails",
        "S3_KMS_KEY_ID": "alias/mail",
        "SQS_REGION": "eu-west-1",
        "POD_TERMINATION_GRACE_SECONDS": "10",
    }
    assert [
        "VISIBILITY_TIMEOUT_SECONDS",
        "S3_TIMEOUT_SECONDS",
        "IN_FLIGHT_MAX_BYTES",
        "S3_QUARANTINE_PREFIX",
        "S3_SSE",
        "SQS_REGION",
        "SHUTDOWN_GRACE_SECONDS",
    ] == named(report(**variables))


def test_rules_are_checked_beside_wrong_values() -> None:
    """A value that is wrong by itself does not hide a rule that others break."""
    text = report(MAX_MESSAGES_PER_POLL="11", S3_QUARANTINE_PREFIX="emails", S3_BUCKET_NAME="")
    assert ["S3_BUCKET_NAME", "MAX_MESSAGES_PER_POLL", "S3_QUARANTINE_PREFIX"] == named(text)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"MAX_MESSAGES_PER_POLL": "11", "IN_FLIGHT_MAX_BYTES": "1048576"}, "MAX_MESSAGES_PER_POLL"),
        ({"SQS_QUEUE_URL": "emails", "SQS_REGION": "eu-west-1"}, "SQS_QUEUE_URL"),
        ({"AWS_REGION": "Ireland"}, "AWS_REGION"),
        ({"VISIBILITY_TIMEOUT_SECONDS": "5", "S3_TIMEOUT_SECONDS": "300"}, "VISIBILITY_TIMEOUT_SECONDS"),
    ],
)
def test_a_rule_with_a_wrong_value_in_it_is_not_judged(variables: dict[str, str], name: str) -> None:
    """Its stand-in's rules are nobody's business."""
    assert named(report(**variables)) == [name]


@pytest.mark.parametrize("side", ["ge", "le"])
def test_bounds_and_rules_fit_together(side: str) -> None:
    """A service with the least of everything starts, and so does one with the most."""
    for name, field in Settings.model_fields.items():
        os.environ.update({name.upper(): str(getattr(rule, side)) for rule in field.metadata if hasattr(rule, side)})
    assert [] == list(load().conflicts())
