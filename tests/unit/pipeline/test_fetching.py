"""Fetching: a bucket of offloaded bodies that fails, and what it must not do to others."""

import logging
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from email_processor.domain.errors import Cause
from email_processor.pipeline.leases import LeaseRules
from email_processor.pipeline.room import Budget
from tests.simulation.connection import (
    CHANGE_VISIBILITY,
    FETCH,
    PUT,
    RECEIVE,
    Entry,
    Fate,
    hung,
    partly,
    refused,
    slow,
)
from tests.support.mail import pointer
from tests.unit.pipeline.kit import EMAIL, later
from tests.unit.pipeline.whole import PLAN, Pipeline

HOUR = 3600.0
FAILING = {"500": refused(Cause.SERVER), "silence": hung(), "403": refused(Cause.DENIED)}


class OffloadedMail(Pipeline):
    """A pipeline with offloaded bodies on its queue, whose dead-letter queue takes what was received five times."""

    def __init__(self, *, visibility_timeout: int = 300, most_bytes: int = 16 * 1024 * 1024) -> None:
        plan = replace(PLAN, fetch=replace(PLAN.fetch, most_bytes=most_bytes), leases=LeaseRules(visibility_timeout))
        super().__init__(plan, max_receive_count=5)
        self.queue._visibility_timeout = visibility_timeout

    def offload(self, count: int = 1, bucket: str = "big", payload: bytes = EMAIL, key: str = "k") -> None:
        """Put so many pointers on the queue, to payloads that are there."""
        for _ in range(count):
            name = f"{key}{len(self.queue.messages)}"
            self.bucket.payloads[bucket, name] = payload
            self.send(1, pointer(bucket, name).encode())

    def fail(self, bucket: str, fate: Fate) -> None:
        """Let every GET of a bucket fail, and those of others take a tenth of a second."""
        self.script.always(FETCH, lambda key: fate if key[0].startswith(f"{bucket}/") else slow(0.1))

    @property
    def receives(self) -> list[int]:
        """How often each message was received."""
        return [message.receives for message in self.queue.messages.values()]


@pytest.mark.parametrize("fate", FAILING.values(), ids=FAILING)
async def test_emails_are_stored_beside_pointers_into_a_bucket_that_fails(fate: Fate) -> None:
    """A thousand pointers before them: five hundred emails within 45 seconds, and no pointer is dead-lettered."""
    mail = OffloadedMail()
    mail.fail("big", fate)
    mail.offload(1000)
    mail.send(500)
    seen: dict[str, object] = {}
    later(44, lambda: seen.update(mail.health.ready().parts, ok=mail.health.ready().ok))
    await mail.run(45)
    assert 500 == len(mail.stored)
    assert [] == mail.queue.dead_lettered
    assert 1 == max(mail.receives)
    assert seen["ok"]
    assert {"status": "failing", "cause": fate.fault or Cause.TIMEOUT}.items() <= dict(seen["fetching"]).items()  # type: ignore[call-overload]
    assert 0 == mail.left


@pytest.mark.parametrize("cause", [Cause.DENIED, Cause.ENCRYPTION])
async def test_a_bucket_that_is_denied_is_blamed_on_no_message(cause: Cause) -> None:
    """They wait under their leases, at one receive each, and are stored when it is mended."""
    mail = OffloadedMail(visibility_timeout=30)
    mail.fail("big", refused(cause))
    mail.offload(20)
    down: list[float | None] = []
    later(HOUR - 1, lambda: down.append(mail.value("payload_circuits_open")))
    later(HOUR, mail.script.clear, FETCH)
    await mail.run(HOUR + 60)
    assert [1, 0] == [*down, mail.value("payload_circuits_open")]
    assert 20 == len(mail.stored)
    assert 1 == max(mail.receives)
    assert 0 == mail.value("messages_quarantined_total", reason="undeliverable")


async def test_what_is_anothers_by_now_does_not_wait_for_its_bucket() -> None:
    """It would take turns of those that are ours, for hours, and its place among them."""
    mail = OffloadedMail(visibility_timeout=30)
    mail.fail("big", refused(Cause.DENIED))
    mail.offload(20)

    def archive_elsewhere() -> None:
        for message in mail.queue.live():
            mail.queue.delete("another process", message.handle)

    later(10, archive_elsewhere)
    held: list[float | None] = []
    later(120, lambda: held.append(mail.value("in_flight_messages")))
    await mail.run(HOUR)
    assert [0] == held
    assert 20 == mail.value("messages_released_total", reason="lease_expired")


