"""The bucket as the commands read it: tried again, held back when S3 says so, counted, priced, and never too often."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from prometheus_client import CollectorRegistry

from email_processor import __version__
from email_processor.aws.shelf import Configured, open_shelf
from email_processor.domain.errors import Cause, StoreFaultError
from email_processor.metrics import Metrics
from email_processor.options import store_options
from email_processor.pipeline.limiter import Limiter
from email_processor.pipeline.waiting import EARLY_SECONDS, Backoff
from email_processor.ports import Clock, Listed, ListedPage, Shelf, Stored
from email_processor.settings import Settings
from email_processor.tools.amounts import counted
from email_processor.tools.archive.concurrently import mapped, task_group
from email_processor.tools.archive.sharing import KeyRange, SharedRanges, order
from email_processor.tools.archive.text import say
from email_processor.tools.command import WrongUseError

T = TypeVar("T")

LISTS_AT_ONCE = 32
OBJECTS_AT_ONCE = 96
OBJECT_BYTES = 8 * 1024 * 1024  # under way at once
MESSAGE_BYTES = 2 * 1024 * 1024  # more than a message and its attributes have
ESCAPED = 6  # bytes in JSON for one that has to be escaped
SILENCE_SECONDS = 4.0  # without any answer, after which somebody who watches is told
LATE_SECONDS = 1.0  # of a look after it: nobody read our answers, as when a pager holds up what we write
TRIES = 10  # of one request; the pauses between them add up to a minute or so


class Kind(Enum):
    """A kind of request: what it has done, to what, and its price in dollars (us-east-1, S3 Standard)."""

    LIST = "listed", "page", 5e-6
    GET = "read", "object", 4e-7
    PUT = "wrote", "object", 5e-6
    DELETE = "deleted", "object", 0.0
    SETTING = "read", "setting", 4e-7

    @property
    def dollars(self) -> float:
        """What one request costs."""
        return self.value[2]

    def times(self, count: int) -> str:
        """So many of them, as a command says it at its end."""
        done, noun, _ = self.value
        return f"{done} {counted(count, noun)}"


@dataclass(slots=True)
class RequestTally:
    """The requests that were made, those included that failed: S3 wants money for them as well."""

    counts: Counter[Kind] = field(default_factory=Counter)
    total: int = 0

    def add(self, kind: Kind) -> None:
        """One more."""
        self.counts[kind] += 1
        self.total += 1

    @property
    def dollars(self) -> float:
        """What all of them cost."""
        return sum(count * kind.dollars for kind, count in self.counts.items())

    def __str__(self) -> str:
        """Say how many of each kind, and the price."""
        parts = [kind.times(self.counts[kind]) for kind in Kind if self.counts[kind]]
        return ", ".join([*parts, f"${self.dollars:.4f}"])


class Silence:
    """Whether S3 answers at all: whoever waits in front of a terminal hears, once, what is waited for."""

    def __init__(self, clock: Clock, tell: Callable[[str], None]) -> None:
        """`tell` is called after `SILENCE_SECONDS` without an answer."""
        self._clock = clock
        self._tell = tell
        self._fault = ""
        self._asking = 0
        self._last = 0.0  # when something was answered, or the first request was begun
        self._timer: asyncio.TimerHandle | None = None
        self._is_told = False

    @contextmanager
    def listened_to(self) -> Iterator[None]:
        """A request is made in here, and made again."""
        if not self._asking:
            self._last = self._clock.monotonic()
        self._asking += 1
        if self._timer is None and not self._is_told:
            self._look_in(SILENCE_SECONDS)
        try:
            yield
        finally:
            self._asking -= 1

    def end(self) -> None:
        """Something was answered."""
        self._last = self._clock.monotonic()

    def failed(self, fault: StoreFaultError) -> None:
        """A request failed, and may be made again."""
        self._fault = fault.detail

    def _look_in(self, seconds: float) -> None:
        due = self._clock.monotonic() + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look, due)

    def _look(self, due: float) -> None:
        self._timer = None
        now = self._clock.monotonic()
        if not self._asking:
            return
        if now > due + LATE_SECONDS:
            self._last = now
        silent = now - self._last
        if silent + EARLY_SECONDS < SILENCE_SECONDS:
            self._look_in(SILENCE_SECONDS - silent)
            return
        self._is_told = True
        why = f" ({self._fault})" if self._fault else ""
        self._tell(f"Waiting for S3, which has answered nothing for {silent:.0f} s{why}. Ctrl-C ends it.")


class Reader:
    """Requests to a bucket: each is tried again, unless that is in vain, and no more are under way than S3 bears."""

    def __init__(
        self,
        shelf: Shelf,
        clock: Clock,
        uniform: Callable[[float, float], float],
        most_requests: int | None = None,
        tell: Callable[[str], None] = say,
    ) -> None:
        """After `most_requests` it raises `WrongUseError`: whoever asks would wait and pay more than they know.

        `tell` hears once if S3 is silent.
        """
        self._shelf = shelf
        self._clock = clock
        self._uniform = uniform
        self._most = most_requests
        self._limiter = Limiter(
            clock,
            Metrics(CollectorRegistry(), __version__),
            Backoff(uniform),
            start=LISTS_AT_ONCE,
            most=OBJECTS_AT_ONCE,
            most_bytes=OBJECT_BYTES,
        )
        self._silence = Silence(clock, tell)
        self.tally = RequestTally()

    async def page(self, prefix: str, after: str = "") -> ListedPage:
        """The first objects behind `after` whose keys begin with `prefix`."""
        return await self._ask(Kind.LIST, lambda: self._shelf.page(prefix, after))

    async def get(self, key: str, size: int = 0) -> bytes | None:
        """An object of about `size` bytes; None if it is not there."""
        return await self._ask(Kind.GET, lambda: self._shelf.get(key), size)

    async def put(self, key: str, document: bytes) -> Stored:
        """Store an object unless its key is taken."""
        return await self._ask(Kind.PUT, lambda: self._shelf.put(key, document), len(document))

    async def delete(self, key: str) -> None:
        """Delete an object."""
        await self._ask(Kind.DELETE, lambda: self._shelf.delete(key))

    async def setting(self, request: Callable[[], Awaitable[T]]) -> T:
        """What the bucket is set to, by a `request` that raises `StoreFaultError` when the store fails."""
        return await self._ask(Kind.SETTING, request)

    async def _ask(self, kind: Kind, request: Callable[[], Awaitable[T]], size: int = 0) -> T:
        with self._silence.listened_to():
            return await self._tried(kind, request, size)

    async def _tried(self, kind: Kind, request: Callable[[], Awaitable[T]], size: int) -> T:
        backoff = Backoff(self._uniform)
        failures = 0
        while True:
            self._count(kind)
            async with self._limiter.slot(size):
                began = self._clock.monotonic()
                try:
                    answer = await request()
                except StoreFaultError as fault:
                    failures += 1
                    self._silence.failed(fault)
                    if fault.cause is Cause.THROTTLED:
                        self._limiter.throttle(began)
                    if fault.cause.needs_a_person or failures >= TRIES:
                        raise
                else:
                    self._silence.end()
                    self._limiter.succeed(began, size)
                    return answer
            await backoff.wait()

    def _count(self, kind: Kind) -> None:
        if self._most is not None and self.tally.total >= self._most:
            raise WrongUseError(
                f"This takes more than {self._most:,} requests ({self.tally}).",
                fix="Ask for fewer days or for a sender, or raise --max-requests. With --plan it says what it will do.",
            )
        self.tally.add(kind)

    async def objects(self, ranges: Iterable[KeyRange]) -> AsyncGenerator[Sequence[Listed], None]:
        """The objects of all ranges in their order, a page at a time; the first pages are asked for ahead."""

        async def source() -> AsyncGenerator[KeyRange, None]:
            for each in ranges:
                yield each

        async def first(each: KeyRange) -> tuple[KeyRange, ListedPage]:
            return each, await self.page(each.prefix, each.after)

        async with mapped(source(), first, LISTS_AT_ONCE) as found:
            async for each, page in found:
                async for objects in self._pages(each, page):
                    yield objects

    async def _pages(self, each: KeyRange, page: ListedPage) -> AsyncGenerator[Sequence[Listed], None]:
        """A page, and those behind it as far as the range goes."""
        while True:
            inside = within(each, page.objects)
            yield inside
            if page.is_last or len(inside) < len(page.objects):  # mutant: next-page
                return
            page = await self.page(each.prefix, page.objects[-1].key)

    async def each_page(self, ranges: Iterable[KeyRange], handle: Callable[[Sequence[Listed]], None]) -> None:
        """Hand the objects of all ranges to `handle`, a page at a time and in no order: as fast as S3 answers."""
        shared = SharedRanges(ranges, LISTS_AT_ONCE)
        async with task_group() as tasks:

            def begin() -> None:
                while (each := shared.begin()) is not None:
                    tasks.create_task(work(each))

            async def work(each: KeyRange) -> None:
                while True:
                    page = await self.page(each.prefix, each.after)
                    inside = within(each, page.objects)
                    handle(inside)
                    if page.is_last or len(inside) < len(page.objects):
                        break
                    each = shared.go_on(each._replace(after=page.objects[-1].key))
                    begin()
                shared.end()
                begin()

            begin()


def within(each: KeyRange, objects: Sequence[Listed]) -> Sequence[Listed]:
    """Those of a page that are still in the range."""
    if not each.last or not objects or order(objects[-1].key) <= order(each.last):
        return objects
    return [it for it in objects if order(it.key) <= order(each.last)]


def bucket_settings(settings: Settings) -> object:
    """Read those settings that the commands on the bucket need."""
    prefixes = settings.s3_key_prefix, settings.s3_quarantine_prefix
    return store_options(settings), settings.payload_max_bytes, prefixes


@asynccontextmanager
async def open_reader(settings: Settings, most_requests: int | None = None) -> AsyncIterator[tuple[Reader, Configured]]:
    """The bucket of the settings, to be read.

    Raises:
        StartError: the AWS configuration cannot be used.
    """
    clock = Clock(monotonic=asyncio.get_running_loop().time, wall=time.time)
    largest = ESCAPED * (settings.payload_max_bytes + MESSAGE_BYTES)  # that the service can have written
    async with open_shelf(store_options(settings), largest) as (shelf, configured):
        yield Reader(shelf, clock, random.Random().uniform, most_requests), configured  # noqa: S311 - it spreads retries
