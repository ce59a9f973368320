"""Findings about the bucket: what may be done with it, the write probe, and its configuration."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from email_processor.domain.errors import Cause
from email_processor.ports import Stored
from email_processor.tools.check.inspect.asking import Failure, Unasked
from email_processor.tools.check.inspect.bucket import PROBE, HeadAnswer, Written
from tests.unit.tools.check.known import BUCKET, DENIED, LATE, S3, TIMEOUT, bucket, facts, found, settings, told

ELSEWHERE = "https://archive.s3.eu-west-1.amazonaws.com"
NO_BUCKET = Failure(Cause.MISSING, "NoSuchBucket: No.", "", "NoSuchBucket")
BROKEN = Failure(Cause.SERVER, "500: Internal Server Error", "", "500")
KEY = "quarantine/check/probe-0a1b2c3d4e5f.json"
WRITTEN = Written(KEY, Stored.CREATED, Stored.ALREADY_THERE, PROBE)
WHERE = f"s3://archive/{KEY}"
NO = Unasked("a PUT that succeeds")


def test_all_well() -> None:
    """Each line shows what was seen."""
    assert [
        ("EP401", f"ok: {S3} answers"),
        ("EP402", f"ok: PUTs and all other requests go to {S3}"),
        ("EP403", "ok: archive"),
        ("EP404", "ok: us-east-1"),
        ("EP405", "ok: allowed under emails/ and quarantine/"),
        ("EP406", "ok: allowed"),
        ("EP407", "ok: allowed"),
        ("EP408", "skipped: needs --write"),
        ("EP409", "skipped: needs --write"),
        ("EP411", "ok: AES256"),
        ("EP412", "ok: enabled"),
        ("EP413", "ok: off"),
        ("EP414", "ok: nothing under emails/ is deleted by it"),
    ] == [
        (code, told(code, bucket()))
        for code in (*(f"EP40{number}" for number in range(1, 10)), "EP411", "EP412", "EP413", "EP414")
    ]


def test_unreachable() -> None:
    """Where S3 does not answer, that is the one failure."""
    no = Unasked("an answer of S3")
    known = bucket(seen=TIMEOUT, may_list=no, may_get=no, may_put=no, may_quarantine=no, written=no, encryption=no)
    assert f"failed: no answer from {S3}" == told("EP401", known)
    for code in ("EP403", "EP404", "EP405", "EP406", "EP407", "EP408", "EP409", "EP411"):
        assert "skipped: needs an answer of S3" == told(code, known)


def test_answer_that_cannot_be_understood() -> None:
    """What has no fix of its own is about the endpoint."""
    known = bucket(seen=BROKEN)
    assert "AWS_ENDPOINT_URL" in found("EP401", known).fix


def test_two_addresses() -> None:
    """Both halves have to go to the same host."""
    known = bucket(endpoint=ELSEWHERE, put_endpoint=S3)
    assert f"failed: PUTs go to {S3}, everything else to {ELSEWHERE}" == told("EP402", known)


@pytest.mark.parametrize(
    ("seen", "may_list", "expected"),
    [
        (HeadAnswer(404, None), NO_BUCKET, "failed: there is no bucket of the name archive"),
        (HeadAnswer(403, None), NO_BUCKET, "failed: there is no bucket of the name archive"),
        (HeadAnswer(404, None), Unasked("credentials"), "failed: there is no bucket of the name archive"),
        (HeadAnswer(404, None), True, "ok: archive"),
        (HeadAnswer(403, None), DENIED, "ok: archive (an unsigned request is answered with HTTP 403)"),
        (HeadAnswer(503, None), DENIED, "skipped: S3 does not say (HTTP 503)"),
    ],
)
def test_existence(seen: HeadAnswer, may_list: bool | Failure | Unasked, expected: str) -> None:
    """A bucket exists if it can be listed, or if S3 answers anything but 404 to a stranger."""
    assert expected == told("EP403", bucket(seen=seen, may_list=may_list))


def test_missing() -> None:
    """A bucket that does not exist fails once, with the command that makes it; all else about it is skipped."""
    no = Written(KEY, NO_BUCKET, Unasked("a PUT that succeeds"), Unasked("a PUT that succeeds"))
    known = bucket(
        seen=HeadAnswer(404, None),
        may_list=NO_BUCKET,
        may_get=NO_BUCKET,
        may_put=NO_BUCKET,
        may_quarantine=NO_BUCKET,
        encryption=NO_BUCKET,
        written=no,
    )
    assert "aws s3 mb s3://archive --region us-east-1" in found("EP403", known).fix
    for code in ("EP404", "EP405", "EP406", "EP407", "EP408", "EP411"):
        assert "skipped: needs the bucket" == told(code, known)


@pytest.mark.parametrize(
    ("endpoint", "region", "expected"),
    [
        (S3, "eu-west-1", "failed: eu-west-1, but AWS_REGION is us-east-1: S3 refuses PUTs signed for another region"),
        ("http://127.0.0.1:4566", "eu-west-1", "warning: eu-west-1, but AWS_REGION is us-east-1"),
        (S3, None, "skipped: S3 does not say"),
    ],
)
def test_region(endpoint: str, region: str | None, expected: str) -> None:
    """A bucket in another region cannot be written to at AWS; elsewhere it may be only a name."""
    assert expected == told("EP404", bucket(endpoint=endpoint, put_endpoint=endpoint, seen=HeadAnswer(301, region)))


@pytest.mark.parametrize(
    ("changed", "evidence", "resources"),
    [
        (
            {"may_put": DENIED, "may_quarantine": DENIED},
            "denied: nothing can be stored under emails/ and quarantine/",
            ["arn:aws:s3:::archive/emails/*", "arn:aws:s3:::archive/quarantine/*"],
        ),
        (
            {"may_quarantine": DENIED},
            "denied: nothing can be stored under quarantine/",
            ["arn:aws:s3:::archive/quarantine/*"],
        ),
    ],
)
def test_put_is_denied(changed: dict[str, Any], evidence: str, resources: list[str]) -> None:
    """A denial of PUTs names the prefixes, and its fix allows just these."""
    finding = found("EP405", bucket(**changed))
    assert f"failed: {evidence}" == told("EP405", bucket(**changed))
    statement = json.loads(finding.fix.splitlines()[1])
    assert {"Effect": "Allow", "Action": "s3:PutObject", "Resource": resources} == statement


def test_put_cannot_be_told() -> None:
    """A store that answers the harmless question with an error leaves it open."""
    known = bucket(may_put=BROKEN, may_quarantine=BROKEN)
    expected = "skipped: cannot be told without a real PUT, which --write makes (500: Internal Server Error)"
    assert expected == told("EP405", known)


def test_real_put_is_better_evidence() -> None:
    """A PUT that went through shows the permission, whatever the harmless question was answered with."""
    assert "ok: allowed (a real PUT)" == told("EP405", bucket(may_put=DENIED, written=WRITTEN))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"may_get": DENIED},
            "warning: denied: bodies that the SQS extended client put into a bucket cannot be fetched",
        ),
        (
            {"may_get": DENIED, "may_list": DENIED},
            "skipped: needs s3:ListBucket: without it, S3 denies a GET of what is not there",
        ),
        (
            {
                "may_get": replace(
                    DENIED, error="AccessDenied: not authorized to perform: s3:GetObject on resource: x"
                ),
                "may_list": DENIED,
            },
            "warning: denied: bodies that the SQS extended client put into a bucket cannot be fetched",
        ),
        ({"may_get": DENIED, "may_list": DENIED, "written": WRITTEN}, "ok: allowed"),
        (
            {"may_get": DENIED, "may_list": DENIED, "written": replace(WRITTEN, back=DENIED)},
            "warning: denied: bodies that the SQS extended client put into a bucket cannot be fetched",
        ),
        ({"may_get": TIMEOUT}, "failed: neither allowed nor denied"),
    ],
)
def test_get(changed: dict[str, Any], expected: str) -> None:
    """Without ListBucket, a denied GET says nothing unless AWS names the action or the object is there for sure."""
    assert expected == told("EP406", bucket(**changed))


def test_list_is_denied() -> None:
    """A denial of listings warns, and its fix is about the bucket itself."""
    known = bucket(may_list=DENIED)
    assert "warning: denied: a missing object looks like a denied one" == told("EP407", known)
    assert '"Resource": "arn:aws:s3:::archive"' in found("EP407", known).fix


def test_bucket_with_wrong_settings() -> None:
    """Where the bucket's settings are wrong, nothing is said of it."""
    known = facts(bucket=Unasked("a valid S3_BUCKET_NAME"))
    assert "skipped: needs a valid S3_BUCKET_NAME" == told("EP401", known)


