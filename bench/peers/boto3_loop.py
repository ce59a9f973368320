"""A boto3 loop: what many run today. Receive ten, put one after the other, delete the ten."""

import os

import boto3

QUEUE, BUCKET = os.environ["SQS_QUEUE_URL"], os.environ["S3_BUCKET_NAME"]


def main() -> None:
    """Archive what is on the queue until the benchmark ends the process."""
    sqs, s3 = boto3.client("sqs"), boto3.client("s3")
    while True:
        answer = sqs.receive_message(QueueUrl=QUEUE, MaxNumberOfMessages=10, WaitTimeSeconds=20, VisibilityTimeout=300)
        messages = answer.get("Messages", [])
        for message in messages:
            s3.put_object(Bucket=BUCKET, Key=f"emails/{message['MessageId']}.json", Body=message["Body"].encode())
        if messages:
            entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
            sqs.delete_message_batch(QueueUrl=QUEUE, Entries=entries)


if __name__ == "__main__":
    main()
