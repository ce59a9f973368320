"""The deleter: batches by size or linger, nothing done before it is deleted."""

import asyncio

from email_processor.domain.errors import Cause
from email_processor.pipeline.deleter import Deleter
from email_processor.pipeline.leases import LeaseKeeper
from email_processor.pipeline.ledger import Delivery
from email_processor.ports import Verdict
from tests.simulation.loop import simulate
from tests.unit.pipeline.fakes import FakeInbox
from tests.unit.pipeline.kit import VISIBILITY_TIMEOUT, Kit, queue_fault


class Stage:
    """A deleter at work."""

    def __init__(self, *, linger: float = 0.2, most_in_flight: int = 4) -> None:
        self.kit = Kit.new()
        self.inbox = FakeInbox()
        self.receipts: asyncio.Queue[Delivery] = asyncio.Queue(1000)
        self.deleter = Deleter(
            self.kit.common,
            self.inbox,
            self.receipts,
            renew_due=LeaseKeeper(self.kit.common, self.inbox, VISIBILITY_TIMEOUT).renew_due,
            linger=linger,
            most_in_flight=most_in_flight,
        )

    def archived(self, count: int = 1, first: int = 0) -> list[Delivery]:
        """Messages whose objects are durable, on their way to the deleter."""
        deliveries = [self.kit.in_hand(f"m{number}", f"r{number}") for number in range(first, first + count)]
        for delivery in deliveries:
            self.kit.common.ledger.archived(delivery)
            self.receipts.put_nowait(delivery)
        return deliveries

    @property
    def batches(self) -> list[tuple[str, ...]]:
        """The receipt handles of each delete request."""
        return [call.about[0] for call in self.inbox.deletes.calls]  # type: ignore[misc]

    async def until_done(self) -> float:
        """Delete until every receipt is done; when that was."""
        async with asyncio.TaskGroup() as tasks:
            deleting = tasks.create_task(self.deleter.delete())
            await self.receipts.join()
            deleting.cancel()
        return asyncio.get_running_loop().time()


def test_full_batches_go_at_once_and_the_rest_after_the_linger() -> None:
    """Twenty-five receipts: ten, ten, and five when nothing more came."""

    async def story() -> tuple[list[int], list[float]]:
        stage = Stage()
        stage.archived(25)
        await stage.until_done()
        return [len(batch) for batch in stage.batches], [call.began for call in stage.inbox.deletes.calls]

    assert ([10, 10, 5], [0, 0, 0.2]) == simulate(story())


def test_the_linger_is_of_the_batch_not_of_each_receipt() -> None:
    """A trickle of one receipt every 0.15 s does not hold up the first for ever."""

    async def story() -> list[float]:
        stage = Stage(linger=0.2)
        loop = asyncio.get_running_loop()
        stage.archived(1)
        for number in range(1, 8):
            loop.call_later(0.15 * number, stage.archived, 1, number)
        async with asyncio.TaskGroup() as tasks:
            deleting = tasks.create_task(stage.deleter.delete())
            await asyncio.sleep(3)
            deleting.cancel()
        return [round(call.began, 2) for call in stage.inbox.deletes.calls]

    assert [0.2, 0.5, 0.8, 1.1] == simulate(story())


def test_a_receipt_is_done_only_when_its_message_is_deleted() -> None:
    """Until SQS has answered, the delivery is in hand."""

    async def story() -> tuple[int, float, int, float]:
        stage = Stage(linger=0)
        stage.inbox.deletes.seconds = 3
        stage.archived()
        async with asyncio.TaskGroup() as tasks:
            deleting = tasks.create_task(stage.deleter.delete())
            await asyncio.sleep(2)
            before = len(stage.kit.common.ledger)
            await stage.receipts.join()
            deleting.cancel()
        done = asyncio.get_running_loop().time()
        return before, done, len(stage.kit.common.ledger), stage.kit.value("deletes_total", outcome="deleted")

    assert (1, 3, 0, 1) == simulate(story())


def test_failed_entries_are_deleted_again_with_the_handles_that_are_theirs() -> None:
    """Verdicts are positional: the second and the fourth of four failed."""

    async def story() -> tuple[list[tuple[str, ...]], float, float]:
        stage = Stage(linger=0)
        ok, failed = Verdict.DONE, Verdict.FAILED
        stage.inbox.deletes.answers.append([ok, failed, ok, failed])
        stage.archived(4)
        await stage.until_done()
        value = stage.kit.value
        return stage.batches, value("deletes_total", outcome="failed"), value("deletes_total", outcome="deleted")

    assert ([("r0", "r1", "r2", "r3"), ("r1", "r3")], 2, 4) == simulate(story())


def test_a_queue_that_fails_is_asked_again_for_as_long_as_it_takes() -> None:
    """Backing off 0.1, 0.2, 0.4 s; health knows meanwhile, and that it is over."""

    async def story() -> tuple[list[float], bool, bool]:
        stage = Stage(linger=0)
        stage.inbox.deletes.answers.extend(queue_fault(Cause.DENIED) for _ in range(3))
        stage.archived()
        async with asyncio.TaskGroup() as tasks:
            deleting = tasks.create_task(stage.deleter.delete())
            await asyncio.sleep(0.5)
            during = stage.kit.common.health.ready().parts["deleting"]
            await stage.receipts.join()
            deleting.cancel()
        after = stage.kit.common.health.ready().parts["deleting"]
        return (
            [round(call.began, 3) for call in stage.inbox.deletes.calls],
            during == {"status": "failing", "cause": "denied", "fix": "Wait."},
            after == {"status": "ok"},
        )

    assert ([0, 0.1, 0.3, 0.7], True, True) == simulate(story())


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    """A hundred receipts, two requests at once."""

    async def story() -> int:
        stage = Stage(most_in_flight=2)
        stage.inbox.deletes.seconds = 1
        stage.archived(100)
        await stage.until_done()
        return stage.inbox.deletes.high

    assert simulate(story()) == 2


