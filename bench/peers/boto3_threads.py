"""boto3 with threads: several receive, each puts its ten through a shared pool and deletes them together."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import boto3
from botocore.config import Config

QUEUE, BUCKET = os.environ["SQS_QUEUE_URL"], os.environ["S3_BUCKET_NAME"]
RECEIVERS, UPLOADERS = 4, 32


def main() -> None:
    """Archive what is on the queue until the benchmark ends the process."""
    config = Config(max_pool_connections=RECEIVERS + UPLOADERS)
    sqs, s3 = boto3.client("sqs", config=config), boto3.client("s3", config=config)
    uploads = ThreadPoolExecutor(UPLOADERS)

    def store(message: Any) -> None:  # noqa: ANN401 - boto3's
        s3.put_object(Bucket=BUCKET, Key=f"emails/{message['MessageId']}.json", Body=message["Body"].encode())

    def work() -> None:
        while True:
            answer = sqs.receive_message(
                QueueUrl=QUEUE, MaxNumberOfMessages=10, WaitTimeSeconds=20, VisibilityTimeout=300
            )
            messages = answer.get("Messages", [])
            if messages:
                list(uploads.map(store, messages))
                entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
                sqs.delete_message_batch(QueueUrl=QUEUE, Entries=entries)

    receivers = [Thread(target=work) for _ in range(RECEIVERS)]
    for receiver in receivers:
        receiver.start()
    for receiver in receivers:
        receiver.join()


if __name__ == "__main__":
    main()
