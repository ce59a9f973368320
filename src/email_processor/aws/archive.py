"""The bucket: a PUT that is signed and sent here, or made by the SDK; reading through the SDK."""

import hashlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from botocore.handlers import add_expect_header

from email_processor.aws.faults import OBJECT_REFUSED, Refusal, explain_refusal, store_fault
from email_processor.aws.http_client import Answer
from email_processor.aws.signed import REFUSALS, Endpoint
from email_processor.domain.email import Pointer
from email_processor.domain.errors import (
    Cause,
    ObjectRefusedError,
    PayloadMissingError,
    PayloadTooLargeError,
    StoreFaultError,
)
from email_processor.domain.key import percent_encoded
from email_processor.ports import ProbeObject, Stored

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody
    from types_aiobotocore_s3.client import S3Client

CHUNK_BYTES = 64 * 1024  # that are read of a payload at once
DIGEST_LENGTH = 12  # characters of the probe's key: enough that two ways of storing do not meet
PROBE = b'{"check":"email-processor","note":"Written to see whether objects can be stored. It can be deleted."}'

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9._:-]{1,128})\s*</Code>")
_REGION = re.compile(rb"<Region>\s*([a-z0-9-]+)\s*</Region>")
_MESSAGE = re.compile(rb"<Message>\s*([^<]*)")


def _first(pattern: re.Pattern[bytes], body: bytes) -> str:
    found = pattern.search(body)
    return found[1].decode(errors="replace") if found else ""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How objects are written.

    `sse` is `none`, `AES256` or `aws:kms`; `timeout` is seconds for one PUT; `connections` are as many as there can be
    PUTs at once.
    """

    bucket: str
    region: str
    sse: str
    kms_key_id: str | None
    conditional: bool
    timeout: float
    connections: int
    user_agent: str


def put_headers(options: StoreOptions) -> dict[str, str]:
    """The headers of a PUT that are the same for every object: how it is stored, and under what condition."""
    headers = {"content-type": "application/json"}
    if options.conditional:
        headers["if-none-match"] = "*"
    if options.sse != "none":
        headers["x-amz-server-side-encryption"] = options.sse
    if options.kms_key_id is not None:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = options.kms_key_id
    return headers


def probe_of(options: StoreOptions, prefix: str) -> ProbeObject:
    """What is put under `prefix` to see whether objects can be stored so.

    The key is always the same for the same headers of a PUT, so that what is written there once can stay. With other
    headers it is another key: else the old object would be found there, and would seem to have been stored in the new
    way.
    """
    what = repr(sorted(put_headers(options).items())).encode() + PROBE
    return ProbeObject(f"{prefix}/check/probe-{hashlib.sha256(what).hexdigest()[:DIGEST_LENGTH]}.json", PROBE)


SDK_PARAMETERS = {  # what the SDK calls these headers; one that is missing here is missed when an archive is made
    "content-type": "ContentType",
    "if-none-match": "IfNoneMatch",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
}


class SignedArchive:
    """An S3 bucket as `Archive`, by requests that are signed and sent without the SDK's machinery."""

    def __init__(self, options: StoreOptions, endpoint: Endpoint, path: str, *, with_checksum: bool = True) -> None:
        """`path` is what stands before the key in the path of a request, `/` at its end.

        Without a checksum S3 still compares what arrives with the signed digest, but keeps none with the object.
        """
        self._with_checksum = with_checksum
        self.bucket = options.bucket
        self.endpoint = endpoint
        self.path = path
        self._headers = put_headers(options)

    async def put(self, key: str, document: bytes, *, overwrite: bool = False) -> Stored:
        """Store `document` unless `key` is there already, or in any case with `overwrite`."""
        digest = hashlib.sha256(document)
        headers = {
            **self._headers,
            "x-amz-content-sha256": digest.hexdigest(),  # S3 stores only what has this digest ...
        }
        if self._with_checksum:  # ... and keeps it; locked buckets insist
            headers["x-amz-checksum-sha256"] = b64encode(digest.digest()).decode()
        if overwrite:
            headers.pop("if-none-match", None)
        target = self.target(key)
        try:
            answer = await self.endpoint.send("PUT", target, headers, document, headers["x-amz-content-sha256"])
        except Exception as error:
            raise store_fault(self._what(key), error) from error
        if answer.status == HTTPStatus.OK and "etag" in answer.headers:  # S3 sends both of what it has stored
            return Stored.CREATED
        if answer.status == HTTPStatus.PRECONDITION_FAILED and "if-none-match" in headers:
            return Stored.ALREADY_THERE
        raise fault_of(self._what(key), answer)

    def target(self, key: str) -> str:
        """What a request about an object asks for."""
        return f"{self.path}{percent_encoded(key, is_path=True)}"

    def _what(self, key: str) -> str:
        return f"PutObject s3://{self.bucket}/{key}"