def test_one_batch_that_keeps_failing_does_not_hold_up_the_others() -> None:
    """It backs off without a slot."""

    async def story() -> tuple[int, float]:
        stage = Stage(linger=0, most_in_flight=1)
        stage.inbox.deletes.otherwise = lambda handles: [
            Verdict.FAILED if handle == "r0" else Verdict.DONE for handle in handles
        ]
        stage.archived(40)
        async with asyncio.TaskGroup() as tasks:
            deleting = tasks.create_task(stage.deleter.delete())
            await asyncio.sleep(0.05)
            left = len(stage.kit.common.ledger)
            stage.inbox.deletes.otherwise = lambda handles: [Verdict.DONE] * len(handles)
            await stage.receipts.join()
            deleting.cancel()
        return left, asyncio.get_running_loop().time()

    assert (1, 0.1) == simulate(story())


def test_a_lost_lease_is_one_count_and_no_second_delete() -> None:
    """The message is remembered: its redelivery needs no PUT, only a delete with the new handle."""

    async def story() -> tuple[int, float, float, str]:
        stage = Stage(linger=0)
        stage.inbox.deletes.answers.append([Verdict.GONE])
        stage.archived()
        await stage.until_done()
        again = stage.kit.in_hand("m0", "newer")
        return (
            len(stage.batches),
            stage.kit.value("leases_lost_total"),
            stage.kit.value("deletes_total", outcome="gone"),
            again.state.name,
        )

    assert (1, 1, 1, "ARCHIVED") == simulate(story())


def test_a_lease_lost_before_the_delete_makes_no_request() -> None:
    """The handle is known to be no good."""

    async def story() -> tuple[int, int]:
        stage = Stage(linger=0)
        (delivery,) = stage.archived()
        stage.kit.common.ledger.lose(delivery, "r0")
        await stage.until_done()
        return len(stage.batches), len(stage.kit.common.ledger)

    assert (0, 0) == simulate(story())


def test_a_message_redelivered_during_its_delete_is_deleted_with_the_newest_handle() -> None:
    """A delete with an older handle may be answered well and delete nothing."""

    async def story() -> list[tuple[str, ...]]:
        stage = Stage(linger=0)
        stage.inbox.deletes.seconds = 1
        stage.archived()
        asyncio.get_running_loop().call_later(0.5, stage.kit.admit, "m0", "newest")
        await stage.until_done()
        return stage.batches

    assert [("r0",), ("newest",)] == simulate(story())


def test_a_delete_waits_for_a_renewal_that_is_on_the_wire_and_lets_none_start() -> None:
    """Renewal and delete of one handle never cross."""

    async def story() -> tuple[float, bool, bool]:
        stage = Stage(linger=0)
        (delivery,) = stage.archived()
        delivery.renewal = asyncio.Event()
        asyncio.get_running_loop().call_later(2, delivery.renewal.set)
        async with asyncio.TaskGroup() as tasks:
            deleting = tasks.create_task(stage.deleter.delete())
            await asyncio.sleep(1)
            is_closing = delivery.closing
            await stage.receipts.join()
            deleting.cancel()
        return stage.inbox.deletes.calls[0].began, is_closing, delivery.closing

    assert (2, True, False) == simulate(story())


def test_a_hung_delete_is_given_up_and_tried_again() -> None:
    """No call waits for ever: eight seconds, then the next try."""

    async def story() -> tuple[list[float], float]:
        stage = Stage(linger=0)
        stage.inbox.deletes.answers.append(asyncio.Event())
        stage.archived()
        await stage.until_done()
        timeouts = stage.kit.value(
            "aws_requests_total", service="sqs", operation="DeleteMessageBatch", outcome="timeout"
        )
        return [round(call.began, 3) for call in stage.inbox.deletes.calls], timeouts

    assert ([0, 8.1], 1) == simulate(story())


def test_between_two_deletes_that_hang_a_lease_that_is_due_is_renewed() -> None:
    """Else they would leave no moment for it: none is renewed while its delete is on the wire."""

    async def story() -> tuple[list[float], list[float], float]:
        stage = Stage(linger=0)
        stage.inbox.deletes.answers.extend([asyncio.Event(), asyncio.Event()])
        (delivery,) = stage.archived()
        delivery.lease_until = VISIBILITY_TIMEOUT / 2 + 12
        await stage.until_done()
        renewals = [round(call.began, 3) for call in stage.inbox.changes.calls]
        return [round(call.began, 3) for call in stage.inbox.deletes.calls], renewals, round(delivery.lease_until, 3)

    assert ([0, 8.1, 16.3], [8.1], VISIBILITY_TIMEOUT + 8.1) == simulate(story())
