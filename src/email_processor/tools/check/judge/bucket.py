"""The bucket: reaching it, and what we may do with it."""

from collections.abc import Iterable, Iterator

from email_processor.domain.errors import Cause
from email_processor.tools.check.codes import Group
from email_processor.tools.check.facts import Facts, is_denied
from email_processor.tools.check.findings import Finding, Status, blocked, failed, ok, skip_group, skipped, warning
from email_processor.tools.check.fixes import ENDPOINT_FIX, bucket_arn, command, object_arn
from email_processor.tools.check.inspect.asking import Fault, Unasked
from email_processor.tools.check.inspect.bucket import BucketFacts
from email_processor.tools.check.inspect.places import is_aws
from email_processor.tools.check.inspect.write import Written
from email_processor.tools.check.judge.configuration import judge_configuration
from email_processor.tools.check.judge.probe import judge_probe
from email_processor.tools.check.permissions import Permission

GET = Permission("EP406", Status.WARNING, "bodies that the SQS extended client put into a bucket cannot be fetched")
LIST = Permission("EP407", Status.WARNING, "a missing object looks like a denied one")
NOT_FOUND = 404
SERVER_ERROR = 500


def judge_bucket(facts: Facts) -> Iterator[Finding]:
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
    yield from judge_probe(facts, bucket)
    yield from judge_configuration(bucket, facts.settings)


def _endpoint(bucket: BucketFacts) -> Finding:
    if isinstance(bucket.seen, Fault):
        where = f"no answer from {bucket.endpoint}"
        return failed("EP401", where, error=bucket.seen.error, fix=bucket.seen.fix or ENDPOINT_FIX)
    return ok("EP401", f"{bucket.endpoint} answers")


def _one_address(bucket: BucketFacts) -> Finding:
    if bucket.put_endpoint != bucket.endpoint:
        return failed(
            "EP402",
            f"PUTs go to {bucket.put_endpoint}, everything else to {bucket.endpoint}",
            fix="Set AWS_REGION to the bucket's region, and AWS_ENDPOINT_URL_S3 to its store if it is not at AWS.",
        )
    return ok("EP402", f"PUTs and all other requests go to {bucket.put_endpoint}")


def _exists(facts: Facts, bucket: BucketFacts) -> Finding:
    name, region = facts.settings.s3_bucket_name, facts.settings.aws_region
    if bucket.may_list is True:
        return ok("EP403", name)
    if isinstance(bucket.seen, Fault):
        return skipped("EP403", "needs an answer of S3")
    if bucket.seen.status == NOT_FOUND or (
        isinstance(bucket.may_list, Fault) and bucket.may_list.cause is Cause.MISSING
    ):
        return failed(
            "EP403",
            f"there is no bucket of the name {name}",
            error=bucket.may_list.error if isinstance(bucket.may_list, Fault) else f"HTTP {bucket.seen.status}",
            fix="Correct S3_BUCKET_NAME, or make it:\n"
            + command("aws", "s3", "mb", f"s3://{name}", "--region", region),
        )
    if bucket.seen.status >= SERVER_ERROR:
        return skipped("EP403", f"S3 does not say (HTTP {bucket.seen.status})")
    return ok("EP403", f"{name} (an unsigned request is answered with HTTP {bucket.seen.status})")


def _region(facts: Facts, bucket: BucketFacts) -> Finding:
    if isinstance(bucket.seen, Fault):
        return skipped("EP404", "needs an answer of S3")
    ours, theirs = facts.settings.aws_region, bucket.seen.region
    if bucket.seen.status == NOT_FOUND:
        return skipped("EP404", "needs the bucket")
    if theirs is None:
        return skipped("EP404", "S3 does not say")
    if theirs == ours:
        return ok("EP404", theirs)
    fix = f"AWS_REGION is that of queue and bucket: name a bucket in {ours}, or move the queue to {theirs} as well."
    if is_aws(bucket.endpoint):
        return failed(
            "EP404", f"{theirs}, but AWS_REGION is {ours}: S3 refuses PUTs signed for another region", fix=fix
        )
    return warning("EP404", f"{theirs}, but AWS_REGION is {ours}", fix=fix)


def _put(facts: Facts, bucket: BucketFacts) -> Finding:
    settings = facts.settings
    if isinstance(bucket.written, Written) and not isinstance(bucket.written.first, Fault):
        return ok("EP405", "allowed (a real PUT)")
    answers = {settings.s3_key_prefix: bucket.may_put, settings.s3_quarantine_prefix: bucket.may_quarantine}
    refusals = {prefix: answer for prefix, answer in answers.items() if isinstance(answer, Fault | Unasked)}
    denials = {prefix: answer for prefix, answer in refusals.items() if is_denied(answer)}
    if denials:
        resources = [object_arn(settings.s3_bucket_name, prefix, settings.aws_region) for prefix in denials]
        permission = Permission("EP405", Status.FAILED, f"nothing can be stored under {_under(denials)}")
        return permission.refused(next(iter(denials.values())), resources, facts.identity, missing="the bucket")
    if not refusals:
        return ok("EP405", f"allowed under {_under(answers)}")
    finding = blocked("EP405", next(iter(refusals.values())), missing="the bucket")
    if isinstance(finding, Finding):
        return finding
    return skipped("EP405", f"cannot be told without a real PUT, which --write makes ({finding.error})")


def _under(prefixes: Iterable[str]) -> str:
    return " and ".join(f"{prefix}/" for prefix in prefixes)


def _get(facts: Facts, bucket: BucketFacts) -> Finding:
    back = bucket.written.back if isinstance(bucket.written, Written) else None
    answer = bucket.may_get
    if back is not None and not isinstance(back, Unasked):
        answer = back if isinstance(back, Fault) else True  # of an object that is there for sure
    elif is_denied(answer) and bucket.may_list is not True and "s3:GetObject" not in answer.error:
        return skipped("EP406", "needs s3:ListBucket: without it, S3 denies a GET of what is not there")
    if isinstance(answer, Fault | Unasked):
        everything = f"{bucket_arn(facts.settings.s3_bucket_name, facts.settings.aws_region)}/*"
        return GET.refused(answer, everything, facts.identity, missing="the bucket")
    return ok("EP406", "allowed")


def _list(facts: Facts, bucket: BucketFacts) -> Finding:
    if isinstance(bucket.may_list, Fault | Unasked):
        arn = bucket_arn(facts.settings.s3_bucket_name, facts.settings.aws_region)
        return LIST.refused(bucket.may_list, arn, facts.identity, missing="the bucket")
    return ok("EP407", "allowed")
