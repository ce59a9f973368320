"""aioboto3 alone, on uvloop: several receive, each puts its ten at once and deletes them together."""

import asyncio

import aioboto3
import uvloop
from aiobotocore.config import AioConfig

from bench.peers.objects import RECEIVE, delete_arguments, put_arguments

RECEIVERS = 8


async def main() -> None:
    """Archive what is on the queue until the benchmark ends the process."""
    session = aioboto3.Session()
    config = AioConfig(max_pool_connections=RECEIVERS * 10)
    async with session.client("sqs", config=config) as sqs, session.client("s3", config=config) as s3:

        async def work() -> None:
            while True:
                messages = (await sqs.receive_message(**RECEIVE)).get("Messages", [])
                if messages:
                    async with asyncio.TaskGroup() as puts:
                        for message in messages:
                            puts.create_task(s3.put_object(**put_arguments(message)))
                    await sqs.delete_message_batch(**delete_arguments(messages))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(RECEIVERS):
                tasks.create_task(work())


if __name__ == "__main__":
    uvloop.run(main())
