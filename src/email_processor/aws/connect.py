"""Opening AWS: one session, one client for each use, and obstore pointed at where the SDK would go."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore import UNSIGNED
from botocore.exceptions import BotoCoreError

from email_processor.aws.archive import CONNECT_TIMEOUT_SECONDS, S3Archive, S3Payloads, StoreOptions, start_obstore
from email_processor.aws.credentials import Credentials, StoreCredentials
from email_processor.aws.inbox import SqsInbox
from email_processor.aws.tls import VerifyingSession
from email_processor.domain.errors import StartError

SPARE_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How the queue is read. Times in seconds; `timeout` is that of an answer, on top of the long poll's `wait`."""

    url: str
    visibility_timeout: int
    wait: int
    timeout: float
    connections: int


@dataclass(frozen=True, slots=True)
class Aws:
    """The ports, implemented."""

    inbox: SqsInbox
    archive: S3Archive
    payloads: S3Payloads


def open_session(region: str) -> tuple[aioboto3.Session, Credentials]:
    """An aioboto3 session that checks certificates, and whose credentials are looked for again when there were none."""
    core = VerifyingSession()
    credentials = Credentials(core.get_component("credential_provider"))
    core.register_component("credential_provider", credentials)
    return aioboto3.Session(botocore_session=core, region_name=region), credentials


def client_config(user_agent: str, *, timeout: float, connections: int = 10, **more: Any) -> AioConfig:  # noqa: ANN401 - botocore's own options
    """One try only, retries being the pipeline's, and timeouts in seconds."""
    return AioConfig(
        connect_timeout=min(CONNECT_TIMEOUT_SECONDS, timeout),
        read_timeout=timeout,
        max_pool_connections=connections,
        retries={"total_max_attempts": 1, "mode": "standard"},
        user_agent_extra=user_agent,
        **more,
    )


@asynccontextmanager
async def connect(queue: QueueOptions, store: StoreOptions, payload_max_bytes: int) -> AsyncIterator[Aws]:
    """Open everything for as long as the context lasts. Nothing is sent: it works without AWS in reach.

    Raises:
        StartError: the AWS configuration itself is wrong (an unknown profile, a CA bundle that is not there).
    """
    async with AsyncExitStack() as stack:
        try:
            aws = await _open(stack, queue, store, payload_max_bytes)
        except (BotoCoreError, OSError, ValueError) as error:
            raise StartError(
                f"The AWS configuration cannot be used: {error}.",
                fix="Correct the AWS_* variables or the AWS config file that the message is about.",
            ) from error
        yield aws


async def _open(stack: AsyncExitStack, queue: QueueOptions, store: StoreOptions, payload_max_bytes: int) -> Aws:
    await start_obstore()
    session, credentials = open_session(store.region)
    endpoint, is_virtual_hosted = await put_endpoint(session, store.bucket)
    archive = S3Archive(
        store,
        StoreCredentials(credentials),
        endpoint=endpoint,
        is_virtual_hosted=is_virtual_hosted,
        ca_bundle=ca_bundle(session),
    )
    # SQS and S3 on separate clients, so that long polls cannot starve the rest of connections.
    timeout = queue.wait + queue.timeout
    sqs_config = client_config(store.user_agent, timeout=timeout, connections=queue.connections + SPARE_CONNECTIONS)
    sqs = await stack.enter_async_context(session.client("sqs", config=sqs_config))
    s3 = await stack.enter_async_context(
        session.client("s3", config=client_config(store.user_agent, timeout=store.timeout))
    )
    return Aws(SqsInbox(sqs, queue.url, queue.visibility_timeout), archive, S3Payloads(s3, payload_max_bytes))


class _AddressedError(Exception):
    """Ends a request before it is sent: its address is known."""


async def put_endpoint(session: aioboto3.Session, bucket: str) -> tuple[str, bool]:
    """Where the AWS SDK sends a PUT to `bucket`, as obstore's endpoint and whether the bucket is in its host name.

    The SDK is asked by making it build a request: only so is everything obeyed that can change the address (service
    endpoints, FIPS, dual stack, acceleration, addressing style).
    """
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


def ca_bundle(session: aioboto3.Session) -> bytes | None:
    """The certificates that the AWS SDK is told to trust: AWS_CA_BUNDLE, or `ca_bundle` in the AWS config file."""
    path = session._session.get_config_variable("ca_bundle")  # noqa: SLF001 - aioboto3 hands its botocore session out no other way
    return Path(path).read_bytes() if path else None
