"""Where the AWS SDK sends its requests.

The SDK is asked by making it begin a request, which is never sent: only so is everything obeyed that can change the
address (service endpoints, FIPS, dual stack, acceleration, addressing style).
"""

import re
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from botocore.exceptions import InvalidConfigError
from botocore.utils import get_environ_proxies

from email_processor.domain.errors import SettingsError
from email_processor.partitions import DOMAIN, REGION, is_aws_host

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient


# Where the SDK goes without being told of an endpoint, and what else a queue's URL may call that place.
_PUBLIC = re.compile(rf"sqs\.[a-z0-9-]+\.(?:{DOMAIN})")
_PUBLIC_NAMES = re.compile(rf"(?:sqs\.[a-z0-9-]+|(?:[a-z0-9-]+\.)?queue)\.(?:{DOMAIN})")


def is_public(host: str) -> bool:
    """Whether a queue's URL with this host says no more than its region: AWS's public endpoint, by its usual names."""
    return _PUBLIC_NAMES.fullmatch(host) is not None


def own_endpoint(endpoint: str, queue_url: str) -> str | None:
    """The endpoint that a queue's URL names itself (VPC, FIPS, dual stack, or no AWS at all).

    None where it names none, or where the SDK was told to go elsewhere than to the public `endpoint`.
    """
    url = urlsplit(queue_url)
    goes_public = _PUBLIC.fullmatch(urlsplit(endpoint).hostname or "")
    if goes_public is None or is_public(url.hostname or ""):
        return None
    return f"{url.scheme}://{url.netloc}"


def refuse_password(service: str, endpoint: str) -> None:
    """Refuse an endpoint with a user name or a password, wherever it comes from: requests are signed, and have neither.

    The libraries quote the URL in whatever they say of it. An @ has no other use in the URL of an endpoint.

    Raises:
        InvalidConfigError: there is one.
    """
    if "@" in endpoint:
        variable = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
        raise InvalidConfigError(
            error_msg=f"the endpoint of {service} must not have a user name or a password in it (AWS_ENDPOINT_URL, "
            f"{variable}, or endpoint_url in the AWS config file)"
        ) from None


def refuse_foreign_region(setting: str, region: str, url: str) -> None:
    """Refuse a region that is none of AWS's if requests go to AWS, where no host is called after it.

    Raises:
        SettingsError: it is none.
    """
    if is_aws_host(urlsplit(url).hostname or "") and not re.fullmatch(REGION, region):
        raise SettingsError(
            f"{setting} must be an AWS region; it is {region!r}.",
            fix="For example: AWS_REGION=us-east-1. If it is not AWS that is to be asked, set AWS_ENDPOINT_URL_S3 and "
            "AWS_ENDPOINT_URL_SQS, or endpoint_url in the AWS config file.",
        )


class _AddressedError(Exception):
    """Ends a request before it is sent: its address is known."""


async def queue_address(client: "SQSClient", queue_url: str) -> tuple[str, str]:
    """The URL to which requests about a queue go, and the region that they are signed for."""
    return await _address(client, "sqs.GetQueueAttributes", client.get_queue_attributes(QueueUrl=queue_url))


class BucketAddress(NamedTuple):
    """Where the requests about a bucket go: scheme and host, and what stands before a key in their path.

    The region is the one that they are signed for: `us-east-1` where `fips-us-east-1` was set.
    """

    origin: str
    path: str
    region: str


async def bucket_address(client: "S3Client", bucket: str) -> BucketAddress:
    """Where a PUT to `bucket` goes; whether its name is in the host or in the path is the SDK's affair.

    Raises:
        SettingsError: that is at AWS, and AWS_REGION is none of its regions.
    """
    found, region = await _address(client, "s3.PutObject", client.put_object(Bucket=bucket, Key="k", Body=b""))
    refuse_foreign_region("AWS_REGION", region, found)
    url = urlsplit(found)
    return BucketAddress(f"{url.scheme}://{url.netloc}", url.path.removesuffix("k"), region)


async def _address(client: Any, operation: str, call: Awaitable[object]) -> tuple[str, str]:  # noqa: ANN401 - a client of any service
    """The URL and the region of the request that `call` makes; nothing is signed, so no credentials are needed."""
    found: list[tuple[str, str]] = []

    def note(request: Any, region_name: str, **_: object) -> None:  # noqa: ANN401 - botocore's request
        found.append((request.url, region_name))
        raise _AddressedError

    event = f"before-sign.{operation}"
    client.meta.events.register_first(event, note)
    with suppress(_AddressedError):
        await call
    client.meta.events.unregister(event, note)
    return found[0]


def is_behind_proxy(url: str) -> bool:
    """Whether the SDK would send a request for `url` to a proxy."""
    return urlsplit(url).scheme in get_environ_proxies(url)
