"""One sample email being written: its fields, how its JSON is spelt, and whether SNS has wrapped it."""

import json
import random
from dataclasses import dataclass, replace

NEWEST = 1_733_840_122  # 2024-12-10T14:15:22Z: fixed, so that samples do not depend on the day they are made


@dataclass(frozen=True, slots=True)
class Draft:
    """An email's `fields`. `ascii_only` escapes all other letters, `spaced` writes JSON as most libraries do."""

    fields: dict[str, object]
    ascii_only: bool = False
    spaced: bool = False
    envelope: dict[str, object] | None = None

    def body(self) -> str:
        """The body of its message."""
        body = self._json(self.fields)
        return body if self.envelope is None else self._json({**self.envelope, "Message": body})

    def size(self) -> int:
        """Bytes of its body in UTF-8."""
        return len(self.body().encode())

    def with_fields(self, **changed: object) -> "Draft":
        """The same with some fields changed."""
        return replace(self, fields={**self.fields, **changed})

    def without(self, *names: str) -> "Draft":
        """The same with some fields left out."""
        return replace(self, fields={name: value for name, value in self.fields.items() if name not in names})

    def fitted(self, text: str, size: int) -> "Draft":
        """The same with as much of `text` as its content that the body has `size` bytes, the last of them blanks.

        A body that would be too large even without content loses the end of its subject instead.
        """
        draft = self.with_fields(email_content="")
        while (room := size - draft.size()) < 0 and (subject := str(draft.fields["email_subject"])):
            draft = draft.with_fields(email_subject=subject[:-1])
        cost = draft.with_fields(email_content=text).size() - draft.size()
        kept = text[: len(text) * max(room, 0) // max(cost, 1)].rpartition(" ")[0]
        while kept and draft.with_fields(email_content=kept).size() > size:
            kept = kept[: len(kept) * 9 // 10]
        missing = size - draft.with_fields(email_content=kept).size()
        return draft.with_fields(email_content=kept + " " * missing)

    def _json(self, value: object) -> str:
        separators = (", ", ": ") if self.spaced else (",", ":")
        return json.dumps(value, ensure_ascii=self.ascii_only, separators=separators)


def sns_envelope(rng: random.Random) -> dict[str, object]:
    """What SNS puts around a message for a subscription without raw delivery; `Message` is added later."""
    return {
        "Type": "Notification",
        "MessageId": f"{rng.getrandbits(32):08x}-0000-5000-8000-{rng.getrandbits(48):012x}",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:validated-emails",
        "Message": "",
        "Timestamp": "2024-12-10T14:30:22.123Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-example.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        "MessageAttributes": {"tenant": {"Type": "String", "Value": rng.choice(("north", "south", "東"))}},
    }


def timestream(rng: random.Random) -> str | int | float:
    """When an email was written, in epoch seconds, as a string or as a number of either kind."""
    moment = NEWEST - rng.randrange(30 * 86_400)
    return rng.choice((str(moment), str(moment), moment, moment + rng.randrange(1000) / 1000))


def extra_fields(rng: random.Random) -> dict[str, object]:
    """Fields that some producers add to the four that every email has."""
    sets: tuple[dict[str, object], ...] = (
        {"email_cc": ["team@example.com", "δοκιμή@example.com"]},
        {"spam_score": rng.uniform(0, 5), "spam_checks": {"spf": "pass", "dkim": None, "dmarc": True}},
        {"trace_id": rng.getrandbits(64), "validated_by": "validator-7"},
        {"attachments": [{"name": "Übersicht 2024.pdf", "bytes": rng.randrange(10**6)}], "html": "<p>&amp;</p>"},
    )
    return rng.choice(sets)
