"""aioboto3 alone, on uvloop: several receive, each puts its ten at once and deletes them together."""

import asyncio
import os
from typing import Any

import aioboto3
import uvloop
from aiobotocore.config import AioConfig

QUEUE, BUCKET = os.environ["SQS_QUEUE_URL"], os.environ["S3_BUCKET_NAME"]
RECEIVERS = 8


async def main() -> None:
    """Archive what is on the queue until the benchmark ends the process."""
    session = aioboto3.Session()
    config = AioConfig(max_pool_connections=RECEIVERS * 10)
    async with session.client("sqs", config=config) as sqs, session.client("s3", config=config) as s3:

        async def store(message: Any) -> None:  # noqa: ANN401 - aioboto3's
            body = message["Body"].encode()
            await s3.put_object(Bucket=BUCKET, Key=f"emails/{message['MessageId']}.json", Body=body)

        async def work() -> None:
            while True:
                answer = await sqs.receive_message(
                    QueueUrl=QUEUE, MaxNumberOfMessages=10, WaitTimeSeconds=20, VisibilityTimeout=300
                )
                messages = answer.get("Messages", [])
                if messages:
                    async with asyncio.TaskGroup() as puts:
                        for message in messages:
                            puts.create_task(store(message))
                    entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
                    await sqs.delete_message_batch(QueueUrl=QUEUE, Entries=entries)  # type: ignore[arg-type]

        async with asyncio.TaskGroup() as tasks:
            for _ in range(RECEIVERS):
                tasks.create_task(work())


if __name__ == "__main__":
    uvloop.run(main())
