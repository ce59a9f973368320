"""The demo's AWS: SQS and S3 in this process (moto), a switch that makes them fail, and its queue and bucket."""

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import aioboto3

from email_processor.tools.demo.process import CREDENTIALS, REGION

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

QUEUE = "emails"
DEAD_LETTER_QUEUE = "emails-dead"
BUCKET = "email-archive"
PROBE_FOLDER = "quarantine/check/"  # the service puts an object of its own there, to see whether S3 is up
MAX_RECEIVE_COUNT = 5
READERS = 8
_COUNTS: tuple["QueueAttributeNameType", ...] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
LOOPBACK = "127.0.0.1"

_UNAVAILABLE = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>ServiceUnavailable</Code><Message>Service is unable to handle request.</Message></Error>"
)


class FaultSwitch:
    """Hands requests on to `cloud`, except those that are to fail. Called from many threads."""

    def __init__(self, cloud: WSGIApplication) -> None:
        """All is well at first."""
        self._cloud = cloud
        self._lock = threading.Lock()
        self._receiving = threading.Lock()
        self._to_forget = 0
        self._forgotten: list[str] = []
        self.s3_is_down = False

    def forget_deletes(self, count: int) -> None:
        """Answer the next `count` deletes with success, but do not make them: SQS does not promise more."""
        with self._lock:
            self._to_forget = count

    @property
    def forgotten(self) -> list[str]:
        """The receipt handles of the deletes that were not made."""
        with self._lock:
            return list(self._forgotten)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request as WSGI has it: from the cloud, or with the fault that is due."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if self.s3_is_down and not target:
            _body(environ)  # or the client sees a reset connection in place of the answer
            start_response("503 Service Unavailable", [("Content-Type", "application/xml")])
            return [_UNAVAILABLE]
        if target == "AmazonSQS.DeleteMessageBatch":
            body = _body(environ)
            entries = json.loads(body)["Entries"]
            if self._is_to_forget(entries):
                start_response("200 OK", [("Content-Type", "application/x-amz-json-1.0")])
                return [json.dumps({"Successful": [{"Id": entry["Id"]} for entry in entries]}).encode()]
            environ["wsgi.input"] = io.BytesIO(body)
        if target == "AmazonSQS.ReceiveMessage":
            with self._receiving:  # moto hands a message out twice to consumers that come at the same time
                return self._cloud(environ, start_response)
        return self._cloud(environ, start_response)

    def _is_to_forget(self, entries: list[dict[str, str]]) -> bool:
        with self._lock:
            if self._to_forget <= 0:
                return False
            self._to_forget -= len(entries)
            self._forgotten += [entry["ReceiptHandle"] for entry in entries]
            return True


@contextmanager
def running_cloud() -> Iterator[tuple[FaultSwitch, str]]:
    """Serve SQS and S3 for as long as the context lasts; the value is the switch, and the URL of both."""
    # moto comes with an extra of this package, and everything but this works without it
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class KeepAliveHandler(WSGIRequestHandler):
        """Keeps connections open from one request to the next."""

        protocol_version = "HTTP/1.1"

    switch = FaultSwitch(DomainDispatcherApplication(create_backend_app))
    server = make_server(LOOPBACK, 0, switch, threaded=True, request_handler=KeepAliveHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="cloud", daemon=True)
    thread.start()
    try:
        yield switch, f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object. `tag` and `modified` change whenever it is written."""

    key: str
    size: int
    tag: str
    modified: str

    @property
    def message_id(self) -> str:
        """The message that it was made from."""
        return self.key.rpartition("/")[2].removesuffix(".json").partition("_")[0]


class DemoAccount:
    """The demo's own AWS account, so to say: its queue, its dead-letter queue, its bucket."""

    def __init__(self, sqs: "SQSClient", s3: "S3Client") -> None:
        """Take the clients of both services; the queues and the bucket are made by `furnish`."""
        self.sqs = sqs
        self.s3 = s3
        self.queue_url = ""
        self._dead_letter_url = ""

    async def furnish(self) -> None:
        """Make the queues and the bucket, with versions kept, so that any overwriting would show."""
        self._dead_letter_url = (await self.sqs.create_queue(QueueName=DEAD_LETTER_QUEUE))["QueueUrl"]
        answer = await self.sqs.get_queue_attributes(QueueUrl=self._dead_letter_url, AttributeNames=["QueueArn"])
        policy = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": MAX_RECEIVE_COUNT}
        made = await self.sqs.create_queue(QueueName=QUEUE, Attributes={"RedrivePolicy": json.dumps(policy)})
        self.queue_url = made["QueueUrl"]
        await self.s3.create_bucket(Bucket=BUCKET)
        await self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    async def redeliver(self, receipt_handles: Sequence[str]) -> None:
        """Make messages that are in flight visible again at once."""
        for receipt_handle in receipt_handles:
            await self.sqs.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=0
            )

    async def left_on_queues(self) -> tuple[int, int]:
        """Messages on the queue in any state, and on the dead-letter queue."""
        return await self._count(self.queue_url), await self._count(self._dead_letter_url)

    async def versions(self) -> list[Version]:
        """Every version of every object that was made from a message, by key."""
        found: list[Version] = []
        async for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
            found += [
                Version(each["Key"], each["Size"], each["ETag"], each["LastModified"].isoformat())
                for each in page.get("Versions", ())
                if not each["Key"].startswith(PROBE_FOLDER)
            ]
        return sorted(found, key=lambda version: version.key)

    async def read(self, key: str) -> bytes:
        """The content of one object."""
        answer = await self.s3.get_object(Bucket=BUCKET, Key=key)
        async with answer["Body"] as stream:
            return await stream.read()

    async def read_all(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The contents of many objects."""
        rest = iter(keys)
        contents: dict[str, bytes] = {}

        async def read() -> None:
            for key in rest:
                contents[key] = await self.read(key)

        async with asyncio.TaskGroup() as tasks:
            for index in range(READERS):
                tasks.create_task(read(), name=f"reader-{index}")
        return contents

    async def quarantined(self, message_ids: Sequence[str]) -> int:
        """How many of these messages are in quarantine now."""
        answer = await self.s3.list_objects_v2(Bucket=BUCKET, Prefix="quarantine/")
        return sum(
            any(it["Key"].endswith(f"/{each}.json") for each in message_ids) for it in answer.get("Contents", ())
        )

    async def _count(self, queue_url: str) -> int:
        answer = await self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(_COUNTS))
        return sum(int(value) for value in answer["Attributes"].values())


@asynccontextmanager
async def opened_account(endpoint: str) -> AsyncIterator[DemoAccount]:
    """Clients that can reach nothing but `endpoint`."""
    session = aioboto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )
    options: Any = {"endpoint_url": endpoint}
    async with session.client("sqs", **options) as sqs, session.client("s3", **options) as s3:
        yield DemoAccount(sqs, s3)


def _body(environ: WSGIEnvironment) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body
