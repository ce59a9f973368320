"""The bucket: reaching it, what we may do with it, the write probe, and how it is configured."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from email_processor.aws.archive import PROBE
from email_processor.domain.errors import Cause
from email_processor.ports import Stored
from email_processor.settings import Settings
from email_processor.tools.check.codes import Group
from email_processor.tools.check.examine import AwsFacts, faults_of, is_denied
from email_processor.tools.check.findings import (
    ENDPOINT_FIX,
    Finding,
    Permission,
    Status,
    allow,
    blocked,
    bucket_arn,
    command,
    failed,
    object_arn,
    ok,
    skip_group,
    skipped,
    together,
    warning,
)
from email_processor.tools.check.inspect.asking import Answer, Failure, Unasked, is_aws
from email_processor.tools.check.inspect.bucket import BucketFacts, Written, default_encryption
from email_processor.tools.expiry import expiring

GET = Permission("EP406", Status.WARNING, "bodies that the SQS extended client put into a bucket cannot be fetched")
LIST = Permission("EP407", Status.WARNING, "a missing object looks like a denied one")
NOT_FOUND = 404
SERVER_ERROR = 500
_ENCRYPTION = re.compile("encrypt|kms|sse", re.IGNORECASE)  # in what a store says of a header that it does not know


def judge_bucket(facts: AwsFacts) -> Iterator[Finding]:
    """From the way there to the finer points."""
    bucket = facts.bucket
    if isinstance(bucket, Unasked):
        yield from skip_group(Group.BUCKET, f"needs {bucket.needs}")
        return
    yield _endpoint(bucket)
    yield _one_address(bucket)
    yield _exists(facts, bucket)
    yield _region(facts, bucket)
    yield _put(facts, bucket)
    yield _get(facts, bucket)
    yield _list(facts, bucket)
    yield from _write_probe(facts, bucket)
    yield _commands(facts, bucket)
    yield from _configuration(bucket, facts.settings)


def _endpoint(bucket: BucketFacts) -> Finding:
    if isinstance(bucket.seen, Failure):
        where = f"no answer from {bucket.endpoint}"
        return failed("EP401", where, error=bucket.seen.error, fix=bucket.seen.fix or ENDPOINT_FIX)
    if bucket.seen.status >= SERVER_ERROR and not any(map(_is_proper, bucket.answers)):
        words = next(faults_of(bucket), Failure(Cause.SERVER, f"HTTP {bucket.seen.status}", ""))
        where = f"{bucket.endpoint} answers nothing that is asked (HTTP {bucket.seen.status})"
        return failed("EP401", where, error=words.error, fix=f"If it lasts, look at the store itself. {ENDPOINT_FIX}")
    return ok("EP401", f"{bucket.endpoint} answers")


def _is_proper(answer: Answer[object]) -> bool:
    """Whether it is one of a store that works: a refusal is, and so is that it lacks what is asked for (501)."""
    if isinstance(answer, Failure):
        return 0 < answer.status < SERVER_ERROR or answer.status == HTTPStatus.NOT_IMPLEMENTED
    return not isinstance(answer, Unasked)


def _one_address(bucket: BucketFacts) -> Finding:
    if bucket.put_endpoint != bucket.endpoint:
        return failed(
            "EP402",
            f"PUTs go to {bucket.put_endpoint}, everything else to {bucket.endpoint}",
            fix="Set AWS_REGION to the bucket's region, and AWS_ENDPOINT_URL_S3 to its store if it is not at AWS.",
        )
    return ok("EP402", f"PUTs and all other requests go to {bucket.put_endpoint}")


def _exists(facts: AwsFacts, bucket: BucketFacts) -> Finding:
    name = facts.settings.s3_bucket_name
    if bucket.may_list is True:
        return ok("EP403", name)
    if isinstance(bucket.seen, Failure):
        return skipped("EP403", "needs an answer of S3")
    if bucket.seen.status == NOT_FOUND or (
        isinstance(bucket.may_list, Failure) and bucket.may_list.cause is Cause.MISSING
    ):
        return failed(
            "EP403",
            f"there is no bucket of the name {name}",
            error=bucket.may_list.error if isinstance(bucket.may_list, Failure) else f"HTTP {bucket.seen.status}",
            fix="Correct S3_BUCKET_NAME, or make it:\n"
            + command(bucket.endpoint, "s3", "mb", f"s3://{name}", "--region", bucket.region),
        )
    if bucket.seen.status >= SERVER_ERROR:
        return skipped("EP403", f"S3 does not say (HTTP {bucket.seen.status})")
    return ok("EP403", f"{name} (an unsigned request is answered with HTTP {bucket.seen.status})")


def _region(facts: AwsFacts, bucket: BucketFacts) -> Finding:
    if isinstance(bucket.seen, Failure):
        return skipped("EP404", "needs an answer of S3")
    ours, theirs = facts.settings.aws_region, bucket.seen.region  # ours may be a pseudo-region, as fips-us-east-1
    if bucket.seen.status == NOT_FOUND:
        return skipped("EP404", "needs the bucket")
    if theirs is None:
        return skipped("EP404", "S3 does not say")
    if theirs == bucket.region:
        return ok("EP404", theirs)
    fix = f"Set AWS_REGION={theirs}, or name a bucket in {ours}. The queue's region is that of its URL, or SQS_REGION."
    if is_aws(bucket.endpoint):
        return failed(
            "EP404", f"{theirs}, but AWS_REGION is {ours}: S3 refuses PUTs signed for another region", fix=fix
        )
    return warning("EP404", f"{theirs}, but AWS_REGION is {ours}", fix=fix)


def _put(facts: AwsFacts, bucket: BucketFacts) -> Finding:
    settings = facts.settings
    answers = {prefix: each.allowed for prefix, each in bucket.prefixes.items()}
    denials = {prefix: answer for prefix, answer in answers.items() if is_denied(answer)}
    if denials:
        resources = [object_arn(settings.s3_bucket_name, prefix, settings.aws_region) for prefix in denials]
        permission = Permission("EP405", Status.FAILED, f"nothing can be stored under {_under(denials)}")
        return permission.refused(next(iter(denials.values())), resources, facts.identity, missing="the bucket")
    refusal = next((answer for answer in answers.values() if isinstance(answer, Failure | Unasked)), None)
    finding = None if refusal is None else blocked("EP405", refusal, missing="the bucket")
    if isinstance(finding, Finding):
        return finding
    if any(isinstance(written.first, Failure) for written in bucket.written):
        return skipped("EP405", "a real PUT failed, which says more: EP408")
    if finding is not None:
        return skipped("EP405", f"cannot be told without a real PUT, which --write makes ({finding.error})")
    real = " (a real PUT)" if bucket.written else ""
    return ok("EP405", f"allowed under {_under(answers)}{real}")


def _commands(facts: AwsFacts, bucket: BucketFacts) -> Finding:
    """What of the commands on the archive is possible."""
    refused = {"s3:ListBucket": bucket.may_list, "s3:GetObject": bucket.may_get}
    missing = [action for action, answer in refused.items() if is_denied(answer)]
    if missing:
        return skipped("EP410", f"find, show, export, audit and quarantine need {' and '.join(missing)}")
    if not (bucket.may_list is True and bucket.may_get is True):
        return skipped("EP410", "needs the answers to s3:ListBucket and s3:GetObject")
    quarantine = facts.settings.s3_quarantine_prefix
    if is_denied(bucket.prefixes[facts.settings.s3_key_prefix].allowed):
        return ok("EP410", "find, show, export, audit; quarantine release also needs s3:PutObject")
    return ok("EP410", f"all; quarantine release and discard also need s3:DeleteObject under {quarantine}/, not asked")


def _under(prefixes: Iterable[str]) -> str:
    return " and ".join(f"{prefix}/" for prefix in prefixes)


def _get(facts: AwsFacts, bucket: BucketFacts) -> Finding:
    backs = [written.back for written in bucket.written if not isinstance(written.back, Unasked)]
    answer = bucket.may_get
    if backs:  # of objects that are there for sure
        answer = next((back for back in backs if isinstance(back, Failure)), True)
    elif is_denied(answer) and bucket.may_list is not True and "s3:GetObject" not in answer.error:
        return skipped("EP406", "needs s3:ListBucket: without it, S3 denies a GET of what is not there")
    if isinstance(answer, Failure | Unasked):
        everything = f"{bucket_arn(facts.settings.s3_bucket_name, facts.settings.aws_region)}/*"
        return GET.refused(answer, everything, facts.identity, missing="the bucket")
    return ok("EP406", "allowed")


def _list(facts: AwsFacts, bucket: BucketFacts) -> Finding:
    if isinstance(bucket.may_list, Failure | Unasked):
        arn = bucket_arn(facts.settings.s3_bucket_name, facts.settings.aws_region)
        return LIST.refused(bucket.may_list, arn, facts.identity, missing="the bucket")
    return ok("EP407", "allowed")


def _write_probe(facts: AwsFacts, bucket: BucketFacts) -> Iterator[Finding]:
    """A real PUT, a second one, and a GET, under each prefix."""
    yield together([_probe(facts, bucket, prefix) for prefix in bucket.prefixes])
    yield together([_conditional(facts, each.written) for each in bucket.prefixes.values()])


def _probe(facts: AwsFacts, bucket: BucketFacts, prefix: str) -> Finding:
    written = bucket.prefixes[prefix].written
    if isinstance(written, Unasked):
        return skipped("EP408", f"needs {written.needs}")
    if isinstance(written.first, Failure):
        return _not_stored(facts, bucket, prefix, written.first)
    return _stored(facts, written)


def _not_stored(facts: AwsFacts, bucket: BucketFacts, prefix: str, answer: Failure) -> Finding:
    fault = blocked("EP408", answer, missing="the bucket")
    if isinstance(fault, Finding):
        return fault
    settings = facts.settings
    fix = fault.fix
    if is_denied(fault) and is_denied(bucket.prefixes[prefix].may_put):
        return skipped("EP408", "needs s3:PutObject")
    if fault.cause is Cause.DENIED:
        where = object_arn(settings.s3_bucket_name, prefix, settings.aws_region)
        fix = allow("s3:PutObject", where, fault, facts.identity)
        if settings.s3_sse == "aws:kms":
            fix += "\nIf that is allowed already, it is the KMS key: kms:GenerateDataKey and kms:Decrypt."
    elif fault.status == HTTPStatus.NOT_IMPLEMENTED or fault.code == "NotImplemented":
        fix = _without(fault, settings) or fix
    elif _default_retention(bucket) is not None:
        fix = "Take the default retention off the bucket: with it, S3 refuses PUTs without a checksum."
    return failed("EP408", f"not stored under {prefix}/", error=fault.error, fix=fix)


def _without(fault: Failure, settings: Settings) -> str:
    """The settings that ask for less, where a store says that it cannot do what a header of the PUT asks for."""
    ways = []
    if settings.s3_sse != "none":
        ways.append(f"If this store does not encrypt as S3_SSE={settings.s3_sse} asks:\nS3_SSE=none")
    if settings.s3_conditional_writes and not (ways and _ENCRYPTION.search(fault.error)):
        ways.append("If this store knows no conditional writes:\nS3_CONDITIONAL_WRITES=false")
    return "\n".join(ways)


def _stored(facts: AwsFacts, written: Written) -> Finding:
    where = f"s3://{facts.settings.s3_bucket_name}/{written.key}"
    how = "stored" if written.first is Stored.CREATED else "was there already, from an earlier check"
    if isinstance(written.back, bytes):
        if written.back != PROBE:
            return failed("EP408", f"{where} holds something else", fix="Look who writes there, and delete it.")
        if (passed_over := _passed_over(facts.settings, written, f"{where}: {how}, and read back")) is not None:
            return passed_over
        under = f", encrypted with {written.encryption}" if written.encryption else ""
        return ok("EP408", f"{where}: {how}, and read back{under}; it stays there")
    if isinstance(written.back, Failure) and not is_denied(written.back):
        return failed("EP408", f"{where}: {how}, but not read back", error=written.back.error, fix=written.back.fix)
    return ok("EP408", f"{where}: {how}; to read it back is denied; it stays there")


def _passed_over(settings: Settings, written: Written, stored: str) -> Finding | None:
    """The finding, if the object is not encrypted as it should be."""
    asked, given = settings.s3_sse, written.encryption.partition(" ")[0]
    if asked != "none" and not given:
        return warning(
            "EP408",
            f"{stored}, but not encrypted: S3_SSE={asked} was passed over",
            fix="This store says of no object that it is encrypted, though asked to: encrypt its disks.",
        )
    if asked == "aws:kms" and not given.startswith(asked):
        return warning(
            "EP408",
            f"{stored}, but encrypted with {given}: S3_SSE={asked} was passed over",
            fix=f"This store does not use the key that it is asked to: if its own will do, say so:\nS3_SSE={given}",
        )
    return None


def _conditional(facts: AwsFacts, written: Written | Unasked) -> Finding:
    if isinstance(written, Unasked):
        return skipped("EP409", f"needs {written.needs}")
    if not facts.settings.s3_conditional_writes:
        return skipped("EP409", "not used: S3_CONDITIONAL_WRITES is false")
    if isinstance(written.again, Unasked):
        return skipped("EP409", f"needs {written.again.needs}")
    if isinstance(written.again, Failure):
        return failed("EP409", "the second PUT failed", error=written.again.error, fix=written.again.fix)
    if written.again is Stored.CREATED:
        return warning(
            "EP409",
            "this store ignores If-None-Match: the second PUT overwrote the first",
            fix="Duplicates will overwrite their object with the same bytes. To say that this is known:\n"
            "S3_CONDITIONAL_WRITES=false",
        )
    return ok("EP409", "the second PUT left the first alone")


def _configuration(bucket: BucketFacts, settings: Settings) -> Iterator[Finding]:
    """Nothing that the service needs to read."""
    yield _unreadable("EP411", bucket.encryption, "s3:GetEncryptionConfiguration") or _encryption(bucket)
    yield _unreadable("EP412", bucket.versioning, "s3:GetBucketVersioning") or _versioning(bucket.versioning)
    yield _unreadable("EP413", bucket.object_lock, "s3:GetBucketObjectLockConfiguration") or _object_lock(bucket)
    yield _unreadable("EP414", bucket.lifecycle, "s3:GetLifecycleConfiguration") or _lifecycle(bucket, settings)


def _unreadable(code: str, answer: Answer[Mapping[str, Any]], action: str) -> Finding | None:
    if not isinstance(answer, Failure | Unasked):
        return None
    fault = blocked(code, answer, missing="the bucket")
    if isinstance(fault, Finding):
        return fault
    if fault.cause is Cause.DENIED:
        return skipped(code, f"not readable without {action}, which the service does not need")
    return skipped(code, f"not readable ({fault.error})")


def _encryption(bucket: BucketFacts) -> Finding:
    default = default_encryption(bucket)
    if default is None:
        return ok("EP411", "no default of its own")
    return ok("EP411", " ".join(part for part in (default.algorithm, default.key_id) if part))


def _versioning(answer: Answer[Mapping[str, Any]]) -> Finding:
    status = answer.get("Status") if isinstance(answer, Mapping) else None
    return ok("EP412", str(status or "off").lower())


def _object_lock(bucket: BucketFacts) -> Finding:
    if isinstance(bucket.object_lock, Mapping) and not bucket.object_lock:
        return ok("EP413", "off")
    retention = _default_retention(bucket)
    if retention is None:
        return ok("EP413", "on, without a default retention")
    return ok("EP413", f"on, {retention} by default: it holds for every email, and for the probes of --write")


def _default_retention(bucket: BucketFacts) -> str | None:
    """How long a new object is locked, as in `GOVERNANCE 30 days`; None if it is not, or if that cannot be read."""
    if not isinstance(bucket.object_lock, Mapping):
        return None
    rule = bucket.object_lock.get("ObjectLockConfiguration", {}).get("Rule", {})
    retention = rule.get("DefaultRetention")
    if not retention:
        return None
    days, years = retention.get("Days"), retention.get("Years")
    return f"{retention.get('Mode', '')} {f'{days} days' if days else f'{years} years'}"


def _lifecycle(bucket: BucketFacts, settings: Settings) -> Finding:
    rules = bucket.lifecycle.get("Rules", []) if isinstance(bucket.lifecycle, Mapping) else []
    ours = f"{settings.s3_key_prefix}/"
    hit = next(expiring(rules, ours), None)
    if hit is None:
        return ok("EP414", f"nothing under {ours} is deleted by it")
    show = command(bucket.endpoint, "s3api", "get-bucket-lifecycle-configuration", "--bucket", settings.s3_bucket_name)
    return warning(
        "EP414",
        str(hit),
        fix=f"If the archive is to be kept, restrict or remove the rule:\n{show}",
    )
