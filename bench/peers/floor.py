"""The floor: signed receives, PUTs and deletes over email-processor's own connections, and nothing else around them.

No lease, no retry, no check of a body: what it takes is what those requests take.
"""

import asyncio

import uvloop

from email_processor.aws.connect import Aws, connect
from email_processor.options import queue_options, store_options
from email_processor.settings import Settings

LOOPS = 64  # each works on ten messages at a time


async def work(aws: Aws) -> None:
    """Receive ten, put them at once, delete the ten."""

    async def store(message_id: str, body: bytes) -> None:
        await aws.archive.put(f"emails/{message_id}.json", body)

    while True:
        messages = await aws.inbox.receive(10, 20)
        async with asyncio.TaskGroup() as puts:
            for message in messages:
                puts.create_task(store(message.message_id, message.body))
        if messages:
            await aws.inbox.delete([message.receipt_handle for message in messages])


async def main() -> None:
    """Archive what is on the queue until the benchmark ends the process."""
    settings = Settings()
    options = queue_options(settings), store_options(settings)
    async with connect(settings.aws_client, *options, settings.payload_max_bytes) as aws, asyncio.TaskGroup() as tasks:
        for _ in range(LOOPS):
            tasks.create_task(work(aws))


if __name__ == "__main__":
    uvloop.run(main())
