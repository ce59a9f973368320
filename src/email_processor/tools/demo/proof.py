"""What came of it, checked from outside: what was sent is compared with queue and bucket, not with what we say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from email_processor.domain.email import Email, read
from email_processor.tools.demo.cloud import Version
from email_processor.tools.send.samples.generate import Sample


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, and whether it holds."""

    text: str
    is_good: bool


def stored_once(sent: Mapping[str, Sample], versions: Sequence[Version]) -> Claim:
    """Every message has one object, in the right place, written one time."""
    wanted = sorted((message_id, sample.flaw is not None) for message_id, sample in sent.items())
    found = sorted((version.message_id, version.key.startswith("quarantine/")) for version in versions)
    broken = sum(sample.flaw is not None for sample in sent.values())
    return Claim(
        f"Nothing lost, nothing twice: {len(sent)} messages sent, {len(sent) - broken} emails archived and {broken} in "
        f"quarantine, each one object that was written once",
        wanted == found,
    )


def byte_for_byte(sent: Mapping[str, Sample], contents: Mapping[str, bytes]) -> Claim:
    """Every email is in its object as it was sent. `contents` are the objects that were read back, by message id."""
    emails = {message_id: raw for message_id in contents for raw in _email(sent.get(message_id))}
    same = sum(raw in contents[message_id] for message_id, raw in emails.items())
    return Claim(
        f"Byte for byte: {same} of {len(emails)} emails that were read back are what was sent", same == len(contents)
    )


def unchanged(before: Sequence[Version], after: Sequence[Version], redelivered: int, recognised: int) -> Claim:
    """Messages that came a second time changed nothing."""
    return Claim(
        f"Delivered twice, stored once: {redelivered} messages came again, {recognised} were recognised as duplicates, "
        "and no object changed",
        before == after and recognised == redelivered > 0,
    )


def outage_was_free(seconds: float, receives: int, first_receives: int) -> Claim:
    """No message was received again because of the outage, so none came closer to the dead-letter queue."""
    return Claim(
        f"{seconds:g} seconds without S3 cost no receive: {first_receives} messages needed {receives} receives, so "
        "none came closer to the dead-letter queue",
        receives == first_receives,
    )


def queues_empty(left: int, dead: int) -> Claim:
    """Nothing is left over."""
    return Claim(f"The queue is empty ({left} messages), and so is its dead-letter queue ({dead})", left == dead == 0)


def stopped_cleanly(exit_code: int, seconds: float, left_in_hand: object) -> Claim:
    """SIGTERM ends it with nothing in hand."""
    return Claim(
        f"SIGTERM: stopped after {seconds:.1f} s with exit code {exit_code} and {left_in_hand} messages left in hand",
        exit_code == 0 and left_in_hand == 0,
    )


def _email(sample: Sample | None) -> Iterator[bytes]:
    if sample is not None and sample.flaw is None:
        email = read(sample.body.encode())
        if isinstance(email, Email):
            yield email.raw
