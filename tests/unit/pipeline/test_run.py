"""The pipeline as a whole: from the queue to the bucket, and the order in which it stops."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from email_processor.aws.inbox import SqsInbox
from email_processor.domain.errors import Cause
from email_processor.pipeline.calls import Timeouts
from email_processor.pipeline.ceilings import Ceilings
from email_processor.pipeline.deleter import DeleteRules
from email_processor.pipeline.receiver import NO_ROOM_FIX
from email_processor.pipeline.room import Budget
from email_processor.pipeline.run import GIVING_BACK_SECONDS, HELD_BACK_SECONDS, upload
from email_processor.pipeline.storing import StoreRules
from email_processor.ports import Limits
from tests.simulation.connection import (
    CHANGE_VISIBILITY,
    DELETE,
    PUT,
    QUEUE_STATE,
    RECEIVE,
    Fate,
    What,
    hung,
    message_id_of,
    refused,
    slow,
)
from tests.simulation.world import QueueClient, SimQueue
from tests.unit.pipeline.kit import EMAIL, PROBE, later, now
from tests.unit.pipeline.whole import PLAN, Pipeline

START_SECONDS = 1.3  # far from AWS, before more than one email is received


async def test_every_message_is_stored_and_deleted() -> None:
    """A hundred emails, and a clean stop with nothing in flight."""
    pipeline = Pipeline()
    pipeline.send(100)
    await pipeline.run(10)
    assert 100 == len(pipeline.stored)
    assert 100 == len(pipeline.queue.deleted)
    assert 0 == pipeline.left


async def test_no_more_uploads_run_at_once_than_there_are_workers() -> None:
    """The pool is bounded."""
    pipeline = Pipeline()
    pipeline.script.always(PUT, slow(1))
    pipeline.send(100)
    await pipeline.run(60)
    assert 8 == pipeline.most_at_once(PUT)


async def test_receives_and_deletes_follow_the_uploads() -> None:
    """Full use of a store, then one that throttles above 50 a second, then full use: all three stages at one pace."""
    pipeline = Pipeline(replace(PLAN, store=StoreRules(most=32, probe=PROBE)))
    pipeline.script.always(RECEIVE, slow(0.01))
    pipeline.script.always(DELETE, slow(0.01))
    taken: Counter[int] = Counter()

    def put(_: tuple[str, ...]) -> Fate:
        taken[int(10 * now())] += 1
        is_throttled = 10 <= now() < 30 and taken[int(10 * now())] > 5
        return refused(Cause.THROTTLED, after=0.1) if is_throttled else slow(0.1)

    pipeline.script.always(PUT, put)
    seen: list[list[int]] = []
    for quarter in range(4 * 50):  # there is always more to receive than can be stored
        later(quarter / 4, lambda: pipeline.send(200 - len(pipeline.queue.visible)))
    for second in (5, 10, 25, 30, 45, 50):
        later(
            second, lambda: seen.append([len(pipeline.happened(What(what))) for what in ("taken", "stored", "deleted")])
        )
    await pipeline.run(50.5)
    full, throttled, full_again = [
        [round((now - then) / 5, -1) for then, now in zip(seen[at], seen[at + 1], strict=True)] for at in (0, 2, 4)
    ]
    assert [320] * 3 == full
    assert all(40 <= rate <= 50 for rate in throttled)
    assert [320] * 3 == full_again


@pytest.mark.parametrize("seconds", [5, 25, 29, 40, 600])
async def test_a_spell_of_throttling_ends_when_it_ends(seconds: int) -> None:
    """All is stored within three seconds of it and of the work itself; of half a minute or more, it is an outage."""
    pipeline = Pipeline(replace(PLAN, store=StoreRules(most=64, probe=PROBE), grace=1))
    end = 10 + seconds
    pipeline.script.always(PUT, lambda _: refused(Cause.THROTTLED, 0.04) if 10 < now() < end else slow(0.04))
    ready: list[bool] = []
    pipeline.send(3000)  # that the limit is found by
    later(9.9, pipeline.send, 1000)
    later(end - 0.1, lambda: ready.append(pipeline.health.ready().ok))
    await pipeline.run(end + 3 + 1000 / 64 * 0.04)
    assert 4000 == len(pipeline.stored)
    assert [seconds < 30] == ready


async def test_a_stop_archives_and_deletes_what_is_in_flight() -> None:
    """Forty messages in flight, five seconds of work, twenty-five of grace: nothing is given back."""
    pipeline = Pipeline(replace(PLAN, receive=replace(PLAN.receive, wait=1)))
    pipeline.start_well()
    pipeline.script.always(PUT, slow(1))
    pipeline.send(40)
    assert await pipeline.run(0.5) < 7
    assert 40 == len(pipeline.stored)
    assert 40 == len(pipeline.queue.deleted)
    assert not pipeline.given_back
    assert 0 == pipeline.left


async def test_a_stop_makes_no_new_receive_and_is_red_at_once() -> None:
    """There is more on the queue; it is for others."""
    pipeline = Pipeline()
    pipeline.script.always(RECEIVE, slow(1))
    pipeline.send(1000)
    await pipeline.run(3.5)
    assert not pipeline.health.ready().ok
    assert pipeline.times(RECEIVE)[-1] <= 3.5


async def test_a_start_loses_no_time() -> None:
    """Its one delete waits for no other to go with it; then eight are uploaded, and eight, and then more and more."""
    pipeline = Pipeline(replace(PLAN, store=StoreRules(most=256, probe=PROBE)))
    pipeline.script.always(PUT, slow(0.1))
    pipeline.send(1000)
    await pipeline.run(1)
    begun = Counter(round(at, 1) for at in pipeline.times(PUT))
    assert [1, 8, 8, 10, 20, 40, 80, 160] == [begun[tenth / 10] for tenth in range(1, 9)]


async def test_a_worker_is_at_work_from_its_first_turn_on() -> None:
    """Before that it is no idle one: what was stored meanwhile is a sign that more uploads are of use."""

    class Storing:
        limit = 3

        def follow(self, at_work: Callable[[], int]) -> None:
            self.at_work = at_work

        async def above(self, workers: Callable[[], int]) -> None:
            made.append((workers(), self.at_work()))
            await asyncio.Event().wait()

    class Uploader:
        async def upload(self, is_wanted: Callable[[], bool]) -> None:
            made.append((3, storing.at_work()))
            await asyncio.Event().wait()

    made: list[tuple[int, int]] = []
    storing = Storing()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await upload(cast("Any", Uploader()), cast("Any", storing))
    assert [(3, 0), (3, 1), (3, 2), (3, 3)] == made


@pytest.mark.parametrize("sent_after", [0.1, 3, 19.4])
async def test_a_stop_costs_no_receive(sent_after: float) -> None:
    """Whenever a long poll brings a batch after it, and from a queue that gives it to a closed connection, too."""
    pipeline = Pipeline()
    pipeline.queue = SimQueue(
        pipeline.queue.driver, visibility_timeout=300, notices_hang_up=False, facts=pipeline.facts
    )
    pipeline.inbox = pipeline.queue.client(fates=pipeline.script)
    pipeline.send()
    later(0.5 + sent_after, pipeline.send, 10)
    assert await pipeline.run(0.5) < 20
    assert 11 == len(pipeline.queue.deleted)
    assert 11 == len(pipeline.happened(What.TAKEN))


async def test_a_receive_that_hangs_leaves_a_stop_time_to_give_back() -> None:
    """The grace period is kept, and what was received before is visible again."""
    pipeline = Pipeline()
    pipeline.start_well()
    pipeline.script.always(PUT, slow(14))
    pipeline.send(60)
    later(1, pipeline.script.always, RECEIVE, hung())
    assert PLAN.grace - GIVING_BACK_SECONDS <= await pipeline.run(20.5) < PLAN.grace
    assert pipeline.given_back
    assert 60 == len(pipeline.queue.deleted) + len(pipeline.queue.visible)


async def test_what_the_grace_period_does_not_allow_is_given_back() -> None:
    """PUTs of fourteen seconds, eight at once: the rest goes back with visibility 0, within the grace period."""
    pipeline = Pipeline()
    pipeline.start_well()
    pipeline.script.always(PUT, slow(14))
    pipeline.send(60)
    assert await pipeline.run(1) <= PLAN.grace
    assert 9 == len(pipeline.queue.deleted)
    assert 51 == len(pipeline.queue.visible)
    assert not pipeline.given_back & set(pipeline.happened(What.DELETED))
    assert 0 == pipeline.left


async def test_an_outage_at_the_stop_gives_everything_back() -> None:
    """Nothing can be stored, nothing is lost, and the process ends in time.

    What has met the outage is held back for a while: it is not at once what the next process meets it with.
    """
    pipeline = Pipeline()
    pipeline.start_well()
    pipeline.script.always(PUT, refused(Cause.DENIED))
    pipeline.send(30)
    assert await pipeline.run(5) <= PLAN.grace
    assert ["m1"] == pipeline.queue.deleted
    assert 0 == pipeline.left
    assert pipeline.failed == set(pipeline.queue.in_flight)
    assert 29 == len(pipeline.queue.visible) + len(pipeline.failed)
    assert len(pipeline.given_back) >= 10


async def test_a_thousand_in_flight_in_an_outage_are_given_back_at_once() -> None:
    """A tenth of a second a request to SQS: all of it is visible again in seconds, and the stop is a clean one."""
    store = StoreRules(start=1000, most=1000, probe=PROBE)
    pipeline = Pipeline(replace(PLAN, store=store, budget=replace(PLAN.budget, max_messages=2000)))
    pipeline.start_well()
    pipeline.script.always(CHANGE_VISIBILITY, slow(0.1))
    pipeline.script.always(PUT, slow(0.5))
    pipeline.send(2500)
    later(0.4, pipeline.script.always, PUT, refused())
    took = await pipeline.run(20)
    assert took < 5
    assert 0 == pipeline.left
    assert len(pipeline.given_back) + len(pipeline.failed) > 900
    assert pipeline.failed == set(pipeline.queue.in_flight)
    assert max(map(pipeline.hidden_until, pipeline.failed)) <= now() + HELD_BACK_SECONDS


async def test_an_outage_that_ends_at_once_does_not_cut_a_stop_short() -> None:
    """The circuit opens while draining, and a probe closes it in time: what is in flight is stored after all."""
    pipeline = Pipeline()
    pipeline.start_well()
    pipeline.script.always(PUT, slow(1))
    pipeline.send(40)
    later(1, pipeline.script.always, PUT, refused())
    later(1.5, pipeline.script.always, PUT, slow(0.1))
    await pipeline.run(0.5)
    assert 40 == len(pipeline.queue.deleted)
    assert not pipeline.given_back


async def test_what_cannot_be_deleted_in_time_is_still_in_flight_at_the_end() -> None:
    """It is durable; its message comes back, and finds its object there."""
    pipeline = Pipeline()
    pipeline.script.next(DELETE, Fate())
    pipeline.script.always(DELETE, refused())
    pipeline.send(21)
    assert await pipeline.run(5) <= PLAN.grace
    assert 21 == len(pipeline.stored)
    assert 20 == pipeline.left
    assert not pipeline.given_back


async def test_leases_are_renewed_while_draining() -> None:
    """A grace of ten minutes, and PUTs that take almost eight: nothing is lost on the way."""
    pipeline = Pipeline(
        replace(
            PLAN,
            grace=600,
            store=StoreRules(start=10, most=10, probe=PROBE),
            timeouts=Timeouts(queue=8, store=480),
        )
    )
    pipeline.start_well()
    pipeline.script.always(PUT, slow(460))
    pipeline.send(10)
    await pipeline.run(5)
    assert 10 == len(pipeline.stored)
    assert 0 == pipeline.left
    assert 10 == len(pipeline.queue.deleted)
    assert pipeline.times(CHANGE_VISIBILITY)[-1] > 5


async def test_an_outage_costs_no_receive_beyond_what_was_in_flight() -> None:
    """Thousands of messages on the queue, an hour without S3: the receives under way when it began, and no more."""
    pipeline = Pipeline()
    pipeline.script.always(RECEIVE, slow(0.5))
    pipeline.send(2000)
    later(5.1, pipeline.script.always, PUT, refused(Cause.NETWORK))
    later(3600, pipeline.script.clear, PUT)
    await pipeline.run(3700)
    assert [] == [time for time in pipeline.times(RECEIVE) if 5.7 < time < 3600]
    assert pipeline.times(RECEIVE)[-1] > 3600
    assert 1 == max(message.receives for message in pipeline.queue.messages.values())
    assert 0 == pipeline.left


async def test_the_last_receive_is_known_from_the_queue() -> None:
    """The redrive policy is read at the start, and the queue's depth goes to the metrics."""
    pipeline = Pipeline(max_receive_count=3)
    pipeline.send(7)
    pipeline.queue.messages["m7"].receives = 2
    pipeline.bucket.refuses.add("/m7_")
    pipeline.script.always(RECEIVE, slow(0.1))
    await pipeline.run(10)
    assert 6 == len([key for key in pipeline.stored if key.startswith("emails/")])
    assert 1 == len([key for key in pipeline.stored if key.startswith("quarantine/")])
    assert 7 == pipeline.value("queue_messages", state="visible")


