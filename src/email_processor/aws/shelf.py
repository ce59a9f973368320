"""The bucket for who reads it: LIST, GET, PUT and DELETE, signed and sent here, or made by the SDK."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from html import unescape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from email_processor.aws.archive import S3Payloads, SdkArchive, SignedArchive, StoreOptions, code_of, fault_of
from email_processor.aws.connect import (
    SPARE_CONNECTIONS,
    Endpoints,
    client_config,
    is_checksum_wanted,
    open_session,
    usable_configuration,
)
from email_processor.aws.endpoints import bucket_address, is_behind_proxy
from email_processor.aws.faults import store_fault
from email_processor.aws.http_client import ANSWER_MAX_BYTES, Answer
from email_processor.aws.resolver import Resolver
from email_processor.domain.email import Pointer
from email_processor.domain.errors import Cause, PayloadMissingError, StoreFaultError
from email_processor.domain.key import percent_encoded
from email_processor.ports import Listed, ListedPage, Shelf, Stored

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

PAGE = 1000  # most objects in an answer to LIST
NOTHING = sha256(b"").hexdigest()

_KEY = re.compile(rb"<Key>([^<]*)</Key>")
_SIZE = re.compile(rb"<Size>(\d+)</Size>")


class SignedShelf:
    """An S3 bucket as `Shelf`, by requests that are signed and sent without the SDK's machinery."""

    def __init__(self, archive: SignedArchive) -> None:
        """`archive` stores, and knows where the bucket is."""
        self._bucket = archive.bucket
        self._archive = archive

    async def page(self, prefix: str, after: str) -> ListedPage:
        """The first objects whose keys begin with `prefix` and come behind `after`."""
        query = f"encoding-type=url&list-type=2&max-keys={PAGE}&prefix={percent_encoded(prefix)}"
        if after:
            query += f"&start-after={percent_encoded(after)}"
        what = f"ListObjectsV2 s3://{self._bucket}/{prefix}"
        answer = await self._send(what, "GET", f"{self._archive.path.rstrip('/') or '/'}?{query}")
        if answer.status != HTTPStatus.OK or b"<ListBucketResult" not in answer.body:
            raise fault_of(what, answer)
        keys, sizes = _KEY.findall(answer.body), _SIZE.findall(answer.body)
        is_last = b"<IsTruncated>true<" not in answer.body
        if not len(keys) == len(sizes) == answer.body.count(b"<Contents>") or not (keys or is_last):
            raise StoreFaultError(Cause.SERVER, f"{what}: an answer that is not S3's")
        names = _decoded(keys, is_encoded=b"<EncodingType>url<" in answer.body)
        return ListedPage(list(map(Listed, names, map(int, sizes))), is_last)

    async def get(self, key: str) -> bytes | None:
        """An object's bytes."""
        what = f"GetObject s3://{self._bucket}/{key}"
        answer = await self._send(what, "GET", self._archive.target(key))
        if answer.status == HTTPStatus.OK:
            return answer.body
        if answer.status == HTTPStatus.NOT_FOUND and code_of(answer) == "NoSuchKey":
            return None
        raise fault_of(what, answer)

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already."""
        return await self._archive.put(key, document)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        what = f"DeleteObject s3://{self._bucket}/{key}"
        answer = await self._send(what, "DELETE", self._archive.target(key))
        if answer.status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            raise fault_of(what, answer)

    async def _send(self, what: str, method: str, target: str) -> Answer:
        try:
            return await self._archive.endpoint.send(method, target, {"x-amz-content-sha256": NOTHING}, b"", NOTHING)
        except Exception as error:
            raise store_fault(what, error) from error


class SdkShelf:
    """An S3 bucket as `Shelf`, by the SDK's client: it costs more CPU, but knows proxies."""

    def __init__(self, store: StoreOptions, client: "S3Client", largest: int) -> None:
        """Read objects of up to `largest` bytes."""
        self._client = client
        self._bucket = store.bucket
        self._archive = SdkArchive(store, client, with_checksum=is_checksum_wanted(client))
        self._objects = S3Payloads(client, largest)

    async def page(self, prefix: str, after: str) -> ListedPage:
        """The first objects whose keys begin with `prefix` and come behind `after`."""
        what = f"ListObjectsV2 s3://{self._bucket}/{prefix}"
        behind: Any = {"StartAfter": after} if after else {}
        try:
            answer: Any = await self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=PAGE, **behind)
        except Exception as error:
            raise store_fault(what, error) from error
        found = answer.get("Contents", ())
        objects = [Listed(each["Key"], each["Size"]) for each in found if {"Key", "Size"} <= each.keys()]
        is_last = answer.get("IsTruncated") is False
        if len(objects) < len(found) or not (objects or is_last):
            raise StoreFaultError(Cause.SERVER, f"{what}: an answer that is not S3's")
        return ListedPage(objects, is_last)

    async def get(self, key: str) -> bytes | None:
        """An object's bytes."""
        try:
            async with self._objects.opened(Pointer(self._bucket, key)) as found:
                return await found.read()
        except PayloadMissingError:
            return None

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already."""
        return await self._archive.put(key, document)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        try:
            await self._client.delete_object(Bucket=self._bucket, Key=key)
        except Exception as error:
            raise store_fault(f"DeleteObject s3://{self._bucket}/{key}", error) from error


def _decoded(keys: Iterable[bytes], *, is_encoded: bool) -> Iterator[str]:
    """Keys as they are, from how a listing writes them. Most of ours are written as they are."""
    for key in keys:
        text = key.decode(errors="replace")
        if not is_encoded:
            yield unescape(text)
        else:
            yield unquote_plus(text) if "%" in text or "+" in text else text


class Configured:
    """What the bucket is configured to do, by the SDK's client: it is rarely asked."""

    def __init__(self, client: Any, bucket: str) -> None:  # noqa: ANN401 - an S3 client
        """Ask about `bucket`."""
        self._client = client
        self._bucket = bucket

    async def lifecycle(self) -> list[Any]:
        """Its lifecycle rules as S3 says them.

        Raises:
            StoreFaultError: they cannot be read.
        """
        try:
            answer = await self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket)
        except Exception as error:
            facts: Any = getattr(error, "response", {})
            if facts.get("Error", {}).get("Code") == "NoSuchLifecycleConfiguration":
                return []
            raise store_fault("GetBucketLifecycleConfiguration", error) from error
        return list(answer.get("Rules", ()))


