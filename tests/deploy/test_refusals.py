"""What is wrong is refused by `helm install`, in words that say what, by both helms."""

import re

import pytest

from email_processor.settings import Settings, examine
from tests.deploy.chart import CHART, HELMS, REQUIRED, helm, template

ROLE = "arn:aws:iam::123456789012:role/email-processor"

# (path, value, what helm 3 or helm 4 says)
WRONG = [
    ("settings.VISIBILITY_TIMEOUT_SECONDZ", 60, r"VISIBILITY_TIMEOUT_SECONDZ.*not allowed"),
    ("replicas", 3, r"replicas.*not allowed"),
    ("autoscaling.typ", "keda", r"typ.*not allowed"),
    ("podDisruptionBudget.maxUnavailabel", 1, r"maxUnavailabel.*not allowed"),
    ("autoscaling.type", "kedda", r"autoscaling.type.*(one of|must be)"),
    ("settings.MAX_MESSAGES_PER_POLL", 11, r"MAX_MESSAGES_PER_POLL.*(less than or equal to 10|maximum.* 10)"),
    (
        "settings.VISIBILITY_TIMEOUT_SECONDS",
        10,
        r"VISIBILITY_TIMEOUT_SECONDS.*(greater than or equal to 30|minimum.* 30)",
    ),
    ("settings.LOG_LEVEL", "LOUD", r"LOG_LEVEL.*(one of|must be)"),
    ("settings.S3_BUCKET_NAME", "s3://archive", r"S3_BUCKET_NAME.*(pattern|match)"),
    ("settings.SQS_QUEUE_URL", "emails", r"SQS_QUEUE_URL.*(pattern|match)"),
    ("settings.AWS_REGION", "frankfurt", r"AWS_REGION.*(pattern|match)"),
    ("settings.HTTP_HOST", "127.0.0.1", r"HTTP_HOST.*not"),
    ("settings.HTTP_PORT", 0, r"HTTP_PORT.*(greater than or equal to 1|minimum.* 1)"),
    ("settings.LOG_FILE", "processor.log", r"LOG_FILE.*(pattern|match)"),
    ("settings.HTTP_PORT", None, r"(HTTP_PORT is required|missing property 'HTTP_PORT')"),
    ("serviceAccount.roleArn", "email-processor", r"roleArn.*(pattern|match)"),
    ("image.digest", "sha256:1", r"digest.*(pattern|match)"),
]

# Wrong in itself; the application says so as well. With a right neighbour, since a chart that refuses all is no use.
VERDICTS: dict[str, tuple[list[str | int], str | int]] = {
    "SQS_QUEUE_URL": (
        ["emails", "https://sqs/1/q?x", "https://u:p@sqs/1/q", "https://sqs.eu-west-1.amazonaws.com/1/" + "q" * 81],
        "https://sqs.eu-west-1.amazonaws.com/1/" + "q" * 75 + ".fifo",
    ),
    "S3_BUCKET_NAME": (
        [
            "s3://b",
            "ab",
            "a..b",
            "xn--a",
            "sthree-a",
            "amzn-s3-demo-b",
            "192.168.0.1",
            "mail--x-s3",
            "A-b",
            "-ab",
            "b" * 64,
        ],
        "my.email-archive",
    ),
    "AWS_REGION": (["EU-WEST-1", "eu_west_1"], "eu-west-1"),
    "SQS_REGION": (["EU-WEST-1", "eu_west_1"], ""),
    "S3_KEY_TIME": (["received"], "sent"),
    "QUARANTINE_ENABLED": (["maybe"], False),
    "S3_CONDITIONAL_WRITES": (["maybe"], False),
    "S3_KEY_PREFIX": (["..", "a/../b", "./a", "a//b", "a b", "p" * 401, "ä"], "/mail/all/"),
    "S3_QUARANTINE_PREFIX": (["..", "a/.", "//", "a?b"], "not-mail"),
    "S3_KMS_KEY_ID": (["arn:aws:s3:::bucket", "arn:aws:kms:", "a b", "k" * 2049], ""),
    "S3_SSE": (["kms", "aes256"], "AES256"),
    "LOG_FILE": (["/app/x/processor.log"], ""),
    "LOG_LEVEL": (["LOUD"], "DEBUG"),
    "LOG_FORMAT": (["text"], "console"),
    "AWS_CLIENT": (["boto"], "sdk"),
    "POLL_INTERVAL_SECONDS": ([-1, 3601], 0),
    "MAX_MESSAGES_PER_POLL": ([0, 11], 1),
    "VISIBILITY_TIMEOUT_SECONDS": ([29, 43201], 43200),
    "SQS_WAIT_TIME_SECONDS": ([-1, 21], 0),
    "SQS_TIMEOUT_SECONDS": ([0, 61], 60),
    "S3_TIMEOUT_SECONDS": ([0, 301], 1),
    "IN_FLIGHT_MAX_BYTES": ([-1, 8589934593], 10485760),
    "PAYLOAD_MAX_BYTES": ([1048575, 1073741825], 1048576),
    "SHUTDOWN_GRACE_SECONDS": ([0, 3601], 110),
    "HTTP_PORT": ([-1, 65536], 9090),
}