async def test_a_depth_that_cannot_be_read_any_more_is_taken_back_and_comes_again() -> None:
    """An old zero must not look like an empty queue, and a reading or two that fail make no gap."""
    pipeline = Pipeline()
    later(35, lambda: pipeline.script.always(QUEUE_STATE, refused(Cause.DENIED)))
    later(185, pipeline.script.clear)
    seen: dict[int, float | None] = {}
    for second in (20, 110, 150, 220):
        later(second, lambda at=second: seen.update({at: pipeline.value("queue_messages", state="visible")}))
    await pipeline.run(230)
    assert {20: 0, 110: 0, 150: None, 220: 0} == seen


async def test_readiness_says_what_is_though_an_outage_ends_with_an_empty_queue() -> None:
    """One at the start, and one that a single email meets: red meanwhile, and half a minute later not."""
    pipeline = Pipeline()
    seen: list[bool] = []
    for begin in (0, 200):
        later(begin, pipeline.script.always, PUT, refused())
        later(begin + 90, pipeline.script.clear, PUT)
        for second in (80, 125):
            later(begin + second, lambda: seen.append(pipeline.health.ready().ok))
    later(201, pipeline.send)
    await pipeline.run(340)
    assert [False, True, False, True] == seen


async def test_a_body_that_is_never_what_the_queue_says_is_in_the_bucket_with_the_reason() -> None:
    """In quarantine, before the dead-letter queue has it."""
    pipeline = Pipeline(max_receive_count=2)
    pipeline.send()
    pipeline.queue.messages["m1"].md5 = "0" * 32
    await pipeline.run(400)
    ((key, document),) = pipeline.stored.items()
    assert key.startswith("quarantine/")
    assert "corrupt" == json.loads(document)["reason"]
    assert ["m1"] == pipeline.queue.deleted
    assert [] == pipeline.queue.dead_lettered


