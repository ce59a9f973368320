"""Opening AWS: one session, whose credentials and addresses everything uses, and a client for each use."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path

from email_processor.aws.answers import keep_unknown_members
from email_processor.aws.archive import S3Payloads, SdkArchive, SignedArchive, StoreOptions
from email_processor.aws.checked import CheckedArchive
from email_processor.aws.credential_process import credential_chain
from email_processor.aws.credentials import PATIENCE_SECONDS, REFUSED, Credentials, Source
from email_processor.aws.endpoints import (
    BucketAddress,
    bucket_address,
    is_behind_proxy,
    own_endpoint,
    queue_address,
    refuse_foreign_region,
)
from email_processor.aws.faults import without_passwords
from email_processor.aws.http_client import ANSWER_MAX_BYTES, HttpClient
from email_processor.aws.inbox import SqsInbox
from email_processor.aws.models import ServiceModels
from email_processor.aws.resolver import Resolver
from email_processor.aws.signed import Endpoint, SignedSqs
from email_processor.aws.sigv4 import Signer
from email_processor.aws.tls import Trust, VerifyingSession
from email_processor.domain.errors import StartError
from email_processor.domain.message import KeyTime
from email_processor.ports import Archive, Clock

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient

CONNECT_TIMEOUT_SECONDS = 5.0
SPARE_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How the queue is read. Times in seconds; `timeout` is that of an answer, on top of the long poll's `wait`.

    `key_time` is what every message should tell, because its key is dated by it.
    """

    url: str
    region: str
    visibility_timeout: int
    wait: int
    timeout: float
    connections: int
    key_time: KeyTime


@dataclass(frozen=True, slots=True)
class Aws:
    """AWS as the pipeline sees it: what implements its ports, and the credentials that all of it uses."""

    inbox: SqsInbox
    archive: Archive
    payloads: S3Payloads
    credentials: Credentials


def open_session(
    region: str, *, patience: float = PATIENCE_SECONDS, resolver: Resolver | None = None
) -> tuple[aioboto3.Session, Credentials]:
    """An aioboto3 session that checks certificates, and whose credentials are looked for again when there were none.

    `patience` is how long (seconds) a request waits for credentials; `resolver` looks names up.
    """
    core = VerifyingSession(resolver or Resolver())
    loader = ServiceModels(core.get_component("data_loader"))
    core.register_component("data_loader", loader)

    def source() -> Source:
        """One that has read no file yet; the SDK's models, which do not change, are shared."""
        session = VerifyingSession(core.resolver)
        session.set_config_variable("region", region)
        session.register_component("data_loader", loader)
        return credential_chain(session, region)

    def look_again(parsed: Mapping[str, Any], **_: object) -> None:
        """Credentials that a service has refused to one of the SDK's clients."""
        if parsed.get("Error", {}).get("Code") in REFUSED:
            credentials.refused()

    credentials = Credentials(source, Clock(monotonic=time.monotonic, wall=time.time), patience)
    core.register_component("credential_provider", credentials)
    core.register("after-call", look_again)
    return _Session(botocore_session=core, region_name=region), credentials


class _Session(aioboto3.Session):
    """aioboto3's session, without the file transfers that it adds to S3 clients: to load them takes long."""

    def _register_default_handlers(self) -> None:
        """Register none."""


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
async def queue_client(
    session: aioboto3.Session, url: str, region: str, config: AioConfig
) -> AsyncIterator["SQSClient"]:
    """The SDK's client of a queue, in its region and, unless the SDK is told of another endpoint, at its own host.

    Raises:
        SettingsError: requests go to AWS, and `region` is none of its regions.
    """
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(session.client("sqs", region_name=region, config=config))
        own = own_endpoint(client.meta.endpoint_url, url)
        if own is not None:
            client = await stack.enter_async_context(
                session.client("sqs", region_name=region, endpoint_url=own, config=config)
            )
        refuse_foreign_region("SQS_REGION, or AWS_REGION if that is not set,", region, client.meta.endpoint_url)
        client.meta.events.register("response-received.sqs", keep_unknown_members)
        yield client


@asynccontextmanager
async def connect(client: str, queue: QueueOptions, store: StoreOptions, payload_max_bytes: int) -> AsyncIterator[Aws]:
    """Open everything for as long as the context lasts. Nothing is sent: it works without AWS in reach.

    `client` is `signed` or `sdk`: whether requests are signed and sent here, or by the SDK's clients. Requests that
    have to go through a proxy are the SDK's in any case.

    Raises:
        StartError: the AWS configuration itself is wrong (an unknown profile, a CA bundle that is not there).
        SettingsError: requests go to AWS, and to a region that is none of its.
    """
    async with AsyncExitStack() as stack:
        with usable_configuration():
            aws = await _open(stack, client, queue, store, payload_max_bytes)
        yield aws


