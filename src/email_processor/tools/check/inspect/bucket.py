"""The bucket: is it there, how is it set up, what may we do with it."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from email_processor.aws.archive import StoreOptions, probe_of
from email_processor.aws.endpoints import BucketAddress, bucket_address
from email_processor.options import probe_object, store_options, written_prefixes
from email_processor.ports import Archive, ProbeObject, Stored
from email_processor.settings import Settings
from email_processor.tools.check.inspect.asking import (
    WITHOUT_WRITE,
    Answer,
    Asker,
    Failure,
    Opened,
    Tap,
    Unasked,
    config,
    origin_of,
    unsigned,
)

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import CompleteMultipartUploadRequestTypeDef

NO_UPLOAD = "email-processor-check"  # no bucket ever gives out such an upload id

ABSENT = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)


@dataclass(frozen=True, slots=True)
class Written:
    """A real PUT through the service's own archive, the same once more, and a GET of the key.

    `back` is the object's bytes and `encryption` what S3 said of it, as in `aws:kms arn:aws:kms:...`.
    """

    key: str
    first: Stored | Failure
    again: Answer[Stored]
    back: Answer[bytes]
    encryption: str = ""


@dataclass(frozen=True, slots=True)
class PrefixFacts:
    """What was learnt of storing under a prefix.

    `may_put` is the answer to a question that changes nothing, and `written` what became of a real PUT.
    """

    may_put: Answer[bool]
    written: Written | Unasked

    @property
    def allowed(self) -> Answer[bool]:
        """Whether a PUT is permitted here. One that was made shows it, and proves nothing for another prefix."""
        is_stored = isinstance(self.written, Written) and not isinstance(self.written.first, Failure)
        return True if is_stored else self.may_put


@dataclass(frozen=True, slots=True)
class HeadAnswer:
    """The answer to an unsigned HEAD of the bucket: S3 gives status and region even where it allows nothing."""

    status: int
    region: str | None


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """What was learnt of the bucket. The configurations are as S3 sent them, empty where there is none.

    `endpoint` is where the SDK's requests went and `put_endpoint` where the service's PUTs go; `region` is the one that
    they are signed for. `prefixes` are all that something is stored under.
    """

    endpoint: str
    put_endpoint: str
    region: str
    seen: HeadAnswer | Failure
    may_list: Answer[bool]
    may_get: Answer[bool]
    prefixes: Mapping[str, PrefixFacts]
    encryption: Answer[Mapping[str, Any]]
    versioning: Answer[Mapping[str, Any]]
    object_lock: Answer[Mapping[str, Any]]
    lifecycle: Answer[Mapping[str, Any]]
    skew: float | None = None

    @property
    def written(self) -> Sequence[Written]:
        """What became of the real PUTs, in the order of the prefixes; empty if none was made."""
        return [each.written for each in self.prefixes.values() if isinstance(each.written, Written)]

    @property
    def answers(self) -> Sequence[Answer[object]]:
        """All answers to signed requests."""
        configuration = (self.encryption, self.versioning, self.object_lock, self.lifecycle)
        puts = (each.may_put for each in self.prefixes.values())
        return self.may_list, self.may_get, *puts, *(written.first for written in self.written), *configuration

    @property
    def stored(self) -> Answer[Stored]:
        """What became of the real PUTs under all prefixes: the first of them that failed, or was not made, decides."""
        puts = [
            each.written if isinstance(each.written, Unasked) else each.written.first for each in self.prefixes.values()
        ]
        return next((put for put in puts if isinstance(put, Failure | Unasked)), puts[0])


@dataclass(frozen=True, slots=True)
class DefaultEncryption:
    """The bucket's default encryption: `AES256`, `aws:kms` or `aws:kms:dsse`, and the KMS key if one is named."""

    algorithm: str
    key_id: str | None


def default_encryption(facts: BucketFacts) -> DefaultEncryption | None:
    """The bucket's default encryption; None if it has none, or it could not be read."""
    if isinstance(facts.encryption, Failure | Unasked):
        return None
    rules = facts.encryption.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    defaults = [
        rule["ApplyServerSideEncryptionByDefault"] for rule in rules if "ApplyServerSideEncryptionByDefault" in rule
    ]
    if not defaults:
        return None
    return DefaultEncryption(defaults[0].get("SSEAlgorithm", ""), defaults[0].get("KMSMasterKeyID"))


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """How the service stores, which object it probes the store with, and whether `probes` may be written.

    There is one for each prefix that something is stored under.
    """

    store: StoreOptions
    key_prefix: str
    probe: ProbeObject
    probes: Mapping[str, ProbeObject]
    write: bool

    @classmethod
    def of(cls, settings: Settings, *, write: bool) -> "BucketPlan":
        """The bucket's part of the settings."""
        store = store_options(settings)
        probes = {prefix: probe_of(store, prefix) for prefix in written_prefixes(settings)}
        return cls(store, settings.s3_key_prefix, probe_object(settings), probes, write)


async def inspect_bucket(ask: Asker, opened: Opened, plan: BucketPlan, *, signed: bool) -> BucketFacts:
    """Look at the bucket; `signed` says that there are credentials."""
    async with opened.session.client("s3", config=config()) as client:
        tap = Tap(client)
        address = await bucket_address(client, plan.store.bucket)
        seen = await ask(_seen(client, plan.store.bucket))
        if signed and isinstance(seen, HeadAnswer):
            return await _with_credentials(ask, opened, plan, client, tap, address, seen)
    no = Unasked("credentials" if isinstance(seen, HeadAnswer) else "an answer of S3")
    return BucketFacts(
        endpoint=tap.origin or origin_of(address.origin),
        put_endpoint=origin_of(address.origin),
        region=address.region,
        seen=seen,
        may_list=no,
        may_get=no,
        prefixes={prefix: PrefixFacts(no, no) for prefix in plan.probes},
        encryption=no,
        versioning=no,
        object_lock=no,
        lifecycle=no,
        skew=tap.skew,
    )


