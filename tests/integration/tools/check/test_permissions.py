"""The check against an AWS that denies one thing or another."""

import json
import os
from urllib.parse import urlsplit

import pytest

from tests.integration.tools.check.aws import ATTRIBUTES, KEY_ARN, PROBE_KEYS, QUEUE_ARN, ROLE, PermittedAws, xml
from tests.integration.tools.check.looking import bad, error_of, look, told
from tests.support.aws_answers import s3_error, sqs, sqs_error

HARMLESS = {
    "unsigned GetQueueAttributes",
    "unsigned HeadBucket",
    "GetCallerIdentity",
    "GetQueueAttributes",
    "DeleteMessageBatch",
    "ChangeMessageVisibilityBatch",
    "ListObjectsV2",
    "GetObject",
    "CompleteMultipartUpload",
    "GetBucketEncryption",
    "GetBucketVersioning",
    "GetObjectLockConfiguration",
    "GetBucketLifecycleConfiguration",
}


async def test_all_allowed(permitted: PermittedAws) -> None:
    """All is well, and shown without a receive, a PUT, or anything else that could change something."""
    report = await look()
    assert {} == bad(report)
    assert "ok: allowed under emails/ and quarantine/" == told(report, "EP405")
    assert HARMLESS == set(permitted.operations)


async def test_write(permitted: PermittedAws) -> None:
    """With --write, one receive is made, and two PUTs of one key under each prefix."""
    permitted.waiting = 12
    report = await look(write=True)
    assert {} == bad(report)
    assert [f"/archive/{key}" for key in PROBE_KEYS] == sorted(permitted.objects)
    assert 1 == permitted.operations.count("ReceiveMessage")
    assert 4 == permitted.operations.count("PutObject")


@pytest.mark.parametrize(
    ("operation", "code", "status"),
    [
        ("GetQueueAttributes", "EP304", "warning"),
        ("DeleteMessageBatch", "EP306", "failed"),
        ("ChangeMessageVisibilityBatch", "EP307", "warning"),
        ("CompleteMultipartUpload", "EP405", "failed"),
        ("GetObject", "EP406", "warning"),
        ("ListObjectsV2", "EP407", "warning"),
    ],
)
async def test_one_denial(permitted: PermittedAws, operation: str, code: str, status: str) -> None:
    """A denied operation is one finding, in AWS's words."""
    permitted.deny(operation)
    report = await look()
    assert {code: status} == bad(report)
    assert "is not authorized to perform" in error_of(report, code)


