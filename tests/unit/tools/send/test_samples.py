"""Sample messages: good ones are emails, broken ones are not, and the same recipe always makes the same ones."""

import json
import random
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.email import FIELDS, Email, read
from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.sender import sender_folder
from email_processor.tools.send.samples.drafts import Draft
from email_processor.tools.send.samples.flaws import FLAWS
from email_processor.tools.send.samples.generate import Recipe, Sample, Shape, samples
from email_processor.tools.send.samples.sizes import LARGEST, SMALLEST, Sizes, TypicalSizes, parse

MIB = 1024 * 1024

# What SQS takes in a body: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
ALLOWED = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")

recipes = st.builds(
    Recipe,
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(Shape),
    sizes=st.one_of(st.just(TypicalSizes()), st.integers(SMALLEST, 5000).map(lambda size: Sizes(size, 5000))),
    broken=st.floats(0, 100),
)


def found_flaw(sample: Sample) -> Reason | None:
    """Why the domain does not take it, None if it does."""
    try:
        assert isinstance(read(sample.body.encode()), Email)
    except UnarchivableError as error:
        return error.reason
    return None


def size_on_queue(sample: Sample) -> int:
    """Bytes, as SQS counts them: body, and name, type and value of each attribute."""
    attributes = [(name, it.data_type, it.value) for name, it in sample.attributes.items()]
    values = [part if isinstance(part, bytes) else part.encode() for attribute in attributes for part in attribute]
    return len(sample.body.encode()) + sum(map(len, values))


@given(recipe=recipes, count=st.integers(1, 12))
def test_good_ones_are_emails_and_broken_ones_are_refused_for_the_reason_they_name(recipe: Recipe, count: int) -> None:
    """The domain agrees with every sample about what it is."""
    made = list(samples(count, recipe))
    assert [sample.flaw for sample in made] == [found_flaw(sample) for sample in made]


@given(recipe=recipes, count=st.integers(1, 12))
def test_the_same_recipe_makes_the_same_samples(recipe: Recipe, count: int) -> None:
    """So that a run can be repeated."""
    assert list(samples(count, recipe)) == list(samples(count, recipe))


@given(recipe=recipes, count=st.integers(1, 12))
def test_sqs_takes_every_sample(recipe: Recipe, count: int) -> None:
    """Each body is made of characters that SQS allows, and is not too large with its attributes."""
    for sample in samples(count, recipe):
        assert ALLOWED.fullmatch(sample.body) is not None
        assert size_on_queue(sample) <= MIB


@given(count=st.integers(1, 200), broken=st.floats(0, 100))
def test_the_share_of_broken_ones_is_exact(count: int, broken: float) -> None:
    """To the nearest whole message."""
    recipe = Recipe(broken=broken, sizes=Sizes(300, 300))
    made = sum(sample.flaw is not None for sample in samples(count, recipe))
    assert made == recipe.broken_of(count)
    assert abs(made - count * broken / 100) <= 0.5


def test_another_seed_makes_other_samples() -> None:
    """Not one body is the same."""
    bodies = [{sample.body for sample in samples(50, Recipe(seed=seed))} for seed in (1, 2)]
    assert set() == bodies[0] & bodies[1]


def test_broken_ones_are_spread_evenly_and_show_every_flaw() -> None:
    """Twelve flaws, one every twenty messages: 240 messages have seen all."""
    made = list(samples(240, Recipe(broken=5, sizes=Sizes(2000, 2000))))
    places = [place for place, sample in enumerate(made) if sample.flaw is not None]
    assert {20} == {after - before for before, after in pairwise(places)}
    assert Counter(sample.flaw for sample in made if sample.flaw) == Counter(reason for reason, _ in FLAWS)


