"""Receivers: adaptive, paced, and only when there is room and S3 is trusted."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from email_processor.domain.errors import Cause, Reason, UnarchivableError
from email_processor.domain.message import Message
from email_processor.pipeline.corruption import REMEMBERED_MAX, Corruption
from email_processor.pipeline.jobs import Jobs
from email_processor.pipeline.receiver import Receiver, ReceiveRules
from tests.simulation.connection import RECEIVE, Entry, hung, partly, refused, slow
from tests.unit.pipeline.kit import EMAIL, VISIBILITY_TIMEOUT, Kit, later, now, store_fault
from tests.unit.pipeline.virtual_aws import VirtualAws

MIB = 1024 * 1024


class ReceiverStage(VirtualAws):
    """Receivers at work. On an empty queue a receive is a long poll of 20 s."""

    def __init__(
        self, *, most: int = 4, poll_interval: float = 30, max_messages: int = 1000, max_bytes: int = 64 * MIB
    ) -> None:
        super().__init__()
        self.kit = Kit.new(max_messages=max_messages, max_bytes=max_bytes)
        self.jobs = Jobs(1000, self.kit.context.clock, self.kit.context.circuit)
        self.rules = ReceiveRules(most=most, batch=10, wait=20, poll_interval=poll_interval)
        self.receiver = Receiver(self.kit.context, self.inbox, self.jobs, self.rules)

    @property
    def polls(self) -> list[float]:
        """When each receive began."""
        return self.times(RECEIVE)

    @asynccontextmanager
    async def receiving(self, grace: float = 0) -> AsyncIterator[None]:
        """Receive during the block; then stop, and give what is under way so many seconds."""
        async with asyncio.TaskGroup() as tasks:
            for index in range(self.rules.most):
                tasks.create_task(self.receiver.receive(index))
            yield
            self.receiver.stop(now() + grace)

    async def receive(self, seconds: float, grace: float = 0) -> None:
        """Receive for so long, then stop."""
        async with self.receiving(grace):
            await asyncio.sleep(seconds)


async def test_an_empty_queue_is_watched_by_one_receiver_whose_receives_start_an_interval_apart() -> None:
    """Thirty seconds, of which the long poll takes twenty."""
    stage = ReceiverStage()
    await stage.receive(100)
    assert [0, 30, 60, 90] == stage.polls
    assert 1 == stage.most_at_once(RECEIVE)


async def test_an_interval_of_nothing_polls_without_rest() -> None:
    """One long poll follows the other."""
    stage = ReceiverStage(poll_interval=0)
    await stage.receive(70)
    assert [0, 20, 40, 60] == stage.polls


async def test_while_messages_keep_coming_there_is_no_pause() -> None:
    """A batch that is not full is followed by the next receive at once."""
    stage = ReceiverStage()
    for second in (1, 2, 3):
        later(second, stage.send, 3)
    await stage.receive(4)
    assert [0, 1, 2, 3] == stage.polls


async def test_a_receiver_that_waits_keeps_no_body() -> None:
    """Four of them would keep forty, up to 40 MiB, outside of the budget and for as long as the queue is quiet."""
    stage = ReceiverStage(most=1)
    stage.send(10, body := EMAIL + b" ")
    before = sys.getrefcount(body)
    async with stage.receiving():
        await asyncio.sleep(5)
        assert 10 == stage.jobs.qsize()
        while not stage.jobs.empty():
            stage.jobs.get_nowait()
        after = sys.getrefcount(body)  # asked here: an assertion of pytest's holds what it shows
    assert before == after


async def test_full_batches_wake_more_receivers_up_to_the_limit() -> None:
    """And an empty receive lets them sleep again."""
    stage = ReceiverStage(most=3)
    stage.script.always(RECEIVE, slow(1))
    stage.send(120)
    async with stage.receiving():
        await asyncio.sleep(4)
        assert 3 == stage.kit.value("receivers_wanted")
        await asyncio.sleep(60)
        assert 1 == stage.kit.value("receivers_wanted")
    assert 3 == stage.most_at_once(RECEIVE)


async def test_an_empty_answer_wakes_no_receiver() -> None:
    """After a burst the receivers come back empty one after the other: each time fewer are wanted, never more."""
    stage = ReceiverStage(most=8, poll_interval=300)
    stage.send(200)
    async with stage.receiving():
        wanted = []
        for _ in range(60):
            await asyncio.sleep(1)
            wanted.append(stage.kit.value("receivers_wanted"))
    assert 8 == wanted[0]
    assert sorted(wanted, reverse=True) == wanted
    assert 1 == wanted[-1]


async def test_no_receive_is_made_without_room_for_a_full_batch() -> None:
    """Twenty-five places: two batches, and no third until there is room."""
    stage = ReceiverStage(max_messages=25)
    stage.send(100)
    async with stage.receiving():
        await asyncio.sleep(50)
        for _ in range(5):
            stage.kit.context.ledger.close(stage.jobs.get_nowait().delivery)
        await asyncio.sleep(10)
    assert [0, 0, 50] == stage.polls


async def test_receives_under_way_count_against_the_room() -> None:
    """However many receivers are awake, what they may bring fits."""
    stage = ReceiverStage(most=10, max_messages=40)
    stage.script.always(RECEIVE, slow(1))
    stage.send(100)
    await stage.receive(30)
    assert 40 == stage.jobs.qsize()
    assert 40 == stage.kit.value("in_flight_messages")


async def test_an_answer_for_which_there_is_no_room_waits_and_no_fault_is_the_queues() -> None:
    """For a hundred seconds, though no receive takes half as long; the lease runs since the answer came."""
    stage = ReceiverStage(max_bytes=10 * MIB)
    context = stage.kit.context
    later(1, lambda: later(99, context.ledger.close, stage.kit.in_flight("large", body=bytes(10 * MIB))))
    later(2, stage.send, 10)
    async with stage.receiving():
        await asyncio.sleep(99)
        assert 0 == stage.jobs.qsize()
        assert context.health.alive().ok
        await asyncio.sleep(2)
        assert [2] * 10 == [stage.jobs.get_nowait().delivery.received_at for _ in range(stage.jobs.qsize())]
    assert 0 == context.metrics.retries.total


async def test_a_jump_from_small_emails_to_the_largest_stays_within_the_budget() -> None:
    """Many receives are under way, each of which turns out to bring ten MiB; all of it is had, bit by bit."""
    stage = ReceiverStage(most=64, max_bytes=24 * MIB)
    stage.script.always(RECEIVE, slow(0.02))
    ledger, high = stage.kit.context.ledger, 0.0
    stage.send(1000)
    stage.send(100, largest := EMAIL.ljust(MIB))
    async with stage.receiving():
        for _ in range(1100):
            job = await stage.jobs.get()
            high = max(high, stage.kit.value("in_flight_bytes"))
            later(1 if job.message.body is largest else 0.01, ledger.close, job.delivery)
            ledger.start(job.delivery)
    assert stage.most_at_once(RECEIVE) > 10
    assert high <= 25 * MIB


async def test_nothing_is_received_while_s3_is_in_doubt() -> None:
    """The first failure is enough; the next success lets it go on."""
    stage = ReceiverStage(poll_interval=0)
    circuit = stage.kit.context.circuit
    later(30, circuit.fail, "key", store_fault())
    later(500, circuit.succeed)
    await stage.receive(510)
    assert [0, 20, 500] == stage.polls


async def test_what_a_long_poll_brings_after_the_doubt_began_is_taken_all_the_same() -> None:
    """It was asked for before: it waits with its lease."""
    stage = ReceiverStage()
    later(10, stage.send, 2)
    later(5, stage.kit.context.circuit.fail, "key", store_fault())
    await stage.receive(100)
    assert 2 == stage.jobs.qsize()
    assert [0] == stage.polls


async def test_a_failing_queue_is_asked_again_further_and_further_apart() -> None:
    """And the process does not mind."""
    stage = ReceiverStage()
    stage.script.next(RECEIVE, *[refused(Cause.MISSING)] * 4)
    await stage.receive(2)
    assert [0, 0.1, 0.3, 0.7, 1.5] == stage.polls
    assert 4 == stage.kit.value("retries_total", cause="missing")


async def test_a_failed_receive_is_no_retry_if_a_stop_comes_before_the_next() -> None:
    """Two fail; the stop ends the wait after the second."""
    stage = ReceiverStage()
    stage.script.next(RECEIVE, *[refused(Cause.MISSING)] * 4)
    later(0.2, stage.receiver.stop, 2.2)
    await stage.receive(2)
    assert [0, 0.1] == stage.polls
    assert 1 == stage.kit.value("retries_total", cause="missing")


async def test_a_hung_receive_is_given_up_after_the_long_poll_and_its_timeout() -> None:
    """Twenty seconds and eight."""
    stage = ReceiverStage()
    stage.script.next(RECEIVE, hung())
    await stage.receive(40)
    assert [0, 28.1] == stage.polls


async def test_a_body_that_is_not_what_the_queue_hashed_is_left_for_redelivery() -> None:
    """Counted, and not taken into the ledger."""
    stage = ReceiverStage()
    stage.send(2)
    stage.script.next(RECEIVE, partly(Entry.CORRUPT))
    await stage.receive(1)
    assert 1 == stage.jobs.qsize()
    assert "m2" == stage.jobs.get_nowait().message.message_id
    assert 1 == stage.kit.value("messages_corrupt_total")
    assert 2 == stage.kit.value("messages_received_total")


@pytest.mark.parametrize(
    ("bodies", "limit", "expected"),
    [
        ([b"a", b"a", b"a"], 3, [Reason.CORRUPT]),
        ([b"a", b"b", b"c"], 3, []),  # spoiled on its way: its dead-letter queue has it as it was sent
        ([b"a", b"a"], 3, []),
        ([b"a"], 1, []),
        ([b"a", b"a", b"a"], None, []),
    ],
)
def test_a_body_that_is_never_what_the_queue_hashed_is_quarantined_on_its_last_receive(
    bodies: list[bytes], limit: int | None, expected: list[Reason]
) -> None:
    """Nothing that was only spoiled on its way is, and what was seen in between of others does not count."""
    corruption, reasons = Corruption(), []
    for count, body in enumerate(bodies, 1):
        for other in range(REMEMBERED_MAX - 1):
            corruption.flaw_of(Message(f"{other}", "r", b"x", "wrong"), limit)
        message = Message("m", "r", body, "wrong", {"ApproximateReceiveCount": str(count)})
        flaw = corruption.flaw_of(message, limit)
        reasons += [flaw.reason] if flaw is not None else []
    assert expected == reasons


async def test_a_body_that_will_never_be_right_becomes_a_job_with_a_flaw() -> None:
    """And is counted each time that it comes."""
    stage = ReceiverStage()
    stage.kit.context.ledger.expect_redrive(2)
    stage.send()
    stage.queue.messages["m1"].md5 = "0" * 32
    await stage.receive(VISIBILITY_TIMEOUT + 40)
    assert 2 == stage.kit.value("messages_corrupt_total")
    flaw = stage.jobs.get_nowait().flaw
    assert isinstance(flaw, UnarchivableError)
    assert Reason.CORRUPT is flaw.reason


async def test_the_same_message_received_twice_is_one_job() -> None:
    """With the handle that came last."""
    stage = ReceiverStage()
    stage.send()
    later(0.5, stage.queue.duplicate, "m1")
    await stage.receive(1)
    assert 1 == stage.jobs.qsize()
    assert "m1#2" == stage.jobs.get_nowait().delivery.receipt_handle


async def test_a_stop_waits_for_the_receive_under_way_and_keeps_what_it_brings() -> None:
    """One that comes back in time is kept."""
    stage = ReceiverStage(most=1)
    later(11, stage.send, 2)
    await stage.receive(10, grace=2)
    assert 2 == stage.jobs.qsize()
    assert 11 == now()


async def test_a_stop_waits_for_an_answer_that_waits_for_room() -> None:
    """What is in flight makes room for it, and so it is not lost."""
    stage = ReceiverStage(max_bytes=10 * MIB)
    later(1, lambda: later(9, stage.kit.context.ledger.close, stage.kit.in_flight("large", body=bytes(10 * MIB))))
    later(2, stage.send, 10)
    await stage.receive(5, grace=20)
    assert 10 == stage.jobs.qsize()
    assert 10 == now()


async def test_a_stop_waits_no_longer_than_its_deadline_and_not_at_all_for_who_only_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A receive of twenty seconds is cut short, with a word; a receiver that waits for its turn ends at once."""
    stage = ReceiverStage(most=2)
    ends: list[float] = []

    async def receive(index: int) -> None:
        await stage.receiver.receive(index)
        ends.append(now())

    async with asyncio.TaskGroup() as tasks:
        for index in range(2):
            tasks.create_task(receive(index))
        await asyncio.sleep(10)
        assert 1 == stage.receiver.under_way
        stage.receiver.stop(12)
    assert [10, 12] == ends
    assert ["receive_cut_short"] == caplog.messages


async def test_a_stop_before_the_first_receive_makes_none() -> None:
    """Stopped is stopped."""
    stage = ReceiverStage()
    stage.receiver.stop(2)
    await stage.receive(1)
    assert [] == stage.polls
