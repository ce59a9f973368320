"""AWS for tests: two independent emulators as processes, and what a test needs to know of their queues and buckets."""

import json
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.session import Session

from tests.support.environment import clean_environment, unmeasured
from tests.support.waiting import eventually

REGION = "us-east-1"
ACCESS_KEY = "AKIATESTSONLY0000000"
SECRET_KEY = "never-to-be-seen-in-a-log"  # these two are canaries of `tests.support.overheard`
SESSION_TOKEN = "nor-is-this-token-for-anybody"
PROBES = "/check/probe-"  # stands in the key of every probe object
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Emulator:
    """An emulator of AWS that is running at `url`."""

    name: str
    url: str

    @cached_property
    def sqs(self) -> Any:  # noqa: ANN401 - botocore makes its clients while the program runs
        """A client of the emulator's queues."""
        return client("sqs", self.url)

    @cached_property
    def s3(self) -> Any:  # noqa: ANN401 - as above
        """A client of the emulator's buckets."""
        return client("s3", self.url)

    def new_queue(self, *, fifo: bool = False, **attributes: str) -> "Queue":
        """A queue of a name that nobody else has; `attributes` as SQS names them."""
        if fifo:
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        name = f"emails-{uuid.uuid4().hex}{'.fifo' if fifo else ''}"
        return Queue(self, self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])

    def new_bucket(self) -> "Bucket":
        """A bucket of a name that nobody else has."""
        name = f"archive-{uuid.uuid4().hex}"
        self.s3.create_bucket(Bucket=name)
        return Bucket(self, name)


@dataclass(frozen=True)
class Queue:
    """A queue of an emulator."""

    emulator: Emulator
    url: str

    def send(self, body: str, **options: Any) -> str:  # noqa: ANN401 - options of SendMessage
        """Send one message; its id."""
        answer = self.emulator.sqs.send_message(QueueUrl=self.url, MessageBody=body, **options)
        return str(answer["MessageId"])

    def send_all(self, bodies: Sequence[str]) -> list[str]:
        """Send many, ten at a time; their ids in the same order."""
        ids = []
        for start in range(0, len(bodies), 10):
            entries: list[Any] = [
                {"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies[start : start + 10])
            ]
            answer = self.emulator.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
            by_entry = {entry["Id"]: entry["MessageId"] for entry in answer["Successful"]}
            ids += [by_entry[entry["Id"]] for entry in entries]
        return ids

    def receive(self, visibility: int = 30) -> list[Any]:
        """Take up to ten messages as another consumer would, hidden for `visibility` seconds."""
        answer = self.emulator.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=visibility, MessageSystemAttributeNames=["All"]
        )
        return list(answer.get("Messages", ()))

    def hand_out_once(self) -> datetime:
        """Receive the only message and release it; when that was, which dates its key from then on."""
        (message,) = self.receive()
        self.release(message["ReceiptHandle"])
        milliseconds = int(message["Attributes"]["ApproximateFirstReceiveTimestamp"])
        return datetime.fromtimestamp(milliseconds // 1000, UTC)

    def release(self, receipt_handle: str) -> None:
        """Make a message visible at once."""
        self.emulator.sqs.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=receipt_handle, VisibilityTimeout=0
        )

    def release_all(self, receipt_handles: Iterable[str]) -> None:
        """Make many messages visible at once; those that are deleted stay deleted."""
        handles = list(receipt_handles)
        for start in range(0, len(handles), 10):
            entries = [
                {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for index, handle in enumerate(handles[start : start + 10])
            ]
            self.emulator.sqs.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)

    def attributes(self) -> Mapping[str, str]:
        """What the queue says of itself."""
        answer = self.emulator.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return dict(answer["Attributes"])

    @property
    def arn(self) -> str:
        """Its name for policies."""
        return self.attributes()["QueueArn"]

    @property
    def visible(self) -> int:
        """Messages that wait to be received."""
        return int(self.attributes()["ApproximateNumberOfMessages"])

    @property
    def in_flight(self) -> int:
        """Messages that somebody has received and not deleted."""
        return int(self.attributes()["ApproximateNumberOfMessagesNotVisible"])

    def is_empty(self) -> bool:
        """Whether nothing is left, visible or in flight."""
        now = self.attributes()
        return now["ApproximateNumberOfMessages"] == now["ApproximateNumberOfMessagesNotVisible"] == "0"

    def wait_until_empty(self, within: float = 30.0) -> None:
        """Return when nothing is left."""
        eventually(self.is_empty, "an empty queue", within=within)


