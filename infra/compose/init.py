"""Makes the queue, its dead-letter queue and the bucket on an emulator. Safe to run again."""

# ruff: noqa: INP001, T201  # a script, and printing is how it reports

import json
import os
from urllib.parse import urlsplit

from botocore.session import Session

REGION = os.environ["AWS_REGION"]
QUEUE = urlsplit(os.environ["SQS_QUEUE_URL"]).path.rsplit("/", 1)[1]
BUCKET = os.environ["S3_BUCKET_NAME"]

session = Session()
sqs = session.create_client("sqs", region_name=REGION)
s3 = session.create_client("s3", region_name=REGION)

dead = sqs.create_queue(QueueName=f"{QUEUE}-dead")["QueueUrl"]
dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 5})
sqs.create_queue(QueueName=QUEUE, Attributes={"VisibilityTimeout": "300", "RedrivePolicy": redrive})
if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
    s3.create_bucket(Bucket=BUCKET)
print(f"Queue {QUEUE} and bucket {BUCKET} are there.")