@contextmanager
def usable_configuration() -> Iterator[None]:
    """Open sessions and clients in here: what the SDK raises then is about the AWS configuration.

    Raises:
        StartError: it cannot be used.
    """
    try:
        yield
    except (BotoCoreError, OSError, ValueError) as error:
        raise StartError(
            f"The AWS configuration cannot be used: {without_passwords(str(error))}.",
            fix="Correct the AWS_* variables or the AWS config file that the message is about.",
        ) from error


async def _open(
    stack: AsyncExitStack, client: str, queue: QueueOptions, store: StoreOptions, payload_max_bytes: int
) -> Aws:
    resolver = Resolver()
    # Half of what a request may take: it fails for want of credentials, and is not held to be the network's.
    patience = min(queue.timeout, store.timeout) / 2
    session, credentials = open_session(store.region, patience=patience, resolver=resolver)
    stack.push_async_callback(credentials.close)
    # SQS and S3 on separate clients, so that long polls cannot starve the rest of connections.
    timeout = queue.wait + queue.timeout
    sqs_config = client_config(store.user_agent, timeout=timeout, connections=queue.connections + SPARE_CONNECTIONS)
    sqs = await stack.enter_async_context(queue_client(session, queue.url, queue.region, sqs_config))
    s3_config = client_config(
        store.user_agent, timeout=store.timeout, connections=store.connections + SPARE_CONNECTIONS
    )
    s3 = await stack.enter_async_context(session.client("s3", config=s3_config))

    endpoints = Endpoints(stack, session, credentials, resolver, store.user_agent)
    if ca_file(session):
        endpoints.trusted()  # a file that cannot be used is told now: the SDK would only find out at its first request

    calls: SQSClient | SignedSqs = sqs
    queue_url, queue_region = await queue_address(sqs, queue.url)
    if client == "signed" and not is_behind_proxy(queue_url):
        calls = SignedSqs(endpoints.open(queue_url, "sqs", queue_region, timeout), urlsplit(queue_url).path or "/")

    archive: SdkArchive | SignedArchive = SdkArchive(store, s3, with_checksum=is_checksum_wanted(s3))
    address = await bucket_address(s3, store.bucket)
    if client == "signed" and not is_behind_proxy(address.origin):
        archive = endpoints.archive(store, address, s3)
    return Aws(
        SqsInbox(calls, queue.url, queue.visibility_timeout, queue.key_time),
        CheckedArchive(archive, s3, store.bucket),
        S3Payloads(s3, payload_max_bytes),
        credentials,
    )


class Endpoints:
    """Opens endpoints to which requests are signed and sent here. They share credentials, names and authorities."""

    def __init__(
        self,
        stack: AsyncExitStack,
        session: aioboto3.Session,
        credentials: Credentials,
        resolver: Resolver,
        user_agent: str,
        answer_max: int = ANSWER_MAX_BYTES,
    ) -> None:
        """`stack` closes what is opened; an answer may have `answer_max` bytes."""
        self._stack = stack
        self._session = session
        self._credentials = credentials
        self._resolver = resolver
        self._user_agent = user_agent
        self._answer_max = answer_max
        self._trust: Trust | None = None

    def trusted(self) -> Trust:
        """Whom to trust: the authorities that the AWS SDK is told to trust, else those it brings."""
        if self._trust is None:  # they are read when they are needed: it takes longer than a request
            self._trust = Trust(ca_file(self._session) or str(get_cert_path(verify=True)))
        return self._trust

    def open(self, url: str, service: str, region: str, timeout: float) -> Endpoint:
        """The endpoint of a service; an answer of it may take `timeout` seconds."""
        tls = self.trusted() if url.startswith("https:") else None
        connecting = min(CONNECT_TIMEOUT_SECONDS, timeout)
        http = HttpClient(
            url,
            tls=tls,
            connect_timeout=connecting,
            timeout=timeout,
            resolver=self._resolver,
            answer_max=self._answer_max,
        )
        self._stack.callback(http.close)
        return Endpoint(url, Signer(service, region), self._credentials, http, self._user_agent)

    def archive(self, store: StoreOptions, address: BucketAddress, client: "S3Client") -> SignedArchive:
        """The bucket of `store`, which is at `address`, as the SDK's `client` would store in it."""
        endpoint = self.open(address.origin, "s3", address.region, store.timeout)
        return SignedArchive(store, endpoint, address.path, with_checksum=is_checksum_wanted(client))


def is_checksum_wanted(client: "S3Client") -> bool:
    """Whether the SDK is to send a checksum where S3 does not insist on one: some stores refuse the header."""
    calculation: str = client.meta.config.request_checksum_calculation  # type: ignore[attr-defined]  # not in the stubs
    return calculation != "when_required"


def ca_file(session: aioboto3.Session) -> str | None:
    """The file of the certificates that the AWS SDK is told to trust: AWS_CA_BUNDLE, or `ca_bundle` in its config."""
    path: str | None = session._session.get_config_variable("ca_bundle")  # noqa: SLF001 - aioboto3 hands its botocore session out no other way
    return path