@pytest.mark.parametrize(("reason", "spoil"), FLAWS)
@given(seed=st.integers(0, 2**32))
def test_every_flaw_has_the_reason_it_is_listed_under(reason: Reason, spoil, seed: int) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Whatever the dice say."""
    fields: dict[str, object] = dict.fromkeys(FIELDS, "x")
    assert found_flaw(Sample(spoil(Draft(fields), random.Random(seed)))) == reason


@pytest.mark.parametrize("shape", [Shape.MIXED, Shape.PLAIN])
@pytest.mark.parametrize("size", [400, 1000, 4096, 100_000, LARGEST])
def test_a_size_is_met_to_the_byte(shape: Shape, size: int) -> None:
    """Attributes come on top, except where there is no room for them."""
    made = list(samples(20, Recipe(shape=shape, sizes=Sizes(size, size))))
    assert {len(sample.body.encode()) for sample in made} == {size}


def test_the_smallest_are_as_small_as_their_sender_allows() -> None:
    """Where the other fields leave no room for content, the subject loses its end; only a long sender takes more."""
    made = list(samples(500, Recipe(sizes=Sizes(SMALLEST, SMALLEST))))
    larger = [json.loads(sample.body) for sample in made if len(sample.body.encode()) != SMALLEST]
    assert {("", "")} == {(email["email_subject"], email["email_content"]) for email in larger}
    assert len(larger) < 25


def test_an_envelope_counts() -> None:
    """The size is that of the whole body."""
    made = list(samples(50, Recipe(shape=Shape.SNS, sizes=Sizes(5000, 5000))))
    assert {5000} == {len(sample.body.encode()) for sample in made}
    assert {"Notification"} == {json.loads(sample.body)["Type"] for sample in made}


def test_plain_ones_have_the_four_fields_and_nothing_else() -> None:
    """No attribute, no envelope, no extra field."""
    made = list(samples(200, Recipe(shape=Shape.PLAIN)))
    assert {FIELDS} == {tuple(json.loads(sample.body)) for sample in made}
    assert [] == [sample for sample in made if sample.attributes]


def test_mixed_ones_are_as_varied_as_real_ones() -> None:
    """Every kind of sender, timestamp, spelling, envelope, attribute and size is among a thousand."""
    made = list(samples(1000, Recipe()))
    parsed = [json.loads(sample.body) for sample in made]
    emails = [json.loads(body["Message"]) if "Message" in body else body for body in parsed]
    assert len(emails) > sum("Message" not in body for body in parsed) > 900
    assert {type(email["email_timestream"]) for email in emails} == {str, int, float}
    assert {True, False} == {len(email) > 4 for email in emails}
    assert {True, False} == {tuple(email)[:4] == FIELDS for email in emails}
    assert {True, False} == {sample.body.isascii() for sample in made}
    assert {True, False} == {bool(sample.attributes) for sample in made}
    senders = [email["email_sender"] for email in emails]
    assert {
        (True, False),
        (True, True),
        (False, False),
        (False, True),
    } == {("@" in sender, "<" in sender) for sender in senders}
    sizes = sorted(len(sample.body.encode()) for sample in made)
    assert sizes[0] < 500
    assert 2500 < sizes[500] < 5000
    assert sizes[-1] > 100_000


def test_senders_write_in_many_scripts() -> None:
    """Their keys show it: an archive that only knows our letters would be found out."""
    senders = (json.loads(sample.body)["email_sender"] for sample in samples(1000, Recipe(shape=Shape.PLAIN)))
    names = (unicodedata.name(letter) for sender in senders for letter in sender_folder(sender) if letter.isalpha())
    scripts = {name.split(" ")[0] for name in names}
    assert {
        "LATIN",
        "GREEK",
        "CYRILLIC",
        "CJK",
        "HIRAGANA",
        "HANGUL",
        "ARABIC",
        "HEBREW",
        "DEVANAGARI",
        "THAI",
    } <= scripts


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("4096", Sizes(4096, 4096)),
        ("4KiB", Sizes(4096, 4096)),
        ("4k", Sizes(4096, 4096)),
        ("4 kB", Sizes(4000, 4000)),
        ("0.5MiB", Sizes(MIB // 2, MIB // 2)),
        ("1KiB-64KiB", Sizes(1024, 65536)),
        (" 200 - 1m ", Sizes(200, MIB)),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, sizes: Sizes) -> None:
    """With or without a unit, one or a range."""
    assert parse(text) == sizes


@pytest.mark.parametrize("text", ["", "big", "-5", "4KiB-", "1-2-3", "4 TiB", "199", "1048577", "64KiB-1KiB", "\uff11"])
def test_sizes_that_make_no_sense_are_refused_with_a_sentence(text: str) -> None:
    """It quotes what was typed."""
    with pytest.raises(ValueError, match=r"^'.*' (is not|has)") as refusal:
        parse(text)
    assert refusal.value.args[0]


@given(seed=st.integers(0, 2**32), low=st.integers(SMALLEST, LARGEST), more=st.integers(0, LARGEST))
def test_drawn_sizes_stay_in_their_range(seed: int, low: int, more: int) -> None:
    """Both ends of the range may be drawn."""
    high = min(low + more, LARGEST)
    assert low <= Sizes(low, high).draw(random.Random(seed)) <= high
