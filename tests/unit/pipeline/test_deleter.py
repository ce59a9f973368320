"""The deleter: batches by size or linger, nothing done before it is deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from email_processor.domain.errors import Cause
from email_processor.pipeline.deleter import Deleter, DeleteRules
from email_processor.pipeline.leases import LeaseKeeper, LeaseRules
from email_processor.pipeline.ledger import Delivery, State
from email_processor.pipeline.receipts import Receipts
from tests.simulation.connection import CHANGE_VISIBILITY, DELETE, Entry, Fate, hung, partly, refused, slow
from tests.unit.pipeline.kit import VISIBILITY_TIMEOUT, Kit, later, now
from tests.unit.pipeline.virtual_aws import VirtualAws


class DeleterStage(VirtualAws):
    """A deleter at work."""

    def __init__(self, *, linger: float = 0.2, most_in_flight: int = 4) -> None:
        super().__init__()
        self.kit = Kit.new()
        self.ledger = self.kit.context.ledger
        self.receipts = Receipts()
        self.deleter = Deleter(
            self.kit.context,
            self.inbox,
            LeaseKeeper(self.kit.context, self.inbox, LeaseRules(VISIBILITY_TIMEOUT)),
            self.receipts,
            DeleteRules(most_in_flight=most_in_flight, linger=linger),
        )

    def archived(self, count: int = 1) -> list[Delivery]:
        """Messages whose objects are durable, on their way to the deleter."""
        self.send(count)
        deliveries = self.admit(self.ledger, count)
        for delivery in deliveries:
            self.ledger.archived(delivery)
            self.receipts.add(delivery)
        return deliveries

    @property
    def batches(self) -> list[tuple[str, ...]]:
        """The receipt handles of each delete request."""
        return [call.subjects for call in self.calls(DELETE)]

    @asynccontextmanager
    async def deleting(self) -> AsyncIterator[None]:
        """Delete during the block, and then until every receipt is settled."""
        async with asyncio.TaskGroup() as tasks:
            deleting = tasks.create_task(self.deleter.delete())
            yield
            await self.receipts.settled()
            deleting.cancel()

    async def until_settled(self) -> None:
        """Delete until every receipt is settled."""
        async with self.deleting():
            pass


async def test_full_batches_go_at_once_and_the_rest_after_the_linger() -> None:
    """Twenty-five receipts: ten, ten, and five when nothing more came."""
    stage = DeleterStage()
    stage.archived(25)
    await stage.until_settled()
    assert [10, 10, 5] == [len(batch) for batch in stage.batches]
    assert [0, 0, 0.2] == stage.times(DELETE)


async def test_the_linger_is_of_the_batch_not_of_each_receipt() -> None:
    """A trickle of one receipt every 0.15 s does not hold up the first for ever."""
    stage = DeleterStage(linger=0.2)
    for number in range(8):
        later(0.15 * number, stage.archived)
    async with stage.deleting():
        await asyncio.sleep(3)
    assert [0.2, 0.5, 0.8, 1.1] == stage.times(DELETE)


async def test_a_receipt_is_settled_only_when_its_message_is_deleted() -> None:
    """Until SQS has answered, the delivery is in flight."""
    stage = DeleterStage(linger=0)
    stage.script.always(DELETE, slow(3))
    stage.archived()
    async with stage.deleting():
        await asyncio.sleep(2)
        assert 1 == len(stage.ledger)
    assert 3 == now()
    assert 0 == len(stage.ledger)
    assert 1 == stage.kit.value("deletes_total", outcome="deleted")


async def test_failed_entries_are_deleted_again_with_the_handles_that_are_theirs() -> None:
    """Verdicts are positional: the second and the fourth of four failed."""
    stage = DeleterStage(linger=0)
    stage.script.next(DELETE, partly(Entry.DONE, Entry.REFUSED, Entry.DONE, Entry.REFUSED))
    stage.archived(4)
    await stage.until_settled()
    assert [("m1#1", "m2#1", "m3#1", "m4#1"), ("m2#1", "m4#1")] == stage.batches
    assert ["m1", "m2", "m3", "m4"] == stage.queue.deleted
    assert 2 == stage.kit.value("deletes_total", outcome="failed")
    assert 4 == stage.kit.value("deletes_total", outcome="deleted")


async def test_a_queue_that_fails_is_asked_again_for_as_long_as_it_takes() -> None:
    """Backing off 0.1, 0.2, 0.4 s; health knows meanwhile, and that it is over."""
    stage = DeleterStage(linger=0)
    health = stage.kit.context.health
    stage.script.next(DELETE, *[refused(Cause.DENIED)] * 3)
    stage.archived()
    async with stage.deleting():
        await asyncio.sleep(0.5)
        assert {"status": "failing", "cause": "denied", "fix": "Wait."} == health.ready().parts["deleting"]
    assert [0, 0.1, 0.3, 0.7] == stage.times(DELETE)
    assert {"status": "ok"} == health.ready().parts["deleting"]


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    """A hundred receipts, two requests at once."""
    stage = DeleterStage(most_in_flight=2)
    stage.script.always(DELETE, slow(1))
    stage.archived(100)
    await stage.until_settled()
    assert 2 == stage.most_at_once(DELETE)


async def test_one_batch_that_keeps_failing_does_not_hold_up_the_others() -> None:
    """It backs off without a slot."""
    stage = DeleterStage(linger=0, most_in_flight=1)

    def fail_the_first(handles: tuple[str, ...]) -> Fate:
        return partly(*[Entry.REFUSED if handle == "m1#1" else Entry.DONE for handle in handles])

    stage.script.always(DELETE, fail_the_first)
    stage.archived(40)
    async with stage.deleting():
        await asyncio.sleep(0.05)
        assert 1 == len(stage.ledger)
        stage.script.clear(DELETE)
    assert 0.1 == now()


async def test_a_lost_lease_is_one_count_and_no_second_delete() -> None:
    """The message is remembered: its redelivery needs no PUT, only a delete with the new handle."""
    stage = DeleterStage(linger=0)
    stage.script.next(DELETE, partly(Entry.GONE))
    stage.archived()
    await stage.until_settled()
    assert [("m1#1",)] == stage.batches
    assert 1 == stage.kit.value("leases_lost_total")
    assert 1 == stage.kit.value("deletes_total", outcome="gone")
    stage.queue.duplicate("m1")
    assert [State.ARCHIVED] == [delivery.state for delivery in stage.admit(stage.ledger)]


async def test_a_lease_lost_before_the_delete_makes_no_request() -> None:
    """The handle is known to be no good."""
    stage = DeleterStage(linger=0)
    (delivery,) = stage.archived()
    stage.ledger.lose(delivery, "m1#1")
    await stage.until_settled()
    assert [] == stage.batches
    assert 0 == len(stage.ledger)


async def test_a_message_redelivered_during_its_delete_is_deleted_with_the_newest_handle() -> None:
    """A delete with an older handle may be answered well and delete nothing."""
    stage = DeleterStage(linger=0)
    stage.script.always(DELETE, slow(1))
    stage.archived()
    later(0.4, stage.queue.duplicate, "m1")
    later(0.5, stage.admit, stage.ledger)
    await stage.until_settled()
    assert [("m1#1",), ("m1#2",)] == stage.batches
    assert ["m1"] == stage.queue.deleted


async def test_a_delete_waits_for_a_renewal_that_is_on_the_wire_and_lets_none_start() -> None:
    """Renewal and delete of one handle never cross; nor does one that waited come after the delete."""
    stage = DeleterStage(linger=0)
    (delivery,) = stage.archived()
    async with stage.deleting():
        with stage.ledger.renewing([delivery]):
            await asyncio.sleep(1)
            assert [] == stage.times(DELETE)
        assert not delivery.is_renewable
    assert [1] == stage.times(DELETE)
    assert not delivery.is_closing
    assert not delivery.is_renewable


async def test_a_hung_delete_is_given_up_and_tried_again() -> None:
    """No call waits for ever: eight seconds, then the next try."""
    stage = DeleterStage(linger=0)
    stage.script.next(DELETE, hung())
    stage.archived()
    await stage.until_settled()
    assert [0, 8.1] == stage.times(DELETE)
    assert 1 == stage.kit.value(
        "aws_requests_total", aws_service="sqs", operation="DeleteMessageBatch", outcome="timeout"
    )


async def test_between_two_deletes_that_hang_a_lease_that_is_due_is_renewed() -> None:
    """Else they would leave no moment for it: none is renewed while its delete is under way."""
    stage = DeleterStage(linger=0)
    stage.script.next(DELETE, hung(), hung())
    (delivery,) = stage.archived()
    delivery.lease_until = VISIBILITY_TIMEOUT / 2 + 12
    await stage.until_settled()
    assert [0, 8.1, 16.3] == stage.times(DELETE)
    assert [8.1] == stage.times(CHANGE_VISIBILITY)
    assert VISIBILITY_TIMEOUT + 8.1 == round(delivery.lease_until, 3)
