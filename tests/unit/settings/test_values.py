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
    "POLL_INTERVAL_SECONDS": 30,
    "MAX_MESSAGES_PER_POLL": 10,
    "VISIBILITY_TIMEOUT_SECONDS": 300,
    "SQS_WAIT_TIME_SECONDS": 20,
    "SQS_TIMEOUT_SECONDS": 8,
    "AWS_CLIENT": "signed",
    "S3_TIMEOUT_SECONDS": 15,
    "S3_KEY_PREFIX": "emails",
    "S3_QUARANTINE_PREFIX": "quarantine",
    "QUARANTINE_ENABLED": True,
    "S3_CONDITIONAL_WRITES": True,
    "S3_SSE": "none",
    "S3_KMS_KEY_ID": None,
    "PAYLOAD_MAX_BYTES": 16_777_216,
    "RECEIVERS_MAX": 4,
    "UPLOADS_MAX": 256,
    "DELETES_MAX": 4,
    "IN_FLIGHT_MAX_MESSAGES": 1_000,
    "IN_FLIGHT_MAX_BYTES": 24 * 1024 * 1024,
    "SHUTDOWN_GRACE_SECONDS": 25,
    "POD_TERMINATION_GRACE_SECONDS": None,
    "HTTP_HOST": "0.0.0.0",
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
    ("RECEIVERS_MAX", "1", "64", "1", "a whole number from 1 to 64"),
    ("UPLOADS_MAX", "1", "1024", "1", "a whole number from 1 to 1024"),
    ("DELETES_MAX", "1", "64", "1", "a whole number from 1 to 64"),
    ("IN_FLIGHT_MAX_MESSAGES", "10", "100000", "1", "a whole number from 10 to 100000"),
    ("IN_FLIGHT_MAX_BYTES", "1048576", "8589934592", "1", "a whole number from 1048576 to 8589934592"),
    ("SHUTDOWN_GRACE_SECONDS", "1", "3600", "0.1", "a number from 1 to 3600"),
    ("HTTP_PORT", "0", "65535", "1", "a whole number from 0 to 65535"),
]
WHOLE = [name for name, *_, wanted in BOUNDS if "whole" in wanted]


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


@pytest.mark.parametrize("value", ["ten", "1O", "nan", "inf", "-inf", "1e999", "0x10", "10s", "1,5", "[]"])
@pytest.mark.parametrize(("name", "wanted"), [(bound[0], bound[4]) for bound in BOUNDS])
def test_what_is_no_number_is_refused(name: str, wanted: str, value: str) -> None:
    """Not a number, no end, units: none of them is guessed at."""
    assert f"must be {wanted}; it is '{value}'" == problem(name, value)


@pytest.mark.parametrize("name", WHOLE)
def test_a_fraction_is_no_whole_number(name: str) -> None:
    """A fraction of a message or of a byte is refused, not rounded."""
    assert problem(name, "1.5").endswith("; it is '1.5'")


def test_a_pods_grace_has_no_upper_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is Kubernetes' setting; it only has to leave room for ours."""
    expected = "must be a number, at least 6; it is '5.9'"
    assert expected == problem("POD_TERMINATION_GRACE_SECONDS", "5.9")
    monkeypatch.setenv("POD_TERMINATION_GRACE_SECONDS", "1000000")
    assert 1_000_000 == load().pod_termination_grace_seconds


