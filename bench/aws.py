"""A queue and a bucket that know the truth: what was sent, what is stored and what was deleted, and in which order."""

import heapq
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.faults import FaultSchedule
from bench.mail import BenchMail, MailSource, message_id, number_of

# As long as a real one: clients carry it around and send it back.
_HANDLE_PADDING = "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a" * 5
_SENDER_ID = b"AIDAIENQZJOLO23YVJ4VO"


class Held(NamedTuple):
    """A message that somebody has received: which receive it was, and until when it stays hidden."""

    receive: int
    until: float


@dataclass(slots=True)
class QueuedMessage:
    """A message on the queue. Times are epoch seconds."""

    mail: BenchMail
    sent_at: float
    first_received_at: float = 0.0
    receives: int = 0
    stored_at: float = 0.0
    held: Held | None = None


@dataclass(slots=True)
class Totals:
    """What happened. A message counts once it is deleted, and only if it was stored before, byte for byte."""

    counted: int = 0
    lost: int = 0  # deleted, but not stored
    damaged: int = 0  # objects that should hold a message's body and do not
    overwritten: int = 0
    twice: int = 0  # objects of messages that had one under another key
    quarantined: int = 0
    already_there: int = 0
    redelivered: int = 0
    stale_handles: int = 0
    throttled: int = 0
    sent_to_stored: list[float] = field(default_factory=list)


class CountingQueue:
    """An SQS queue. It is filled by `send`, or makes messages as they are asked for, up to the one numbered `until`.

    With `faults` it hands messages out twice, cuts bodies and forgets deletes, as SQS may.
    """

    def __init__(
        self, post: MailSource, tally: Totals, *, until: float = 0, faults: FaultSchedule | None = None
    ) -> None:
        """Messages carry emails of `post`."""
        self._post = post
        self._tally = tally
        self._faults = faults
        self.until = until
        self.sent = 0
        self._messages: dict[int, QueuedMessage] = {}
        self._visible: deque[int] = deque()
        self._hidden: list[tuple[float, int]] = []  # when which message may become visible again

    def __contains__(self, number: int) -> bool:
        """Whether this message is on the queue."""
        return number in self._messages

    def __getitem__(self, number: int) -> QueuedMessage:
        """A message on the queue, visible or in flight."""
        return self._messages[number]

    def send(self, now: float) -> None:
        """Put one more message on the queue."""
        self._messages[self.sent] = QueuedMessage(self._post.mail(self.sent), sent_at=now)
        self._visible.append(self.sent)
        self.sent += 1

    @property
    def is_finished(self) -> bool:
        """Whether all that was to be sent is sent and deleted."""
        return self.sent >= self.until and not self._messages

    def receive(self, limit: int, visibility: float, now: float, *, with_attributes: bool) -> list[bytes]:
        """Hand out up to `limit` messages, as entries of SQS's answer, and hide them for `visibility` seconds."""
        self._return_expired(now)
        while self.sent < self.until and len(self._visible) < limit:
            self.send(now)
        entries: list[bytes] = []
        again: list[int] = []
        while self._visible and len(entries) < limit:
            number = self._visible.popleft()
            message = self._messages.get(number)
            if message is None:  # a second delivery, and the first has deleted it
                continue
            message.receives += 1
            self._tally.redelivered += message.receives > 1
            message.first_received_at = message.first_received_at or now
            self._hold(number, message, now + visibility)
            entries.append(self._entry(number, message, with_attributes=with_attributes))
            if self._faults is not None and self._faults.delivers_twice():
                again.append(number)
        self._visible.extend(again)
        return entries

    def delete(self, handle: str) -> bool:
        """Delete by receipt handle; False if the handle was never good. A stale one is accepted and deletes nothing."""
        found = self._read(handle)
        if found is None:
            return False
        number, receive = found
        message = self._messages.get(number)
        if message is None:
            return number < self.sent
        if message.held is None or message.held.receive != receive:
            self._tally.stale_handles += 1
            return True
        if self._faults is not None and self._faults.forgets_delete():
            return True
        del self._messages[number]
        if message.stored_at:
            self._tally.counted += 1
        else:
            self._tally.lost += 1
        return True

    def change_visibility(self, handle: str, seconds: float, now: float) -> bool:
        """Hide a message for `seconds` from now; False if the handle does not hold it."""
        number, receive = self._read(handle) or (-1, -1)
        message = self._messages.get(number)
        if message is None or message.held is None or message.held.receive != receive:
            return False
        self._hold(number, message, now + seconds)
        self._return_expired(now)
        return True

    def counts(self, now: float) -> tuple[int, int]:
        """How many messages are visible and how many in flight."""
        self._return_expired(now)
        return len(self._visible), max(0, len(self._messages) - len(self._visible))

    def _hold(self, number: int, message: QueuedMessage, until: float) -> None:
        message.held = Held(message.receives, until)
        heapq.heappush(self._hidden, (until, number))

    def _return_expired(self, now: float) -> None:
        while self._hidden and self._hidden[0][0] <= now:
            until, number = heapq.heappop(self._hidden)
            message = self._messages.get(number)
            if message is not None and message.held is not None and message.held.until == until:
                message.held = None
                self._visible.append(number)

    def _entry(self, number: int, message: QueuedMessage, *, with_attributes: bool) -> bytes:
        mail = message.mail
        attributes = b""
        if with_attributes:
            attributes = b',"Attributes":{"SenderId":"%b","ApproximateFirstReceiveTimestamp":"%d",' % (
                _SENDER_ID,
                message.first_received_at * 1000,
            ) + b'"ApproximateReceiveCount":"%d","SentTimestamp":"%d"}' % (message.receives, message.sent_at * 1000)
        is_damaged = self._faults is not None and self._faults.damages_body()
        return b'{"MessageId":"%b","ReceiptHandle":"%b","MD5OfBody":"%b","Body":"%b%b"%b}' % (
            message_id(number).encode(),
            f"{number:08x}.{message.receives:04x}.{_HANDLE_PADDING}".encode(),
            mail.md5[::-1] if is_damaged else mail.md5,
            mail.escaped_head,
            mail.escaped,
            attributes,
        )

    @staticmethod
    def _read(handle: str) -> tuple[int, int] | None:
        number, _, rest = handle.partition(".")
        receive, _, padding = rest.partition(".")
        if padding != _HANDLE_PADDING:
            return None
        return int(number, 16), int(receive, 16)


