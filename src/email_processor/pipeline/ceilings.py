"""Ceilings: how much may be under way at most, by what the container allows. How much is, follows from the work."""

from dataclasses import dataclass

from email_processor.domain.message import MESSAGE_MAX_BYTES
from email_processor.pipeline.room import Budget
from email_processor.ports import Limits

REREAD_SECONDS = 30.0  # a container can be resized while it runs

PROCESS_BYTES = 160 * 1024 * 1024  # of the interpreter, the libraries and the connections
# A body is there as part of an answer, as a message, as a document and on its socket; and half as much is lost between
# blocks of the heap, measured when emails grow from 4 KiB to 1 MiB (docs/performance.md).
BYTES_FOR_EACH_RECEIVED = 6
BYTES_FOR_EACH_MESSAGE = 128 * 1024  # of the limit, not of what it takes: there is no use for more of them
BYTES_FOR_EACH_UPLOAD = 256 * 1024  # the same: all their connections take a small part of it
MESSAGES_MOST = 8192  # so that a few pods of any size are not at SQS's limit on messages in flight
UPLOADS_MOST = 2048
REQUESTS_MOST = 64  # of a kind to SQS, ten messages each: more than a core can work on if SQS answers within 50 ms
DESCRIPTORS_FOR_EACH_REQUEST = 16  # so that requests to SQS, renewals too, and all else take a quarter at most
OTHER_DESCRIPTORS = 4  # times as many as there are requests of one kind are not for uploads


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The most receives, deletes and uploads at once, and what may be in flight."""

    receives: int
    deletes: int
    uploads: int
    budget: Budget

    @classmethod
    def of(cls, limits: Limits, *, batch: int, max_bytes: int | None = None) -> "Ceilings":
        """Those within `limits`; `batch` messages of a receive always fit. `max_bytes` are given by a person."""
        memory = limits.memory_bytes
        requests = max(1, min(REQUESTS_MOST, limits.descriptors // DESCRIPTORS_FOR_EACH_REQUEST))
        uploads = min(UPLOADS_MOST, memory // BYTES_FOR_EACH_UPLOAD, limits.descriptors - OTHER_DESCRIPTORS * requests)
        share = (memory - PROCESS_BYTES) // BYTES_FOR_EACH_RECEIVED
        return cls(
            receives=requests,
            deletes=requests,
            uploads=max(1, uploads),
            budget=Budget(
                max_messages=max(batch, min(MESSAGES_MOST, memory // BYTES_FOR_EACH_MESSAGE)),
                max_bytes=max_bytes or max(share, batch * MESSAGE_MAX_BYTES),
            ),
        )
