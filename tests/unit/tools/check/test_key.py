"""Findings about KMS."""

import json
from dataclasses import replace
from typing import Any

import pytest

from email_processor.aws.archive import PROBE
from email_processor.domain.errors import Cause
from email_processor.ports import Stored
from email_processor.tools.check.inspect.asking import Answer, Failure, Unasked
from email_processor.tools.check.inspect.bucket import Written
from email_processor.tools.check.inspect.sts_and_kms import KeyFacts
from tests.unit.tools.check.known import (
    ATTRIBUTES,
    BUCKET,
    DENIED,
    KEY_ARN,
    MISSING,
    REFUSED,
    TIMEOUT,
    facts,
    found,
    queue,
    settings,
    storing,
    told,
)

KMS = settings(s3_sse="aws:kms", s3_kms_key_id=KEY_ARN)
GONE = Failure(Cause.CONFIGURATION, "NotFoundException: Invalid keyId", "", "NotFoundException")
WRITTEN = Written("k", Stored.CREATED, Stored.ALREADY_THERE, PROBE, f"aws:kms {KEY_ARN}")
THE_KEY = ("EP501", "EP502")
VIA_S3 = "denied when asked directly; all right if the key's policy leaves it to S3 (kms:ViaService): --write shows"


def key(generate: Answer[bool] = True, decrypt: Answer[bool] = True, **changed: Any) -> Any:  # noqa: ANN401 - facts
    """AwsFacts with a key."""
    return facts(**{"settings": KMS, "key": KeyFacts(KEY_ARN, generate, decrypt), **changed})


def test_usable() -> None:
    """A key that can be used is shown."""
    assert [f"ok: {KEY_ARN}"] * 2 == [told(code, key()) for code in THE_KEY]


@pytest.mark.parametrize(
    ("sse", "encryption", "why"),
    [
        ("none", {}, "not used: S3_SSE is none, and the bucket names no key"),
        ("none", DENIED, "S3_SSE is none; whether the bucket has a key of its own cannot be read"),
        ("AES256", DENIED, "not used: S3_SSE is AES256"),
    ],
)
def test_no_key(sse: str, encryption: Answer[dict[str, Any]], why: str) -> None:
    """Without KMS there is nothing to look at."""
    known = facts(settings=settings(s3_sse=sse), bucket=replace(BUCKET, encryption=encryption))
    assert [f"skipped: {why}"] * 2 == [told(code, known) for code in THE_KEY]


def test_key_without_a_name() -> None:
    """The account's own key has no name here: only a real PUT shows it."""
    known = facts(settings=settings(s3_sse="aws:kms"), key=Unasked("S3_KMS_KEY_ID or --write: the key is not named"))
    assert "skipped: needs S3_KMS_KEY_ID or --write: the key is not named" == told("EP501", known)


def test_key_that_does_not_exist() -> None:
    """A key that is not there, or not enabled, is a failure."""
    known = key(GONE, Unasked("kms:GenerateDataKey"))
    assert f"failed: {KEY_ARN} cannot be used" == told("EP501", known)
    assert "skipped: needs kms:GenerateDataKey" == told("EP502", known)


def test_refused_credentials() -> None:
    """Credentials that KMS refuses are the credentials' fault."""
    assert "skipped: needs credentials that AWS accepts" == told("EP501", key(REFUSED))


def test_denied() -> None:
    """A key policy may leave its use to S3, so a denial to us is only a warning; the fix is in AWS's own words."""
    words = f"AccessDeniedException: User: x is not authorized to perform: kms:GenerateDataKey on resource: {KEY_ARN}"
    known = key(replace(DENIED, error=words))
    assert f"warning: {VIA_S3}" == told("EP501", known)
    statement = json.loads(found("EP501", known).fix.splitlines()[1])
    assert {"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": KEY_ARN} == statement


