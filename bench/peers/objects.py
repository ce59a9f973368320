"""What the peers in Python make of a message: the object that email-processor makes of it."""

import datetime as dt
import json
import os
from email.utils import parseaddr
from typing import Any

QUEUE, BUCKET = os.environ["SQS_QUEUE_URL"], os.environ["S3_BUCKET_NAME"]
FIELDS = ("email_subject", "email_sender", "email_timestream", "email_content")
RECEIVE: dict[str, Any] = {  # the arguments of a receive
    "QueueUrl": QUEUE,
    "MaxNumberOfMessages": 10,
    "WaitTimeSeconds": 20,
    "VisibilityTimeout": 300,
    "MessageSystemAttributeNames": ["All"],
}


def put_arguments(message: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's
    """The arguments of the PUT that archives `message`.

    Raises:
        KeyError: a field is missing.
    """
    email = json.loads(message["Body"])
    fields = {name: email[name] for name in FIELDS}
    sender = parseaddr(fields["email_sender"])[1].partition("@")[0]
    milliseconds = int(message["Attributes"]["ApproximateFirstReceiveTimestamp"])
    moment = dt.datetime.fromtimestamp(milliseconds // 1000, dt.UTC)
    document = (
        f'{{"message_id":"{message["MessageId"]}","processed_at":"{moment:%Y-%m-%dT%H:%M:%SZ}",'
        f'"email_data":{message["Body"]},'
        '"metadata":{"processor_version":"1.0.0","source":"email-validation-service"}}'
    )
    return {
        "Bucket": BUCKET,
        "Key": f"emails/{moment:%Y/%m/%d}/{sender}/{message['MessageId']}_{moment:%H%M%S}.json",
        "Body": document.encode(),
        "ContentType": "application/json",
        "IfNoneMatch": "*",
    }


def delete_arguments(messages: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's
    """The arguments of the request that deletes a batch."""
    entries = [{"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]} for message in messages]
    return {"QueueUrl": QUEUE, "Entries": entries}
