"""The generator: varied emails, and broken ones among them."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from email_processor.domain.errors import Reason
from email_processor.domain.message import Attribute
from email_processor.tools.send.samples.corpus import ENGLISH, ODDITIES, VOICES, Voice
from email_processor.tools.send.samples.drafts import Draft, extra_fields, sns_envelope, timestream
from email_processor.tools.send.samples.flaws import FLAWS
from email_processor.tools.send.samples.sizes import LARGEST, TypicalSizes

ROOMY = 1500  # bytes from which there is room for an envelope and extra fields
ATTRIBUTES_ROOM = 1024  # bytes kept free below SQS's limit, which counts attributes
BROKEN_LARGEST = LARGEST // 4  # bytes before a flaw is added, which may double it and escape its quotes
ENGLISH_WEIGHT = 6  # as many of thirteen others


class SizeSource(Protocol):
    """Where the sizes of samples come from."""

    def draw(self, rng: random.Random) -> int:
        """Draw one size, in bytes."""
        ...


class Shape(StrEnum):
    """What the messages look like."""

    MIXED = "mixed"  # as they come: some in an SNS envelope, some with attributes or extra fields
    PLAIN = "plain"  # the four fields and nothing else
    SNS = "sns"  # all in SNS envelopes


@dataclass(frozen=True, slots=True)
class Sample:
    """A message to send; `flaw` is why it cannot be archived, None for an email that can."""

    body: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    flaw: Reason | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What samples to make. `broken` is a percentage, met exactly and spread evenly over all kinds of flaws."""

    seed: int = 1
    shape: Shape = Shape.MIXED
    sizes: SizeSource = field(default_factory=TypicalSizes)
    broken: float = 0.0

    def broken_of(self, count: int) -> int:
        """How many of `count` samples are broken."""
        return round(count * self.broken / 100)


def samples(count: int, recipe: Recipe) -> Iterator[Sample]:
    """Make `count` samples, one at a time; the same recipe makes the same ones."""
    rng = random.Random(recipe.seed)  # noqa: S311 - repeatable, nothing secret
    flaws = rng.sample(FLAWS, len(FLAWS))
    broken = recipe.broken_of(count)
    for index in range(count):
        nth = index * broken // count
        is_broken = (index + 1) * broken // count > nth
        size = min(recipe.sizes.draw(rng), BROKEN_LARGEST if is_broken else LARGEST)
        draft = _draft(rng, recipe.shape, size)
        attributes = _attributes(rng, recipe.shape, size)
        if is_broken:
            reason, spoil = flaws[nth % len(flaws)]
            yield Sample(spoil(draft, rng), attributes, reason)
        else:
            yield Sample(draft.body(), attributes)


def _draft(rng: random.Random, shape: Shape, size: int) -> Draft:
    voice = rng.choice((ENGLISH,) * ENGLISH_WEIGHT + VOICES)
    fields: dict[str, object] = {
        "email_subject": rng.choice(("", "", "Re: ", "Fwd: ")) + rng.choice(voice.subjects),
        "email_sender": _sender(rng, voice),
        "email_timestream": timestream(rng),
        "email_content": "",
    }
    is_varied = shape is Shape.MIXED and size >= ROOMY
    if is_varied and rng.randrange(4) == 0:
        fields |= extra_fields(rng)
    if is_varied and rng.randrange(8) == 0:
        names = list(fields)
        fields = {name: fields[name] for name in rng.sample(names, len(names))}
    is_enveloped = shape is Shape.SNS or (is_varied and rng.randrange(16) == 0)
    draft = Draft(
        fields,
        ascii_only=is_varied and rng.randrange(8) == 0,
        spaced=is_varied and rng.randrange(4) == 0,
        envelope=sns_envelope(rng) if is_enveloped else None,
    )
    return draft.fitted(_text(rng, voice, size), size)


def _sender(rng: random.Random, voice: Voice) -> str:
    (first, first_latin), (last, last_latin) = rng.choice(voice.first_names), rng.choice(voice.last_names)
    name = voice.full_name.format(first=first, last=last)
    address = f"{first_latin}.{last_latin}@{rng.choice(voice.domains)}"
    if voice.own_domain and rng.randrange(3) == 0:
        address = f"{first}.{last}@{voice.own_domain}".replace(" ", "-")
    match rng.randrange(32):
        case 0:
            return rng.choice(ODDITIES)
        case 1 | 2 | 3:
            return name
        case 4 | 5 | 6:
            return f'"{last}, {first}" <{address}>'
        case 7 | 8 | 9 | 10 | 11 | 12:
            return f"{name} <{address}>"
        case _:
            return address


def _text(rng: random.Random, voice: Voice, size: int) -> str:
    """Paragraphs of about `size` bytes."""
    paragraphs: list[str] = []
    so_far = 0
    while so_far < size:
        paragraph = " ".join(rng.choices(voice.sentences, k=rng.randint(2, 12)))
        paragraphs.append(paragraph)
        so_far += len(paragraph.encode()) + 2
    return "\n\n".join(paragraphs)


def _attributes(rng: random.Random, shape: Shape, size: int) -> dict[str, Attribute]:
    """User message attributes, as one producer in six sets them."""
    if shape is not Shape.MIXED or size > LARGEST - ATTRIBUTES_ROOM or rng.randrange(6):
        return {}
    return {
        "tenant": Attribute("String", rng.choice(("north", "south", "東"))),
        "attempt": Attribute("Number", str(rng.randint(1, 3))),
        "fingerprint": Attribute("Binary", rng.randbytes(8)),
    }
