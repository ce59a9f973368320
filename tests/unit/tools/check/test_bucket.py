"""Findings about the bucket: what may be done with it, the write probe, and its configuration."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from email_processor.aws.archive import PROBE
from email_processor.domain.errors import Cause
from email_processor.ports import Stored
from email_processor.tools.check.examine import AwsFacts
from email_processor.tools.check.inspect.asking import Answer, Failure, Unasked
from email_processor.tools.check.inspect.bucket import BucketFacts, HeadAnswer, PrefixFacts, Written
from tests.unit.tools.check.known import (
    BUCKET,
    DENIED,
    LATE,
    NO_WRITE,
    S3,
    TIMEOUT,
    bucket,
    facts,
    found,
    settings,
    storing,
    told,
)

ELSEWHERE = "https://archive.s3.eu-west-1.amazonaws.com"
NO_BUCKET = Failure(Cause.MISSING, "NoSuchBucket: No.", "", "NoSuchBucket")
BROKEN = Failure(Cause.SERVER, "500: Internal Server Error", "", "500")
KEY = "quarantine/check/probe-0a1b2c3d4e5f.json"
EMAILS_KEY = "emails/check/probe-0a1b2c3d4e5f.json"
WRITTEN = Written(KEY, Stored.CREATED, Stored.ALREADY_THERE, PROBE)
NOT_WRITTEN = Written(KEY, TIMEOUT, Unasked("a PUT that succeeds"), Unasked("a PUT that succeeds"))
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


def encrypted(**default: str) -> AwsFacts:
    """A bucket with this default encryption."""
    rule = {"ApplyServerSideEncryptionByDefault": default}
    return bucket(encryption={"ServerSideEncryptionConfiguration": {"Rules": [{"BucketKeyEnabled": True}, rule]}})


def locked(**retention: object) -> dict[str, Any]:
    """An object lock with a default retention."""
    return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}}


def expiring(**rule: object) -> AwsFacts:
    """A bucket with a lifecycle of one rule."""
    return bucket(lifecycle={"Rules": [{"ID": "tidy", "Status": "Enabled", "Expiration": {"Days": 30}, **rule}]})


def seen(status: int, may_list: Answer[bool]) -> AwsFacts:
    """A bucket of which this is known to a stranger, and to us."""
    return bucket(seen=HeadAnswer(status, None), may_list=may_list)


def region(endpoint: str, name: str | None) -> AwsFacts:
    """A bucket that is said to be in this region."""
    return bucket(endpoint=endpoint, put_endpoint=endpoint, seen=HeadAnswer(301, name))


def everywhere(found: PrefixFacts) -> AwsFacts:
    """A bucket of which this was learnt under each prefix."""
    return bucket(prefixes=dict.fromkeys(BUCKET.prefixes, found))


def replace_bucket(known: AwsFacts, **changed: Any) -> AwsFacts:  # noqa: ANN401 - any fact of the bucket
    """The same, but for what is changed of the bucket."""
    assert isinstance(known.bucket, BucketFacts)
    return replace(known, bucket=replace(known.bucket, **changed))


DOWN = Failure(Cause.SERVER, "503 ServiceUnavailable: Down", "", "ServiceUnavailable", 503)


def down(answer: Failure | Unasked) -> AwsFacts:
    """A bucket of which a stranger hears 503, and we this."""
    questions = ("may_list", "may_get", "encryption", "versioning", "object_lock", "lifecycle")
    known = everywhere(PrefixFacts(answer, NO_WRITE))
    return replace_bucket(known, seen=HeadAnswer(503, None), **dict.fromkeys(questions, answer))


def probed(**changed: Any) -> AwsFacts:  # noqa: ANN401 - anything of the probe
    """A bucket into which the probe was written, but for what is changed."""
    return storing(written=replace(WRITTEN, **changed))


NO_SUCH = "failed: there is no bucket of the name archive"
NOT_FETCHED = "warning: denied: bodies that the SQS extended client put into a bucket cannot be fetched"
NAMES_THE_ACTION = replace(DENIED, error="AccessDenied: not authorized to perform: s3:GetObject on resource: x")
OVERWRITES = "warning: this store ignores If-None-Match: the second PUT overwrote the first"
FOR_EVERY = "by default: it holds for every email, and for the probes of --write"
DELETES = "warning: the rule tidy deletes objects under"
DELETES_NOTHING = "ok: nothing under emails/ is deleted by it"
FINDINGS = [
    ("EP401", facts(bucket=Unasked("a valid S3_BUCKET_NAME")), "skipped: needs a valid S3_BUCKET_NAME"),
    ("EP401", seen(503, may_list=True), f"ok: {S3} answers"),
    # of an error of the server's own that is the answer to everything, a refusal and a 501 are none
    ("EP401", down(DOWN), f"failed: {S3} answers nothing that is asked (HTTP 503)"),
    ("EP401", down(TIMEOUT), f"failed: {S3} answers nothing that is asked (HTTP 503)"),
    ("EP401", down(Unasked("credentials")), f"failed: {S3} answers nothing that is asked (HTTP 503)"),
    ("EP401", down(replace(DOWN, status=403)), f"ok: {S3} answers"),
    ("EP401", down(replace(DOWN, status=501)), f"ok: {S3} answers"),
    # both halves have to go to the same host
    ("EP402", bucket(endpoint=ELSEWHERE), f"failed: PUTs go to {S3}, everything else to {ELSEWHERE}"),
    # it exists if it can be listed, or if S3 answers anything but 404 to a stranger
    ("EP403", seen(404, NO_BUCKET), NO_SUCH),
    ("EP403", seen(403, NO_BUCKET), NO_SUCH),
    ("EP403", seen(404, Unasked("credentials")), NO_SUCH),
    ("EP403", seen(404, may_list=True), "ok: archive"),
    ("EP403", seen(403, DENIED), "ok: archive (an unsigned request is answered with HTTP 403)"),
    ("EP403", seen(503, DENIED), "skipped: S3 does not say (HTTP 503)"),
    # in another region it cannot be written to at AWS; elsewhere that may be only a name
    (
        "EP404",
        region(S3, "eu-west-1"),
        "failed: eu-west-1, but AWS_REGION is us-east-1: S3 refuses PUTs signed for another region",
    ),
    ("EP404", region("http://127.0.0.1:4566", "eu-west-1"), "warning: eu-west-1, but AWS_REGION is us-east-1"),
    ("EP404", region(S3, None), "skipped: S3 does not say"),
    # a pseudo-region is not one that anything is in: what requests are signed for counts
    ("EP404", replace(region(S3, "us-east-1"), settings=settings(aws_region="fips-us-east-1")), "ok: us-east-1"),
    # a store that answers the harmless question with an error leaves it open; a PUT that went through shows it
    (
        "EP405",
        everywhere(PrefixFacts(BROKEN, NO_WRITE)),
        "skipped: cannot be told without a real PUT, which --write makes (500: Internal Server Error)",
    ),
    ("EP405", everywhere(PrefixFacts(BROKEN, WRITTEN)), "ok: allowed under emails/ and quarantine/ (a real PUT)"),
    ("EP405", everywhere(PrefixFacts(DENIED, WRITTEN)), "ok: allowed under emails/ and quarantine/ (a real PUT)"),
    ("EP405", everywhere(PrefixFacts(True, NOT_WRITTEN)), "skipped: a real PUT failed, which says more: EP408"),
    ("EP405", everywhere(PrefixFacts(BROKEN, NOT_WRITTEN)), "skipped: a real PUT failed, which says more: EP408"),
    # without ListBucket, a denied GET says nothing unless AWS names the action or the object is there for sure
    ("EP406", bucket(may_get=DENIED), NOT_FETCHED),
    (
        "EP406",
        bucket(may_get=DENIED, may_list=DENIED),
        "skipped: needs s3:ListBucket: without it, S3 denies a GET of what is not there",
    ),
    ("EP406", bucket(may_get=NAMES_THE_ACTION, may_list=DENIED), NOT_FETCHED),
    ("EP406", replace_bucket(probed(), may_get=DENIED, may_list=DENIED), "ok: allowed"),
    ("EP406", replace_bucket(probed(back=DENIED), may_get=DENIED, may_list=DENIED), NOT_FETCHED),
    ("EP406", bucket(may_get=TIMEOUT), "warning: neither allowed nor denied"),
    ("EP410", bucket(may_get=DENIED), "skipped: find, show, export, audit and quarantine need s3:GetObject"),
    ("EP410", bucket(may_list=TIMEOUT), "skipped: needs the answers to s3:ListBucket and s3:GetObject"),
    (
        "EP410",
        storing("emails", may_put=DENIED),
        "ok: find, show, export, audit; quarantine release also needs s3:PutObject",
    ),
    # what became of the probe object
    ("EP408", probed(), f"ok: {WHERE}: stored, and read back; it stays there"),
    (
        "EP408",
        probed(encryption="aws:kms arn:key"),
        f"ok: {WHERE}: stored, and read back, encrypted with aws:kms arn:key; it stays there",
    ),
    (
        "EP408",
        probed(first=Stored.ALREADY_THERE),
        f"ok: {WHERE}: was there already, from an earlier check, and read back; it stays there",
    ),
    (
        "EP408",
        replace(probed(), settings=settings(s3_sse="AES256")),
        f"warning: {WHERE}: stored, and read back, but not encrypted: S3_SSE=AES256 was passed over",
    ),
    (
        "EP408",
        replace(probed(encryption="AES256"), settings=settings(s3_sse="aws:kms")),
        f"warning: {WHERE}: stored, and read back, but encrypted with AES256: S3_SSE=aws:kms was passed over",
    ),
    (
        "EP408",
        replace(probed(encryption="aws:kms:dsse arn:key"), settings=settings(s3_sse="aws:kms")),
        f"ok: {WHERE}: stored, and read back, encrypted with aws:kms:dsse arn:key; it stays there",
    ),
    ("EP408", probed(back=DENIED), f"ok: {WHERE}: stored; to read it back is denied; it stays there"),
    ("EP408", probed(back=TIMEOUT), f"failed: {WHERE}: stored, but not read back"),
    ("EP408", probed(back=b"{}"), f"failed: {WHERE} holds something else"),
    ("EP408", storing(written=NOT_WRITTEN), "failed: not stored under quarantine/"),
    (
        "EP408",
        everywhere(PrefixFacts(True, NOT_WRITTEN)),
        "failed: not stored under emails/; not stored under quarantine/",
    ),
    ("EP408", storing(written=Written(KEY, LATE, NO, NO)), "skipped: needs --write; needs the right time on this host"),
    # a denied PUT is one failure if the harmless question found it as well, else its own
    ("EP408", everywhere(PrefixFacts(DENIED, Written(KEY, DENIED, NO, NO))), "skipped: needs s3:PutObject"),
    ("EP408", storing(written=Written(KEY, DENIED, NO, NO)), "failed: not stored under quarantine/"),
    # a store that takes the second PUT would overwrite emails with their duplicates; who has it off knows
    ("EP409", probed(again=Stored.ALREADY_THERE), "ok: the second PUT left the first alone"),
    ("EP409", probed(again=Stored.CREATED), OVERWRITES),
    ("EP409", probed(again=TIMEOUT), "failed: the second PUT failed"),
    ("EP409", everywhere(PrefixFacts(True, NOT_WRITTEN)), "skipped: needs a PUT that succeeds"),
    (
        "EP409",
        replace(everywhere(PrefixFacts(True, WRITTEN)), settings=settings(s3_conditional_writes=False)),
        "skipped: not used: S3_CONDITIONAL_WRITES is false",
    ),
    ("EP411", bucket(encryption={}), "ok: no default of its own"),
    ("EP411", encrypted(SSEAlgorithm="AES256"), "ok: AES256"),
    ("EP411", encrypted(SSEAlgorithm="aws:kms", KMSMasterKeyID="arn:key"), "ok: aws:kms arn:key"),
    ("EP412", bucket(versioning={}), "ok: off"),
    ("EP412", bucket(versioning={"Status": "Suspended"}), "ok: suspended"),
    # neither object lock nor a default retention is an obstacle: every PUT carries a checksum
    (
        "EP413",
        bucket(object_lock={"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}),
        "ok: on, without a default retention",
    ),
    ("EP413", bucket(object_lock=locked(Mode="GOVERNANCE", Days=30)), f"ok: on, GOVERNANCE 30 days {FOR_EVERY}"),
    ("EP413", bucket(object_lock=locked(Mode="COMPLIANCE", Years=7)), f"ok: on, COMPLIANCE 7 years {FOR_EVERY}"),
    # a rule that deletes archived emails is a warning
    ("EP414", expiring(), f"{DELETES} any prefix after 30 days"),
    ("EP414", expiring(Filter={"Prefix": "emails/2024/"}), f"{DELETES} emails/2024/ after 30 days"),
    ("EP414", expiring(Prefix="em"), f"{DELETES} em after 30 days"),
    (
        "EP414",
        expiring(ID="", Filter={"And": {"Prefix": "emails/", "ObjectSizeLessThan": 1000}}),
        "warning: the rule without a name deletes objects under emails/ after 30 days",
    ),
    ("EP414", expiring(Expiration={"Date": datetime(2030, 1, 2, tzinfo=UTC)}), f"{DELETES} any prefix on 2030-01-02"),
    ("EP414", expiring(Filter={"Prefix": "quarantine/"}), DELETES_NOTHING),
    ("EP414", expiring(Filter={"Tag": {"Key": "k", "Value": "v"}}), DELETES_NOTHING),
    ("EP414", expiring(Filter={"And": {"Tags": [{"Key": "k"}]}}), DELETES_NOTHING),
    ("EP414", expiring(Status="Disabled"), DELETES_NOTHING),
    ("EP414", expiring(Expiration={"ExpiredObjectDeleteMarker": True}), DELETES_NOTHING),
]


@pytest.mark.parametrize(("code", "known", "expected"), FINDINGS)
def test_finding(code: str, known: AwsFacts, expected: str) -> None:
    """What is known of a bucket, and what the check says of it."""
    assert expected == told(code, known)


def test_unreachable() -> None:
    """Where S3 does not answer, that is the one failure."""
    no = Unasked("an answer of S3")
    known = replace_bucket(everywhere(PrefixFacts(no, no)), seen=TIMEOUT, may_list=no, may_get=no, encryption=no)
    assert f"failed: no answer from {S3}" == told("EP401", known)
    for code in ("EP403", "EP404", "EP405", "EP406", "EP407", "EP408", "EP409", "EP411"):
        assert "skipped: needs an answer of S3" == told(code, known)


def test_answer_that_cannot_be_understood() -> None:
    """What has no fix of its own is about the endpoint."""
    known = bucket(seen=BROKEN)
    assert "AWS_ENDPOINT_URL" in found("EP401", known).fix


def test_missing() -> None:
    """A bucket that does not exist fails once, with the command that makes it; all else about it is skipped."""
    no = Written(KEY, NO_BUCKET, Unasked("a PUT that succeeds"), Unasked("a PUT that succeeds"))
    known = replace_bucket(
        everywhere(PrefixFacts(NO_BUCKET, no)),
        seen=HeadAnswer(404, None),
        may_list=NO_BUCKET,
        may_get=NO_BUCKET,
        encryption=NO_BUCKET,
    )
    assert "aws s3 mb s3://archive --region us-east-1" in found("EP403", known).fix
    for code in ("EP404", "EP405", "EP406", "EP407", "EP408", "EP411"):
        assert "skipped: needs the bucket" == told(code, known)


def test_commands_go_where_the_bucket_is() -> None:
    """A store that is not AWS is asked by its endpoint."""
    known = bucket(endpoint="http://127.0.0.1:9000", seen=HeadAnswer(404, None), may_list=NO_BUCKET)
    make = "aws --endpoint-url http://127.0.0.1:9000 s3 mb s3://archive --region us-east-1"
    assert make == found("EP403", known).fix.splitlines()[1]


@pytest.mark.parametrize(
    ("known", "evidence", "resources"),
    [
        (
            everywhere(PrefixFacts(DENIED, NO_WRITE)),
            "denied: nothing can be stored under emails/ and quarantine/",
            ["arn:aws:s3:::archive/emails/*", "arn:aws:s3:::archive/quarantine/*"],
        ),
        (
            storing(may_put=DENIED),
            "denied: nothing can be stored under quarantine/",
            ["arn:aws:s3:::archive/quarantine/*"],
        ),
        (
            bucket(
                prefixes={
                    "emails": PrefixFacts(DENIED, Written(EMAILS_KEY, DENIED, NO, NO)),
                    "quarantine": PrefixFacts(True, WRITTEN),
                }
            ),
            "denied: nothing can be stored under emails/",
            ["arn:aws:s3:::archive/emails/*"],
        ),
    ],
)
def test_put_is_denied(known: AwsFacts, evidence: str, resources: list[str]) -> None:
    """A denial of PUTs names the prefixes, whatever was stored under another; and its fix allows just these."""
    finding = found("EP405", known)
    assert f"failed: {evidence}" == told("EP405", known)
    statement = json.loads(finding.fix.splitlines()[1])
    assert {"Effect": "Allow", "Action": "s3:PutObject", "Resource": resources} == statement


def test_list_is_denied() -> None:
    """A denial of listings warns, and its fix is about the bucket itself."""
    known = bucket(may_list=DENIED)
    assert "warning: denied: a missing object looks like a denied one" == told("EP407", known)
    assert '"Resource": "arn:aws:s3:::archive"' in found("EP407", known).fix


def test_arns_of_other_partitions() -> None:
    """Each partition of AWS has its own beginning, for pseudo-regions and regions newer than botocore, too."""
    for region, partition in (
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("fips-us-gov-west-1", "aws-us-gov"),
        ("us-gov-new-7", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
    ):
        known = facts(settings=settings(aws_region=region), bucket=replace(BUCKET, may_list=DENIED))
        assert f'"Resource": "arn:{partition}:s3:::archive"' in found("EP407", known).fix


def test_denied_with_a_key() -> None:
    """With KMS, a denied PUT may be about the key."""
    known = replace(storing(written=Written(KEY, DENIED, NO, NO)), settings=settings(s3_sse="aws:kms"))
    assert "kms:GenerateDataKey" in found("EP408", known).fix


def test_put_is_denied_where_the_probe_went() -> None:
    """The fix allows PUTs under the prefix whose own was denied."""
    known = storing("emails", written=Written(EMAILS_KEY, DENIED, NO, NO))
    statement = json.loads(found("EP408", known).fix.splitlines()[1])
    assert "arn:aws:s3:::archive/emails/*" == statement["Resource"]


def test_each_prefix_has_its_own_fix() -> None:
    """What keeps anything from being stored anywhere is told at once."""
    known = everywhere(PrefixFacts(True, Written(KEY, DENIED, NO, NO)))
    fix = found("EP408", known).fix
    assert ['"arn:aws:s3:::archive/emails/*"', '"arn:aws:s3:::archive/quarantine/*"'] == re.findall(r'"arn:[^"]+"', fix)


@pytest.mark.parametrize(
    ("said", "sse", "conditional", "expected"),
    [
        ("No.", "none", True, ["S3_CONDITIONAL_WRITES=false"]),
        ("No.", "AES256", True, ["S3_SSE=none", "S3_CONDITIONAL_WRITES=false"]),
        ("Encryption with KMS keys is not supported.", "aws:kms", True, ["S3_SSE=none"]),
        ("No.", "AES256", False, ["S3_SSE=none"]),
        ("No.", "none", False, ["Look."]),
    ],
)
def test_store_that_lacks_what_a_header_asks_for(said: str, sse: str, conditional: bool, expected: list[str]) -> None:
    """The settings that can be meant are told, and none that is not in use or that the answer is not about."""
    fault = Failure(Cause.CONFIGURATION, f"PutObject s3://archive/k: NotImplemented: {said}", "Look.", "NotImplemented")
    known = replace(
        storing(written=Written(KEY, fault, NO, NO)),
        settings=settings(s3_sse=sse, s3_conditional_writes=conditional),
    )
    assert expected == [line for line in found("EP408", known).fix.splitlines() if not line.startswith("If this store")]


def test_bucket_with_default_retention() -> None:
    """A PUT that a locked bucket refuses is explained."""
    fault = Failure(Cause.CONFIGURATION, "PutObject s3://archive/k: 400 InvalidRequest", "Check.")
    probed_in_vain = storing(written=Written(KEY, fault, NO, NO))
    known = replace_bucket(probed_in_vain, object_lock=locked(Mode="GOVERNANCE", Days=30))
    assert "checksum" in found("EP408", known).fix


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
