"""What came of it, checked from outside: our own list of what was sent is compared with queue and bucket.

Nothing of the service has a part in it, neither its figures nor its parser: what is compared is read with `json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """Every message is in its object as it was sent. `contents` are the objects that were read back, by message id."""
    known = {message_id: sent[message_id] for message_id in contents if message_id in sent}
    emails = {message_id: sample for message_id, sample in known.items() if sample.flaw is None}
    broken = {message_id: sample for message_id, sample in known.items() if sample.flaw is not None}
    same = sum(_holds_email(contents[message_id], message_id, sample) for message_id, sample in emails.items())
    whole = sum(_holds_broken(contents[message_id], message_id, sample) for message_id, sample in broken.items())
    return Claim(
        f"Byte for byte: {same} of {len(emails)} emails that were read back are what was sent, and {whole} of "
        f"{len(broken)} broken messages are whole in quarantine",
        same + whole == len(contents),
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
        f"{seconds:.1f} seconds without S3 cost no receive: {first_receives} messages needed {receives} receives, so "
        "none came closer to the dead-letter queue",
        receives == first_receives,
    )


def queues_empty(left: int, dead: int) -> Claim:
    """Every message has left the queue by being deleted, none by too many receives."""
    return Claim(f"The queue is empty ({left} messages), and so is its dead-letter queue ({dead})", left == dead == 0)


def stopped_cleanly(exit_code: int, seconds: float, left_in_flight: object) -> Claim:
    """SIGTERM ends it with nothing in flight."""
    return Claim(
        f"SIGTERM: stopped after {seconds:.1f} s with exit code {exit_code} and {left_in_flight} messages left in "
        "flight",
        exit_code == 0 and left_in_flight == 0,
    )


def _holds_email(content: bytes, message_id: str, sample: Sample) -> bool:
    """Whether an object is that of this message, and has the email in it as it was sent."""
    email = sample.body
    if json.loads(email).get("Type") == "Notification":  # SNS has put it into an envelope
        email = json.loads(email)["Message"]
    stored = json.loads(content)
    return (
        stored["message_id"] == message_id
        and stored["email_data"] == json.loads(email)
        and b'"email_data":%b' % email.encode() in content
    )


def _holds_broken(content: bytes, message_id: str, sample: Sample) -> bool:
    """Whether an object is that of this message, and has in it all that was sent."""
    stored = json.loads(content)
    return bool(stored["message_id"] == message_id and stored["body"] == sample.body)