async def test_readiness_says_what_is_though_all_were_throttled_after_an_outage() -> None:
    """SQS and S3 are slow and throttle; meanwhile another replica sees to what is left: there is nothing to delete."""
    pipeline = Pipeline()
    seen: list[bool] = []
    throttled = refused(Cause.THROTTLED, after=5)

    def see_to_what_is_left() -> None:
        for message in list(pipeline.queue.live()):
            pipeline.queue.delete("another replica", message.handle)

    pipeline.script.always(PUT, refused())
    pipeline.send()
    later(90, pipeline.script.always, PUT, slow(5))
    later(90, pipeline.script.always, DELETE, throttled)
    later(150, pipeline.script.always, RECEIVE, throttled)
    later(150, pipeline.script.always, PUT, throttled)
    later(235, see_to_what_is_left)
    later(400, pipeline.script.clear, RECEIVE, PUT)
    for second in (140, 230, 435):
        later(second, lambda: seen.append(pipeline.health.ready().ok))
    await pipeline.run(440)
    assert [False, False, True] == seen
    assert 1 == len(pipeline.stored)


class SaysNothing:
    """A client of SQS, or a gateway before it: every batch is answered with `{}`."""

    async def delete_message_batch(self, **_: object) -> dict[str, object]:
        """Name none of the entries."""
        return {}

    change_message_visibility_batch = delete_message_batch