async def test_what_is_over_the_share_uses_its_receives_up_slowly() -> None:
    """A thousand pointers, an hour of outage: one in five waits, the others are hidden for longer each time."""
    mail = OffloadedMail()
    mail.fail("big", refused(Cause.DENIED))
    mail.offload(1000)
    held: list[float | None] = []
    later(HOUR - 1, lambda: held.append(mail.value("in_flight_messages")))
    later(HOUR, mail.script.clear, FETCH)
    await mail.run(2 * HOUR)
    assert [200] == held
    assert 1000 == len(mail.stored)
    assert [] == mail.queue.dead_lettered
    assert 4 == max(mail.receives)


async def test_on_its_last_receive_what_is_over_the_share_is_hidden_for_as_long_as_sqs_hides() -> None:
    """The next receive would be the dead-letter queue's."""
    mail = OffloadedMail()
    mail.fail("big", refused(Cause.DENIED))
    mail.script.always(RECEIVE, slow(0.1))
    mail.offload(400)
    for message in mail.queue.messages.values():
        message.receives = 4
    hidden: list[float] = []
    later(HOUR, lambda: hidden.extend(mail.hidden_until(name) for name in mail.queue.messages))
    await mail.run(HOUR + 1)
    assert 200 == len([until for until in hidden if until > 11.9 * HOUR])
    assert [] == mail.queue.dead_lettered


async def test_one_that_can_be_read_has_its_turn_beside_many_that_are_denied() -> None:
    """Where none may wait for want of memory, they do not all come back together, the same ones always the first."""
    mail = OffloadedMail()
    mail.plan = replace(mail.plan, budget=Budget(max_messages=1000, max_bytes=10 * 1024 * 1024))
    mail.uniform = Random(1).uniform
    mail.script.always(FETCH, lambda key: refused(Cause.DENIED) if "denied" in key[0] else Fate())
    mail.send(10)
    mail.offload(8, key="denied")
    mail.offload(key="good")
    await mail.run(3 * HOUR)
    assert 11 == len(mail.stored)
    assert [] == mail.queue.dead_lettered


async def test_without_permission_to_hide_them_the_leases_of_what_is_over_the_share_run_out() -> None:
    """The emails are stored all the same."""
    mail = OffloadedMail()
    mail.script.always(CHANGE_VISIBILITY, refused(Cause.DENIED))
    mail.fail("big", refused(Cause.DENIED))
    mail.offload(1000)
    mail.send(500)
    await mail.run(45)
    assert 500 == len(mail.stored)
    assert 800 <= (mail.value("messages_released_total", reason="deferred") or 0)


async def test_a_bucket_that_does_not_answer_holds_up_no_other() -> None:
    """Its GETs take a few of the places; the payloads of the other are fetched beside them."""
    mail = OffloadedMail()
    mail.fail("silent", hung())
    mail.offload(100, "silent")
    mail.offload(100, "big")
    await mail.run(10)
    assert 100 == len(mail.stored)


async def test_a_bucket_that_fails_is_asked_by_one_get_at_a_time_further_and_further_apart() -> None:
    """Twenty pointers, an hour: no storm of requests; each of them is asked about in its turn."""
    mail = OffloadedMail()
    mail.fail("big", refused(Cause.SERVER, after=0.05))
    mail.offload(20)
    await mail.run(HOUR)
    probes = [call for call in mail.calls(FETCH) if call.at > 60]
    assert 110 < len(probes) < 130
    assert 20 == len({call.subjects for call in probes})
    assert 1 == mail.most_at_once(FETCH, since=60)


async def test_of_a_bucket_that_answers_no_more_than_a_few_are_fetched_at_once() -> None:
    """The number of GETs is bounded."""
    mail = OffloadedMail()
    mail.script.always(FETCH, slow(1))
    mail.offload(40)
    await mail.run(20)
    assert 4 == mail.most_at_once(FETCH)
    assert 40 == len(mail.stored)


async def test_one_that_fails_among_others_of_its_bucket_is_refused_alone() -> None:
    """The others are fetched meanwhile, and health is good. On its last receive it is quarantined."""
    mail = OffloadedMail()
    mail.script.always(FETCH, lambda key: refused(Cause.DENIED) if "/bad" in key[0] else slow(0.1))
    mail.offload(1, key="bad")
    mail.queue.messages["m1"].receives = 4
    for second in range(60):
        later(second, mail.offload, 1)
    await mail.run(70)
    assert 61 == len(mail.stored)
    assert 1 == mail.value("messages_quarantined_total", reason="undeliverable")
    assert {"status": "ok"} == mail.health.ready().parts["fetching"]


