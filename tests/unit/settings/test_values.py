"""Each setting alone: its default, its bounds, its forms."""

import os
from pathlib import Path

import pytest

from email_processor.settings import Settings, load
from tests.unit.settings.environment import QUEUE_URL, REQUIRED, named, problem, report

DEFAULTS = {
    "SQS_QUEUE_URL": QUEUE_URL,
    "S3_BUCKET_NAME": "my-email-archive",
    "AWS_REGION": "us-east-1",
    "SQS_REGION": None,
    "POLL_INTERVAL_SECONDS": 30,
    "MAX_MESSAGES_PER_POLL": 10,
    "VISIBILITY_TIMEOUT_SECONDS": 300,
    "SQS_WAIT_TIME_SECONDS": 20,
    "SQS_TIMEOUT_SECONDS": 8,
    "AWS_CLIENT": "signed",
    "S3_TIMEOUT_SECONDS": 15,
    "S3_KEY_PREFIX": "emails",
    "S3_KEY_TIME": "first_receive",
    "S3_QUARANTINE_PREFIX": "quarantine",
    "QUARANTINE_ENABLED": True,
    "S3_CONDITIONAL_WRITES": True,
    "S3_SSE": "none",
    "S3_KMS_KEY_ID": None,
    "PAYLOAD_MAX_BYTES": 16_777_216,
    "IN_FLIGHT_MAX_BYTES": 0,
    "SHUTDOWN_GRACE_SECONDS": 25,
    "POD_TERMINATION_GRACE_SECONDS": None,
    "HTTP_HOST": "::",
    "HTTP_PORT": 8080,
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "auto",
    "LOG_FILE": None,
}

# name, least, most, a step outside, what is wanted
BOUNDS = [
    ("POLL_INTERVAL_SECONDS", "0", "3600", "0.1", "a number from 0 to 3600"),
    ("MAX_MESSAGES_PER_POLL", "1", "10", "1", "a whole number from 1 to 10"),
    ("VISIBILITY_TIMEOUT_SECONDS", "30", "43200", "1", "a whole number from 30 to 43200"),
    ("SQS_WAIT_TIME_SECONDS", "0", "20", "1", "a whole number from 0 to 20"),
    ("SQS_TIMEOUT_SECONDS", "1", "60", "0.1", "a number from 1 to 60"),
    ("S3_TIMEOUT_SECONDS", "1", "300", "0.1", "a number from 1 to 300"),
    ("PAYLOAD_MAX_BYTES", "1048576", "1073741824", "1", "a whole number from 1048576 to 1073741824"),
    ("IN_FLIGHT_MAX_BYTES", "0", "8589934592", "1", "a whole number from 0 to 8589934592"),
    ("SHUTDOWN_GRACE_SECONDS", "1", "3600", "0.1", "a number from 1 to 3600"),
    ("HTTP_PORT", "0", "65535", "1", "a whole number from 0 to 65535"),
]
SWITCHES = ("QUARANTINE_ENABLED", "S3_CONDITIONAL_WRITES")
PREFIXES = ("S3_KEY_PREFIX", "S3_QUARANTINE_PREFIX")
ONES = {"true": True, "True": True, "1": True, "yes": True, "false": False, "FALSE": False, "0": False, "off": False}
SEGMENTS = {"mail": "mail", "/mail/": "mail", "a/b=c/d": "a/b=c/d", "x!-_.*'()": "x!-_.*'()", "p" * 400: "p" * 400}
REGIONS = (
    *("us-east-1", "ap-southeast-7", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "us-isob-east-1"),
    *("eusc-de-east-1", "mx-central-1", "fips-us-east-1"),
    *("fr-par", "nyc3", "us-west-004", "auto"),  # of other makers
)
BUCKETS = ("abc", "a" * 63, "my.bucket-1", "0bucket", "123.456.7.x", "archive-1a2b3c-s3alias", "a-.b")

