"""Asking AWS: every question is bounded in time, and a refusal is an answer too."""

import asyncio
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore import UNSIGNED
from botocore.exceptions import BotoCoreError, ClientError

from email_processor import __version__
from email_processor.aws.archive import StoreOptions
from email_processor.aws.connect import Aws, QueueOptions, client_config, connect, open_session
from email_processor.aws.credentials import Credentials
from email_processor.aws.faults import explain, fix_for
from email_processor.domain.errors import Cause, ServiceFaultError, SettingsError, StartError
from email_processor.partitions import is_aws_host

SECONDS_PER_QUESTION = 10.0
SECONDS_IN_ALL = 50.0

T = TypeVar("T")
PAYLOAD_MAX_BYTES = 0  # none is read here


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, without the user and password that may stand in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def is_aws(url: str) -> bool:
    """Whether `url` is at AWS itself."""
    return is_aws_host(urlsplit(url).hostname or "")


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that was answered with no, or not at all.

    `code` is AWS's own, empty if it did not answer; `status` is the HTTP status, 0 if there is none. `is_setting`
    says that it is one of our settings that is wrong, and nothing of AWS's.
    """

    cause: Cause
    error: str
    fix: str
    code: str = ""
    status: int = 0
    is_setting: bool = False

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """What a client or one of our ports raised."""
        if isinstance(error, SettingsError | StartError):
            is_setting = isinstance(error, SettingsError)
            return cls(Cause.CONFIGURATION, error.detail, error.fix, is_setting=is_setting)
        reason = error.__cause__ if isinstance(error.__cause__, ClientError | BotoCoreError) else error
        if isinstance(reason, ServiceFaultError):
            return cls(reason.cause, reason.detail, reason.fix, reason.code, reason.status)
        response: Mapping[str, Any] = reason.response if isinstance(reason, ClientError) else {}
        code = str(response.get("Error", {}).get("Code", ""))
        cause, error_text, fix = explain(reason)
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return cls(cause, error_text.rstrip(": "), fix, code, status)


@dataclass(frozen=True, slots=True)
class Unasked:
    """A question that was not put, for want of `needs`."""

    needs: str


WITHOUT_WRITE = Unasked("--write")

Answer: TypeAlias = T | Failure | Unasked


class Asker:
    """Puts questions. None of them takes long, and all together they do not either."""

    def __init__(self, per_question: float = SECONDS_PER_QUESTION, in_all: float = SECONDS_IN_ALL) -> None:
        """`in_all` seconds from now on, no question is waited for any more."""
        self._now = asyncio.get_running_loop().time
        self._per_question = per_question
        self._end = self._now() + in_all

    async def __call__(self, question: Awaitable[T]) -> T | Failure:
        """The answer, or why there is none."""
        start = self._now()
        try:
            async with asyncio.timeout_at(min(start + self._per_question, self._end)):
                return await question
        except TimeoutError:
            return Failure(Cause.TIMEOUT, f"no answer within {self._now() - start:.0f} s", fix_for(Cause.TIMEOUT))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the reader has to be told
            return Failure.of(error)


class Tap:
    """What is seen of a client's traffic: where its requests go, and what time the other side says it is."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - a client of any service
        """Watch `client` from now on."""
        self.origin: str | None = None
        self._skews: list[float] = []
        client.meta.events.register("before-send", self._sent)
        client.meta.events.register("response-received", self._received)

    @property
    def skew(self) -> float | None:
        """How many seconds this host's clock is ahead of the other side's, to about a second; None if it never said."""
        return min(self._skews, key=abs, default=None)

    def _sent(self, request: Any, **_: object) -> None:  # noqa: ANN401 - botocore's prepared request
        self.origin = origin_of(request.url)

    def _received(self, response_dict: Any, **_: object) -> None:  # noqa: ANN401 - None if there was no answer
        date = (response_dict or {}).get("headers", {}).get("date")
        if date is not None:
            try:
                theirs = parsedate_to_datetime(date).timestamp()
            except ValueError:
                return
            self._skews.append(time.time() - theirs - 0.5)  # the header's fraction of a second is cut off


@contextmanager
def unsigned(client: Any, operation: str) -> Iterator[None]:  # noqa: ANN401 - a client of any service
    """Send `operation` (as `s3.HeadBucket`) without a signature, as a stranger would."""

    def nobody(**_: object) -> object:
        return UNSIGNED

    event = f"choose-signer.{operation}"
    client.meta.events.register_first(event, nobody)
    try:
        yield
    finally:
        client.meta.events.unregister(event, nobody)


def config() -> AioConfig:
    """How the clients of the check ask: once, and not for long."""
    return client_config(
        f"email-processor/{__version__}",
        timeout=SECONDS_PER_QUESTION,
        request_checksum_calculation="when_required",
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """An AWS configuration that can be used."""

    session: aioboto3.Session
    credentials: Credentials
    ports: Aws


async def open_aws(stack: AsyncExitStack, client: str, queue: QueueOptions, store: StoreOptions) -> Opened:
    """Open it for as long as `stack` lasts. Nothing is sent.

    Raises:
        StartError: nothing works with this AWS configuration.
        SettingsError: a region is none of AWS's, and it is AWS that is asked.
    """
    ports = await stack.enter_async_context(connect(client, queue, store, PAYLOAD_MAX_BYTES))
    session, credentials = open_session(store.region)
    stack.push_async_callback(credentials.close)
    return Opened(session, credentials, ports)