def fault_of(what: str, answer: Answer) -> StoreFaultError | ObjectRefusedError:
    """The fault behind an answer that is not what was asked for; `what` was."""
    if answer.status < REFUSALS:
        return StoreFaultError(Cause.SERVER, f"{what}: an answer that is not S3's")
    code, message = code_of(answer), unescape(_first(_MESSAGE, answer.body))
    if code in OBJECT_REFUSED:
        return ObjectRefusedError(f"{what}: {code}")
    region = _first(_REGION, answer.body) or answer.headers.get("x-amz-bucket-region", "")
    refusal = Refusal((code,) if code else (), answer.status, message, region)
    cause, detail, fix = explain_refusal(refusal)
    return StoreFaultError(cause, f"{what}: {detail}", fix=fix, code=code or str(answer.status), status=answer.status)


def code_of(answer: Answer) -> str:
    """What S3 calls an error; empty if it says nothing."""
    return _first(_CODE, answer.body)


class SdkArchive:
    """An S3 bucket as `Archive`, by the SDK's client: it costs more CPU, but knows proxies."""

    def __init__(self, options: StoreOptions, client: "S3Client", *, with_checksum: bool = True) -> None:
        """The same headers as `SignedArchive` sends, in the SDK's terms."""
        self._with_checksum = with_checksum
        self._client = client
        self._bucket = options.bucket
        # Objects are small: to wait for the server's word before each body would double the time of a PUT.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        client.meta.events.register("before-call.s3.PutObject", _follow_no_redirect)
        parameters: dict[str, Any] = {SDK_PARAMETERS[name]: value for name, value in put_headers(options).items()}
        condition = parameters.pop("IfNoneMatch", None)
        self._condition: dict[str, Any] = {} if condition is None else {"IfNoneMatch": condition}
        self._options = {"Bucket": options.bucket, **parameters}

    async def put(self, key: str, document: bytes, *, overwrite: bool = False) -> Stored:
        """Store `document` unless `key` is there already, or in any case with `overwrite`."""
        what = f"PutObject s3://{self._bucket}/{key}"
        # Given as a value, the checksum is sent as a header. Left to the SDK, it would follow the body when the
        # connection is encrypted, in an encoding that not every store can read.
        condition = {} if overwrite else self._condition
        options = {**self._options, **condition}
        if self._with_checksum:
            options["ChecksumSHA256"] = b64encode(hashlib.sha256(document).digest()).decode()
        try:
            answer = await self._client.put_object(**options, Key=key, Body=document)
        except Exception as error:
            facts: Any = error.response if isinstance(error, ClientError) else {}
            status = facts.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == HTTPStatus.PRECONDITION_FAILED and condition:
                return Stored.ALREADY_THERE
            code = facts.get("Error", {}).get("Code")
            if code in OBJECT_REFUSED:
                raise ObjectRefusedError(f"{what}: {code}") from error
            raise store_fault(what, error) from error
        if "ETag" not in answer:
            raise StoreFaultError(Cause.SERVER, f"{what}: an answer that is not S3's")
        return Stored.CREATED


def _follow_no_redirect(context: Any, **_: object) -> None:  # noqa: ANN401 - botocore's facts of one request
    """Let a redirect be the fault that it is: to follow it, the SDK would ask for the bucket's region at every PUT."""
    context["s3_redirect"]["redirected"] = True


class S3Payloads:
    """Bodies that the SQS extended client put into a bucket, as `Payloads`."""

    def __init__(self, client: "S3Client", max_bytes: int) -> None:
        """Read no payload of more than `max_bytes`."""
        self._client = client
        self._max_bytes = max_bytes

    @asynccontextmanager
    async def opened(self, pointer: Pointer) -> AsyncIterator["OpenedPayload"]:
        """Ask for a payload."""
        where = f"s3://{pointer.bucket}/{pointer.key}"
        try:
            answer = await self._client.get_object(Bucket=pointer.bucket, Key=pointer.key)
        except Exception as error:
            if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == "NoSuchKey":
                raise PayloadMissingError(where) from error
            raise store_fault(f"GetObject {where}", error) from error
        body = answer["Body"]
        async with body:
            facts: Mapping[str, Any] = answer
            size: int | None = facts.get("ContentLength")  # which is not told of an answer in chunks
            if size is not None and size > self._max_bytes:
                raise _too_large(where, f"{size} bytes")
            yield OpenedPayload(where, body, self._max_bytes, size)


class OpenedPayload:
    """A payload that S3 has begun to send, as `Payload`."""

    def __init__(self, where: str, body: "StreamingBody", max_bytes: int, size: int | None) -> None:
        """`size` is None if it is not told: then as many as `max_bytes` may come."""
        self.size = max_bytes if size is None else size
        self._where = where
        self._body = body
        self._max_bytes = max_bytes

    async def read(self) -> bytes:
        """Read it, into one place: what is as large as this is not copied."""
        payload = BytesIO()
        while chunk := await self._next():
            if payload.tell() + len(chunk) > self._max_bytes:
                raise _too_large(self._where, f"more than {self._max_bytes} bytes")
            payload.write(chunk)
        return payload.getvalue()

    async def _next(self) -> bytes:
        try:
            chunk: bytes = await self._body.read(CHUNK_BYTES)
        except Exception as error:
            raise store_fault(f"GetObject {self._where}", error) from error
        return chunk


def _too_large(where: str, size: str) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"{where} has {size}.", fix="Raise PAYLOAD_MAX_BYTES and the memory limit.")