@pytest.mark.parametrize("name", ["QUARANTINE_ENABLED", "S3_CONDITIONAL_WRITES"])
@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("true", True),
        ("True", True),
        ("1", True),
        ("yes", True),
        ("false", False),
        ("FALSE", False),
        ("0", False),
        ("off", False),
    ],
)
def test_switches_take_the_usual_words(name: str, value: str, meaning: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any case."""
    monkeypatch.setenv(name, value)
    assert meaning is getattr(load(), name.lower())


@pytest.mark.parametrize("name", ["QUARANTINE_ENABLED", "S3_CONDITIONAL_WRITES"])
@pytest.mark.parametrize("value", ["maybe", "2", "ja"])
def test_a_switch_is_on_or_off(name: str, value: str) -> None:
    """A word that is neither is not taken for false."""
    assert f"must be true or false; it is '{value}'" == problem(name, value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("S3_SSE", "kms", "one of none, AES256, aws:kms"),
        ("S3_SSE", "aes256", "one of none, AES256, aws:kms"),
        ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
        ("LOG_LEVEL", "CRITICAL", "one of DEBUG, INFO, WARNING, ERROR"),
        ("LOG_FORMAT", "xml", "one of auto, json, console"),
    ],
)
def test_a_choice_is_one_of_its_words(name: str, value: str, wanted: str) -> None:
    """The report lists them."""
    assert f"must be {wanted}; it is '{value}'" == problem(name, value)


def test_log_settings_take_either_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the world writes log levels in lower case."""
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("LOG_FORMAT", "JSON")
    settings = load()
    assert ("DEBUG", "json") == (settings.log_level, settings.log_format)


def test_names_may_be_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pydantic-settings has it."""
    monkeypatch.setenv("receivers_max", "7")
    assert 7 == load().receivers_max


@pytest.mark.parametrize(
    "name", ["LOG_FILE", "S3_KMS_KEY_ID", "POD_TERMINATION_GRACE_SECONDS", "MAX_MESSAGES_PER_POLL"]
)
def test_an_empty_variable_is_as_good_as_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts and Compose files set variables to nothing where they mean the default."""
    monkeypatch.setenv(name, "")
    assert DEFAULTS[name] == getattr(load(), name.lower())


@pytest.mark.parametrize("name", REQUIRED)
def test_an_empty_required_variable_is_missing(name: str) -> None:
    """Nothing is no queue and no bucket."""
    assert "is required and not set" == problem(name, "")


def test_a_line_end_after_a_value_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that come from files, as Kubernetes secrets do, often end with one."""
    monkeypatch.setenv("SQS_QUEUE_URL", f"{QUEUE_URL}\n")
    monkeypatch.setenv("S3_BUCKET_NAME", " my-email-archive \n")
    monkeypatch.setenv("S3_KEY_PREFIX", "emails/\n")
    settings = load()
    assert (QUEUE_URL, "my-email-archive", "emails") == (
        settings.sqs_queue_url,
        settings.s3_bucket_name,
        settings.s3_key_prefix,
    )


@pytest.mark.parametrize(
    "region",
    [
        "us-east-1",
        "ap-southeast-7",
        "us-gov-west-1",
        "cn-north-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "eusc-de-east-1",
        "mx-central-1",
    ],
)
def test_regions_of_every_partition_are_known(region: str) -> None:
    """Commercial, government, China, isolated and sovereign ones."""
    assert region == Settings(**{**_lower(REQUIRED), "aws_region": region}).aws_region  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "region", ["us-east", "us-east-1a", "US-EAST-1", "Ireland", "us_east_1", "eu-west-1;", "arn:aws"]
)
def test_what_is_no_region_is_refused(region: str) -> None:
    """An availability zone, for one, is none."""
    assert f"must be an AWS region; it is '{region}'" == problem("AWS_REGION", region)


@pytest.mark.parametrize(
    "bucket", ["abc", "a" * 63, "my.bucket-1", "0bucket", "123.456.7.x", "archive-1a2b3c-s3alias", "a-.b"]
)
def test_bucket_names_are_allowed(bucket: str) -> None:
    """Names within S3's rules, aliases of access points among them."""
    assert bucket == Settings(**{**_lower(REQUIRED), "s3_bucket_name": bucket}).s3_bucket_name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bucket",
    [
        "ab",
        "a" * 64,
        "My-Bucket",
        "my_bucket",
        "-bucket",
        "bucket-",
        "a..b",
        "192.168.5.4",
        "xn--bucket",
        "sthree-x",
        "a b",
        "bücket",
    ],
)
def test_what_is_no_bucket_name_is_refused(bucket: str) -> None:
    """S3 would refuse it, later and less clearly."""
    expected = f"must be a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens; it is '{bucket}'"
    assert expected == problem("S3_BUCKET_NAME", bucket)