@dataclass(frozen=True)
class Bucket:
    """A bucket of an emulator."""

    emulator: Emulator
    name: str

    def listing(self, prefix: str = "", *, with_probe: bool = False) -> list[str]:
        """The keys of its objects, sorted; the one that the service puts to probe the store only if it is asked for."""
        pages = self.emulator.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        keys = sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))
        return [key for key in keys if with_probe or PROBES not in key]

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        return bytes(self.emulator.s3.get_object(Bucket=self.name, Key=key)["Body"].read())

    def document(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """An object, as the JSON that it is."""
        return json.loads(self.read(key))

    def message_ids(self, prefix: str = "emails/") -> list[str]:
        """The message ids that stand in the documents under a prefix, sorted; twice if they are there twice."""
        return sorted(self.document(key)["message_id"] for key in self.listing(prefix))

    def write(self, key: str, body: bytes) -> None:
        """Store an object."""
        self.emulator.s3.put_object(Bucket=self.name, Key=key, Body=body)

    def keep_versions(self) -> None:
        """Keep everything that is ever written."""
        self.emulator.s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})

    def written(self, prefix: str = "") -> list[tuple[str, str]]:
        """Key and version of everything that was ever written, if versions are kept."""
        pages = self.emulator.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix)
        entries = (entry for page in pages for entry in page.get("Versions", ()))
        return [(entry["Key"], entry["VersionId"]) for entry in entries if PROBES not in entry["Key"]]

    def versions(self, prefix: str = "") -> list[bytes]:
        """The bytes of everything that was ever written, if versions are kept."""
        return [
            bytes(self.emulator.s3.get_object(Bucket=self.name, Key=key, VersionId=version)["Body"].read())
            for key, version in self.written(prefix)
        ]


@contextmanager
def moto_server() -> Iterator[Emulator]:
    """Moto's server as a process."""
    port = free_port()
    with _served([str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], {}, f"http://127.0.0.1:{port}") as url:
        yield Emulator("moto", url)


@contextmanager
def ministack_server() -> Iterator[Emulator]:
    """Ministack as a process."""
    port = free_port()
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LOG_LEVEL": "WARNING"}
    with _served([str(BIN / "ministack")], settings, f"http://127.0.0.1:{port}") as url:
        yield Emulator("ministack", url)


def free_port() -> int:
    """A TCP port that nobody listens on right now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def aws_environment(url: str) -> dict[str, str]:
    """The AWS variables that point a process at an emulator."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
    }


@contextmanager
def _served(command: list[str], settings: Mapping[str, str], url: str) -> Iterator[str]:
    """Run a server until the end of the context, in a directory of its own, from when it answers at `url`."""
    with tempfile.TemporaryDirectory() as directory, Path(directory, "output").open("wb+") as output:
        environment = {**unmeasured(clean_environment()), **settings, "TMPDIR": directory}
        process = subprocess.Popen(command, env=environment, cwd=directory, stdout=output, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: process.poll() is not None or _answers(url), f"an answer of {command[0]}", within=60)
            if process.poll() is not None:
                output.seek(0)
                raise RuntimeError(f"{command[0]} did not start:\n{output.read().decode(errors='replace')}")
            yield url
        finally:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - a URL of ours
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def client(service: str, url: str) -> Any:  # noqa: ANN401 - botocore makes its clients while the program runs
    """A client of an emulator."""
    return Session().create_client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"total_max_attempts": 3}, s3={"addressing_style": "path"}),
    )
