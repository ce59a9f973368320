"""Where a behaviour is looked for: the simulated AWS in virtual time, and two emulators behind the real adapters.

Each is a `Place`: the service's ports on one queue and one bucket, and what a test needs beside them.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import pytest

from email_processor.aws.connect import client_config, open_session
from email_processor.aws.shelf import SdkShelf, open_shelf
from email_processor.domain.email import Pointer
from email_processor.domain.message import Attribute, Message
from email_processor.ports import Archive, Inbox, Payloads, QueueGauge, Shelf
from tests.integration.opening import STORE, opened, point_at
from tests.simulation.connection import Facts
from tests.simulation.loop import Driver
from tests.simulation.shelf import SimShelf
from tests.simulation.world import BucketClient, QueueClient, SimBucket, SimQueue
from tests.support.emulators import Bucket, Emulator, Queue

T = TypeVar("T")

SIMULATION = "simulation"
EMULATORS = ("moto", "ministack")
LARGEST = 1024 * 1024  # object that is read from a shelf


@dataclass(frozen=True, slots=True)
class Terms:
    """What queue and bucket a behaviour needs. `visibility` is the visibility timeout of a receive, in seconds."""

    visibility: int = 30
    max_receive_count: int | None = None
    fifo: bool = False
    conditional: bool = True


class Line(Inbox, QueueGauge, Protocol):
    """Both ports of a queue."""


class Place(ABC):
    """A queue and a bucket, through the ports."""

    name: str
    queue: Line
    archive: Archive
    payloads: Payloads
    shelves: Sequence[Shelf]  # the bucket for who reads it, in each way that there is

    @abstractmethod
    def send(
        self, body: str, *, group: str = "", delay: int = 0, attributes: Mapping[str, Attribute] | None = None
    ) -> str:
        """Put a message on the queue, in a group of a FIFO queue, to be seen in `delay` seconds; its id."""

    @abstractmethod
    def dead(self) -> list[str]:
        """The bodies on the dead-letter queue."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """An object of the archive."""

    @abstractmethod
    def offload(self, key: str, payload: bytes) -> Pointer:
        """Store a payload."""

    def by(self, aws: T, **different: T) -> T:
        """What to expect: what AWS documents, unless this emulator is known to do something else.

        The simulation has to do as AWS does: nothing else can be stated of it.
        """
        assert different.keys() <= set(EMULATORS)
        return different.get(self.name, aws)

    async def take(self, limit: int = 10, *, within: int = 3) -> Message:
        """Receive the one message that there is or will be `within` so many seconds."""
        (message,) = await self.queue.receive(limit, within)
        return message

    @property
    def now(self) -> float:
        """Seconds, of the time that passes here."""
        return asyncio.get_running_loop().time()


class Simulated(Place):
    """The simulation's queue and bucket."""

    name = SIMULATION

    def __init__(self, driver: Driver, terms: Terms) -> None:
        """A new queue and a new bucket in the time of `driver`."""
        facts = Facts(driver)
        self._queue = SimQueue(
            driver,
            visibility_timeout=terms.visibility,
            max_receive_count=terms.max_receive_count,
            is_fifo=terms.fifo,
            facts=facts,
        )
        self._bucket = SimBucket(driver, facts, is_conditional=terms.conditional)
        self.queue: QueueClient = self._queue.client()
        bucket: BucketClient = self._bucket.client()
        self.archive = self.payloads = bucket
        self.shelves = [SimShelf.of(self._bucket)]

    def send(
        self, body: str, *, group: str = "", delay: int = 0, attributes: Mapping[str, Attribute] | None = None
    ) -> str:
        return self._queue.send(body.encode(), group=group or None, delay=delay, attributes=attributes)

    def dead(self) -> list[str]:
        return [self._queue.messages[message_id].body.decode() for message_id in self._queue.dead_lettered]

    def read(self, key: str) -> bytes:
        return self._bucket.objects[key]

    def offload(self, key: str, payload: bytes) -> Pointer:
        self._bucket.payloads["offloaded", key] = payload
        return Pointer("offloaded", key)


class Emulated(Place):
    """A queue and a bucket of an emulator, through the adapters that the service uses."""

    def __init__(self, emulator: Emulator, terms: Terms) -> None:
        """A new queue and a new bucket."""
        self.name = emulator.name
        self._dead = emulator.new_queue(fifo=terms.fifo)
        attributes = {}
        if terms.max_receive_count is not None:
            policy = {"deadLetterTargetArn": self._dead.arn, "maxReceiveCount": terms.max_receive_count}
            attributes["RedrivePolicy"] = json.dumps(policy)
        self._queue: Queue = emulator.new_queue(fifo=terms.fifo, **attributes)
        self._bucket: Bucket = emulator.new_bucket()
        self._terms = terms

    async def play(self, story: "Story") -> None:
        """Open the ports, and go through it."""
        store = replace(STORE, timeout=10, bucket=self._bucket.name)
        session, credentials = open_session(store.region)
        async with (
            opened(
                queue_url=self._queue.url,
                visibility_timeout=self._terms.visibility,
                timeout=10,
                bucket=self._bucket.name,
                conditional=self._terms.conditional,
            ) as aws,
            open_shelf(store, LARGEST) as (signed, _),
            session.client("s3", config=client_config(store.user_agent, timeout=store.timeout)) as client,
        ):
            self.queue, self.archive, self.payloads = aws.inbox, aws.archive, aws.payloads
            self.shelves = [signed, SdkShelf(store, client, LARGEST)]
            await story(self)
        await credentials.close()

    def send(
        self, body: str, *, group: str = "", delay: int = 0, attributes: Mapping[str, Attribute] | None = None
    ) -> str:
        options: dict[str, Any] = {"MessageGroupId": group} if group else {"DelaySeconds": delay}
        options["MessageAttributes"] = {
            name: {
                "DataType": it.data_type,
                ("BinaryValue" if isinstance(it.value, bytes) else "StringValue"): it.value,
            }
            for name, it in (attributes or {}).items()
        }
        return self._queue.send(body, **options)

    def dead(self) -> list[str]:
        return [message["Body"] for message in self._dead.receive(visibility=0)]

    def read(self, key: str) -> bytes:
        return self._bucket.read(key)

    def offload(self, key: str, payload: bytes) -> Pointer:
        self._bucket.write(key, payload)
        return Pointer(self._bucket.name, key)


Story = Callable[[Place], Awaitable[None]]


def behaviour(**terms: Any) -> Callable[[Story], Callable[..., None]]:  # noqa: ANN401 - those of `Terms`
    """Make a test of a story: it must be the same in the simulation and, through the adapters, on each emulator."""

    def decorate(story: Story) -> Callable[..., None]:
        def test(where: str, request: pytest.FixtureRequest) -> None:
            if where == SIMULATION:
                driver = Driver()
                driver.complete(_told(story, Simulated(driver, Terms(**terms))))
                return
            emulator: Emulator = request.getfixturevalue(where)
            point_at(emulator.url, request.getfixturevalue("monkeypatch"))
            asyncio.run(Emulated(emulator, Terms(**terms)).play(story))

        test.__name__ = story.__name__
        test.__doc__ = story.__doc__
        return pytest.mark.parametrize("where", [SIMULATION, *EMULATORS])(test)

    return decorate


async def _told(story: Story, place: Place) -> None:
    await story(place)
