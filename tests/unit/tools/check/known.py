"""AwsFacts of an AWS where all is well, to be changed by the tests, and the findings that follow."""

import json
from dataclasses import replace
from typing import Any

from email_processor.domain.errors import Cause
from email_processor.settings import Settings
from email_processor.tools.check.check import judge
from email_processor.tools.check.examine import AwsFacts
from email_processor.tools.check.findings import Finding
from email_processor.tools.check.inspect.asking import Answer, Failure, Unasked
from email_processor.tools.check.inspect.bucket import BucketFacts, HeadAnswer, PrefixFacts, Written
from email_processor.tools.check.inspect.queue import QueueFacts
from email_processor.tools.check.inspect.sts_and_kms import Identity, IdentityFacts

ACCOUNT = "123456789012"
QUEUE_URL = f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/emails"
QUEUE_ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:emails"
KEY_ARN = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0a1b2c3d"
SQS = "https://sqs.us-east-1.amazonaws.com"
S3 = "https://archive.s3.us-east-1.amazonaws.com"
IDENTITY = Identity(ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/archiver/pod-1")

ATTRIBUTES = {
    "ApproximateNumberOfMessages": "12",
    "ApproximateNumberOfMessagesNotVisible": "3",
    "ApproximateNumberOfMessagesDelayed": "1",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "1209600",
    "RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{QUEUE_ARN}-dead", "maxReceiveCount": 5}),
    "SqsManagedSseEnabled": "true",
}
AES256 = {
    "ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
}
NO_WRITE = Unasked("--write")

DENIED = Failure(Cause.DENIED, "AccessDenied: No.", "Allow it.", "AccessDenied")
MISSING = Failure(Cause.MISSING, "NonExistentQueue: No.", "Make it.", "NonExistentQueue")
TIMEOUT = Failure(Cause.TIMEOUT, "no answer within 10 s", "Check the network.")
REFUSED = Failure(Cause.CREDENTIALS, "InvalidClientTokenId: No.", "Give valid ones.", "InvalidClientTokenId")
LATE = Failure(Cause.CLOCK, "RequestTimeTooSkewed: No.", "Set the clock.", "RequestTimeTooSkewed")


def settings(**changed: Any) -> Settings:  # noqa: ANN401 - any setting
    """Settings of a service at AWS."""
    return Settings(**{"sqs_queue_url": QUEUE_URL, "s3_bucket_name": "archive", "aws_region": "us-east-1", **changed})


QUEUE = QueueFacts(
    endpoint=SQS,
    unreachable=None,
    attributes=ATTRIBUTES,
    delete=True,
    change_visibility=True,
    receive=NO_WRITE,
    is_dated=True,
    skew=0.2,
)
BUCKET = BucketFacts(
    endpoint=S3,
    put_endpoint=S3,
    region="us-east-1",
    seen=HeadAnswer(403, "us-east-1"),
    may_list=True,
    may_get=True,
    prefixes={"emails": PrefixFacts(may_put=True, written=NO_WRITE), "quarantine": PrefixFacts(True, NO_WRITE)},
    encryption=AES256,
    versioning={"Status": "Enabled"},
    object_lock={},
    lifecycle={},
    skew=0.3,
)


def facts(**changed: Any) -> AwsFacts:  # noqa: ANN401 - any fact
    """All is well, but for what is changed."""
    well = AwsFacts(
        settings=settings(),
        configuration=None,
        provider="assume-role-with-web-identity",
        who=IdentityFacts(IDENTITY, 0.1),
        queue=QUEUE,
        bucket=BUCKET,
        key=None,
    )
    return replace(well, **changed)


def queue(**changed: Any) -> AwsFacts:  # noqa: ANN401 - any fact of the queue
    """All is well, but for what is changed of the queue."""
    return facts(queue=replace(QUEUE, **changed))


def attributes(**changed: str) -> AwsFacts:
    """All is well, but for these attributes of the queue; an empty one is not there."""
    return queue(attributes={name: value for name, value in {**ATTRIBUTES, **changed}.items() if value})


def bucket(**changed: Any) -> AwsFacts:  # noqa: ANN401 - any fact of the bucket
    """All is well, but for what is changed of the bucket."""
    return facts(bucket=replace(BUCKET, **changed))


def storing(
    prefix: str = "quarantine", *, may_put: Answer[bool] = True, written: Written | Unasked = NO_WRITE
) -> AwsFacts:
    """All is well, but for storing under this prefix."""
    return bucket(prefixes={**BUCKET.prefixes, prefix: PrefixFacts(may_put, written)})


def found(code: str, known: AwsFacts) -> Finding:
    """What the check of this code finds."""
    (finding,) = (finding for finding in judge(known) if finding.code == code)
    return finding


def told(code: str, known: AwsFacts) -> str:
    """Status and evidence of the check of this code."""
    finding = found(code, known)
    return f"{finding.status.value}: {finding.evidence}"
