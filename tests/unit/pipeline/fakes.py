"""Hand-made fakes of the ports: they do as they are told, and what they were asked can be read."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from email_processor.domain.email import Pointer
from email_processor.domain.message import Message
from email_processor.ports import Archive, Inbox, Payloads, QueueGauge, QueueState, Stored, Verdict


@dataclass
class Call:
    """A request: what it was about, when it began, and when it ended."""

    about: tuple[object, ...]
    began: float
    ended: float | None = None


@dataclass
class Line:
    """Requests of one kind. Each takes `seconds`; `answers` come first, then `otherwise` is asked."""

    otherwise: Callable[..., object]
    seconds: float = 0.0
    answers: deque[object] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    running: int = 0
    high: int = 0

    async def ask(self, *about: object) -> object:
        """Make a request."""
        now = asyncio.get_running_loop().time
        call = Call(about, now())
        self.calls.append(call)
        self.running += 1
        self.high = max(self.high, self.running)
        answer = self.answers.popleft() if self.answers else self.otherwise(*about)
        try:
            await asyncio.sleep(self.seconds)
            if isinstance(answer, asyncio.Event):
                await answer.wait()
                answer = self.otherwise(*about)
        finally:
            self.running -= 1
            call.ended = now()
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeInbox(Inbox, QueueGauge):
    """A queue: empty, and content with everything, unless told otherwise."""

    def __init__(self) -> None:
        self.receives = Line(lambda *_: ())
        self.deletes = Line(lambda handles: [Verdict.DONE] * len(handles))
        self.changes = Line(lambda handles, _seconds: [Verdict.DONE] * len(handles))
        self.states = Line(lambda: QueueState(0, 0, 0, None))

    async def receive(self, limit: int, wait: int) -> Sequence[Message]:
        answer = await self.receives.ask(limit, wait)
        if not answer:
            await asyncio.sleep(wait)  # a long poll
        return answer  # type: ignore[return-value]

    async def delete(self, receipt_handles: Sequence[str]) -> Sequence[Verdict]:
        return await self.deletes.ask(tuple(receipt_handles))  # type: ignore[return-value]

    async def change_visibility(self, receipt_handles: Sequence[str], seconds: int) -> Sequence[Verdict]:
        return await self.changes.ask(tuple(receipt_handles), seconds)  # type: ignore[return-value]

    async def state(self) -> QueueState:
        return await self.states.ask()  # type: ignore[return-value]


class FakeStore(Archive, Payloads):
    """A bucket with conditional writes, and payloads in it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.payloads: dict[str, bytes] = {}
        self.puts = Line(self._put)
        self.fetches = Line(lambda pointer: self.payloads[pointer.key])

    def _put(self, key: str, document: bytes) -> Stored:
        if key in self.objects:
            return Stored.ALREADY_THERE
        self.objects[key] = document
        return Stored.CREATED

    async def put(self, key: str, document: bytes) -> Stored:
        return await self.puts.ask(key, document)  # type: ignore[return-value]

    async def fetch(self, pointer: Pointer) -> bytes:
        return await self.fetches.ask(pointer)  # type: ignore[return-value]
