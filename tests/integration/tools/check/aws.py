"""AWS with its permissions, as far as `check` asks: emulators know none. Strangers are refused, like there."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

from email_processor.settings import Settings
from email_processor.tools.check.inspect.bucket import BucketPlan
from tests.support.aws_answers import CallFault, Reply, Request, s3_error, sqs, sqs_error

ACCOUNT = "123456789012"
QUEUE_URL = f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/emails"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/archiver/pod-1"
QUEUE_ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:emails"
KEY_ARN = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0a1b2c3d"
ATTRIBUTES = {
    "ApproximateNumberOfMessages": "12",
    "ApproximateNumberOfMessagesNotVisible": "3",
    "ApproximateNumberOfMessagesDelayed": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "1209600",
    "QueueArn": QUEUE_ARN,
    "RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{QUEUE_ARN}-dead", "maxReceiveCount": 5}),
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
# The keys of the write probes of a service that has all settings at their defaults.
PLAN = BucketPlan.of(Settings(sqs_queue_url=QUEUE_URL, s3_bucket_name="archive"), write=True)
PROBE_KEY = PLAN.probe.key
PROBE_KEYS = [probe.key for probe in PLAN.probes.values()]
SUBRESOURCES = {
    "encryption": "GetBucketEncryption",
    "lifecycle": "GetBucketLifecycleConfiguration",
    "list-type": "ListObjectsV2",
    "object-lock": "GetObjectLockConfiguration",
    "uploadId": "CompleteMultipartUpload",
    "versioning": "GetBucketVersioning",
}
WRITES = {"CompleteMultipartUpload", "PutObject"}


@dataclass
class PermittedAws:
    """A script for a `FakeAws`: all is well, except for `instead`, by operation.

    `objects` is what is stored, by path; `waiting` how many messages are; `skew` is how far its clock is ahead of ours,
    in seconds; `operations` is what was asked. With `only_new` its bucket's policy denies all
    writes without a condition; `closed` are the prefixes that it denies all writes under.
    """

    instead: dict[str, Reply | CallFault] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=lambda: dict(ATTRIBUTES))
    region: str = "us-east-1"
    skew: float = 0.0
    objects: dict[str, bytes] = field(default_factory=dict)
    waiting: int = 0
    only_new: bool = False
    closed: frozenset[str] = frozenset()
    operations: list[str] = field(default_factory=list)

    def deny(self, *operations: str) -> None:
        """Deny these operations in AWS's own words."""
        for operation in operations:
            self.instead[operation] = denied(operation)

    def __call__(self, asked: Request) -> Reply | CallFault:
        """The answer to a request."""
        operation = operation_of(asked)
        if "authorization" not in asked.headers:
            operation = f"unsigned {operation}"
        self.operations.append(operation)
        reply = self.instead.get(operation) or self._well(operation, asked)
        if self.only_new and operation in WRITES and "if-none-match" not in asked.headers:
            reply = denied(operation)
        if operation in WRITES and asked.path.split("/")[2] in self.closed:
            reply = denied(operation)
        if isinstance(reply, Reply):
            reply.headers["Date"] = formatdate(time.time() + self.skew, usegmt=True)
        return reply

    def _well(self, operation: str, asked: Request) -> Reply:
        match operation:
            case "unsigned HeadBucket":
                return Reply(403, headers={"x-amz-bucket-region": self.region})
            case "GetQueueAttributes":
                return sqs({"Attributes": dict(self.attributes)})
            case "ReceiveMessage":
                return sqs({"Messages": [MESSAGE] * min(self.waiting, 1)})
            case "GetObject":
                found = self.objects.get(asked.path)
                return s3_error("NoSuchKey", 404) if found is None else Reply(200, found)
            case "PutObject":
                return self._put(asked)
        return replace(ALWAYS[operation], headers=dict(ALWAYS[operation].headers))

    def _put(self, asked: Request) -> Reply:
        if asked.headers.get("if-none-match") == "*" and asked.path in self.objects:
            return s3_error("PreconditionFailed", 412)
        self.objects[asked.path] = asked.body
        return Reply(headers={"ETag": '"0123456789abcdef"'})


MESSAGE = {
    "MessageId": "m-1",
    "ReceiptHandle": "r-1",
    "Body": "confidential",
    "MD5OfBody": "2b6bbd4b1f6d5d1bb1b5b4e9ac6b7e36",
    "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1733841000000"},
}
CALLER = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>{ROLE}</Arn><UserId>AROA:pod-1</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


