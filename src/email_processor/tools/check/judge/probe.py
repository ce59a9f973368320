"""The write probe."""

from collections.abc import Iterator

from email_processor.domain.errors import Cause
from email_processor.ports import Stored
from email_processor.tools.check.facts import Facts, is_denied
from email_processor.tools.check.findings import Finding, blocked, failed, ok, skipped, warning
from email_processor.tools.check.fixes import allow, object_arn
from email_processor.tools.check.inspect.asking import Fault, Unasked
from email_processor.tools.check.inspect.bucket import BucketFacts
from email_processor.tools.check.inspect.write import PROBE, Written
from email_processor.tools.check.judge.configuration import default_retention


def judge_probe(facts: Facts, bucket: BucketFacts) -> Iterator[Finding]:
    """A real PUT, a second one, and a GET."""
    written = bucket.written
    if isinstance(written, Unasked):
        yield skipped("EP408", f"needs {written.needs}")
        yield skipped("EP409", f"needs {written.needs}")
        return
    yield _not_stored(facts, bucket, written.first) if isinstance(written.first, Fault) else _stored(facts, written)
    yield _conditional(facts, written)


def _not_stored(facts: Facts, bucket: BucketFacts, answer: Fault) -> Finding:
    fault = blocked("EP408", answer, missing="the bucket")
    if isinstance(fault, Finding):
        return fault
    settings = facts.settings
    fix = fault.fix
    if is_denied(fault) and is_denied(bucket.may_quarantine):
        return skipped("EP408", "needs s3:PutObject")
    if fault.cause is Cause.DENIED:
        where = object_arn(settings.s3_bucket_name, settings.s3_quarantine_prefix, settings.aws_region)
        fix = allow("s3:PutObject", where, fault, facts.identity)
        if settings.s3_sse == "aws:kms":
            fix += "\nIf that is allowed already, it is the KMS key: kms:GenerateDataKey and kms:Decrypt."
    elif "501" in fault.error and settings.s3_conditional_writes:
        fix = "If this store knows no conditional writes:\nS3_CONDITIONAL_WRITES=false"
    elif default_retention(bucket) is not None:
        fix = "Take the default retention off the bucket: with it, S3 refuses PUTs without a checksum."
    return failed("EP408", "not stored", error=fault.error, fix=fix)


def _stored(facts: Facts, written: Written) -> Finding:
    where = f"s3://{facts.settings.s3_bucket_name}/{written.key}"
    how = "stored" if written.first is Stored.CREATED else "was there already, from an earlier check"
    if isinstance(written.back, bytes):
        if written.back != PROBE:
            return failed("EP408", f"{where} holds something else", fix="Look who writes there, and delete it.")
        under = f", encrypted with {written.encryption}" if written.encryption else ""
        return ok("EP408", f"{where}: {how}, and read back{under}; it stays there")
    if isinstance(written.back, Fault) and not is_denied(written.back):
        return failed("EP408", f"{where}: {how}, but not read back", error=written.back.error, fix=written.back.fix)
    return ok("EP408", f"{where}: {how}; to read it back is denied; it stays there")


def _conditional(facts: Facts, written: Written) -> Finding:
    if not facts.settings.s3_conditional_writes:
        return skipped("EP409", "not used: S3_CONDITIONAL_WRITES is false")
    if isinstance(written.again, Unasked):
        return skipped("EP409", f"needs {written.again.needs}")
    if isinstance(written.again, Fault):
        return failed("EP409", "the second PUT failed", error=written.again.error, fix=written.again.fix)
    if written.again is Stored.CREATED:
        return warning(
            "EP409",
            "this store ignores If-None-Match: the second PUT overwrote the first",
            fix="Duplicates will overwrite their object with the same bytes. To say that this is known:\n"
            "S3_CONDITIONAL_WRITES=false",
        )
    return ok("EP409", "the second PUT left the first alone")
