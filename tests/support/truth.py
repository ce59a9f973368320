"""What was sent, what became of it, and what the emulator says was stored."""

from collections.abc import Mapping

from tests.support.emulators import Bucket, Queue
from tests.support.fault_proxy import FaultProxy

Emails = list[tuple[str, str]]


def sent(queue: Queue, bodies: list[str]) -> dict[str, str]:
    """Send these; their bodies by message id."""
    return dict(zip(queue.send_all(bodies), bodies, strict=True))


def leave_to_the_queue(queue: Queue, proxy: FaultProxy) -> None:
    """Let what a dead process had in flight be received again, as the queue does when the leases run out."""
    proxy.wait_until_answered()
    queue.release_all(proxy.receipt_handles().values())


def expected(messages: Mapping[str, str]) -> Emails:
    """What `stored` says if every message is stored once, as it was sent."""
    return sorted(messages.items())


def stored(bucket: Bucket, prefix: str = "emails/") -> Emails:
    """Message id and body, byte for byte, of everything ever written under a prefix; twice if it was written twice."""
    return sorted(_email(document) for document in bucket.versions(prefix))


def _email(document: bytes) -> tuple[str, str]:
    head, _, rest = document.decode().partition(',"email_data":')
    body, _, _ = rest.rpartition(',"metadata":')
    return head.removeprefix('{"message_id":"').partition('"')[0], body
