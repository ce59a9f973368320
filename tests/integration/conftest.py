"""What a test of the AWS room works on: the ports as the service opens them, and a fake in the place of AWS."""

from collections.abc import AsyncIterator

import pytest
from botocore.loaders import create_loader

from email_processor.aws.connect import Aws
from tests.integration.opening import CLIENTS, opened, point_at
from tests.support.scripted_server import FakeAws, scripted_server

LOADER = create_loader()


@pytest.fixture(autouse=True)
def _models_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's models of the services are read once, and not anew by every test."""
    monkeypatch.setattr("botocore.session.create_loader", lambda *_: LOADER)


@pytest.fixture
async def fake(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeAws]:
    """A scripted server, for SQS and S3 alike, that AWS's own variables point at."""
    async with scripted_server() as server:
        point_at(server.url, monkeypatch)
        yield server


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """Requests that are signed here, and those of the SDK."""
    return str(request.param)


@pytest.fixture
async def aws(fake: FakeAws, client: str) -> AsyncIterator[Aws]:
    """The ports, at the fake."""
    async with opened(client=client) as ports:
        yield ports
