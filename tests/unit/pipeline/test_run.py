"""The pipeline as a whole: from the queue to the bucket, and the order in which it stops."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from email_processor.domain.errors import Cause
from email_processor.domain.message import Message
from email_processor.metrics import Metrics
from email_processor.pipeline.health import Health
from email_processor.pipeline.receiver import ReceiveRules
from email_processor.pipeline.run import Plan, World, run
from email_processor.pipeline.uploader import UploadRules
from email_processor.ports import QueueState, Verdict
from tests.unit.pipeline.fakes import FakeInbox, FakeStore
from tests.unit.pipeline.kit import EMAIL, highest, later, new_metrics, now, queue_fault, store_fault, virtual_clock

PLAN = Plan(
    receive=ReceiveRules(most=4, batch=10, wait=20, poll_interval=0),
    upload=UploadRules("emails", "quarantine", quarantine=True, version="1.2.3", upload_timeout=15),
    uploads=8,
    uploads_least=1,
    deletes=4,
    delete_linger=0.2,
    visibility_timeout=300,
    queue_timeout=8,
    in_flight_messages=1000,
    in_flight_bytes=64 * 1024 * 1024,
    depth_interval=30,
    grace=25,
)


@dataclass
class Service:
    """A pipeline in virtual time, and what became of it."""

    plan: Plan = PLAN

    def __post_init__(self) -> None:
        self.inbox = FakeInbox()
        self.store = FakeStore()
        self.metrics: Metrics = new_metrics()
        self.stop = asyncio.Event()
        self.health = Health(virtual_clock(), patience=60)
        self.left = -1

    def send(self, count: int) -> None:
        """Put messages on the queue, ten to a receive."""
        messages = [Message(f"m{number}", f"r{number}", EMAIL) for number in range(count)]
        self.inbox.receives.answers.extend(messages[start : start + 10] for start in range(0, count, 10))

    async def run(self, seconds: float) -> float:
        """Run, stop after `seconds`, and say how long the stop took."""
        world = World(self.inbox, self.inbox, self.store, self.store, virtual_clock(), highest)
        later(seconds, self.stop.set)
        self.left = await run(self.plan, world, self.metrics, self.health, self.stop)
        return now() - seconds

    def fail(self, cause: Cause) -> None:
        """Let every PUT fail from now on."""
        self.store.puts.otherwise = lambda *_: store_fault(cause)

    def recover(self) -> None:
        """Let PUTs succeed from now on."""
        self.store.puts.otherwise = self.store._put

    def value(self, name: str, **labels: str) -> float | None:
        """A metric's value."""
        return self.metrics.registry.get_sample_value(f"email_processor_{name}", labels)

    @property
    def deleted(self) -> set[str]:
        """Handles that were deleted."""
        return {handle for call in self.inbox.deletes.calls for handle in call.about[0]}  # type: ignore[attr-defined]

    @property
    def given_back(self) -> set[str]:
        """Handles whose messages were made visible."""
        changes: Sequence[tuple[Any, ...]] = [call.about for call in self.inbox.changes.calls]
        return {handle for handles, seconds in changes if seconds == 0 for handle in handles}


async def test_every_message_is_stored_and_deleted() -> None:
    """A hundred emails, and a clean stop with nothing in hand."""
    service = Service()
    service.send(100)
    await service.run(10)
    assert 100 == len(service.store.objects)
    assert 100 == len(service.deleted)
    assert 0 == service.left


async def test_no_more_uploads_run_at_once_than_there_are_workers() -> None:
    """The pool is bounded."""
    service = Service()
    service.store.puts.seconds = 1
    service.send(100)
    await service.run(60)
    assert 8 == service.store.puts.high


async def test_receives_and_deletes_follow_the_uploads() -> None:
    """Full use of a store, then one that throttles above 50 a second, then full use: all three stages at one pace."""
    service = Service(replace(PLAN, uploads=64))
    inbox, store = service.inbox, service.store
    inbox.receives.seconds = inbox.deletes.seconds = 0.01
    store.puts.seconds = 0.1
    service.send(30_000)
    taken: Counter[int] = Counter()

    def put(key: str, document: bytes) -> object:
        taken[int(10 * now())] += 1
        is_throttled = 10 <= now() < 30 and taken[int(10 * now())] > 5
        return store_fault(Cause.THROTTLED) if is_throttled else store._put(key, document)

    store.puts.otherwise = put
    seen: list[tuple[int, ...]] = []
    for second in (5, 10, 25, 30, 45, 50):
        later(second, lambda: seen.append((10 * len(inbox.receives.calls), len(store.objects), len(service.deleted))))
    await service.run(50.5)
    full, throttled, full_again = [
        [round((now - then) / 5, -1) for then, now in zip(seen[at], seen[at + 1], strict=True)] for at in (0, 2, 4)
    ]
    assert [640] * 3 == full
    assert [40] * 3 == throttled
    assert [640] * 3 == full_again


