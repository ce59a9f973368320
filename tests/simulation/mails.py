"""The messages of a story, and what must become of each: written down here anew, not asked of the service."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from email_processor.domain.email import Pointer
from email_processor.domain.errors import Cause
from email_processor.ports import ProbeObject
from tests.simulation.loop import TICKS
from tests.simulation.story import Mail
from tests.simulation.world import EPOCH
from tests.support.mail import CONFIDENTIAL

VERSION = "simulated"
SENDERS = (
    ("john.doe@example.com", "john.doe"),
    ('"Doe, John" <J.Doe+x@Example.com>', "j.doe_x"),
    ("José Núñez", "josé_núñez"),
    ("../../etc/passwd", "etc_passwd"),
    ("", "unknown"),
)
PAYLOADS, OTHER_PAYLOADS = "payloads", "other-payloads"
PROBE = ProbeObject("quarantine/check/probe.json", b"{}")

HEALTHY = ("email", "envelope", "offloaded", "offloaded elsewhere")
BROKEN = ("not json", "no object", "field missing", "wrong type", "payload missing")  # quarantined on sight
STUBBORN = ("refused", "payload denied")  # quarantined on the last receive
WAITING = ("payload denied",)  # under its lease, as long as nobody can tell whether it is its bucket that fails
HOPELESS = ("refused twice",)  # not even in quarantine
FAILING = {"key denied": Cause.DENIED, "key failing": Cause.SERVER}  # the key is refused as by a store that is down


def endless(*, quarantine: bool) -> tuple[str, ...]:
    """The kinds that only the dead-letter queue ends, at their last receive."""
    return HOPELESS if quarantine else (*STUBBORN, *HOPELESS, *BROKEN, *FAILING)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent, and what belongs into its object."""

    kind: str
    body: bytes
    raw: str
    slug: str
    payload: Pointer | None

    @property
    def is_healthy(self) -> bool:
        """Whether it must be archived, whatever happens."""
        return self.kind in HEALTHY

    @property
    def may_wait(self) -> bool:
        """Whether it may be in flight for as long as its lease can run."""
        return self.kind in WAITING

    def key(self, message_id: str, dated_at: int) -> str:
        """The one key that it may have."""
        moment = datetime.fromtimestamp(EPOCH + dated_at // TICKS, UTC)
        return f"emails/{moment:%Y/%m/%d}/{self.slug}/{message_id}_{moment:%H%M%S}.json"

    def quarantine_key(self, message_id: str, dated_at: int) -> str:
        """The one key that it may have in quarantine."""
        moment = datetime.fromtimestamp(EPOCH + dated_at // TICKS, UTC)
        return f"quarantine/{moment:%Y/%m/%d}/{message_id}.json"

    def document(self, message_id: str, dated_at: int) -> bytes:
        """The bytes that it must have."""
        moment = datetime.fromtimestamp(EPOCH + dated_at // TICKS, UTC)
        return (
            f'{{"message_id":"{message_id}","processed_at":"{moment:%Y-%m-%dT%H:%M:%SZ}","email_data":{self.raw},'
            f'"metadata":{{"processor_version":"{VERSION}","source":"email-validation-service"}}}}'
        ).encode()


def write(mail: Mail, index: int) -> Sent:
    """Write message number `index`."""
    sender, slug = SENDERS[mail.sender % len(SENDERS)]
    if mail.kind in {"refused", "refused twice", *FAILING}:
        sender = slug = mail.kind.replace(" ", "-")
    raw = json.dumps(
        {
            "email_subject": f"{index} ",
            "email_sender": sender,
            "email_timestream": index,
            "email_content": (CONFIDENTIAL * (mail.size // len(CONFIDENTIAL) + 1))[: mail.size],
        },
        separators=(", ", ":"),
    )
    bucket = OTHER_PAYLOADS if "elsewhere" in mail.kind else PAYLOADS
    payload = Pointer(bucket, f"{mail.kind}/{index}") if "offloaded" in mail.kind or "payload" in mail.kind else None
    match mail.kind:
        case "envelope":
            body = json.dumps({"Type": "Notification", "Message": raw})
        case "not json":
            body = raw[:-1]
        case "no object":
            body = f"[{raw}]"
        case "field missing":
            body = raw.replace("email_subject", "subject")
        case "wrong type":
            body = json.dumps({**json.loads(raw), "email_content": None})
        case _ if payload is not None:
            body = json.dumps(
                [
                    "software.amazon.payloadoffloading.PayloadS3Pointer",
                    {"s3BucketName": payload.bucket, "s3Key": payload.key},
                ]
            )
        case _:
            body = raw
    return Sent(mail.kind, body.encode(), raw, slug, payload)
