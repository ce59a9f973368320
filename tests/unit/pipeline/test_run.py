"""The pipeline as a whole: from the queue to the bucket, and the order in which it stops."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
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
from tests.simulation.loop import simulate
from tests.unit.pipeline.fakes import FakeInbox, FakeStore
from tests.unit.pipeline.kit import EMAIL, highest, new_metrics, queue_fault, store_fault, virtual_clock

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
        clock = virtual_clock()
        world = World(self.inbox, self.inbox, self.store, self.store, clock, highest)
        asyncio.get_running_loop().call_later(seconds, self.stop.set)
        self.left = await run(self.plan, world, self.metrics, self.health, self.stop)
        return round(clock.monotonic() - seconds, 3)

    @property
    def deleted(self) -> set[str]:
        """Handles that were deleted."""
        return {handle for call in self.inbox.deletes.calls for handle in call.about[0]}  # type: ignore[attr-defined]

    @property
    def given_back(self) -> set[str]:
        """Handles whose messages were made visible."""
        changes: Sequence[tuple[Any, ...]] = [call.about for call in self.inbox.changes.calls]
        return {handle for handles, seconds in changes if seconds == 0 for handle in handles}


def test_every_message_is_stored_and_deleted() -> None:
    """A hundred emails, and a clean stop with nothing in hand."""

    async def story() -> tuple[int, int, int]:
        service = Service()
        service.send(100)
        await service.run(10)
        return len(service.store.objects), len(service.deleted), service.left

    assert (100, 100, 0) == simulate(story())


def test_no_more_uploads_run_at_once_than_there_are_workers() -> None:
    """The pool is bounded."""

    async def story() -> int:
        service = Service()
        service.store.puts.seconds = 1
        service.send(100)
        await service.run(60)
        return service.store.puts.high

    assert simulate(story()) == 8


def test_receives_and_deletes_follow_the_uploads() -> None:
    """Full use of a store, then one that throttles above 50 a second, then full use: all three stages at one pace."""

    async def story() -> list[tuple[int, ...]]:
        service = Service(replace(PLAN, uploads=64))
        inbox, store, loop = service.inbox, service.store, asyncio.get_running_loop()
        inbox.receives.seconds = inbox.deletes.seconds = 0.01
        store.puts.seconds = 0.1
        service.send(30_000)
        taken: Counter[int] = Counter()

        def put(key: str, document: bytes) -> object:
            taken[int(10 * loop.time())] += 1
            is_throttled = 10 <= loop.time() < 30 and taken[int(10 * loop.time())] > 5
            return store_fault(Cause.THROTTLED) if is_throttled else store._put(key, document)

        store.puts.otherwise = put
        seen: list[tuple[int, ...]] = []

        def look() -> None:
            seen.append((10 * len(inbox.receives.calls), len(store.objects), len(service.deleted)))

        for second in (5, 10, 25, 30, 45, 50):
            loop.call_later(second, look)
        await service.run(50.5)
        return seen

    seen = simulate(story())
    rates = [
        [round((now - then) / 5, -1) for then, now in zip(seen[at], seen[at + 1], strict=True)] for at in (0, 2, 4)
    ]
    assert [[640] * 3, [40] * 3, [640] * 3] == rates


def test_a_stop_archives_and_deletes_what_is_in_hand() -> None:
    """Forty messages in hand, five seconds of work, twenty-five of grace: nothing is given back."""

    async def story() -> tuple[int, int, set[str], int, bool]:
        service = Service()
        service.store.puts.seconds = 1
        service.send(40)
        took = await service.run(0.5)
        return len(service.store.objects), len(service.deleted), service.given_back, service.left, took < 7

    assert (40, 40, set(), 0, True) == simulate(story())


def test_a_stop_makes_no_new_receive_and_is_red_at_once() -> None:
    """There is more on the queue; it is for others."""

    async def story() -> tuple[bool, int]:
        service = Service()
        service.inbox.receives.seconds = 1
        service.send(1000)
        await service.run(3.5)
        late = [call for call in service.inbox.receives.calls if call.began > 3.5]
        return service.health.ready().ok, len(late)

    assert (False, 0) == simulate(story())


def test_what_the_grace_period_does_not_allow_is_given_back() -> None:
    """PUTs of fourteen seconds, eight at once: the rest goes back with visibility 0, within the grace period."""

    async def story() -> tuple[int, int, set[str], int, bool]:
        service = Service()
        service.store.puts.seconds = 14
        service.send(60)
        took = await service.run(1)
        both = service.deleted & service.given_back
        return len(service.deleted), len(service.given_back), both, service.left, took <= PLAN.grace

    assert (8, 52, set(), 0, True) == simulate(story())


def test_an_outage_at_the_stop_gives_everything_back() -> None:
    """Nothing can be stored, nothing is lost, and the process ends in time."""

    async def story() -> tuple[int, int, int, bool]:
        service = Service()
        service.store.puts.otherwise = lambda *_: store_fault(Cause.DENIED)
        service.send(30)
        took = await service.run(5)
        return len(service.deleted), len(service.given_back), service.left, took <= PLAN.grace

    deleted, given_back, left, in_time = simulate(story())
    assert (0, 0, True) == (deleted, left, in_time)
    assert given_back >= 10


def test_what_cannot_be_deleted_in_time_is_still_in_hand_at_the_end() -> None:
    """It is durable; its message comes back, and finds its object there."""

    async def story() -> tuple[int, int, set[str], bool]:
        service = Service()
        service.inbox.deletes.otherwise = lambda _: queue_fault()
        service.send(20)
        took = await service.run(5)
        return len(service.store.objects), service.left, service.given_back, took <= PLAN.grace

    assert (20, 20, set(), True) == simulate(story())


def test_leases_are_renewed_while_draining() -> None:
    """A grace of ten minutes, and an S3 that comes back after eight: nothing is lost on the way."""

    async def story() -> tuple[int, float, bool]:
        service = Service(replace(PLAN, grace=600))
        service.store.puts.otherwise = lambda *_: store_fault(Cause.DENIED)
        service.send(10)
        recover: Callable[[], None] = lambda: setattr(service.store.puts, "otherwise", service.store._put)  # noqa: E731
        asyncio.get_running_loop().call_later(460, recover)
        await service.run(5)
        renewals = [call for call in service.inbox.changes.calls if call.about[1] != 0]
        return len(service.store.objects), service.left, any(call.began > 5 for call in renewals)

    assert (10, 0, True) == simulate(story())


def test_an_outage_costs_no_receive_beyond_what_was_in_hand() -> None:
    """Ten thousand messages on the queue, an hour without S3: the receives under way when it began, and no more."""

    async def story() -> tuple[int, int, int]:
        service = Service()
        service.inbox.receives.seconds = 0.5
        service.send(10_000)
        loop = asyncio.get_running_loop()

        def fail() -> None:
            service.store.puts.otherwise = lambda *_: store_fault(Cause.NETWORK)

        loop.call_later(5.1, fail)
        loop.call_later(3600, lambda: setattr(service.store.puts, "otherwise", service.store._put))
        await service.run(3700)
        during = [call for call in service.inbox.receives.calls if 5.7 < call.began < 3600]
        after = [call for call in service.inbox.receives.calls if call.began > 3600]
        return len(during), min(1, len(after)), service.left

    assert (0, 1, 0) == simulate(story())


def test_the_last_receive_is_known_from_the_queue() -> None:
    """The redrive policy is read at the start, and the queue's depth goes to the metrics."""

    async def story() -> tuple[list[str], float | None]:
        service = Service()
        service.inbox.states.otherwise = lambda: QueueState(7, 2, 1, 3)
        pointer = b'["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]'
        service.store.fetches.otherwise = lambda _: store_fault(Cause.DENIED)
        last = Message("m", "r", pointer, attributes={"ApproximateReceiveCount": "3"})
        service.inbox.receives.seconds = 0.1
        service.inbox.receives.answers.append([last])
        await service.run(10)
        visible = service.metrics.registry.get_sample_value("email_processor_queue_messages", {"state": "visible"})
        return [key.split("/")[0] for key in service.store.objects], visible

    assert (["quarantine"], 7) == simulate(story())


