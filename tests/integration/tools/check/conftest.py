"""What the tests of the check work on: a place without a `.env` file, and an AWS that knows permissions."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from botocore.loaders import create_loader

from tests.integration.tools.check.aws import ACCOUNT, PermittedAws
from tests.support.emulators import aws_environment
from tests.support.scripted_server import scripted_server


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` file is near."""
    monkeypatch.chdir(tmp_path)


LOADER = create_loader()


@pytest.fixture(autouse=True)
def _models_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's models of the services are read once, and not anew by every test."""
    monkeypatch.setattr("botocore.session.create_loader", lambda *_: LOADER)


@pytest.fixture
async def permitted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PermittedAws]:
    """A scripted AWS where all is well and allowed, and an environment that points at it."""
    script = PermittedAws()
    async with scripted_server() as fake:
        fake.rule = script
        settings = {"SQS_QUEUE_URL": f"{fake.url}/{ACCOUNT}/emails", "S3_BUCKET_NAME": "archive"}
        for name, value in {**aws_environment(fake.url), **settings}.items():
            monkeypatch.setenv(name, value)
        yield script