@pytest.mark.parametrize("client", ["signed", "sdk"])
async def test_receive_is_denied(permitted: PermittedAws, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --write a denied receive is found, through either client."""
    monkeypatch.setenv("AWS_CLIENT", client)
    permitted.deny("ReceiveMessage")
    assert {"EP305": "failed"} == bad(await look(write=True))


async def test_put_is_denied(permitted: PermittedAws) -> None:
    """A PUT that is denied though the harmless question was not (a condition on encryption, say) is found."""
    permitted.deny("PutObject")
    assert {"EP408": "failed"} == bad(await look(write=True))


@pytest.mark.parametrize("write", [False, True])
async def test_put_is_denied_under_one_prefix(permitted: PermittedAws, *, write: bool) -> None:
    """A PUT that succeeds in the quarantine proves nothing for emails."""
    permitted.closed = frozenset({"emails"})
    report = await look(write=write)
    assert {"EP405": "failed"} == bad(report)
    assert "failed: denied: nothing can be stored under emails/" == told(report, "EP405")


@pytest.mark.parametrize("write", [False, True])
async def test_nothing_is_asked_of_a_quarantine_that_is_not_used(
    permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch, *, write: bool
) -> None:
    """Nothing is ever stored there, so nothing need be allowed."""
    monkeypatch.setenv("QUARANTINE_ENABLED", "false")
    permitted.closed = frozenset({"quarantine"})
    report = await look(write=write)
    assert {} == bad(report)
    assert told(report, "EP405").startswith("ok: allowed under emails/")


async def test_bucket_that_is_never_written_over(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that denies writes without a condition, as our templates make it, denies only who does without."""
    permitted.only_new = True
    assert {} == bad(await look(write=True))
    assert {} == bad(await look())
    monkeypatch.setenv("S3_CONDITIONAL_WRITES", "false")
    assert {"EP405": "failed"} == bad(await look())


async def test_what_is_not_needed(permitted: PermittedAws) -> None:
    """What the service does not need may be denied without a finding."""
    permitted.deny(
        "GetBucketEncryption",
        "GetBucketLifecycleConfiguration",
        "GetBucketVersioning",
        "GetCallerIdentity",
        "GetObjectLockConfiguration",
    )
    report = await look()
    assert {} == bad(report)
    assert all(told(report, code).startswith("skipped: ") for code in ("EP203", "EP411", "EP412", "EP413", "EP414"))


async def test_write_without_attributes(permitted: PermittedAws) -> None:
    """Where the redrive policy is not known, no receive is risked."""
    permitted.deny("GetQueueAttributes")
    report = await look(write=True)
    assert "skipped: needs sqs:GetQueueAttributes, to know that a receive does no harm" == told(report, "EP305")
    assert "ReceiveMessage" not in permitted.operations


@pytest.mark.parametrize("is_known", [True, False])
async def test_receive_that_would_do_harm_at_aws(
    permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    """With --write no less is found than without: where no receive is risked, AWS can still deny one."""
    monkeypatch.setattr("email_processor.tools.check.inspect.queue.is_aws", lambda _: True)
    policy = json.dumps({"deadLetterTargetArn": f"{QUEUE_ARN}-dead", "maxReceiveCount": 2})
    permitted.attributes = {**ATTRIBUTES, "RedrivePolicy": policy}
    if not is_known:
        permitted.deny("GetQueueAttributes")
    permitted.instead["ReceiveMessage"] = sqs_error("InvalidParameterValue", message="Value 11 for ...")
    assert told(await look(write=True), "EP305").startswith("skipped: needs ")
    permitted.deny("ReceiveMessage")
    assert told(await look(write=True), "EP305").startswith("failed: denied: ")


async def test_batch_that_is_refused_entry_by_entry(permitted: PermittedAws) -> None:
    """A denial inside a batch's answer is a denial."""
    failed = {"Id": "0", "SenderFault": True, "Code": "AccessDenied", "Message": "No."}
    permitted.instead["DeleteMessageBatch"] = sqs({"Successful": [], "Failed": [failed]})
    report = await look()
    assert {"EP306": "failed"} == bad(report)


async def test_refused_credentials(permitted: PermittedAws) -> None:
    """Credentials that AWS does not accept are one failure."""
    strangers = {"unsigned GetQueueAttributes", "unsigned HeadBucket"}
    for operation in {*HARMLESS, "PutObject"} - strangers - {"GetCallerIdentity"}:
        refused = s3_error("InvalidAccessKeyId", 403)
        if operation in {"GetQueueAttributes", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"}:
            refused = sqs_error("InvalidClientTokenId", 403)
        permitted.instead[operation] = refused
    permitted.deny("GetCallerIdentity")
    report = await look(write=True)
    assert {"EP203": "failed"} == bad(report)
    assert "skipped: needs credentials that AWS accepts" == told(report, "EP303")


REFUSED = sqs_error(
    "UnrecognizedClientException", 400, message="The security token included in the request is invalid."
)


@pytest.mark.parametrize("operation", ["GetCallerIdentity", "GenerateDataKey"])
async def test_credentials_that_only_sts_or_kms_refuses(
    permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """They are those of SQS and S3, and the service asks nobody else."""
    monkeypatch.setenv("S3_SSE", "aws:kms")
    monkeypatch.setenv("S3_KMS_KEY_ID", "mail")
    permitted.instead[operation] = REFUSED
    assert {} == bad(await look())


async def test_keys_of_another_server_are_not_shown_to_aws(
    permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where queue and bucket are elsewhere and only S3's endpoint is set, AWS's STS and KMS are asked nothing."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("S3_SSE", "aws:kms")
    monkeypatch.setenv("S3_KMS_KEY_ID", "mail")
    report = await look()
    assert {} == bad(report)
    assert "skipped: needs a queue or a bucket at AWS, or AWS_ENDPOINT_URL_STS" == told(report, "EP203")
    assert "skipped: needs a bucket at AWS, or AWS_ENDPOINT_URL_KMS" == told(report, "EP501")


async def test_keys_are_shown_to_aws_where_a_queue_or_a_bucket_is(
    permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who they are is asked then, whichever of the two it is; the key of objects is one of the bucket's place."""
    monkeypatch.setattr("email_processor.tools.check.inspect.sts_and_kms.is_aws", lambda _: True)
    monkeypatch.setenv("S3_SSE", "aws:kms")
    monkeypatch.setenv("S3_KMS_KEY_ID", "mail")
    place = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    for variable in ("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3"):
        with monkeypatch.context() as patched:
            other = f"http://localhost:{place.port}"
            patched.setenv(variable, other)
            patched.setattr("email_processor.tools.check.examine.is_aws", lambda url, at=other: url.startswith(at))
            report = await look()
        assert f"ok: {ROLE}" == told(report, "EP203")
        assert told(report, "EP501").startswith("ok: " if variable.endswith("S3") else "skipped: needs a bucket at AWS")


async def test_clock(permitted: PermittedAws) -> None:
    """A clock that is two minutes slow is noticed by AWS's own time."""
    permitted.skew = 120
    report = await look()
    assert {"EP601": "warning"} == bad(report)
    assert told(report, "EP601") in {f"warning: {seconds} s behind" for seconds in (119, 120, 121)}


async def test_clock_that_aws_refuses(permitted: PermittedAws) -> None:
    """A clock that is so wrong that AWS refuses requests is the failure; what hangs on it is skipped."""
    permitted.skew = 1200
    late = sqs_error("InvalidSignatureException", 403, message="Signature expired: 2024 is now earlier than 2025")
    for operation in ("GetQueueAttributes", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
        permitted.instead[operation] = late
    report = await look()
    assert {"EP601": "failed"} == bad(report)
    assert "skipped: needs the right time on this host" == told(report, "EP306")


async def test_key_is_denied(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that only S3 may use warns until --write has shown it at work."""
    monkeypatch.setenv("S3_SSE", "aws:kms")
    monkeypatch.setenv("S3_KMS_KEY_ID", KEY_ARN)
    permitted.deny("GenerateDataKey")
    assert {"EP501": "warning"} == bad(await look())


async def test_decrypt_is_denied(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encrypting without decrypting is half a permission."""
    monkeypatch.setenv("S3_SSE", "aws:kms")
    monkeypatch.setenv("S3_KMS_KEY_ID", KEY_ARN)
    permitted.deny("Decrypt")
    assert {"EP502": "warning"} == bad(await look())


async def test_key_of_the_queue_is_denied(permitted: PermittedAws) -> None:
    """A receive that fails for the queue's key is the key's fault."""
    permitted.attributes = {**ATTRIBUTES, "KmsMasterKeyId": "alias/mail"}
    permitted.instead["ReceiveMessage"] = sqs_error("KmsAccessDenied", message="No.")
    report = await look(write=True)
    assert {"EP503": "failed"} == bad(report)
    assert "skipped: needs the queue's key" == told(report, "EP305")


async def test_default_key_of_the_bucket(permitted: PermittedAws) -> None:
    """Where the bucket names the key, that one is tried."""
    permitted.instead["GetBucketEncryption"] = xml(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms"
        f"</SSEAlgorithm><KMSMasterKeyID>{KEY_ARN}</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule>"
        "</ServerSideEncryptionConfiguration>"
    )
    report = await look()
    assert f"ok: {KEY_ARN}" == told(report, "EP501")
    assert f"ok: aws:kms {KEY_ARN}" == told(report, "EP411")


async def test_key_that_nobody_names(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's own key cannot be asked after."""
    monkeypatch.setenv("S3_SSE", "aws:kms")
    report = await look()
    assert "skipped: needs S3_KMS_KEY_ID or --write: the key is not named" == told(report, "EP501")
    assert "GenerateDataKey" not in permitted.operations


async def test_no_secret_and_no_body_is_told(permitted: PermittedAws) -> None:
    """Neither the secret key nor a message's body is in the report."""
    permitted.waiting = 1
    shown = json.dumps([str(finding) for finding in (await look(write=True)).findings])
    assert QUEUE_ARN in shown
    assert "confidential" not in shown
    assert "never-to-be-seen" not in shown
