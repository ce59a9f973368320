"""boto3 with threads: several receive, each puts its ten through a shared pool and deletes them together."""

from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import boto3
from botocore.config import Config

from bench.peers.objects import RECEIVE, delete_arguments, put_arguments

RECEIVERS, UPLOADERS = 4, 32


def main() -> None:
    """Archive what is on the queue until the benchmark ends the process."""
    config = Config(max_pool_connections=RECEIVERS + UPLOADERS)
    sqs, s3 = boto3.client("sqs", config=config), boto3.client("s3", config=config)
    uploads = ThreadPoolExecutor(UPLOADERS)

    def store(message: Any) -> None:  # noqa: ANN401 - boto3's
        s3.put_object(**put_arguments(message))

    def work() -> None:
        while True:
            messages = sqs.receive_message(**RECEIVE).get("Messages", [])
            if messages:
                list(uploads.map(store, messages))
                sqs.delete_message_batch(**delete_arguments(messages))

    receivers = [Thread(target=work) for _ in range(RECEIVERS)]
    for receiver in receivers:
        receiver.start()
    for receiver in receivers:
        receiver.join()


if __name__ == "__main__":
    main()
