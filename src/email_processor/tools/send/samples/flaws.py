"""What makes a message unarchivable, in every kind there is, each with the reason it is quarantined for."""

import json
import random
from collections.abc import Callable

from email_processor.domain.email import FIELDS
from email_processor.domain.errors import Reason
from email_processor.tools.send.samples.drafts import Draft

NESTED = 1100  # levels; parsers stop at 1,024

type_errors: tuple[tuple[str, object], ...] = (
    ("email_sender", None),
    ("email_sender", {"name": "John Doe", "address": "john.doe@example.com"}),
    ("email_subject", 42),
    ("email_subject", ["Re:", "Re:"]),
    ("email_timestream", True),
    ("email_timestream", ["2024-12-10"]),
    ("email_content", {"text": "plain", "html": "<p>rich</p>"}),
    ("email_content", False),
)


def cut_short(draft: Draft, rng: random.Random) -> str:
    """A body whose end was lost."""
    body = draft.body()
    return body[: rng.randrange(1, len(body))]


def byte_order_mark(draft: Draft, _rng: random.Random) -> str:
    """A body saved by an editor that marks its byte order."""
    return f"\ufeff{draft.body()}"


def prose(_draft: Draft, rng: random.Random) -> str:
    """An email sent as it is, not as JSON."""
    return rng.choice(("Subject: Hello\tBest, John", "<email><subject>Hello</subject></email>", "email_subject=Hello"))


def python_repr(draft: Draft, _rng: random.Random) -> str:
    """A dict that somebody printed instead of encoding it."""
    return str(draft.fields)


def not_a_number(draft: Draft, _rng: random.Random) -> str:
    """A NaN, which Python's encoder writes and JSON does not know."""
    return draft.with_fields(email_timestream=float("nan")).body()


def array(draft: Draft, _rng: random.Random) -> str:
    """A list of emails in one message."""
    return json.dumps([draft.fields, draft.fields], ensure_ascii=False)


def encoded_twice(draft: Draft, _rng: random.Random) -> str:
    """JSON in a JSON string."""
    return json.dumps(json.dumps(draft.fields, ensure_ascii=False), ensure_ascii=False)


def scalar(_draft: Draft, rng: random.Random) -> str:
    """Valid JSON, but no object."""
    return rng.choice(("null", "true", "42", '"Hello"'))


def missing_field(draft: Draft, rng: random.Random) -> str:
    """One to three of the four fields are not there."""
    return draft.without(*rng.sample(FIELDS, rng.randint(1, 3))).body()


def empty_object(_draft: Draft, _rng: random.Random) -> str:
    """An object that has none of the four fields."""
    return "{}"


def wrong_type(draft: Draft, rng: random.Random) -> str:
    """A field that is there, but is not text."""
    name, value = rng.choice(type_errors)
    return draft.with_fields(**{name: value}).body()


def too_deep(draft: Draft, _rng: random.Random) -> str:
    """An extra field nested deeper than any parser follows."""
    return f'{draft.body()[:-1]},"x":{"[" * NESTED}{"]" * NESTED}}}'


FLAWS: tuple[tuple[Reason, Callable[[Draft, random.Random], str]], ...] = (
    (Reason.MISSING_FIELD, missing_field),
    (Reason.NOT_JSON, cut_short),
    (Reason.WRONG_TYPE, wrong_type),
    (Reason.NOT_AN_OBJECT, array),
    (Reason.NOT_JSON, byte_order_mark),
    (Reason.TOO_DEEP, too_deep),
    (Reason.NOT_JSON, prose),
    (Reason.NOT_AN_OBJECT, encoded_twice),
    (Reason.NOT_JSON, python_repr),
    (Reason.MISSING_FIELD, empty_object),
    (Reason.NOT_JSON, not_a_number),
    (Reason.NOT_AN_OBJECT, scalar),
)
