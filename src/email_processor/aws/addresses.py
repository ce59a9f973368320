"""Where the AWS SDK sends its requests.

The SDK is asked by making it begin a request, which is never sent: only so is everything obeyed that can change the
address (service endpoints, FIPS, dual stack, acceleration, addressing style).
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore import UNSIGNED
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient


class _AddressedError(Exception):
    """Ends a request before it is sent: its address is known."""


async def queue_address(client: "SQSClient", queue_url: str) -> tuple[str, str]:
    """The URL to which requests about a queue go, and the region that they are signed for."""
    found: list[tuple[str, str]] = []

    def note(request: Any, region_name: str, **_: object) -> None:  # noqa: ANN401 - botocore's request
        found.append((request.url, region_name))
        raise _AddressedError

    event = "before-sign.sqs.GetQueueAttributes"
    client.meta.events.register_first(event, note)
    with suppress(_AddressedError):
        await client.get_queue_attributes(QueueUrl=queue_url)
    client.meta.events.unregister(event, note)
    return found[0]


async def bucket_address(session: aioboto3.Session, bucket: str) -> tuple[str, bool]:
    """The URL to which a PUT to `bucket` goes, without bucket and key, and whether the bucket is in its host name."""
    urls: list[str] = []

    def note(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore's prepared request
        urls.append(request.url)
        raise _AddressedError

    config = AioConfig(signature_version=UNSIGNED, retries={"total_max_attempts": 1, "mode": "standard"})
    async with session.client("s3", config=config) as client:
        client.meta.events.register_first("before-send.s3.PutObject", note)
        with suppress(_AddressedError):
            await client.put_object(Bucket=bucket, Key="k", Body=b"")
    url = urlsplit(urls[0])
    base = url.path.removesuffix("/k")
    if url.netloc.startswith(f"{bucket}."):
        return f"{url.scheme}://{url.netloc}{base}".rstrip("/"), True
    return f"{url.scheme}://{url.netloc}{base.removesuffix(bucket)}".rstrip("/"), False


def is_behind_proxy(url: str) -> bool:
    """Whether the SDK would send a request for `url` to a proxy."""
    return urlsplit(url).scheme in get_environ_proxies(url)
