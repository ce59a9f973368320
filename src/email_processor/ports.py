"""What pipeline and tools need from outside: narrow ports, implemented in `aws` and by the tests' doubles."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, Protocol

from email_processor.domain.email import Pointer
from email_processor.domain.message import Message

BATCH = 10  # most entries in one SQS receive or batch request
SLOWEST_BYTES_PER_SECOND = 1024 * 1024  # that a large document is sent with: its PUT may take so much longer


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, injected: `monotonic` is the event loop's own clock, `wall` is epoch seconds."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]


class Verdict(Enum):
    """What became of one entry of a batch."""

    DONE = auto()
    GONE = auto()  # the receipt handle is no longer good: somebody else has the message, or it is deleted
    FAILED = auto()  # try it again


Admission = Callable[[int], Awaitable[None]]  # returns when there is room for so many bytes


class Inbox(Protocol):
    """The queue. Every method raises `QueueFaultError` when the queue as a whole fails; batches are at most ten."""

    async def receive(self, limit: int, wait: int, admit: Admission | None = None) -> Sequence[Message]:
        """Take up to `limit` messages, waiting up to `wait` seconds for the first.

        An answer that is more than a little is not read before `admit` has returned, which is called at most once, in
        the task of the caller, with the most bytes that the answer can have.
        """
        ...

    async def delete(self, receipt_handles: Sequence[str]) -> Sequence[Verdict]:
        """Delete a batch; one verdict for each handle, in order."""
        ...

    async def change_visibility(self, receipt_handles: Sequence[str], seconds: int) -> Sequence[Verdict]:
        """Hide a batch for `seconds` from now (0 gives it back at once); one verdict for each handle, in order."""
        ...


class Stored(Enum):
    """What a put found."""

    CREATED = auto()
    ALREADY_THERE = auto()


@dataclass(frozen=True, slots=True)
class ProbeObject:
    """What is put to find out whether the store is up; it is always the same, and may be there already."""

    key: str
    document: bytes


class Archive(Protocol):
    """The bucket."""

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already; when it returns, the object is durable.

        A key that is taken by something else than a document of the same message is stored again.

        Raises:
            StoreFaultError: the store failed; nothing is known of the object.
            ObjectRefusedError: the store will never take this object.
        """
        ...


class Listed(NamedTuple):
    """An object as a listing has it; `size` in bytes."""

    key: str
    size: int


class ListedPage(NamedTuple):
    """Up to a thousand objects in key order, and whether there are none behind them."""

    objects: Sequence[Listed]
    is_last: bool


class Shelf(Protocol):
    """The bucket, for who reads what was archived. Every method raises `StoreFaultError` when the store fails."""

    async def page(self, prefix: str, after: str) -> ListedPage:
        """The first objects whose keys begin with `prefix` and come behind `after` in the order of UTF-8."""
        ...

    async def get(self, key: str) -> bytes | None:
        """An object's bytes; None if there is no such object."""
        ...

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already, whatever is there."""
        ...

    async def delete(self, key: str) -> None:
        """Delete an object; it is no error if it is not there."""
        ...


class Payload(Protocol):
    """A payload of which the head has come, and the body is still with the store."""

    @property
    def size(self) -> int:
        """How many bytes it has; the most that it may have, if the store does not tell."""
        ...

    async def read(self) -> bytes:
        """Read it.

        Raises:
            PayloadTooLargeError: it is larger than we are allowed to hold.
            StoreFaultError: it did not come whole.
        """
        ...


class Payloads(Protocol):
    """Bodies that were too big for the queue."""

    def opened(self, pointer: Pointer) -> AbstractAsyncContextManager[Payload]:
        """Ask for a payload; it can be read as long as the context lasts.

        Raises:
            PayloadMissingError: there is no such object.
            PayloadTooLargeError: it is larger than we are allowed to hold.
            StoreFaultError: anything else.
        """
        ...


@dataclass(frozen=True, slots=True)
class QueueState:
    """What the queue says of itself. Counts are approximate; `max_receive_count` is that of its redrive policy."""

    visible: int
    in_flight: int
    delayed: int
    max_receive_count: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the container allows: bytes of memory, and open files."""

    memory_bytes: int
    descriptors: int


class QueueGauge(Protocol):
    """The queue's own figures."""

    async def state(self) -> QueueState:
        """Read them. Raises `QueueFaultError`."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """A health answer: `parts` says how each part is."""

    ok: bool
    parts: Mapping[str, object]