class StoredObject(NamedTuple):
    """An object: if it holds message `number`, only what stands before and after the message's body is kept."""

    before: bytes
    number: int
    after: bytes
    etag: str


class CountingBucket:
    """An S3 bucket. It looks for the message's body in every object whose key holds a message id."""

    def __init__(self, post: MailSource, queue: CountingQueue, tally: Totals) -> None:
        """Objects hold messages of `queue`."""
        self._post = post
        self._queue = queue
        self._tally = tally
        self._objects: dict[bytes, StoredObject] = {}
        self._has_object: set[int] = set()

    def put(self, key: bytes, data: bytes, now: float, *, if_none_match: bool) -> str | None:
        """Store an object; its ETag, or None if it is there already and `if_none_match` was asked for."""
        if key in self._objects:
            if if_none_match:
                self._tally.already_there += 1
                return None
            self._tally.overwritten += 1
        etag = f'"{zlib.crc32(data):08x}"'
        number = number_of(key)
        self._count_object(number, key)
        if number not in self._queue:
            self._objects[key] = StoredObject(data, -1, b"", etag)
            return etag
        message = self._queue[number]
        mail = message.mail
        start = mail.find_in(data) if mail.is_broken == (b"/quarantine/" in key) else -1
        if start == -1:
            self._tally.damaged += 1
            self._objects[key] = StoredObject(data, -1, b"", etag)
            return etag
        self._objects[key] = StoredObject(data[:start], number, data[start + mail.stored_size :], etag)
        if not message.stored_at:
            message.stored_at = now
            self._tally.quarantined += mail.is_broken
            self._tally.sent_to_stored.append(now - message.sent_at)
        return etag

    def _count_object(self, number: int, key: bytes) -> None:
        if number != -1 and key not in self._objects:
            self._tally.twice += number in self._has_object
            self._has_object.add(number)

    def get(self, key: bytes) -> tuple[bytes, str] | None:
        """An object and its ETag; None if there is none."""
        stored = self._objects.get(key)
        if stored is None:
            return None
        if stored.number == -1:
            return stored.before, stored.etag
        return stored.before + self._post.mail(stored.number).stored + stored.after, stored.etag


class Throttle:
    """A bucket of tokens: `rate` requests a second, and a second's worth at once. No rate: no limit."""

    def __init__(self, rate: float | None) -> None:
        """Begin with a second's worth of tokens."""
        self._rate = rate
        self._tokens = rate or 0.0
        self._at = 0.0

    def admits(self, now: float) -> bool:
        """Whether one more request is within the rate."""
        if self._rate is None:
            return True
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