CONFLICTS: list[dict[str, str | int]] = [
    {"settings.SQS_TIMEOUT_SECONDS": 10, "settings.VISIBILITY_TIMEOUT_SECONDS": 30},
    {"settings.S3_TIMEOUT_SECONDS": 20, "settings.VISIBILITY_TIMEOUT_SECONDS": 35},
    {"settings.IN_FLIGHT_MAX_BYTES": 1048576},
    {"settings.S3_QUARANTINE_PREFIX": "emails/"},
    {"settings.S3_KMS_KEY_ID": "alias/mail"},
    {"settings.SQS_REGION": "us-east-1"},
]


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize(("path", "value", "said"), WRONG, ids=[path for path, _, _ in WRONG])
def test_a_wrong_value_is_refused(version: str, path: str, value: str | int | None, said: str) -> None:
    """A typo, a value out of range or of the wrong form is named."""
    answer = template(version, {path: value})
    assert 1 == answer.returncode
    assert re.search(said, " ".join(answer.stderr.split())), answer.stderr


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize("missing", ["SQS_QUEUE_URL", "S3_BUCKET_NAME"])
def test_what_is_required_is_asked_for(version: str, missing: str) -> None:
    """A missing queue or bucket is asked for in a sentence, also where the schema is skipped."""
    for options in ({}, {"skip": True}):
        arguments = ["template", "r", str(CHART), *(["--skip-schema-validation"] if options else [])]
        for name, value in (("SQS_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/q"), ("S3_BUCKET_NAME", "bucket")):
            arguments += [] if name == missing else ["--set", f"settings.{name}={value}"]
        answer = helm(version, *arguments)
        assert 1 == answer.returncode
        assert f"settings.{missing} is required: the " in answer.stderr


def test_every_rule_on_a_setting_is_compared() -> None:
    """Any address will do, and the grace period of the pod is the chart's own affair."""
    assert {"HTTP_HOST", "POD_TERMINATION_GRACE_SECONDS"} == {name.upper() for name in Settings.model_fields} - {
        *VERDICTS
    }


@pytest.mark.parametrize("name", VERDICTS)
def test_what_the_application_refuses_the_chart_refuses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule on a single setting is one of the chart, and what is right passes both."""
    for path, value in REQUIRED.items():
        monkeypatch.setenv(path.removeprefix("settings."), value)
    wrong, right = VERDICTS[name]

    def verdicts(value: str | int) -> tuple[bool, bool]:
        monkeypatch.setenv(name, str(value))
        return examine()[1] == [], template("helm3", {f"settings.{name}": value}).returncode == 0

    assert dict.fromkeys(wrong, (False, False)) == {value: verdicts(value) for value in wrong}
    assert (True, True) == verdicts(right)


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize("values", CONFLICTS, ids=" and ".join)
def test_settings_at_odds_are_refused_as_the_application_would(
    version: str, values: dict[str, str | int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rule between settings of the application is one of the chart."""
    monkeypatch.setenv("SQS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/emails")
    monkeypatch.setenv("S3_BUCKET_NAME", "my-email-archive")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    for name, value in values.items():
        monkeypatch.setenv(name.removeprefix("settings."), str(value))
    (problem,) = Settings().conflicts()

    answer = template(version, values)

    assert 1 == answer.returncode
    assert any(f"{name}" in answer.stderr for name in problem.names), answer.stderr


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"autoscaling.minReplicas": 11}, "minReplicas must not be more than maxReplicas"),
        ({"monitoring.scrape": "serviceMonitor", "service.enabled": False}, "serviceMonitor needs service.enabled"),
        ({"settings.IN_FLIGHT_MAX_BYTES": 201326592}, "resources.limits.memory is 256Mi: the program needs 128 MiB"),
        (
            {"settings.PAYLOAD_MAX_BYTES": 134217728},
            "settings.PAYLOAD_MAX_BYTES is 134217728: a body of that size may take four times as much memory",
        ),
        (
            {"settings.PAYLOAD_MAX_BYTES": 46137345},
            "resources.limits.memory is 256Mi, so the pod would be killed; raise the limit to 257Mi",
        ),
        ({"serviceAccount.create": False, "serviceAccount.roleArn": ROLE}, "roleArn needs serviceAccount.create"),
        (
            {"strategy.rollingUpdate.maxSurge": 0, "strategy.rollingUpdate.maxUnavailable": "0%"},
            "maxSurge and maxUnavailable are both 0",
        ),
        ({"minReadySeconds": 600}, "make progressDeadlineSeconds (600) larger"),
        ({"settings.LOG_FILE": "/app/log/processor.log"}, "a volume at /app/log would hide"),
        ({"settings.LOG_FILE": "/var/processor.log"}, "a volume at /var would hide"),
    ],
)
def test_values_at_odds_are_refused(version: str, values: dict[str, str | int | bool], said: str) -> None:
    """What no schema can say is said by the templates."""
    answer = template(version, values)
    assert 1 == answer.returncode
    assert said in answer.stderr


@pytest.mark.parametrize(
    ("payload", "limit"), [(16777216, "144Mi"), (46137344, "256Mi"), (134217728, "592Mi"), (134217728, None)]
)
def test_a_body_that_fits_the_memory_limit_is_allowed(payload: int, limit: str | None) -> None:
    """With the limit that the refusal asks for, and where there is no limit at all."""
    values = {"settings.PAYLOAD_MAX_BYTES": payload, "resources.limits.memory": limit}
    answer = template("helm3", values)
    assert 0 == answer.returncode, answer.stderr


@pytest.mark.parametrize("version", HELMS)
def test_a_parent_chart_may_pass_its_globals(version: str) -> None:
    """The strict root takes what Helm itself passes to a subchart."""
    assert 0 == template(version, {"global.registry": "x", "enabled": True}).returncode
