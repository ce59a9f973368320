"""What a test of the AWS room works on: the ports as the service opens them, and a fake in the place of AWS."""

from collections.abc import AsyncIterator

import pytest

from email_processor.aws.connect import Aws
from tests.integration.fake import Fake, faking
from tests.integration.opening import opened, point_at


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """A scripted server, for SQS and S3 alike."""
    async with faking() as server:
        yield server


@pytest.fixture
async def aws(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Aws]:
    """The ports, pointed at the fake by AWS's own variables."""
    point_at(fake.url, monkeypatch)
    async with opened() as ports:
        yield ports
