"""Queue and bucket of the demo: made, and looked into from outside."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aioboto3

from email_processor.tools.demo.environment import CREDENTIALS, REGION

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

QUEUE = "emails"
DEAD_LETTER_QUEUE = "emails-dead"
BUCKET = "email-archive"
MAX_RECEIVE_COUNT = 5
READERS = 8
_COUNTS: tuple["QueueAttributeNameType", ...] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object. `tag` and `modified` change whenever it is written."""

    key: str
    size: int
    tag: str
    modified: str

    @property
    def message_id(self) -> str:
        """The message that it was made from."""
        return self.key.rpartition("/")[2].removesuffix(".json").partition("_")[0]


class Account:
    """The demo's own AWS account, so to say: its queue, its dead-letter queue, its bucket."""

    def __init__(self, sqs: "SQSClient", s3: "S3Client") -> None:
        """Clients of both services."""
        self.sqs = sqs
        self.s3 = s3
        self.queue_url = ""
        self._dead_letter_url = ""

    async def furnish(self) -> None:
        """Make the queues and the bucket, with versions kept, so that any overwriting would show."""
        self._dead_letter_url = (await self.sqs.create_queue(QueueName=DEAD_LETTER_QUEUE))["QueueUrl"]
        answer = await self.sqs.get_queue_attributes(QueueUrl=self._dead_letter_url, AttributeNames=["QueueArn"])
        policy = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": MAX_RECEIVE_COUNT}
        made = await self.sqs.create_queue(QueueName=QUEUE, Attributes={"RedrivePolicy": json.dumps(policy)})
        self.queue_url = made["QueueUrl"]
        await self.s3.create_bucket(Bucket=BUCKET)
        await self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    async def redeliver(self, receipt_handles: Sequence[str]) -> None:
        """Make messages that are in flight visible again at once."""
        for receipt_handle in receipt_handles:
            await self.sqs.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=0
            )

    async def left_on_queues(self) -> tuple[int, int]:
        """Messages on the queue in any state, and on the dead-letter queue."""
        return await self._count(self.queue_url), await self._count(self._dead_letter_url)

    async def versions(self) -> list[Version]:
        """Every version of every object, by key."""
        found: list[Version] = []
        async for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
            found += [
                Version(each["Key"], each["Size"], each["ETag"], each["LastModified"].isoformat())
                for each in page.get("Versions", ())
            ]
        return sorted(found, key=lambda version: version.key)

    async def read(self, key: str) -> bytes:
        """The content of one object."""
        answer = await self.s3.get_object(Bucket=BUCKET, Key=key)
        async with answer["Body"] as stream:
            return await stream.read()

    async def read_all(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The contents of many objects."""
        rest = iter(keys)
        contents: dict[str, bytes] = {}

        async def read() -> None:
            for key in rest:
                contents[key] = await self.read(key)

        async with asyncio.TaskGroup() as tasks:
            for index in range(READERS):
                tasks.create_task(read(), name=f"reader-{index}")
        return contents

    async def _count(self, queue_url: str) -> int:
        answer = await self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(_COUNTS))
        return sum(int(value) for value in answer["Attributes"].values())


@asynccontextmanager
async def opened_account(endpoint: str) -> AsyncIterator[Account]:
    """Clients that can reach nothing but `endpoint`."""
    session = aioboto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )
    options: Any = {"endpoint_url": endpoint}
    async with session.client("sqs", **options) as sqs, session.client("s3", **options) as s3:
        yield Account(sqs, s3)