def test_without_permission_to_read_the_queues_figures_it_goes_on() -> None:
    """Said, and not missed."""

    async def story() -> tuple[int, bool]:
        service = Service()
        service.inbox.states.otherwise = lambda: queue_fault(Cause.DENIED)
        service.send(10)
        seen: list[bool] = []
        asyncio.get_running_loop().call_later(1, lambda: seen.append(service.health.ready().ok))
        await service.run(5)
        return len(service.deleted), seen[0]

    assert (10, True) == simulate(story())


def test_without_permission_to_renew_what_would_outlive_its_lease_is_not_started() -> None:
    """An outage longer than the leases: what was started is kept, the rest is dropped for others to receive."""

    async def story() -> tuple[int, float | None, int]:
        service = Service()
        service.inbox.changes.otherwise = lambda *_: queue_fault(Cause.DENIED)
        service.store.puts.otherwise = lambda *_: store_fault(Cause.DENIED)
        service.send(10)
        loop = asyncio.get_running_loop()
        loop.call_later(400, lambda: setattr(service.store.puts, "otherwise", service.store._put))
        await service.run(500)
        expired = service.metrics.registry.get_sample_value(
            "email_processor_messages_released_total", {"reason": "lease_expired"}
        )
        return len(service.store.objects), expired, service.left

    assert (8, 2, 0) == simulate(story())


def test_a_stage_that_breaks_takes_the_pipeline_down() -> None:
    """A bug is not hidden: the process ends, and its supervisor starts it anew."""

    async def story() -> None:
        service = Service()
        service.inbox.deletes.otherwise = lambda _: [Verdict.DONE, Verdict.DONE]  # one verdict too many
        service.send(1)
        await service.run(100)

    with pytest.raises(ExceptionGroup):
        simulate(story())