async def _with_credentials(
    ask: Asker, opened: Opened, plan: BucketPlan, client: "S3Client", tap: Tap, address: BucketAddress, seen: HeadAnswer
) -> BucketFacts:
    bucket = plan.store.bucket
    async with asyncio.TaskGroup() as tasks:
        may_list = tasks.create_task(ask(_lists(client, bucket, plan.key_prefix)))
        may_get = tasks.create_task(ask(_gets(client, bucket, plan.probe.key)))
        prefixes = {
            prefix: tasks.create_task(_storing(ask, opened.ports.archive, client, plan, prefix))
            for prefix in plan.probes
        }
        encryption = tasks.create_task(ask(_unless_absent(client.get_bucket_encryption(Bucket=bucket))))
        versioning = tasks.create_task(ask(_unless_absent(client.get_bucket_versioning(Bucket=bucket))))
        object_lock = tasks.create_task(ask(_unless_absent(client.get_object_lock_configuration(Bucket=bucket))))
        lifecycle = tasks.create_task(ask(_unless_absent(client.get_bucket_lifecycle_configuration(Bucket=bucket))))
    return BucketFacts(
        endpoint=tap.origin or origin_of(address.origin),
        put_endpoint=origin_of(address.origin),
        region=address.region,
        seen=seen,
        may_list=may_list.result(),
        may_get=may_get.result(),
        prefixes={prefix: task.result() for prefix, task in prefixes.items()},
        encryption=encryption.result(),
        versioning=versioning.result(),
        object_lock=object_lock.result(),
        lifecycle=lifecycle.result(),
        skew=tap.skew,
    )


async def _seen(client: "S3Client", bucket: str) -> HeadAnswer:
    """S3 tells anyone whether a bucket exists (404 or not) and in which region."""
    try:
        with unsigned(client, "s3.HeadBucket"):
            answer: Mapping[str, Any] = await client.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = error.response
    facts = answer["ResponseMetadata"]
    return HeadAnswer(facts["HTTPStatusCode"], facts["HTTPHeaders"].get("x-amz-bucket-region"))


async def _lists(client: "S3Client", bucket: str, prefix: str) -> bool:
    await client.list_objects_v2(Bucket=bucket, MaxKeys=1, Prefix=f"{prefix}/")
    return True


async def _gets(client: "S3Client", bucket: str, key: str) -> bool:
    """Whether it is there or not: without permission S3 says neither."""
    try:
        answer = await client.get_object(Bucket=bucket, Key=key)
        answer["Body"].close()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchKey":
            raise
    return True


async def _storing(ask: Asker, archive: Archive, client: "S3Client", plan: BucketPlan, prefix: str) -> PrefixFacts:
    """The harmless question is put in any case: where the PUT fails, it tells a denial of all PUTs from one of this."""
    may_put = await ask(_may_put(client, plan.store, prefix))
    if not plan.write:
        return PrefixFacts(may_put, WITHOUT_WRITE)
    return PrefixFacts(may_put, await _write(ask, archive, client, plan.store.bucket, plan.probes[prefix]))


async def _may_put(client: "S3Client", store: StoreOptions, prefix: str) -> bool:
    """Complete an upload that does not exist: it takes s3:PutObject, and nothing can come of it.

    It has the condition of the service's own PUTs, since a bucket's policy may deny what comes without it.
    """
    asked: CompleteMultipartUploadRequestTypeDef = {
        "Bucket": store.bucket,
        "Key": f"{prefix}/check/none",
        "UploadId": NO_UPLOAD,
        "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": "0" * 32}]},
    }
    if store.conditional:
        asked["IfNoneMatch"] = "*"
    try:
        await client.complete_multipart_upload(**asked)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
            raise
    return True


async def _unless_absent(configuration: Awaitable[Any]) -> Mapping[str, Any]:
    """A configuration of the bucket; empty if it has none."""
    try:
        answer: Mapping[str, Any] = await configuration
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in ABSENT:
            raise
        return {}
    return answer


async def _write(ask: Asker, archive: Archive, client: "S3Client", bucket: str, probe: ProbeObject) -> Written:
    """Store the probe as the service stores an email, see whether a second PUT leaves it alone, and read it back."""
    first = await ask(archive.put(probe.key, probe.document))
    if isinstance(first, Failure):
        no = Unasked("a PUT that succeeds")
        return Written(probe.key, first, no, no)
    again = await ask(archive.put(probe.key, probe.document))
    back = await ask(_read(client, bucket, probe.key, len(probe.document) + 1))
    if isinstance(back, Failure):
        return Written(probe.key, first, again, back)
    return Written(probe.key, first, again, *back)


async def _read(client: "S3Client", bucket: str, key: str, most: int) -> tuple[bytes, str]:
    answer = await client.get_object(Bucket=bucket, Key=key)
    async with answer["Body"]:
        body = await answer["Body"].read(most)
    return body, f"{answer.get('ServerSideEncryption', '')} {answer.get('SSEKMSKeyId', '')}".strip()
