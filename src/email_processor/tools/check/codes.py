"""Every check by its code. Codes are stable: scripts and runbooks name them. The documentation is made from here."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

PAGE = "docs/check.md"


class Group(StrEnum):
    """What a check looks at, in the order of the report."""

    SETTINGS = "settings"
    CREDENTIALS = "credentials"
    QUEUE = "queue"
    BUCKET = "bucket"
    KMS = "kms"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `looks_at` says what is examined and how, `otherwise` what follows if it is not well."""

    code: str
    group: Group
    title: str
    looks_at: str
    otherwise: str

    @property
    def docs(self) -> str:
        """Where the check is explained: its row in the documentation."""
        return f"{PAGE}#{self.code.lower()}"


CHECKS: tuple[Check, ...] = (
    Check(
        "EP101",
        Group.SETTINGS,
        "values",
        "Each setting by itself: required ones are set, all are within AWS's limits.",
        "The service does not start (exit code 2).",
    ),
    Check(
        "EP102",
        Group.SETTINGS,
        "rules between them",
        "The rules between settings, such as wait < visibility timeout.",
        "The service does not start (exit code 2).",
    ),
    Check(
        "EP103",
        Group.SETTINGS,
        "visibility timeout",
        "`VISIBILITY_TIMEOUT_SECONDS` is at least three times `S3_TIMEOUT_SECONDS`, the time that one upload may take.",
        "Warning. After a slow upload there may be no time for another try: leases are lost and emails stored twice "
        "over (one object all the same).",
    ),
    Check(
        "EP104",
        Group.SETTINGS,
        "misspelt names",
        "Variables that are set, and are not settings but nearly spelt like one.",
        "Warning. What was meant by them is not in force.",
    ),
    Check(
        "EP105",
        Group.SETTINGS,
        "regions",
        "`AWS_REGION`, and the queue's, are regions of AWS wherever it is AWS that is asked. The AWS configuration is "
        "read to know that; nothing is sent.",
        "The service does not start (exit code 2).",
    ),
    Check(
        "EP201",
        Group.CREDENTIALS,
        "AWS configuration",
        "Everything opens as the service opens it: profile, AWS config files, CA bundle, endpoint variables.",
        "The service does not start (exit code 1).",
    ),
    Check(
        "EP202",
        Group.CREDENTIALS,
        "credentials",
        "Credentials are found where every AWS SDK looks for them, and by which provider.",
        "Nothing is received; the pod is not ready until there are some.",
    ),
    Check(
        "EP203",
        Group.CREDENTIALS,
        "identity",
        "`sts:GetCallerIdentity`: account and role, and whether the credentials are accepted at all. Skipped if STS "
        "cannot be reached, or does not know credentials that SQS or S3 accepts: the service does not need it. Where "
        "neither queue nor bucket is at AWS, it is asked only at an endpoint of its own, as AWS_ENDPOINT_URL_STS.",
        "Nothing is received; the pod is not ready until AWS accepts them.",
    ),
    Check(
        "EP301",
        Group.QUEUE,
        "endpoint",
        "SQS answers an unsigned request, so DNS, route, proxy and certificates are right.",
        "Nothing is received.",
    ),
    Check(
        "EP302",
        Group.QUEUE,
        "queue URL",
        "Requests go to the host of `SQS_QUEUE_URL`; or both are at AWS and the URL is a public one, or neither is.",
        "Warning. Usually AWS_ENDPOINT_URL is left over from a test.",
    ),
    Check(
        "EP303",
        Group.QUEUE,
        "exists",
        "SQS knows the queue.",
        "Nothing is received; it heals by itself when the queue is there.",
    ),
    Check(
        "EP304",
        Group.QUEUE,
        "sqs:GetQueueAttributes",
        "The queue's attributes can be read.",
        "Warning if that is denied: there are no metrics of the queue's depth (so no scaling by them), and messages on "
        "their last receive are not quarantined. With any other answer it may be no queue.",
    ),
    Check(
        "EP305",
        Group.QUEUE,
        "sqs:ReceiveMessage",
        "With `--write`, one receive without wait and with a visibility timeout of 0, which gives the message back at "
        "once but counts as a receive; not made if messages wait and maxReceiveCount is under 3. Where it is not made, "
        "AWS is asked for eleven messages, which it never gives: it can deny that, but not confirm it; emulators are "
        "not asked.",
        "Nothing is received.",
    ),
    Check(
        "EP306",
        Group.QUEUE,
        "sqs:DeleteMessage",
        "A delete of a receipt handle that cannot exist: SQS denies it, or finds the handle invalid.",
        "Stored emails stay on the queue and come back until it moves them to its dead-letter queue.",
    ),
    Check(
        "EP307",
        Group.QUEUE,
        "sqs:ChangeMessageVisibility",
        "A change of the visibility timeout of a receipt handle that cannot exist, as above.",
        "Warning. Leases are not renewed: what is in flight beyond VISIBILITY_TIMEOUT_SECONDS is received again.",
    ),
    Check(
        "EP311",
        Group.QUEUE,
        "dead-letter queue",
        "The queue has a redrive policy, with a maxReceiveCount of at least 3.",
        "Warning. Without one, a message that cannot be handled comes back until it expires; with a low count, a few "
        "restarts of pods move good emails to the dead-letter queue.",
    ),
    Check(
        "EP312",
        Group.QUEUE,
        "retention",
        "The queue keeps messages for at least 4 days.",
        "Warning. An outage over a long weekend loses emails.",
    ),
    Check(
        "EP313",
        Group.QUEUE,
        "encryption",
        "The queue is encrypted at rest: SSE-SQS or KMS.",
        "Warning. Emails lie unencrypted on the queue.",
    ),
    Check(
        "EP314",
        Group.QUEUE,
        "message size",
        "The queue's messages are no larger than the 1 MiB that the memory limits reckon with.",
        "Warning. A batch of the largest messages may take more memory than IN_FLIGHT_MAX_BYTES allows for.",
    ),
    Check(
        "EP315",
        Group.QUEUE,
        "message times",
        "Messages tell the time that `S3_KEY_TIME` puts into the key: those of AWS always do, those of another server "
        "show it with `--write` when one waits.",
        "Warning. Another time, or the clock, stands in the key, and a redelivery can get a second object.",
    ),
    Check(
        "EP401",
        Group.BUCKET,
        "endpoint",
        "S3 answers an unsigned request, so DNS, route, proxy and certificates are right; and not everything with an "
        "error of its own (HTTP 5xx).",
        "Nothing is stored; the circuit opens and receiving stops.",
    ),
    Check(
        "EP402",
        Group.BUCKET,
        "one address",
        "The service's PUTs, which are not sent by the AWS SDK, go to the same host as the SDK's requests.",
        "Emails may be stored elsewhere than where they are looked for.",
    ),
    Check(
        "EP403",
        Group.BUCKET,
        "exists",
        "S3 knows the bucket.",
        "Nothing is stored; the circuit opens and receiving stops.",
    ),
    Check(
        "EP404",
        Group.BUCKET,
        "region",
        "The bucket is in `AWS_REGION`: in the region that requests are signed for, us-east-1 for `fips-us-east-1`.",
        "On AWS nothing is stored: S3 refuses PUTs that are signed for another region. With other stores, a warning.",
    ),
    Check(
        "EP405",
        Group.BUCKET,
        "s3:PutObject",
        "Under each prefix that is written (with `QUARANTINE_ENABLED=false` only that of emails): with `--write`, a "
        "real PUT, which proves its own prefix only. Else the end of a multipart upload that does not exist: S3 denies "
        "it, or does not know the upload; nothing is written.",
        "Nothing is stored; the circuit opens and receiving stops.",
    ),
    Check(
        "EP406",
        Group.BUCKET,
        "s3:GetObject",
        "A GET of the probe's key, which is there or not: S3 denies it, or says which.",
        "Warning. Bodies that the SQS extended client put into a bucket cannot be fetched.",
    ),
    Check(
        "EP407",
        Group.BUCKET,
        "s3:ListBucket",
        "A listing of at most one key under the prefix.",
        "Warning. A missing object looks like a denied one, so a message whose offloaded body is gone waits, and is "
        "quarantined only on its last receive.",
    ),
    Check(
        "EP408",
        Group.BUCKET,
        "write probe",
        "Only with `--write`: a PUT and a GET of `check/probe-<digest>.json` under each prefix that is written, by "
        "the code that stores emails. The key follows from the headers of the PUT (encryption, KMS key, condition): a "
        "later run finds the object there already, a run with other headers does not. It is left in place: the service "
        "has no permission to delete. No command on the archive takes it for an email.",
        "Nothing is stored; the circuit opens and receiving stops.",
    ),
    Check(
        "EP409",
        Group.BUCKET,
        "conditional writes",
        "Only with `--write`: a second PUT of the probe is answered with *already there* (`If-None-Match: *`).",
        "Warning. Duplicates overwrite their object with the same bytes instead of leaving it alone.",
    ),
    Check(
        "EP410",
        Group.BUCKET,
        "archive commands",
        "Which of the commands on the archive these credentials may run, by the answers above. Whether they may delete "
        "from the quarantine is not asked: that takes a delete.",
        "For information: the service itself needs none of them.",
    ),
    Check(
        "EP411",
        Group.BUCKET,
        "encryption",
        "The bucket's default encryption. Reading it takes `s3:GetEncryptionConfiguration`, which the service does not "
        "need.",
        "For information.",
    ),
    Check(
        "EP412",
        Group.BUCKET,
        "versioning",
        "Versioning of the bucket. Reading it takes `s3:GetBucketVersioning`, which the service does not need.",
        "For information.",
    ),
    Check(
        "EP413",
        Group.BUCKET,
        "object lock",
        "Object lock and its default retention. Reading it takes `s3:GetBucketObjectLockConfiguration`, which the "
        "service does not need.",
        "For information. With a default retention S3 takes only PUTs with a checksum, which ours carry.",
    ),
    Check(
        "EP414",
        Group.BUCKET,
        "lifecycle",
        "Lifecycle rules that delete objects under `S3_KEY_PREFIX`. Reading them takes `s3:GetLifecycleConfiguration`, "
        "which the service does not need.",
        "Warning. Archived emails are deleted by the bucket.",
    ),
    Check(
        "EP501",
        Group.KMS,
        "kms:GenerateDataKey",
        "The key that objects are encrypted with (`S3_KMS_KEY_ID`, else the bucket's default) makes a data key. A key "
        "policy may allow that to S3 only, so a denial is a warning until `--write` shows more. For a bucket that is "
        "not at AWS, KMS is asked only at an endpoint of its own, as AWS_ENDPOINT_URL_KMS.",
        "Nothing is stored; the circuit opens and receiving stops.",
    ),
    Check(
        "EP502",
        Group.KMS,
        "kms:Decrypt",
        "The same key decrypts that data key.",
        "Warning. Encrypted objects cannot be read back.",
    ),
    Check(
        "EP503",
        Group.KMS,
        "the queue's key",
        "For a queue that is encrypted with KMS: a receive with `--write` that brings a message.",
        "Nothing is received without `kms:Decrypt` on the queue's key.",
    ),
    Check(
        "EP601",
        Group.CLOCK,
        "difference to AWS",
        "This host's clock is within 60 seconds of the `Date` that AWS answers with.",
        "Warning. Beyond five minutes SQS refuses every request, beyond fifteen S3 does.",
    ),
)

BY_CODE = {check.code: check for check in CHECKS}


def codes_of(group: Group) -> Sequence[str]:
    """The codes of a group's checks, in order."""
    return [check.code for check in CHECKS if check.group is group]
