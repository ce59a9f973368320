"""The demo's environment: nothing in it leads to a real account."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.settings import Settings, load
from email_processor.tools.demo.process import CREDENTIALS, for_service, isolated, isolation

FOREIGN = [
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_ENDPOINT_URL_S3",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "HTTPS_PROXY",
    "http_proxy",
    "MOTO_SERVER_MODE",
    "S3_IGNORE_SUBDOMAIN_BUCKETNAME",
    *(name.upper() for name in Settings.model_fields),
    *Settings.model_fields,
]


@pytest.mark.parametrize("name", FOREIGN)
def test_what_could_lead_elsewhere_is_gone(name: str) -> None:
    """Every setting of ours in either spelling, everything of AWS, proxies."""
    assert CREDENTIALS | {"NO_PROXY": "*"} == isolated({name: "theirs"})


@given(environ=st.dictionaries(st.sampled_from([*FOREIGN, "PATH", "LANG", "HOME", "PYTHONPATH"]), st.just("theirs")))
def test_everything_else_stays(environ: dict[str, str]) -> None:
    """Python and its libraries may need it."""
    kept = {name: value for name, value in environ.items() if name not in FOREIGN}
    assert isolated(environ) == kept | CREDENTIALS | {"NO_PROXY": "*"}


def test_no_credentials_are_found_but_those_that_open_nothing() -> None:
    """Not in files, not from the instance."""
    assert CREDENTIALS["AWS_CONFIG_FILE"] == CREDENTIALS["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert "true" == CREDENTIALS["AWS_EC2_METADATA_DISABLED"]


def test_isolation_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is as it was before."""
    monkeypatch.setenv("SQS_QUEUE_URL", "theirs")
    before = dict(os.environ)
    with isolation():
        assert "SQS_QUEUE_URL" not in os.environ
        assert "demo" == os.environ["AWS_ACCESS_KEY_ID"]
    assert dict(os.environ) == before


def test_the_service_is_pointed_at_the_endpoint_for_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One variable for both services, and settings that the service accepts."""
    for name, value in for_service("http://127.0.0.1:1", "http://127.0.0.1:1/123456789012/emails", "archive").items():
        monkeypatch.setenv(name, value)
    settings = load(tmp_path / ".env")
    assert "http://127.0.0.1:1" == os.environ["AWS_ENDPOINT_URL"]
    assert ("http://127.0.0.1:1/123456789012/emails", "archive") == (settings.sqs_queue_url, settings.s3_bucket_name)