# name, value, what it is taken for
TAKEN: list[tuple[str, str, object]] = [
    *((name, word, meaning) for name in SWITCHES for word, meaning in ONES.items()),
    *((name, value, prefix) for name in PREFIXES for value, prefix in SEGMENTS.items()),
    *(("AWS_REGION", region, region) for region in REGIONS),
    *(("S3_BUCKET_NAME", bucket, bucket) for bucket in BUCKETS),
    # half of the world writes log levels in lower case, and pydantic-settings takes names in any
    ("LOG_LEVEL", "debug", "DEBUG"),
    ("LOG_FORMAT", "JSON", "json"),
    ("max_messages_per_poll", "7", 7),
    # Kubernetes secrets often end with a line break
    ("SQS_QUEUE_URL", f"{QUEUE_URL}\n", QUEUE_URL),
    ("S3_BUCKET_NAME", " my-email-archive \n", "my-email-archive"),
    ("S3_KEY_PREFIX", "emails/\n", "emails"),
    # charts and Compose files set variables to nothing where they mean the default
    *((name, "", DEFAULTS[name]) for name in ("LOG_FILE", "S3_KMS_KEY_ID", "POD_TERMINATION_GRACE_SECONDS")),
    ("MAX_MESSAGES_PER_POLL", "", DEFAULTS["MAX_MESSAGES_PER_POLL"]),
]

NO_NUMBERS = ("ten", "1O", "nan", "inf", "-inf", "1e999", "0x10", "10s", "1,5", "[]")
NO_REGIONS = ("US-EAST-1", "Ireland", "us_east_1", "eu-west-1;", "arn:aws")
NO_BUCKETS = (
    *("ab", "a" * 64, "My-Bucket", "my_bucket", "-bucket", "bucket-", "a..b", "192.168.5.4", "xn--bucket", "sthree-x"),
    *("a b", "bücket"),
)
A_BUCKET = "must be a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens"
CHARACTERS = "must be made of letters, digits and the characters / ! - _ . * ' ( ) ="
WHOLE_SEGMENTS = "must not be empty or have empty, '.' or '..' segments"
NO_PREFIXES = {
    **dict.fromkeys(("/", "a//b", "a/../b", "./a"), WHOLE_SEGMENTS),
    **dict.fromkeys(("a b", "émail", "a\\b", "a%2f"), CHARACTERS),
    "p" * 401: "must have at most 400 characters",
}

# name, value, what is said against it
REFUSED = [
    *((name, value, f"must be {wanted}") for name, *_, wanted in BOUNDS for value in NO_NUMBERS),
    *((name, "1.5", f"must be {wanted}") for name, *_, wanted in BOUNDS if "whole" in wanted),
    *((name, value, "must be true or false") for name in SWITCHES for value in ("maybe", "2", "ja")),
    ("S3_KEY_TIME", "received", "must be one of first_receive, sent"),
    *(("S3_SSE", value, "must be one of none, AES256, aws:kms") for value in ("kms", "aes256")),
    *(("LOG_LEVEL", value, "must be one of DEBUG, INFO, WARNING, ERROR") for value in ("LOUD", "CRITICAL")),
    ("LOG_FORMAT", "xml", "must be one of auto, json, console"),
    ("HTTP_HOST", " ", "must be an address or a name of this host"),
    *(("HTTP_PORT", value, "must be a whole number from 0 to 65535") for value in ("8080.0", "8_080", "+8080")),
    *(("AWS_REGION", value, "must be an AWS region") for value in NO_REGIONS),
    *(("S3_BUCKET_NAME", value, A_BUCKET) for value in NO_BUCKETS),
    *(
        ("S3_BUCKET_NAME", value, "must be the bucket's name alone, not a URL or an ARN")
        for value in ("s3://my-email-archive", "arn:aws:s3:::my-email-archive")
    ),
    *((name, value, said) for name in PREFIXES for value, said in NO_PREFIXES.items()),
    *(
        ("LOG_FILE", value, "must be a file in a directory that exists")
        for value in ("/nonexistent/processor.log", ".", f"{'d' * 300}/processor.log")
    ),
]


