"""KMS."""

from collections.abc import Iterator

from email_processor.domain.errors import Cause
from email_processor.partitions import partition_of
from email_processor.ports import Stored
from email_processor.tools.check.examine import AwsFacts
from email_processor.tools.check.findings import Finding, allow, blocked, failed, ok, skipped, warning
from email_processor.tools.check.inspect.asking import Answer, Failure, Unasked
from email_processor.tools.check.inspect.bucket import BucketFacts, Written
from email_processor.tools.check.inspect.sts_and_kms import KeyFacts

# what KMS says of a key that is not there, or not in use: docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html
UNUSABLE = frozenset({"DisabledException", "InvalidKeyUsageException", "KMSInvalidStateException", "NotFoundException"})


def judge_key(facts: AwsFacts) -> Iterator[Finding]:
    """The key of the objects, and that of the queue."""
    yield _generate(facts)
    yield _decrypt(facts)
    yield _queue_key(facts)


def _why_none(facts: AwsFacts) -> str:
    sse = facts.settings.s3_sse
    if sse == "AES256":
        return "not used: S3_SSE is AES256"
    bucket = facts.bucket
    if isinstance(bucket, BucketFacts) and isinstance(bucket.encryption, Failure | Unasked):
        return f"S3_SSE is {sse}; whether the bucket has a key of its own cannot be read"
    return f"not used: S3_SSE is {sse}, and the bucket names no key"


def _generate(facts: AwsFacts) -> Finding:
    new = next((written for written in _encrypted(facts) if written.first is Stored.CREATED), None)
    if new is not None:
        return ok("EP501", f"S3 encrypted the probe with {new.encryption.removeprefix('aws:kms').strip() or 'it'}")
    if isinstance(facts.key, KeyFacts):
        return _usage("EP501", "kms:GenerateDataKey", facts.key.generate, facts, facts.key)
    return _not_asked("EP501", facts)


def _decrypt(facts: AwsFacts) -> Finding:
    if any(isinstance(written.back, bytes) for written in _encrypted(facts)):
        return ok("EP502", "the probe was read back")
    if isinstance(facts.key, KeyFacts):
        return _usage("EP502", "kms:Decrypt", facts.key.decrypt, facts, facts.key)
    return _not_asked("EP502", facts)


def _not_asked(code: str, facts: AwsFacts) -> Finding:
    return skipped(code, f"needs {facts.key.needs}" if isinstance(facts.key, Unasked) else _why_none(facts))


def _usage(code: str, action: str, answer: Answer[bool], facts: AwsFacts, key: KeyFacts) -> Finding:
    if not isinstance(answer, Failure):
        return skipped(code, f"needs {answer.needs}") if isinstance(answer, Unasked) else ok(code, key.key_id)
    fault = blocked(code, answer, missing="the key")
    if isinstance(fault, Finding):
        return fault
    if fault.code in UNUSABLE:
        return failed(
            code,
            f"{key.key_id} cannot be used",
            error=fault.error,
            fix=f"Name an enabled key of {facts.region} in S3_KMS_KEY_ID, or enable this one.",
        )
    if fault.cause is not Cause.DENIED:
        return skipped(code, f"KMS does not say ({fault.error}); S3 asks it on our behalf, and --write shows whether")
    return warning(
        code,
        "denied when asked directly; all right if the key's policy leaves it to S3 (kms:ViaService): --write shows",
        error=fault.error,
        fix=allow(action, _key_arn(facts, key.key_id), fault, facts.identity),
    )


def _key_arn(facts: AwsFacts, key_id: str) -> str:
    """As policies name it: an alias they do not take."""
    if key_id.startswith("arn:") and ":alias/" not in key_id:
        return key_id
    region = facts.region
    account = facts.identity.account if facts.identity else "ACCOUNT"
    name = key_id if "alias/" not in key_id else f"ID-OF-{key_id.rpartition('alias/')[2]}"
    return f"arn:{partition_of(region)}:kms:{region}:{account}:key/{name}"


def _queue_key(facts: AwsFacts) -> Finding:
    queue = facts.queue
    attributes = queue if isinstance(queue, Unasked) else queue.attributes
    received = None if isinstance(queue, Unasked) else queue.receive
    key = "" if isinstance(attributes, Failure | Unasked) else attributes.get("KmsMasterKeyId", "")
    if isinstance(received, Failure) and received.cause is Cause.ENCRYPTION:
        fix = allow("kms:Decrypt", _key_arn(facts, key or "ID"), received, facts.identity)
        return failed("EP503", "messages cannot be decrypted", error=received.error, fix=fix)
    if isinstance(attributes, Failure | Unasked):
        finding = blocked("EP503", attributes, missing="the queue")
        return finding if isinstance(finding, Finding) else skipped("EP503", "needs sqs:GetQueueAttributes")
    if not key:
        return skipped("EP503", "not used: the queue is not encrypted with KMS")
    if isinstance(received, int) and received > 0:
        return ok("EP503", f"{key}: a message was decrypted")
    return skipped("EP503", f"{key}: kms:Decrypt shows with --write when a message waits")


def _encrypted(facts: AwsFacts) -> Iterator[Written]:
    """The probes that KMS encrypted."""
    if isinstance(facts.bucket, BucketFacts):
        yield from (written for written in facts.bucket.written if written.encryption.startswith("aws:kms"))
