"""What has to be right before anything can be looked at, and where the write probe goes."""

from typing import Any

import pytest

from email_processor.domain.key import read_object_key, read_quarantine_key
from email_processor.settings import Settings
from email_processor.tools.check.examine import asked_with, needed_for_bucket, needed_for_queue
from email_processor.tools.check.inspect.bucket import BucketPlan
from tests.unit.tools.check.known import KEY_ARN, settings

FOR_QUEUE = {"AWS_CLIENT", "AWS_REGION", "S3_KEY_TIME", "SQS_QUEUE_URL", "SQS_REGION"}
FOR_BUCKET = {
    "AWS_CLIENT",
    "AWS_REGION",
    "QUARANTINE_ENABLED",
    "S3_BUCKET_NAME",
    "S3_CONDITIONAL_WRITES",
    "S3_KEY_PREFIX",
    "S3_KMS_KEY_ID",
    "S3_QUARANTINE_PREFIX",
    "S3_SSE",
}
WAYS: list[dict[str, Any]] = [
    {},
    {"s3_sse": "AES256"},
    {"s3_sse": "aws:kms"},
    {"s3_sse": "aws:kms", "s3_kms_key_id": KEY_ARN},
    {"s3_sse": "aws:kms", "s3_kms_key_id": f"{KEY_ARN}2"},
    {"s3_conditional_writes": False},
]


def test_what_the_queue_and_the_bucket_hang_on() -> None:
    """Found out by what the service's options read: who makes them read another setting finds it named here."""
    assert FOR_QUEUE == needed_for_queue(settings())
    assert FOR_BUCKET == needed_for_bucket(settings())


def test_a_setting_that_is_read_is_needed_unless_it_is_a_number() -> None:
    """An example of a number does as well; of a switch, a name or a key it would be another question."""

    def reader(chosen: Settings) -> object:
        return chosen.http_host, chosen.http_port, chosen.s3_timeout_seconds, chosen.quarantine_enabled, chosen.log_file

    assert {"HTTP_HOST", "QUARANTINE_ENABLED", "LOG_FILE"} == asked_with(reader, settings())


def probe_key(**changed: Any) -> str:  # noqa: ANN401 - any setting
    """Where the probe goes with these settings."""
    return BucketPlan.of(settings(**changed), write=True).probe.key


@pytest.mark.parametrize("way", WAYS)
def test_a_probe_with_other_headers_is_another_object(way: dict[str, Any]) -> None:
    """An old one would be found there, and taken for a proof that the new way works."""
    assert probe_key(**way) not in [probe_key(**other) for other in WAYS if other != way]


def test_a_probe_with_the_same_headers_is_the_same_object() -> None:
    """Not one more at each run, nor for settings that do not change how objects are stored."""
    assert probe_key() == probe_key(s3_timeout_seconds=20, s3_key_prefix="mail", s3_bucket_name="other-archive")
    assert probe_key().startswith("quarantine/check/probe-")
    assert probe_key(s3_quarantine_prefix="rejected").startswith("rejected/check/probe-")
    assert probe_key(quarantine_enabled=False).startswith("emails/check/probe-")


def test_a_probe_for_each_prefix_that_is_written() -> None:
    """A policy may allow one and not the other; without a quarantine there is nothing to allow there."""
    assert ["emails", "quarantine"] == list(BucketPlan.of(settings(), write=True).probes)
    assert ["emails"] == list(BucketPlan.of(settings(quarantine_enabled=False), write=True).probes)


def test_a_probe_is_no_email() -> None:
    """The commands on the archive would take it for one."""
    probes = BucketPlan.of(settings(), write=True).probes
    assert read_object_key("emails", probes["emails"].key) is None
    assert read_quarantine_key("quarantine", probes["quarantine"].key) is None