def test_arns_of_other_partitions() -> None:
    """In China and GovCloud ARNs begin otherwise."""
    for region, partition in (("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")):
        known = facts(settings=settings(aws_region=region), bucket=replace(BUCKET, may_list=DENIED))
        assert f'"Resource": "arn:{partition}:s3:::archive"' in found("EP407", known).fix


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (WRITTEN, f"ok: {WHERE}: stored, and read back; it stays there"),
        (
            replace(WRITTEN, encryption="aws:kms arn:key"),
            f"ok: {WHERE}: stored, and read back, encrypted with aws:kms arn:key; it stays there",
        ),
        (
            replace(WRITTEN, first=Stored.ALREADY_THERE),
            f"ok: {WHERE}: was there already, from an earlier check, and read back; it stays there",
        ),
        (replace(WRITTEN, back=DENIED), f"ok: {WHERE}: stored; to read it back is denied; it stays there"),
        (replace(WRITTEN, back=TIMEOUT), f"failed: {WHERE}: stored, but not read back"),
        (replace(WRITTEN, back=b"{}"), f"failed: {WHERE} holds something else"),
        (Written(KEY, TIMEOUT, NO, NO), "failed: not stored"),
        (Written(KEY, LATE, NO, NO), "skipped: needs the right time on this host"),
    ],
)
def test_write_probe(written: Written, expected: str) -> None:
    """What became of the probe object."""
    assert expected == told("EP408", bucket(written=written))


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (Stored.ALREADY_THERE, "ok: the second PUT left the first alone"),
        (Stored.CREATED, "warning: this store ignores If-None-Match: the second PUT overwrote the first"),
        (TIMEOUT, "failed: the second PUT failed"),
        (NO, "skipped: needs a PUT that succeeds"),
    ],
)
def test_conditional_writes(again: Stored | Failure | Unasked, expected: str) -> None:
    """A store that takes the second PUT would overwrite emails with their duplicates."""
    assert expected == told("EP409", bucket(written=replace(WRITTEN, again=again)))


