"""A boto3 loop: what many run today. Receive ten, put one after the other, delete the ten."""

import boto3

from bench.peers.objects import RECEIVE, delete_arguments, put_arguments


def main() -> None:
    """Archive what is on the queue until the benchmark ends the process."""
    sqs, s3 = boto3.client("sqs"), boto3.client("s3")
    while True:
        messages = sqs.receive_message(**RECEIVE).get("Messages", [])
        for message in messages:
            s3.put_object(**put_arguments(message))
        if messages:
            sqs.delete_message_batch(**delete_arguments(messages))


if __name__ == "__main__":
    main()
