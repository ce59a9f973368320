"""The emails: made from a number and a size, always the same, each one different."""

import hashlib
import re
from typing import NamedTuple, Protocol

_TEXT = (
    'Hello,\\r\\n\\r\\nyour order no. 4711 (\\"Blue Lamp\\", 2 pieces) left our warehouse today and should reach you '
    "within three working days.\\r\\nTrack it at https://shop.example.com/orders/4711?lang=en&src=mail .\\r\\n\\r\\n"
    "Ihre Bestellung ist unterwegs - vielen Dank f\u00fcr Ihr Vertrauen! \u00c0 bient\u00f4t \u2764\\r\\n"
    "-- \\r\\nThe Shop, 1 Example Street, Springfield\\r\\n"
).encode()
_TAIL_BYTES = 240  # everything of a body that is its own, the sender's name included
_ID = re.compile(rb"[0-9a-f]{8}-0000-4000-8000-000000000000")

KIB = 1024
SIZE_MIN = 512
JUMP_AT = 20_000  # emails: time enough in a pod for hundreds of connections
BROKEN_REMAINDER = 60  # of a message's number by 100
FIRST_SENT = 1_693_561_101  # epoch seconds


class BenchMail(NamedTuple):
    """A message: a head that others share and a tail of its own, raw and as parts of a JSON string.

    A broken one is no email: its object is one in quarantine, and holds the body as a JSON string.
    """

    number: int
    head: bytes
    tail: bytes
    escaped_head: bytes
    escaped: bytes
    md5: bytes
    is_broken: bool = False

    @property
    def body(self) -> bytes:
        """The body as it is sent: what many emails share, then what is its own."""
        return self.head + self.tail

    @property
    def stored(self) -> bytes:
        """What its object must hold."""
        return self.escaped_head + self.escaped if self.is_broken else self.body

    @property
    def stored_size(self) -> int:
        """How many bytes that is."""
        return len(self.escaped_head) + len(self.escaped) if self.is_broken else len(self.head) + len(self.tail)

    def find_in(self, data: bytes) -> int:
        """Where in `data` that stands, byte for byte; -1 if nowhere."""
        if self.is_broken:
            return data.find(self.stored)
        start = data.find(self.tail) - len(self.head)
        return start if start >= 0 and data.startswith(self.head, start) else -1


class MailSource(Protocol):
    """Makes any message of a run from its number alone, so that none has to be kept."""

    def mail(self, number: int) -> BenchMail:
        """Make message `number`; the same each time."""
        ...


class Post:
    """Emails of `size` bytes each. Their bodies begin alike and end each in its own way."""

    def __init__(self, size: int) -> None:
        """Make what they share once, so that making one is cheap."""
        if size < SIZE_MIN:
            raise ValueError(f"an email has at least {SIZE_MIN} bytes, not {size}")
        start = b'{"email_content":"'
        room = size - len(start) - _TAIL_BYTES
        text = _TEXT * (room // len(_TEXT))
        self._head = start + text + b"." * (room - len(text))
        self._escaped_head = _escape(self._head)
        self._md5_of_head = hashlib.md5(self._head, usedforsecurity=False)

    def mail(self, number: int) -> BenchMail:
        """Make email `number`: the head that all share, and a tail of its own."""
        name = f"jane.doe{number % 997:03}"
        sender = f"{name}@example.com" if number % 2 else f'\\"Doe, Jane\\" <{name}@example.com>'
        text = (
            f'","email_sender":"{sender}","email_timestream":"{FIRST_SENT + number}","email_subject":"Order {number} '
        )
        tail = text.encode().ljust(_TAIL_BYTES - 2, b"*") + b'"}'
        md5 = self._md5_of_head.copy()
        md5.update(tail)
        return BenchMail(number, self._head, tail, self._escaped_head, _escape(tail), md5.hexdigest().encode())


class JumpingPost:
    """Emails of one size, and after some thousands of them all of another."""

    def __init__(self, size: int, later: int) -> None:
        """Both in bytes."""
        self._first, self._later = Post(size), Post(later)

    def mail(self, number: int) -> BenchMail:
        """Make email `number`."""
        return (self._first if number < JUMP_AT else self._later).mail(number)


class MixedPost:
    """Mostly 1 to 8 KiB; in a hundred two of 64 KiB and a broken one; in a thousand one of 1 MiB."""

    def __init__(self) -> None:
        """Make what each size shares."""
        self._common = [Post(size * KIB) for size in (1, 2, 4, 8)]
        self._large = Post(64 * KIB)
        self._largest = Post(1024 * KIB)

    def mail(self, number: int) -> BenchMail:
        """Make message `number`: its number decides its size, and whether it is broken."""
        if number % 1000 == 500:  # noqa: PLR2004 - one in a thousand
            return self._largest.mail(number)
        if number % 50 == 25:  # noqa: PLR2004 - two in a hundred
            return self._large.mail(number)
        if number % 100 == BROKEN_REMAINDER:
            return _broken(number)
        return self._common[number % len(self._common)].mail(number)

    @staticmethod
    def broken_below(number: int) -> int:
        """How many of the first `number` messages are broken."""
        return (number + 99 - BROKEN_REMAINDER) // 100


def message_id(number: int) -> str:
    """The id of message `number`, as SQS writes ids."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def number_of(key: bytes) -> int:
    """The number of the message whose id a key holds; -1 if it holds none."""
    found = _ID.search(key)
    return int(found[0][:8], 16) if found else -1


def _broken(number: int) -> BenchMail:
    """No JSON, no object, or an object without the fields."""
    bodies = (f"order {number}, sent by hand", f'["order", {number}]', f'{{"order": {number}}}')
    body = bodies[number // 100 % len(bodies)].encode()
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest().encode()
    return BenchMail(number, b"", body, b"", _escape(body), md5, is_broken=True)


def _escape(raw: bytes) -> bytes:
    return raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
