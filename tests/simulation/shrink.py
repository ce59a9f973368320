"""From a story that fails to the shortest that fails in the same way."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

from email_processor.domain.message import MESSAGE_MAX_BYTES
from tests.simulation.mails import STUBBORN, endless
from tests.simulation.rescue import CommandRun
from tests.simulation.story import Kind, Life, Mail, Story, StorySettings

OTHER_SEEDS = 3  # that are tried when there are fewer mails: every latency hangs on the seed

Fails = Callable[[Story], bool]


def shrink(story: Story, fails: Fails) -> Story:
    """Take away what can go while it still fails; `fails` plays a story."""
    steps = (
        _fewer_faults,
        _fewer_mails,
        _plainer_mails,
        _fewer_lives,
        _less_to_rescue,
        _plainer_order,
        _plainer_settings,
        _plainer_faults,
    )
    while True:
        before = story
        for step in steps:
            story = _take(story, step, fails)
        if story == before:
            return story


def _take(story: Story, step: Callable[[Story], Iterator[Story]], fails: Fails) -> Story:
    """Go on from the first simpler story that fails, until none does."""
    while (simpler := next((it for it in step(story) if is_fair(it) and fails(it)), None)) is not None:
        story = simpler
    return story


def is_fair(story: Story) -> bool:
    """Whether the queue can drain at all: one receive must fit, and what cannot be archived needs a last receive."""
    settings = story.settings
    needs_end = (*STUBBORN, *endless(quarantine=settings.quarantine))
    has_end = settings.max_receive_count is not None or all(mail.kind not in needs_end for mail in story.mails)
    return has_end and settings.in_flight_bytes >= settings.batch * MESSAGE_MAX_BYTES


def _fewer_faults(story: Story) -> Iterator[Story]:
    count = len(story.faults)
    size = count
    while size >= 1:
        for start in range(0, count, size):
            yield story.without(*range(start, min(start + size, count)))
        size //= 2


def _fewer_mails(story: Story) -> Iterator[Story]:
    count = len(story.mails)
    for kept in (1, 2, 3, count // 2, count - 1):
        if 0 < kept < count:
            for offset in range(OTHER_SEEDS):
                yield replace(story, mails=story.mails[:kept], seed=story.seed + offset)
                yield replace(story, mails=story.mails[-kept:], seed=story.seed + offset)


def _plainer_mails(story: Story) -> Iterator[Story]:
    for index, mail in enumerate(story.mails):
        for plainer in (Mail(), replace(mail, at=0.0), replace(mail, kind="email"), replace(mail, sender=0, size=10)):
            if plainer != mail:
                yield replace(story, mails=(*story.mails[:index], plainer, *story.mails[index + 1 :]))


def _fewer_lives(story: Story) -> Iterator[Story]:
    if story.lives != (Life(),):
        yield replace(story, lives=(Life(),))
    for index in range(len(story.lives)):
        if len(story.lives) > 1:
            yield replace(story, lives=(*story.lives[:index], *story.lives[index + 1 :]))


def _less_to_rescue(story: Story) -> Iterator[Story]:
    rescue = story.rescue
    if rescue is None:
        return
    yield replace(story, rescue=None)
    for index in range(len(rescue.leftovers)):
        leftovers = (*rescue.leftovers[:index], *rescue.leftovers[index + 1 :])
        yield replace(story, rescue=replace(rescue, leftovers=leftovers))
    for index in range(len(rescue.runs)):
        runs = (*rescue.runs[:index], *rescue.runs[index + 1 :])
        yield replace(story, rescue=replace(rescue, runs=runs))
    for index, run in enumerate(rescue.runs):
        for plainer in (CommandRun(run.command), replace(run, faults=()), replace(run, kills=())):
            if plainer != run:
                runs = (*rescue.runs[:index], plainer, *rescue.runs[index + 1 :])
                yield replace(story, rescue=replace(rescue, runs=runs))


def _plainer_order(story: Story) -> Iterator[Story]:
    if story.shuffled:
        yield replace(story, shuffled=False)


def _plainer_settings(story: Story) -> Iterator[Story]:
    if story.settings != StorySettings():
        yield replace(story, settings=StorySettings())
    defaults: dict[str, Any] = asdict(StorySettings())
    for name, default in defaults.items():
        if getattr(story.settings, name) != default:
            yield replace(story, settings=replace(story.settings, **{name: default}))


def _plainer_faults(story: Story) -> Iterator[Story]:
    for index, fault in enumerate(story.faults):
        for plainer in (
            replace(fault, at=0.0),
            replace(fault, share=1.0),
            replace(fault, cause="server" if fault.cause else ""),
            replace(fault, mode=Kind.REFUSE.value if fault.mode and fault.cause else fault.mode),
            replace(fault, nth=fault.nth // 2 or 1 if fault.nth else 0),
            replace(fault, seconds=float(round(fault.seconds))),
            replace(fault, at=float(round(fault.at))),
        ):
            if plainer != fault:
                yield replace(story, faults=(*story.faults[:index], plainer, *story.faults[index + 1 :]))