async def test_a_fresh_one_finds_out_that_a_bucket_answers_again() -> None:
    """One that is denied by itself has opened the circuit of a quiet bucket: it does not stand for the next one."""
    mail = OffloadedMail()
    mail.script.always(FETCH, lambda key: refused(Cause.DENIED) if "/bad" in key[0] else slow(0.1))
    mail.offload(1, key="bad")
    later(600, mail.offload, 10)
    later(660, mail.stop.set)
    await mail.run(661)
    assert 10 == len(mail.stored)


async def test_what_cannot_be_read_for_as_long_as_a_lease_can_run_is_kept_on_its_last_receive() -> None:
    """Its pointer at least, and why: it would be dead-lettered otherwise."""
    mail = OffloadedMail()
    mail.fail("big", refused(Cause.MISSING))
    mail.offload(1)
    mail.queue.messages["m1"].receives = 4
    mail.script.always(RECEIVE, slow(0.1))
    await mail.run(12 * HOUR)
    assert 1 == mail.value("messages_quarantined_total", reason="undeliverable")
    assert ["m1"] == mail.queue.deleted


async def test_buckets_that_never_answer_are_held_to_fail_however_many_they_are() -> None:
    """Each pointer into another bucket, and none answers: they have their share, and no more."""
    mail = OffloadedMail()
    mail.script.always(FETCH, hung())
    for number in range(1000):
        mail.offload(1, f"bucket{number}")
    mail.send(500)
    await mail.run(45)
    assert 500 == len(mail.stored)


async def test_payloads_in_memory_are_bounded_by_their_bytes() -> None:
    """Each of 4 MiB, each PUT takes its time: no more of them are read than may be in memory."""
    mail = OffloadedMail(most_bytes=16 * 1024 * 1024)
    mail.start_well()
    mail.script.always(PUT, slow(5))
    padding = b" " * (4 * 1024 * 1024 - len(EMAIL))
    mail.offload(12, payload=EMAIL + padding)
    stored: list[int] = []
    for second in (4, 9, 14, 19):
        later(second, lambda: stored.append(len(mail.stored)))
    await mail.run(25)
    assert [1, 5, 9, 12] == stored


async def test_in_an_outage_of_the_archive_payloads_wait_without_a_get_that_stays_open() -> None:
    """None of what has been read is read again, and what is over the memory is asked for a few times, no more."""
    mail = OffloadedMail(most_bytes=len(EMAIL))
    mail.script.always(PUT, refused(Cause.SERVER))
    mail.offload(10)
    later(HOUR, mail.script.clear, PUT)
    await mail.run(HOUR + 120)
    assert 10 == len(mail.stored)
    assert 20 > len(mail.calls(FETCH))


async def test_a_stop_hides_what_waits_for_a_bucket_that_fails() -> None:
    """At once, and for minutes: handed straight to the next process it would use its receives up."""
    mail = OffloadedMail()
    mail.plan = replace(mail.plan, receive=replace(mail.plan.receive, wait=2))
    mail.fail("big", refused(Cause.DENIED))
    mail.offload(50)
    took = await mail.run(10)
    assert 0 == mail.left
    assert 2 >= took  # for the long poll
    assert not mail.given_back
    assert 50 == mail.value("messages_released_total", reason="deferred")


async def test_that_payloads_cannot_be_read_is_said_once_with_the_fix(caplog: pytest.LogCaptureFixture) -> None:
    """Another bucket that is well does not take it back; when all is well again that is said, too."""
    mail = OffloadedMail()
    mail.fail("big", refused(Cause.DENIED))
    mail.offload(10)
    for second in range(60):
        later(second, mail.offload, 1, "other")
    later(200, mail.script.clear, FETCH)
    with caplog.at_level(logging.INFO, "email_processor.pipeline.health"):
        await mail.run(260)
    said = [record.message for record in caplog.records if getattr(record, "part", "") == "fetching"]
    assert ["failing", "recovered"] == said
    assert 70 == len(mail.stored)


HIDING = {
    "one entry is refused": lambda handles: partly(*[Entry.REFUSED if it == "m7#1" else Entry.DONE for it in handles]),
    "all is refused": lambda _: refused(Cause.CONFIGURATION),
    "all is throttled": lambda _: refused(Cause.THROTTLED),
    "silence": lambda _: hung(),
}


@pytest.mark.parametrize("fate", HIDING.values(), ids=HIDING)
async def test_what_the_queue_does_not_hide_holds_up_no_email(fate: Callable[[tuple[str, ...]], Fate]) -> None:
    """Nor does it keep the others of the surplus in flight: at worst their leases run out."""
    mail = OffloadedMail()
    mail.fail("big", refused(Cause.DENIED))
    mail.script.always(CHANGE_VISIBILITY, fate)
    mail.offload(1500)
    mail.send(300)
    await mail.run(120)
    assert 300 == len(mail.stored)
