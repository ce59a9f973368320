"""Opening the AWS room as the service does, with short times."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from email_processor.aws.archive import StoreOptions
from email_processor.aws.connect import Aws, QueueOptions, connect
from email_processor.domain.message import KeyTime
from tests.support.emulators import REGION, aws_environment

CLIENTS = ("signed", "sdk")
QUEUE = QueueOptions(
    url="http://127.0.0.1/123456789012/emails",
    region=REGION,
    visibility_timeout=30,
    wait=0,
    timeout=1,
    connections=8,
    key_time="first_receive",
)
STORE = StoreOptions(
    bucket="archive",
    region=REGION,
    sse="none",
    kms_key_id=None,
    conditional=True,
    timeout=1,
    connections=8,
    user_agent="email-processor/test",
)
PAYLOAD_MAX = 1000


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the AWS SDK at `url`, with credentials."""
    for name, value in aws_environment(url).items():
        monkeypatch.setenv(name, value)


def opened(
    *,
    client: str = "signed",
    queue_url: str = QUEUE.url,
    queue_region: str = REGION,
    visibility_timeout: int = QUEUE.visibility_timeout,
    timeout: float = 1,
    key_time: KeyTime = QUEUE.key_time,
    **store: object,
) -> AbstractAsyncContextManager[Aws]:
    """The ports; `client` says who makes their requests, `store` changes options of the bucket."""
    return connect(
        client,
        replace(
            QUEUE,
            url=queue_url,
            region=queue_region,
            visibility_timeout=visibility_timeout,
            timeout=timeout,
            key_time=key_time,
        ),
        replace(STORE, timeout=timeout, **store),  # type: ignore[arg-type]
        PAYLOAD_MAX,
    )
