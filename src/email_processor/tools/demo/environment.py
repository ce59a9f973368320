"""The environment without anything that could lead to a real account, or change what the demo does."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from email_processor.settings import Settings

_FOREIGN = ("AWS_", "MOTO_", "S3_", "SQS_")
_PROXIES = frozenset({"ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY"})
_SETTINGS = frozenset(name.upper() for name in Settings.model_fields)

REGION = "us-east-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "no-account-knows-this",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without AWS, moto, proxies and every setting of ours; credentials that open nothing instead."""
    kept = {name: value for name, value in environ.items() if not _is_foreign(name.upper())}
    return kept | CREDENTIALS | {"NO_PROXY": "*"}


def for_service(endpoint: str, queue_url: str, bucket: str) -> dict[str, str]:
    """The settings that the service runs with, as one could paste them into a shell."""
    return {
        "SQS_QUEUE_URL": queue_url,
        "S3_BUCKET_NAME": bucket,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }


@contextmanager
def isolation() -> Iterator[None]:
    """Isolate this process for as long as the context lasts."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(isolated(before))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name in _PROXIES or name in _SETTINGS