def xml(body: str) -> Reply:
    """An answer of S3."""
    return Reply(200, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode(), {"Content-Type": "application/xml"})


INVALID = {"Id": "0", "SenderFault": True, "Code": "ReceiptHandleIsInvalid", "Message": "No."}
ALWAYS = {
    "ChangeMessageVisibilityBatch": sqs({"Successful": [], "Failed": [INVALID]}),
    "CompleteMultipartUpload": s3_error("NoSuchUpload", 404),
    "Decrypt": sqs({"Plaintext": "AAAA", "KeyId": KEY_ARN}),
    "DeleteMessageBatch": sqs({"Successful": [], "Failed": [INVALID]}),
    "GenerateDataKey": sqs({"CiphertextBlob": "AAAA", "Plaintext": "AAAA", "KeyId": KEY_ARN}),
    "GetBucketEncryption": xml(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256"
        "</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    ),
    "GetBucketLifecycleConfiguration": s3_error("NoSuchLifecycleConfiguration", 404),
    "GetBucketVersioning": xml("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"),
    "GetCallerIdentity": Reply(200, CALLER.encode(), {"Content-Type": "text/xml"}),
    "GetObjectLockConfiguration": s3_error("ObjectLockConfigurationNotFoundError", 404),
    "ListObjectsV2": xml("<ListBucketResult/>"),
    "unsigned GetQueueAttributes": sqs_error("AccessDenied", 403),
}


def operation_of(asked: Request) -> str:
    """The operation that is asked for."""
    if target := asked.headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    url = urlsplit(asked.target)
    if asked.body.startswith(b"Action="):
        return parse_qs(asked.body.decode())["Action"][0]
    for parameter, operation in SUBRESOURCES.items():
        if parameter in parse_qs(url.query, keep_blank_values=True):
            return operation
    if url.path.count("/") == 1:
        return {"HEAD": "HeadBucket"}[asked.method]
    return {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject"}[asked.method]


ACTIONS = {
    "ChangeMessageVisibilityBatch": ("sqs:changemessagevisibility", QUEUE_ARN),
    "CompleteMultipartUpload": ("s3:PutObject", '"arn:aws:s3:::archive/emails/check/none"'),
    "Decrypt": ("kms:Decrypt", KEY_ARN),
    "DeleteMessageBatch": ("sqs:deletemessage", QUEUE_ARN),
    "GenerateDataKey": ("kms:GenerateDataKey", KEY_ARN),
    "GetBucketEncryption": ("s3:GetEncryptionConfiguration", '"arn:aws:s3:::archive"'),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration", '"arn:aws:s3:::archive"'),
    "GetBucketVersioning": ("s3:GetBucketVersioning", '"arn:aws:s3:::archive"'),
    "GetCallerIdentity": ("sts:GetCallerIdentity", "*"),
    "GetObject": ("s3:GetObject", f'"arn:aws:s3:::archive/{PROBE_KEY}"'),
    "GetObjectLockConfiguration": ("s3:GetBucketObjectLockConfiguration", '"arn:aws:s3:::archive"'),
    "GetQueueAttributes": ("sqs:getqueueattributes", QUEUE_ARN),
    "ListObjectsV2": ("s3:ListBucket", '"arn:aws:s3:::archive"'),
    "PutObject": ("s3:PutObject", f'"arn:aws:s3:::archive/{PROBE_KEY}"'),
    "ReceiveMessage": ("sqs:receivemessage", QUEUE_ARN),
}


def denied(operation: str) -> Reply:
    """AWS's denial; SQS writes the action in lower case."""
    action, resource = ACTIONS[operation]
    words = (
        f"User: {ROLE} is not authorized to perform: {action} on resource: {resource} because no identity-based policy "
        f"allows the {action} action"
    )
    if action.startswith("sqs:"):
        return sqs_error("AccessDenied", 403, message=words)
    if action.startswith("kms:"):
        return sqs_error("AccessDeniedException", 400, message=words)
    if action.startswith("sts:"):
        body = f"<ErrorResponse><Error><Code>AccessDenied</Code><Message>{words}</Message></Error></ErrorResponse>"
        return Reply(403, body.encode(), {"Content-Type": "text/xml"})
    body = f"<Error><Code>AccessDenied</Code><Message>{words.replace(chr(34), '&quot;')}</Message></Error>"
    return Reply(403, body.encode(), {"Content-Type": "application/xml"})