async def test_a_stop_archives_and_deletes_what_is_in_hand() -> None:
    """Forty messages in hand, five seconds of work, twenty-five of grace: nothing is given back."""
    service = Service()
    service.store.puts.seconds = 1
    service.send(40)
    assert await service.run(0.5) < 7
    assert 40 == len(service.store.objects)
    assert 40 == len(service.deleted)
    assert not service.given_back
    assert 0 == service.left


async def test_a_stop_makes_no_new_receive_and_is_red_at_once() -> None:
    """There is more on the queue; it is for others."""
    service = Service()
    service.inbox.receives.seconds = 1
    service.send(1000)
    await service.run(3.5)
    assert not service.health.ready().ok
    assert max(call.began for call in service.inbox.receives.calls) <= 3.5


async def test_what_the_grace_period_does_not_allow_is_given_back() -> None:
    """PUTs of fourteen seconds, eight at once: the rest goes back with visibility 0, within the grace period."""
    service = Service()
    service.store.puts.seconds = 14
    service.send(60)
    assert await service.run(1) <= PLAN.grace
    assert 8 == len(service.deleted)
    assert 52 == len(service.given_back)
    assert not service.deleted & service.given_back
    assert 0 == service.left


async def test_an_outage_at_the_stop_gives_everything_back() -> None:
    """Nothing can be stored, nothing is lost, and the process ends in time."""
    service = Service()
    service.fail(Cause.DENIED)
    service.send(30)
    assert await service.run(5) <= PLAN.grace
    assert not service.deleted
    assert 0 == service.left
    assert len(service.given_back) >= 10


async def test_what_cannot_be_deleted_in_time_is_still_in_hand_at_the_end() -> None:
    """It is durable; its message comes back, and finds its object there."""
    service = Service()
    service.inbox.deletes.otherwise = lambda _: queue_fault()
    service.send(20)
    assert await service.run(5) <= PLAN.grace
    assert 20 == len(service.store.objects)
    assert 20 == service.left
    assert not service.given_back


async def test_leases_are_renewed_while_draining() -> None:
    """A grace of ten minutes, and an S3 that comes back after eight: nothing is lost on the way."""
    service = Service(replace(PLAN, grace=600))
    service.fail(Cause.DENIED)
    service.send(10)
    later(460, service.recover)
    await service.run(5)
    assert 10 == len(service.store.objects)
    assert 0 == service.left
    assert max(call.began for call in service.inbox.changes.calls if call.about[1] != 0) > 5


async def test_an_outage_costs_no_receive_beyond_what_was_in_hand() -> None:
    """Ten thousand messages on the queue, an hour without S3: the receives under way when it began, and no more."""
    service = Service()
    service.inbox.receives.seconds = 0.5
    service.send(10_000)
    later(5.1, service.fail, Cause.NETWORK)
    later(3600, service.recover)
    await service.run(3700)
    assert [] == [call for call in service.inbox.receives.calls if 5.7 < call.began < 3600]
    assert service.inbox.receives.calls[-1].began > 3600
    assert 0 == service.left


async def test_the_last_receive_is_known_from_the_queue() -> None:
    """The redrive policy is read at the start, and the queue's depth goes to the metrics."""
    service = Service()
    service.inbox.states.otherwise = lambda: QueueState(7, 2, 1, 3)
    pointer = b'["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]'
    service.store.fetches.otherwise = lambda _: store_fault(Cause.DENIED)
    last = Message("m", "r", pointer, attributes={"ApproximateReceiveCount": "3"})
    service.inbox.receives.seconds = 0.1
    service.inbox.receives.answers.append([last])
    await service.run(10)
    assert ["quarantine"] == [key.split("/")[0] for key in service.store.objects]
    assert 7 == service.value("queue_messages", state="visible")


async def test_without_permission_to_read_the_queues_figures_it_goes_on() -> None:
    """Said, and not missed."""
    service = Service()
    service.inbox.states.otherwise = lambda: queue_fault(Cause.DENIED)
    service.send(10)
    seen: list[bool] = []
    later(1, lambda: seen.append(service.health.ready().ok))
    await service.run(5)
    assert 10 == len(service.deleted)
    assert [True] == seen


async def test_without_permission_to_renew_what_would_outlive_its_lease_is_not_started() -> None:
    """An outage longer than the leases: what was started is kept, the rest is dropped for others to receive."""
    service = Service()
    service.inbox.changes.otherwise = lambda *_: queue_fault(Cause.DENIED)
    service.fail(Cause.DENIED)
    service.send(10)
    later(400, service.recover)
    await service.run(500)
    assert 8 == len(service.store.objects)
    assert 2 == service.value("messages_released_total", reason="lease_expired")
    assert 0 == service.left


async def test_a_stage_that_breaks_takes_the_pipeline_down() -> None:
    """A bug is not hidden: the process ends, and its supervisor starts it anew."""
    service = Service()
    service.inbox.deletes.otherwise = lambda _: [Verdict.DONE, Verdict.DONE]  # one verdict too many
    service.send(1)
    with pytest.raises(ExceptionGroup):
        await service.run(100)
