"""Findings about the bucket's configuration."""

from datetime import UTC, datetime
from typing import Any

import pytest

from email_processor.ports import Stored
from email_processor.tools.check.inspect.asking import Fault
from email_processor.tools.check.inspect.write import PROBE, Written
from tests.unit.tools.check.known import DENIED, TIMEOUT, bucket, told

WRITTEN = Written("k", Stored.CREATED, Stored.ALREADY_THERE, PROBE)


def encrypted(**default: str) -> dict[str, Any]:
    """A default encryption."""
    rule = {"ApplyServerSideEncryptionByDefault": default}
    return {"ServerSideEncryptionConfiguration": {"Rules": [{"BucketKeyEnabled": True}, rule]}}


def locked(**retention: object) -> dict[str, Any]:
    """An object lock with a default retention."""
    return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}}


def expiring(**rule: object) -> dict[str, Any]:
    """A lifecycle of one rule."""
    return {"Rules": [{"ID": "tidy", "Status": "Enabled", "Expiration": {"Days": 30}, **rule}]}


@pytest.mark.parametrize(
    ("configuration", "evidence"),
    [
        ({}, "no default of its own"),
        (encrypted(SSEAlgorithm="AES256"), "AES256"),
        (encrypted(SSEAlgorithm="aws:kms", KMSMasterKeyID="arn:key"), "aws:kms arn:key"),
    ],
)
def test_encryption(configuration: dict[str, Any], evidence: str) -> None:
    """The default encryption is shown."""
    assert ("ok", evidence) == told("EP411", bucket(encryption=configuration))


@pytest.mark.parametrize(("configuration", "evidence"), [({}, "off"), ({"Status": "Suspended"}, "suspended")])
def test_versioning(configuration: dict[str, Any], evidence: str) -> None:
    """Versioning is shown."""
    assert ("ok", evidence) == told("EP412", bucket(versioning=configuration))


def test_object_lock_without_retention() -> None:
    """Object lock alone asks nothing of a PUT."""
    lock = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}

    assert ("ok", "on, without a default retention") == told("EP413", bucket(object_lock=lock))


@pytest.mark.parametrize(
    ("retention", "words"),
    [
        ({"Mode": "GOVERNANCE", "Days": 30}, "GOVERNANCE 30 days"),
        ({"Mode": "COMPLIANCE", "Years": 7}, "COMPLIANCE 7 years"),
    ],
)
def test_default_retention(retention: dict[str, object], words: str) -> None:
    """A default retention is no obstacle: every PUT carries a checksum."""
    lock = locked(**retention)

    assert ("ok", f"on, {words} by default: it holds for every email, and for the probe of --write") == told(
        "EP413", bucket(object_lock=lock)
    )


@pytest.mark.parametrize(
    ("lifecycle", "expected"),
    [
        (expiring(), ("warning", "the rule tidy deletes objects under any prefix after 30 days")),
        (
            expiring(Filter={"Prefix": "emails/2024/"}),
            ("warning", "the rule tidy deletes objects under emails/2024/ after 30 days"),
        ),
        (expiring(Prefix="em"), ("warning", "the rule tidy deletes objects under em after 30 days")),
        (
            expiring(ID="", Filter={"And": {"Prefix": "emails/", "ObjectSizeLessThan": 1000}}),
            ("warning", "the rule without a name deletes objects under emails/ after 30 days"),
        ),
        (
            expiring(Expiration={"Date": datetime(2030, 1, 2, tzinfo=UTC)}),
            ("warning", "the rule tidy deletes objects under any prefix on 2030-01-02"),
        ),
        (expiring(Filter={"Prefix": "quarantine/"}), ("ok", "nothing under emails/ is deleted by it")),
        (expiring(Filter={"Tag": {"Key": "k", "Value": "v"}}), ("ok", "nothing under emails/ is deleted by it")),
        (expiring(Filter={"And": {"Tags": [{"Key": "k"}]}}), ("ok", "nothing under emails/ is deleted by it")),
        (expiring(Status="Disabled"), ("ok", "nothing under emails/ is deleted by it")),
        (expiring(Expiration={"ExpiredObjectDeleteMarker": True}), ("ok", "nothing under emails/ is deleted by it")),
    ],
)
def test_lifecycle(lifecycle: dict[str, Any], expected: tuple[str, str]) -> None:
    """A rule that deletes archived emails is a warning."""
    assert expected == told("EP414", bucket(lifecycle=lifecycle))


@pytest.mark.parametrize(
    ("fact", "code", "action"),
    [
        ("encryption", "EP411", "s3:GetEncryptionConfiguration"),
        ("versioning", "EP412", "s3:GetBucketVersioning"),
        ("object_lock", "EP413", "s3:GetBucketObjectLockConfiguration"),
        ("lifecycle", "EP414", "s3:GetLifecycleConfiguration"),
    ],
)
def test_not_readable(fact: str, code: str, action: str) -> None:
    """What the service need not read may be denied without a warning."""
    faults: list[tuple[Fault, str]] = [
        (DENIED, f"not readable without {action}, which the service does not need"),
        (TIMEOUT, f"not readable ({TIMEOUT.error})"),
    ]
    for fault, evidence in faults:
        assert ("skipped", evidence) == told(code, bucket(**{fact: fault}))