@pytest.mark.parametrize(("name", "value", "expected"), TAKEN)
def test_a_value_is_taken_for_what_it_means(
    name: str, value: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usual words, names of every partition, white space at an end, and nothing for the default."""
    monkeypatch.setenv(name, value)
    assert expected == getattr(Settings(), name.lower())


@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_a_value_that_makes_no_sense_is_refused(name: str, value: str, said: str) -> None:
    """Nothing is guessed at; the report says what the value may be, and what it is."""
    assert f"{said}; it is {value[:80]!r}" == problem(name, value)


@pytest.mark.parametrize("name", REQUIRED)
def test_an_empty_required_variable_is_missing(name: str) -> None:
    """Nothing is no queue and no bucket."""
    assert "is required and not set" == problem(name, "")


def test_a_directory_bucket_is_refused_by_name() -> None:
    """It needs sessions of its own, which no PUT of ours has."""
    assert "directory bucket" in problem("S3_BUCKET_NAME", "archive--use1-az4--x-s3")


def test_variables_of_others_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment is full of them."""
    monkeypatch.setenv("SQS_SOMETHING_ELSE", "x")
    assert DEFAULTS["SQS_QUEUE_URL"] == load().sqs_queue_url


def test_the_defaults_are_those_of_the_specification() -> None:
    """With the two required settings alone, everything else has a value that is right for a small pod."""
    assert DEFAULTS == {name.upper(): value for name, value in load().model_dump().items()}


def test_every_setting_is_explained_and_has_an_example_that_is_valid() -> None:
    """The README's table and the report are made from these; all examples together are settings that work."""
    fields = Settings.model_fields
    assert [] == [name for name, field in fields.items() if not (field.description or "").endswith(".")]
    os.environ.update({name.upper(): (field.examples or [""])[0] for name, field in fields.items()})
    assert set(fields) == load().model_fields_set


@pytest.mark.parametrize(("name", "least", "most"), [bound[:3] for bound in BOUNDS])
def test_both_bounds_are_allowed(name: str, least: str, most: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The least and the most are values like any other."""
    for value in (least, most):
        monkeypatch.setenv(name, value)
        assert float(value) == getattr(Settings(), name.lower())


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("name", "least", "most", "step", "wanted"), BOUNDS)
def test_beyond_the_bounds_is_refused(name: str, least: str, most: str, step: str, wanted: str, sign: int) -> None:
    """The report says in words what the value may be, and what it is."""
    value = f"{float(least if sign < 0 else most) + sign * float(step):.10g}"
    assert f"must be {wanted}; it is '{value}'" == problem(name, value)


def test_a_pods_grace_has_no_upper_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is Kubernetes' setting; it only has to leave room for ours."""
    expected = "must be a number, at least 6; it is '5.9'"
    assert expected == problem("POD_TERMINATION_GRACE_SECONDS", "5.9")
    monkeypatch.setenv("POD_TERMINATION_GRACE_SECONDS", "1000000")
    assert 1_000_000 == load().pod_termination_grace_seconds


def test_a_log_file_may_be_new_or_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made in a directory that is there, or appended to."""
    (tmp_path / "old.log").touch()
    for name in ("processor.log", str(tmp_path / "old.log"), "/dev/full"):
        monkeypatch.setenv("LOG_FILE", name)
        assert Path(name) == load().log_file


def test_settings_cannot_be_changed() -> None:
    """They are read once."""
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.max_messages_per_poll = 5  # type: ignore[misc]


def test_what_is_missing_is_named() -> None:
    """Both required settings at once."""
    assert ["SQS_QUEUE_URL", "S3_BUCKET_NAME"] == named(report(SQS_QUEUE_URL="", S3_BUCKET_NAME=""))


def _lower(variables: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in variables.items()}


@pytest.mark.parametrize(
    "key",
    [
        "0a1b2c3d-0000-0000-0000-000000000000",
        "mrk-0a1b2c3d000000000000000000000000",
        "alias/mail",
        "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-0000-0000-000000000000",
        "arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/mail",
        "arn:aws:kms:my-minio-key",
    ],
)
def test_a_kms_key_has_many_forms(key: str) -> None:
    """Id, alias or ARN, and what other stores call theirs."""
    chosen = Settings(**{**_lower(REQUIRED), "s3_sse": "aws:kms", "s3_kms_key_id": key})  # type: ignore[arg-type]
    assert key == chosen.s3_kms_key_id


@pytest.mark.parametrize("key", ["my key", "key\r\nx-evil: 1", "clé", "arn:aws:s3:::bucket", "arn:aws:kms:"])
def test_what_is_no_kms_key_is_refused(key: str) -> None:
    """It would spoil the head of every PUT, or never be found."""
    text = report(S3_SSE="aws:kms", S3_KMS_KEY_ID=key)
    assert ["S3_KMS_KEY_ID"] == named(text)
