"""A seed is the same story for ever: what is added later moves nothing of what is drawn today."""

from dataclasses import replace
from hashlib import blake2b

import pytest

from tests.simulation import invent as inventing
from tests.simulation.invent import MAIL_KINDS, Inventor, invent
from tests.simulation.play import play
from tests.simulation.sections import SECTIONS, Section
from tests.simulation.story import Fault, Kind, Story

# Bounded by seeds. A busy machine only makes it slow, and whoever waits in vain hears of a timeout, not of a verdict.
pytestmark = pytest.mark.timeout(900)

SEEDS = range(200)
NEW_FAULT = Fault(Kind.CLOCK, at=1.0, seconds=12345.0)
NEW_KIND = "a new kind"


def new_section(section: Section) -> list[Fault]:
    """A section that nobody has today; it draws as much as it likes."""
    section.chance.random()
    return [NEW_FAULT]


def without_new_faults(story: Story) -> Story:
    """The story without what the new section brought, the receives included that a fault may burn."""
    settings = replace(story.settings, max_receive_count=None)
    return replace(story, settings=settings, faults=tuple(it for it in story.faults if it != NEW_FAULT))


def test_a_new_section_changes_only_the_seeds_that_draw_it_and_adds_to_those(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are the stories that they were; these have the new faults beside all that they had."""
    before = {seed: invent(seed) for seed in SEEDS}
    monkeypatch.setattr(inventing, "SECTIONS", {**SECTIONS, "new": new_section})
    after = {seed: invent(seed) for seed in SEEDS}
    drew_it = [seed for seed in SEEDS if NEW_FAULT in after[seed].faults]
    assert 0 < len(drew_it) < len(SEEDS)
    assert [before[seed] for seed in SEEDS if seed not in drew_it] == [
        after[seed] for seed in SEEDS if seed not in drew_it
    ]
    assert [without_new_faults(before[seed]) for seed in drew_it] == [
        without_new_faults(after[seed]) for seed in drew_it
    ]


def test_a_new_kind_of_mail_changes_only_the_mails_that_become_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults, processes, times and all other mails stay, in every seed."""
    before = {seed: invent(seed) for seed in SEEDS}
    monkeypatch.setattr(inventing, "MAIL_KINDS", {**MAIL_KINDS, NEW_KIND: 0.2})
    after = {seed: invent(seed) for seed in SEEDS}
    drew_it = [seed for seed in SEEDS if any(mail.kind == NEW_KIND for mail in after[seed].mails)]
    assert 0 < len(drew_it) < len(SEEDS)
    for seed in SEEDS:
        mails = tuple(
            old if new.kind == NEW_KIND else new for old, new in zip(before[seed].mails, after[seed].mails, strict=True)
        )
        assert before[seed].mails == mails
        assert (before[seed].faults, before[seed].lives) == (after[seed].faults, after[seed].lives)
        assert seed in drew_it or before[seed] == after[seed]


def test_a_new_choice_takes_only_what_it_wins() -> None:
    """Where it is not drawn, the old choice is."""
    before = [Inventor(seed).pick("a knob", (1, 2, 3)) for seed in SEEDS]
    after = [Inventor(seed).pick("a knob", (1, 2, 3, 4)) for seed in SEEDS]
    assert {1, 2, 3, 4} == set(after)
    assert before == [old if new == 4 else new for old, new in zip(before, after, strict=True)]


def test_a_story_that_did_not_change_is_the_same_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Played, too: one digest of all that happens, with and without the new section."""
    before = [play(invent(seed)).digest for seed in range(6)]
    monkeypatch.setattr(inventing, "SECTIONS", {**SECTIONS, "new": new_section})
    after = [play(invent(seed)).digest for seed in range(6)]
    drew_it = {seed for seed in range(6) if NEW_FAULT in invent(seed).faults}
    assert len(drew_it) < 6
    assert [before[seed] for seed in range(6) if seed not in drew_it] == [
        after[seed] for seed in range(6) if seed not in drew_it
    ]


def test_todays_seeds_are_the_stories_that_they_were_yesterday() -> None:
    """If this digest changes, every seed that somebody has written down is another story: was that meant?"""
    digest = blake2b(digest_size=8)
    for seed in SEEDS:
        digest.update(f"{invent(seed)}".encode())
    assert "a7eb3eb220cdef03" == digest.hexdigest()
