"""An object that is said to be there already is looked at before the message is deleted for it.

S3 says so of what is durable. Other stores can lose an object whose PUT ended halfway (a timeout, a reset, a 500) and
keep its name: the next PUT is then told that the object is there, and nothing would be left of the email. Whose PUT it
was that ended so, and when, nobody knows: on a first receive without a failure it can be that of another replica. So
every such answer is looked at. There are few: one for each duplicate that has its object.
"""

import hashlib
import logging
from base64 import b64encode
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from email_processor.aws.archive import SdkArchive, SignedArchive
from email_processor.aws.faults import store_fault
from email_processor.domain.document import are_of_one_message
from email_processor.domain.errors import Cause, ObjectRefusedError, StoreFaultError
from email_processor.ports import Stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_s3.client import S3Client

log = logging.getLogger(__name__)

LONGER_MAX_BYTES = 1024 * 1024  # than ours is what another version, or a later receive, writes of the same message
ABSENT = frozenset({"404", "NoSuchKey"})
# Not permitted to look, or no such question here: only then is the store believed. 400 is not among them: an answer to
# HEAD has no body that would tell an expired token from an object that cannot be read.
BELIEVED = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
SLOW_DOWN = "503"  # all that an answer to HEAD, which has no body, can say of it


class CheckedArchive:
    """An S3 bucket as `Archive`: `ALREADY_THERE` is what it has seen, as far as it is permitted to look."""

    def __init__(self, inner: SignedArchive | SdkArchive, client: "S3Client", bucket: str) -> None:
        """Store through `inner`, look through `client`: it is rarely asked."""
        self._inner = inner
        self._client = client
        self._bucket = bucket

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already."""
        stored = await self._inner.put(key, document)
        if stored is Stored.CREATED:
            return stored
        try:
            flaw = await self._flaw(key, document)
        except Exception as error:
            facts: Any = error.response if isinstance(error, ClientError) else {}
            code = facts.get("Error", {}).get("Code")
            if code in ABSENT:
                return await self._put_again(key, document, "it is not there")
            if facts.get("ResponseMetadata", {}).get("HTTPStatusCode") in BELIEVED:
                return stored
            fault = store_fault(f"HeadObject s3://{self._bucket}/{key}", error)
            if code == SLOW_DOWN:
                fault.cause = Cause.THROTTLED
            raise fault from error
        return stored if flaw is None else await self._put_again(key, document, flaw)

    async def _put_again(self, key: str, document: bytes, flaw: str) -> Stored:
        try:
            stored = await self._inner.put(key, document, overwrite=True)
        except StoreFaultError as fault:
            if fault.cause is not Cause.DENIED:
                raise
            # A conditional PUT was allowed just now: what is denied is to write over an object.
            raise ObjectRefusedError(f"{fault.detail}; an object is there, but {flaw}", fix=fault.fix) from fault
        log.warning(
            "object_stored_again",
            extra={"key": key, "error": f"The store said that the object is there already, but {flaw}."},
        )
        return stored

    async def _flaw(self, key: str, document: bytes) -> str | None:
        """What is wrong with the object; None if it is `document`, or what was written earlier of the same message."""
        head: Mapping[str, Any] = await self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        size = head.get("ContentLength", len(document))  # some servers do not tell it
        if (
            size == len(document)
            and head.get("ChecksumSHA256") == b64encode(hashlib.sha256(document).digest()).decode()
        ):
            return None
        if size > len(document) + LONGER_MAX_BYTES:
            return f"it has {size} bytes"
        answer = await self._client.get_object(Bucket=self._bucket, Key=key)
        async with answer["Body"] as stream:
            found = await stream.read()
        if found == document or are_of_one_message(found, document):
            return None
        return f"it has {len(found)} bytes that are not of this message"