@pytest.mark.parametrize("value", ["s3://my-email-archive", "arn:aws:s3:::my-email-archive"])
def test_a_bucket_is_given_by_its_name(value: str) -> None:
    """Not by a URL or an ARN."""
    expected = f"must be the bucket's name alone, not a URL or an ARN; it is '{value}'"
    assert expected == problem("S3_BUCKET_NAME", value)


@pytest.mark.parametrize("name", ["S3_KEY_PREFIX", "S3_QUARANTINE_PREFIX"])
@pytest.mark.parametrize(
    ("value", "prefix"),
    [("mail", "mail"), ("/mail/", "mail"), ("a/b=c/d", "a/b=c/d"), ("x!-_.*'()", "x!-_.*'()"), ("p" * 400, "p" * 400)],
)
def test_a_prefix_is_one_or_more_segments(name: str, value: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of characters that need no care in a key; slashes at its ends are dropped."""
    monkeypatch.setenv(name, value)
    assert prefix == getattr(load(), name.lower())


@pytest.mark.parametrize("name", ["S3_KEY_PREFIX", "S3_QUARANTINE_PREFIX"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/", "must not be empty or have empty, '.' or '..' segments"),
        ("a//b", "must not be empty or have empty, '.' or '..' segments"),
        ("a/../b", "must not be empty or have empty, '.' or '..' segments"),
        ("./a", "must not be empty or have empty, '.' or '..' segments"),
        ("a b", "must be made of letters, digits and the characters / ! - _ . * ' ( ) ="),
        ("émail", "must be made of letters, digits and the characters / ! - _ . * ' ( ) ="),
        ("a\\b", "must be made of letters, digits and the characters / ! - _ . * ' ( ) ="),
        ("a%2f", "must be made of letters, digits and the characters / ! - _ . * ' ( ) ="),
        ("p" * 401, "must have at most 400 characters"),
    ],
)
def test_a_prefix_that_makes_trouble_is_refused(name: str, value: str, said: str) -> None:
    """No empty or dotted segments, no exotic characters, no prefix that leaves no room for the rest of a key."""
    assert f"{said}; it is {value[:80]!r}" == problem(name, value)


def test_a_log_file_may_be_new_or_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made in a directory that is there, or appended to."""
    (tmp_path / "old.log").touch()
    for name in ("processor.log", str(tmp_path / "old.log"), "/dev/full"):
        monkeypatch.setenv("LOG_FILE", name)
        assert Path(name) == load().log_file


@pytest.mark.parametrize("value", ["/nonexistent/processor.log", ".", f"{'d' * 300}/processor.log"])
def test_a_log_file_that_cannot_be_is_refused(value: str) -> None:
    """A directory that is not there is found now, not at the first line."""
    assert f"must be a file in a directory that exists; it is {value[:80]!r}" == problem("LOG_FILE", value)


def test_settings_cannot_be_changed() -> None:
    """They are read once."""
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.receivers_max = 5  # type: ignore[misc]


def test_variables_of_others_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment is full of them."""
    monkeypatch.setenv("SQS_SOMETHING_ELSE", "x")
    assert DEFAULTS["SQS_QUEUE_URL"] == load().sqs_queue_url


def test_what_is_missing_is_named() -> None:
    """Both required settings at once."""
    assert ["SQS_QUEUE_URL", "S3_BUCKET_NAME"] == named(report(SQS_QUEUE_URL="", S3_BUCKET_NAME=""))


def _lower(variables: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in variables.items()}


def test_a_directory_bucket_is_refused_by_name() -> None:
    """It needs sessions of its own, which no PUT of ours has."""
    assert "directory bucket" in problem("S3_BUCKET_NAME", "archive--use1-az4--x-s3")


@pytest.mark.parametrize("region", ["fr-par", "nyc3", "us-west-004", "auto"])
def test_any_plain_name_is_a_region_where_there_is_an_endpoint(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other makers of S3 name theirs as they like."""
    assert "must be an AWS region" in problem("AWS_REGION", region)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.com")
    assert region == Settings(**{**_lower(REQUIRED), "aws_region": region}).aws_region  # type: ignore[arg-type]


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