def test_unreachable() -> None:
    """The service never asks KMS itself, so a KMS out of reach is no failure."""
    known = key(TIMEOUT, Unasked("kms:GenerateDataKey"))
    assert (
        "skipped: KMS does not say (no answer within 10 s); S3 asks it on our behalf, and --write shows whether"
        == told("EP501", known)
    )


def test_real_put_is_better_evidence() -> None:
    """What S3 did with the key counts more than what we may do."""
    known = key(DENIED, DENIED, bucket=storing(written=WRITTEN).bucket)
    assert f"ok: S3 encrypted the probe with {KEY_ARN}" == told("EP501", known)
    assert "ok: the probe was read back" == told("EP502", known)


def test_real_put_is_evidence_where_kms_is_not_asked() -> None:
    """As where the key has no name, or is one of a server that has no KMS to ask."""
    known = facts(settings=KMS, key=Unasked("a bucket at AWS"), bucket=storing(written=WRITTEN).bucket)
    assert f"ok: S3 encrypted the probe with {KEY_ARN}" == told("EP501", known)
    assert "ok: the probe was read back" == told("EP502", known)


def test_old_probe_is_no_evidence() -> None:
    """A probe from an earlier check says nothing of today's permission to encrypt."""
    old = replace(WRITTEN, first=Stored.ALREADY_THERE)
    known = key(DENIED, bucket=storing(written=old).bucket)
    assert f"warning: {VIA_S3}" == told("EP501", known)


@pytest.mark.parametrize(
    ("key_id", "resource"),
    [
        ("0a1b2c3d", "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"),
        ("alias/mail", "arn:aws:kms:us-east-1:123456789012:key/ID-OF-mail"),
        ("arn:aws:kms:us-east-1:123456789012:alias/mail", "arn:aws:kms:us-east-1:123456789012:key/ID-OF-mail"),
    ],
)
def test_resource_of_a_key(key_id: str, resource: str) -> None:
    """Policies take a key by its id, never by its alias."""
    known = facts(settings=KMS, key=KeyFacts(key_id, DENIED, DENIED))
    assert f'"Resource": "{resource}"' in found("EP502", known).fix


def test_resource_of_a_key_in_a_pseudo_region() -> None:
    """A key is in the region that requests are signed for."""
    known = facts(settings=settings(aws_region="fips-us-east-1"), key=KeyFacts("0a1b2c3d", DENIED, DENIED))
    assert f'"Resource": "{KEY_ARN}"' in found("EP502", known).fix


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "skipped: not used: the queue is not encrypted with KMS"),
        (
            {"attributes": {**ATTRIBUTES, "KmsMasterKeyId": "alias/q"}},
            "skipped: alias/q: kms:Decrypt shows with --write when a message waits",
        ),
        (
            {"attributes": {**ATTRIBUTES, "KmsMasterKeyId": "alias/q"}, "receive": 0},
            "skipped: alias/q: kms:Decrypt shows with --write when a message waits",
        ),
        (
            {"attributes": {**ATTRIBUTES, "KmsMasterKeyId": "alias/q"}, "receive": 1},
            "ok: alias/q: a message was decrypted",
        ),
        ({"attributes": MISSING}, "skipped: needs the queue"),
        ({"attributes": DENIED}, "skipped: needs sqs:GetQueueAttributes"),
        (
            {"receive": Failure(Cause.ENCRYPTION, "KMS.AccessDeniedException: No.", "")},
            "failed: messages cannot be decrypted",
        ),
    ],
)
def test_key_of_the_queue(changed: dict[str, Any], expected: str) -> None:
    """The key of the queue shows in a receive that brings a message."""
    assert expected == told("EP503", queue(**changed))


def test_queue_with_wrong_settings() -> None:
    """Where the queue's settings are wrong, nothing is said of its key."""
    assert "skipped: needs a valid SQS_QUEUE_URL" == told("EP503", facts(queue=Unasked("a valid SQS_QUEUE_URL")))
