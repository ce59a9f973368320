"""The emails: made from a number and a size, always the same, each one different."""

import hashlib
import re
from typing import NamedTuple

_TEXT = (
    'Hello,\\r\\n\\r\\nyour order no. 4711 (\\"Blue Lamp\\", 2 pieces) left our warehouse today and should reach you '
    "within three working days.\\r\\nTrack it at https://shop.example.com/orders/4711?lang=en&src=mail .\\r\\n\\r\\n"
    "Ihre Bestellung ist unterwegs - vielen Dank f\u00fcr Ihr Vertrauen! \u00c0 bient\u00f4t \u2764\\r\\n"
    "-- \\r\\nThe Shop, 1 Example Street, Springfield\\r\\n"
).encode()
_TAIL_BYTES = 240  # everything of a body that is its own, the sender's name included
_ID = re.compile(rb"[0-9a-f]{8}-0000-4000-8000-000000000000")

SIZE_MIN = 512
FIRST_SENT = 1_693_561_101  # epoch seconds


class Mail(NamedTuple):
    """One email: `tail` is its own end of the body, `escaped` the same as part of a JSON string."""

    number: int
    tail: bytes
    escaped: bytes
    md5: bytes


class Post:
    """Emails of `size` bytes each. Their bodies begin alike and end each in its own way."""

    def __init__(self, size: int) -> None:
        """Make what they share once, so that making one is cheap."""
        if size < SIZE_MIN:
            raise ValueError(f"an email has at least {SIZE_MIN} bytes, not {size}")
        start = b'{"email_content":"'
        room = size - len(start) - _TAIL_BYTES
        text = _TEXT * (room // len(_TEXT))
        self.head = start + text + b"." * (room - len(text))
        self.escaped_head = _escape(self.head)
        self._md5_of_head = hashlib.md5(self.head, usedforsecurity=False)

    def mail(self, number: int) -> Mail:
        """Make email `number`."""
        name = f"jane.doe{number % 997:03}"
        sender = f"{name}@example.com" if number % 2 else f'\\"Doe, Jane\\" <{name}@example.com>'
        text = (
            f'","email_sender":"{sender}","email_timestream":"{FIRST_SENT + number}","email_subject":"Order {number} '
        )
        tail = text.encode().ljust(_TAIL_BYTES - 2, b"*") + b'"}'
        md5 = self._md5_of_head.copy()
        md5.update(tail)
        return Mail(number, tail, _escape(tail), md5.hexdigest().encode())

    def body(self, mail: Mail) -> bytes:
        """The whole body."""
        return self.head + mail.tail

    def find(self, mail: Mail, data: bytes) -> int:
        """Where in `data` the whole body stands, byte for byte; -1 if nowhere."""
        start = data.find(mail.tail) - len(self.head)
        return start if start >= 0 and data.startswith(self.head, start) else -1


def message_id(number: int) -> str:
    """The id of message `number`, as SQS writes ids."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def number_of(key: bytes) -> int:
    """The number of the message whose id a key holds; -1 if it holds none."""
    found = _ID.search(key)
    return int(found[0][:8], 16) if found else -1


def _escape(raw: bytes) -> bytes:
    return raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