@pytest.mark.parametrize(("call", "part"), [("delete", "deleting"), ("change_visibility", "renewing")])
async def test_a_queue_that_says_nothing_of_a_batch_turns_it_red_and_is_said_once(
    call: str, part: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Again and again, while all else goes well: else it would fill up, and stand still without a word."""
    pipeline = Pipeline()
    gateway = SqsInbox(SaysNothing(), "https://queue/1/emails", 300, "first_receive")  # type: ignore[arg-type]
    monkeypatch.setattr(QueueClient, call, lambda _, *asked: getattr(gateway, call)(*asked))
    pipeline.script.always(PUT, slow(14))
    pipeline.send(300)
    seen: list[bool] = []
    for second in (20, 230):
        later(second, lambda: seen.append(pipeline.health.ready().ok))
    later(230, lambda: seen.append(pipeline.health.ready().parts[part]["status"] == "failing"))  # type: ignore[index]
    await pipeline.run(240)
    assert [True, False, True] == seen
    assert [("failing", part)] == [
        (record.message, record.__dict__["part"]) for record in caplog.records if record.levelno >= logging.ERROR
    ]


async def test_what_could_not_be_renewed_is_not_held_against_it_when_it_is_done() -> None:
    """Readiness says what is: nothing is left whose lease could not be renewed."""
    pipeline = Pipeline()
    pipeline.script.always(PUT, slow(14))
    pipeline.script.always(CHANGE_VISIBILITY, refused())
    pipeline.send(120)
    seen: list[bool] = []
    for second in (220, 260):
        later(second, lambda: seen.append(pipeline.health.ready().ok))
    await pipeline.run(270)
    assert [False, True] == seen


async def test_without_permission_to_read_the_queues_figures_it_goes_on() -> None:
    """Said, and not missed."""
    pipeline = Pipeline()
    pipeline.script.always(QUEUE_STATE, refused(Cause.DENIED))
    pipeline.send(10)
    seen: list[bool] = []
    later(1, lambda: seen.append(pipeline.health.ready().ok))
    await pipeline.run(5)
    assert 10 == len(pipeline.queue.deleted)
    assert [True] == seen


async def test_without_permission_to_renew_what_would_outlive_its_lease_is_not_started() -> None:
    """An outage longer than the leases: what was started is kept, the rest is dropped for others to receive."""
    pipeline = Pipeline()
    pipeline.start_well()
    pipeline.script.always(CHANGE_VISIBILITY, refused(Cause.DENIED))
    pipeline.script.always(PUT, refused(Cause.DENIED))
    pipeline.send(30)
    later(10, pipeline.script.always, RECEIVE, hung())
    later(400, pipeline.script.clear, PUT)
    await pipeline.run(500)
    started = {message_id_of(call.subjects[0]) for call in pipeline.calls(PUT) if call.at < 400}
    assert started == {message_id_of(key) for key in pipeline.stored}
    assert 8 < len(started) < 30
    assert 30 - len(started) == len(pipeline.queue.visible)
    assert 30 - len(started) == pipeline.value("messages_released_total", reason="lease_expired")
    assert 0 == pipeline.left


async def test_a_stage_that_breaks_takes_the_pipeline_down() -> None:
    """A bug is not hidden: the process ends, and its supervisor starts it anew."""
    pipeline = Pipeline()

    def bug(_: tuple[str, ...]) -> Fate:
        raise ZeroDivisionError

    pipeline.script.always(DELETE, bug)
    pipeline.send(1)
    with pytest.raises(ExceptionGroup):
        await pipeline.run(100)


async def test_a_container_that_is_resized_has_other_ceilings_within_half_a_minute() -> None:
    """Sixteen uploads at once become two, and so do the workers: with more of them, jobs would wait for a slot."""
    pipeline = Pipeline(replace(PLAN, store=StoreRules(start=16, most=16, probe=PROBE)))
    pipeline.script.always(PUT, slow(1))
    ceilings = Ceilings(4, 4, 16, PLAN.budget)
    pipeline.ceilings = lambda: ceilings if now() < 20 else replace(ceilings, uploads=2)
    pipeline.send(2000)
    workers: list[int] = []
    for second in (10, 40):
        later(second, lambda: workers.append(sum(it.get_name().startswith("uploader-") for it in asyncio.all_tasks())))
    await pipeline.run(50)
    assert [16, 2] == workers
    started = Counter(int(second) for second in pipeline.times(PUT))
    assert 16 == started[10]
    assert 2 == started[40]


async def test_far_from_aws_so_much_is_under_way_that_the_distance_costs_no_rate() -> None:
    """150 ms a request to SQS and 400 a PUT, and ten times as long to get going: 2,500 emails in six seconds.

    Before that, the start looks at the store and sees one email through, its delete included.
    """
    ceilings = Ceilings.of(Limits(256 * 1024 * 1024, descriptors=4096), batch=10)
    pipeline = Pipeline(
        replace(
            PLAN,
            receive=replace(PLAN.receive, most=ceilings.receives),
            store=StoreRules(most=ceilings.uploads, probe=PROBE),
            delete=DeleteRules(most_in_flight=ceilings.deletes),
            budget=ceilings.budget,
        )
    )
    for operation, seconds in ((RECEIVE, 0.15), (DELETE, 0.15), (PUT, 0.4)):
        pipeline.script.always(operation, slow(seconds))
    pipeline.send(2500)
    await pipeline.run(START_SECONDS + 6)
    assert 2500 == pipeline.value("messages_archived_total")


async def test_a_stop_in_an_outage_does_not_wait_for_room_that_there_will_not_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Large answers wait on their sockets for emails to be stored: it is told whose fault that is, and that is all."""
    pipeline = Pipeline(replace(PLAN, budget=Budget(1000, 24 * 1024 * 1024)))
    pipeline.start_well()
    pipeline.send(400)

    def jump_in_an_outage() -> None:
        pipeline.script.always(PUT, refused())
        pipeline.send(45, EMAIL[:-2] + b"x" * 1000 * 1024 + b'"}')

    later(3, jump_in_an_outage)
    took = await pipeline.run(600)
    assert took < 5
    assert {NO_ROOM_FIX} == {record.__dict__["fix"] for record in caplog.records if record.msg == "receive_cut_short"}
