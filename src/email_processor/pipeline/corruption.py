"""Bodies that are not what the queue hashed: spoiled on their way, or always so."""

from collections import OrderedDict
from typing import TypeAlias

from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.message import Message

REMEMBERED_MAX = 1_000  # messages

Digests: TypeAlias = tuple[str | None, str]  # what the queue says of a body, and what it is


class Corruption:
    """Tells which of them are always so.

    What was spoiled on its way is another body the next time, so it is left to the queue. A body that comes as before,
    though the queue says otherwise of it, will never be right: on its last receive it is better kept than lost.
    """

    def __init__(self) -> None:
        """None was seen yet."""
        self._seen: OrderedDict[str, Digests] = OrderedDict()

    def flaw_of(self, message: Message, max_receive_count: int | None) -> UnarchivableError | None:
        """What is wrong with a body that is not what the queue hashed; None if it should be received again."""
        digests = (message.md5_of_body, message.md5)
        is_as_before = self._seen.pop(message.message_id, None) == digests
        if is_as_before and max_receive_count is not None and message.receive_count >= max_receive_count:
            return UnarchivableError(
                Reason.CORRUPT, f"the MD5 of the body is {digests[1]}, and the queue says {digests[0]} of it every time"
            )
        self._seen[message.message_id] = digests
        if len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)
        return None