@asynccontextmanager
async def open_shelf(store: StoreOptions, largest: int) -> AsyncIterator[tuple[Shelf, Configured]]:
    """A bucket to read, objects of up to `largest` bytes, for as long as the context lasts. Nothing is sent.

    Requests that have to go through a proxy are the SDK's.

    Raises:
        StartError: the AWS configuration itself is wrong.
    """
    async with AsyncExitStack() as stack:
        with usable_configuration():
            shelf = await _open(stack, store, largest)
        yield shelf


async def _open(stack: AsyncExitStack, store: StoreOptions, largest: int) -> tuple[Shelf, Configured]:
    resolver = Resolver()
    session, credentials = open_session(store.region, patience=store.timeout / 2, resolver=resolver)
    stack.push_async_callback(credentials.close)
    config = client_config(store.user_agent, timeout=store.timeout, connections=store.connections + SPARE_CONNECTIONS)
    client = await stack.enter_async_context(session.client("s3", config=config))
    configured = Configured(client, store.bucket)
    address = await bucket_address(client, store.bucket)
    if is_behind_proxy(address.origin):
        return SdkShelf(store, client, largest), configured
    answer_max = max(largest, ANSWER_MAX_BYTES)
    endpoints = Endpoints(stack, session, credentials, resolver, store.user_agent, answer_max)
    return SignedShelf(endpoints.archive(store, address, client)), configured
