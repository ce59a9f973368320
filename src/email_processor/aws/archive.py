"""The bucket: a PUT that is signed here and put on the wire; reading through aioboto3."""

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.exceptions import ClientError

from email_processor.aws.faults import OBJECT_REFUSED, cause_of, explain, fix_for
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
from email_processor.ports import Stored

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

CONNECT_TIMEOUT_SECONDS = 5.0

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9._:-]{1,128})\s*</Code>")


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How objects are written.

    `client` is `signed` or `obstore`; `sse` is `none`, `AES256` or `aws:kms`; `timeout` is seconds for one PUT.
    """

    client: str
    bucket: str
    region: str
    sse: str
    kms_key_id: str | None
    conditional: bool
    timeout: float
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


class SignedArchive:
    """An S3 bucket as `Archive`."""

    def __init__(self, options: StoreOptions, endpoint: Endpoint, path: str) -> None:
        """`path` is what stands before the key in the path of a request, `/` at its end."""
        self._bucket = options.bucket
        self._endpoint = endpoint
        self._path = path
        self._headers = put_headers(options)

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already."""
        digest = hashlib.sha256(document)
        headers = {
            **self._headers,
            "x-amz-content-sha256": digest.hexdigest(),  # S3 stores only what has this digest ...
            "x-amz-checksum-sha256": b64encode(digest.digest()).decode(),  # ... and keeps it; locked buckets insist
        }
        target = f"{self._path}{quote(key, safe='/~')}"
        try:
            answer = await self._endpoint.send("PUT", target, headers, document, headers["x-amz-content-sha256"])
        except Exception as error:
            cause, detail, fix = explain(error)
            raise StoreFaultError(cause, f"{self._what(key)} {detail}", fix=fix) from error
        if answer.status == HTTPStatus.OK and "etag" in answer.headers:  # S3 sends both of what it has stored
            return Stored.CREATED
        if answer.status == HTTPStatus.PRECONDITION_FAILED and "if-none-match" in self._headers:
            return Stored.ALREADY_THERE
        raise self._fault(key, answer)

    def _fault(self, key: str, answer: Answer) -> StoreFaultError | ObjectRefusedError:
        if answer.status < REFUSALS:
            return StoreFaultError(Cause.SERVER, f"{self._what(key)} an answer that is not S3's")
        found = _CODE.search(answer.body)
        code = found[1].decode() if found else ""
        if code in OBJECT_REFUSED:
            return ObjectRefusedError(f"{self._what(key)} {code}")
        cause = cause_of((code,) if code else (), answer.status)
        return StoreFaultError(cause, f"{self._what(key)} {answer.status} {code}".rstrip(), fix=fix_for(cause))

    def _what(self, key: str) -> str:
        return f"PutObject s3://{self._bucket}/{key}:"


class S3Payloads:
    """Bodies that the SQS extended client put into a bucket, as `Payloads`."""

    def __init__(self, client: "S3Client", max_bytes: int) -> None:
        """Read no payload of more than `max_bytes`."""
        self._client = client
        self._max_bytes = max_bytes

    async def fetch(self, pointer: Pointer) -> bytes:
        """Read a payload."""
        where = f"s3://{pointer.bucket}/{pointer.key}"
        try:
            answer = await self._client.get_object(Bucket=pointer.bucket, Key=pointer.key)
            async with answer["Body"] as stream:
                size = answer["ContentLength"]
                payload = await stream.read() if size <= self._max_bytes else b""
        except Exception as error:
            if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == "NoSuchKey":
                raise PayloadMissingError(where) from error
            cause, detail, fix = explain(error)
            raise StoreFaultError(cause, f"GetObject {where}: {detail}", fix=fix) from error
        if size > self._max_bytes:
            raise PayloadTooLargeError(
                f"{where} has {size} bytes.", fix="Raise PAYLOAD_MAX_BYTES and the memory limit."
            )
        return payload