def test_conditional_writes_are_off() -> None:
    """Who has switched them off knows."""
    known = facts(
        settings=settings(s3_conditional_writes=False),
        bucket=replace(BUCKET, written=replace(WRITTEN, again=Stored.CREATED)),
    )
    assert "skipped: not used: S3_CONDITIONAL_WRITES is false" == told("EP409", known)


def test_denied() -> None:
    """A denied PUT is one failure if the harmless question found it as well, else its own."""
    written = Written(KEY, DENIED, NO, NO)
    assert "skipped: needs s3:PutObject" == told("EP408", bucket(written=written, may_quarantine=DENIED))
    assert "failed: not stored" == told("EP408", bucket(written=written))


def test_denied_with_a_key() -> None:
    """With KMS, a denied PUT may be about the key."""
    known = facts(settings=settings(s3_sse="aws:kms"), bucket=replace(BUCKET, written=Written(KEY, DENIED, NO, NO)))
    assert "kms:GenerateDataKey" in found("EP408", known).fix


def test_store_without_conditional_writes() -> None:
    """A store that says it lacks them has a setting for it."""
    fault = Failure(Cause.CONFIGURATION, "PutObject s3://archive/k: NotImplemented: No.", "", "NotImplemented")
    assert "S3_CONDITIONAL_WRITES=false" in found("EP408", bucket(written=Written(KEY, fault, NO, NO))).fix


def test_bucket_with_default_retention() -> None:
    """A PUT that a locked bucket refuses is explained."""
    fault = Failure(Cause.CONFIGURATION, "PutObject s3://archive/k: 400 InvalidRequest", "Check.")
    known = bucket(written=Written(KEY, fault, NO, NO), object_lock=locked(Mode="GOVERNANCE", Days=30))
    assert "checksum" in found("EP408", known).fix


def encrypted(**default: str) -> dict[str, Any]:
    """A bucket's configuration with this default encryption."""
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
    assert f"ok: {evidence}" == told("EP411", bucket(encryption=configuration))


@pytest.mark.parametrize(("configuration", "evidence"), [({}, "off"), ({"Status": "Suspended"}, "suspended")])
def test_versioning(configuration: dict[str, Any], evidence: str) -> None:
    """Versioning is told as S3 tells it, and as off where it was never on."""
    assert f"ok: {evidence}" == told("EP412", bucket(versioning=configuration))


def test_object_lock_without_retention() -> None:
    """Object lock alone asks nothing of a PUT."""
    lock = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    assert "ok: on, without a default retention" == told("EP413", bucket(object_lock=lock))


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
    expected = f"ok: on, {words} by default: it holds for every email, and for the probe of --write"
    assert expected == told("EP413", bucket(object_lock=lock))


@pytest.mark.parametrize(
    ("lifecycle", "expected"),
    [
        (expiring(), "warning: the rule tidy deletes objects under any prefix after 30 days"),
        (
            expiring(Filter={"Prefix": "emails/2024/"}),
            "warning: the rule tidy deletes objects under emails/2024/ after 30 days",
        ),
        (expiring(Prefix="em"), "warning: the rule tidy deletes objects under em after 30 days"),
        (
            expiring(ID="", Filter={"And": {"Prefix": "emails/", "ObjectSizeLessThan": 1000}}),
            "warning: the rule without a name deletes objects under emails/ after 30 days",
        ),
        (
            expiring(Expiration={"Date": datetime(2030, 1, 2, tzinfo=UTC)}),
            "warning: the rule tidy deletes objects under any prefix on 2030-01-02",
        ),
        (expiring(Filter={"Prefix": "quarantine/"}), "ok: nothing under emails/ is deleted by it"),
        (expiring(Filter={"Tag": {"Key": "k", "Value": "v"}}), "ok: nothing under emails/ is deleted by it"),
        (expiring(Filter={"And": {"Tags": [{"Key": "k"}]}}), "ok: nothing under emails/ is deleted by it"),
        (expiring(Status="Disabled"), "ok: nothing under emails/ is deleted by it"),
        (expiring(Expiration={"ExpiredObjectDeleteMarker": True}), "ok: nothing under emails/ is deleted by it"),
    ],
)
def test_lifecycle(lifecycle: dict[str, Any], expected: str) -> None:
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
    faults: list[tuple[Failure, str]] = [
        (DENIED, f"not readable without {action}, which the service does not need"),
        (TIMEOUT, f"not readable ({TIMEOUT.error})"),
    ]
    for fault, evidence in faults:
        assert f"skipped: {evidence}" == told(code, bucket(**{fact: fault}))
