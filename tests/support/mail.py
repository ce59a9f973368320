"""Messages as the email validation service sends them."""

import json

CONFIDENTIAL = "for the addressee only"  # stands in every content; a canary of `tests.support.overheard`

# What a careless re-serialisation would change: spaces, key order, a duplicate key, escapes, digits of a number.
AS_SENT = (
    '{ "email_content":"caf\\u00e9 \\/ for the addressee only",  "email_timestream":1693561101.10000000000000000001,'
    '"extra":[1e400,{"a":1,"a":2}], "email_subject" : "Grüße \\ud83d\\ude00",\n\t"email_sender":"John.Doe@Example.com"}'
)
AS_STORED = AS_SENT.replace("\n", " ")  # an object is one line


def email(sender: str = "john.doe@example.com", *, content: str = CONFIDENTIAL, **extra: object) -> str:
    """A body that can be archived."""
    return json.dumps(
        {
            "email_subject": "Subject",
            "email_sender": sender,
            "email_timestream": "1693561101",
            "email_content": content,
            **extra,
        }
    )


def emails(count: int) -> list[str]:
    """Bodies of `count` emails, all different."""
    return [email(f"sender.{number}@example.com", content=f"{number}: {CONFIDENTIAL}") for number in range(count)]


def pointer(bucket: str, key: str, name: str = "software.amazon.payloadoffloading.PayloadS3Pointer") -> str:
    """A message whose body the SQS extended client has put into a bucket."""
    return json.dumps([name, {"s3BucketName": bucket, "s3Key": key}])
