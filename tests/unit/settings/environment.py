"""What the tests of the settings share."""

import os

import pytest

from email_processor.domain.errors import SettingsError
from email_processor.settings import load

QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/emails"
REQUIRED = {"SQS_QUEUE_URL": QUEUE_URL, "S3_BUCKET_NAME": "my-email-archive"}


def report(**variables: str) -> str:
    """What `load` says of these variables."""
    os.environ.update(variables)  # restored after every test
    with pytest.raises(SettingsError) as caught:
        load()
    return str(caught.value)


def named(text: str) -> list[str]:
    """The variables that a report names as wrong, in its order."""
    lines = (line for line in text.splitlines() if line.startswith("  ") and not line.startswith("   "))
    return [line.strip().partition(":")[0] for line in lines]


def problem(name: str, value: str) -> str:
    """What a report says of one wrong variable, the only one that is wrong."""
    text = report(**{name: value})
    assert [name] == named(text)
    return text.splitlines()[1].removeprefix(f"  {name}: ")
