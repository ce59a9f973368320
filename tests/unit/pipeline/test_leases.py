"""Leases are renewed at half their life, and given back when nobody will work on them."""

import asyncio

from email_processor.domain.errors import Cause
from email_processor.pipeline.leases import LeaseKeeper, LeaseRules
from email_processor.pipeline.ledger import LEASE_MAX_SECONDS, Delivery
from tests.simulation.wire import CHANGE_VISIBILITY, Entry, partly, refused, slow
from tests.unit.pipeline.kit import VISIBILITY_TIMEOUT, Kit, later
from tests.unit.pipeline.virtual_aws import Call, VirtualAws

HALF = VISIBILITY_TIMEOUT / 2


class LeasesStage(VirtualAws):
    """A lease keeper at work."""

    def __init__(self) -> None:
        super().__init__()
        self.kit = Kit.new()
        self.ledger = self.kit.common.ledger
        self.leases = LeaseKeeper(self.kit.common, self.inbox, LeaseRules(VISIBILITY_TIMEOUT))

    @property
    def changes(self) -> list[Call]:
        """Each request to change visibility: when, and which handles."""
        return self.calls(CHANGE_VISIBILITY)

    def received(self, count: int = 1) -> list[Delivery]:
        """So many messages, received just now."""
        self.send(count)
        return self.admit(self.ledger, count)

    async def keep(self, seconds: float) -> None:
        """Keep leases for so long."""
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self.leases.keep())
            await asyncio.sleep(seconds)
            keeping.cancel()


async def test_a_lease_is_renewed_at_half_its_life_again_and_again() -> None:
    """For as long as the message is in flight, whatever it waits for."""
    stage = LeasesStage()
    stage.received()
    await stage.keep(3.5 * HALF)
    assert [(HALF * n, ("m1#1",)) for n in (1, 2, 3)] == stage.changes
    assert 3 * HALF + VISIBILITY_TIMEOUT == stage.hidden_until("m1")


async def test_leases_are_renewed_ten_to_a_request() -> None:
    """Twenty-five messages: three requests."""
    stage = LeasesStage()
    stage.received(25)
    await stage.keep(HALF + 1)
    assert [10, 10, 5] == [len(handles) for _, handles in stage.changes]


async def test_a_message_that_arrives_later_is_renewed_in_time() -> None:
    """Received while the keeper sleeps: its lease is extended before it runs out."""
    stage = LeasesStage()
    later(HALF - 1, stage.received)
    await stage.keep(2 * VISIBILITY_TIMEOUT)
    assert HALF - 1 < stage.changes[0].at < VISIBILITY_TIMEOUT


async def test_a_renewed_lease_is_counted_from_before_the_request() -> None:
    """A slow answer never makes a lease look longer than the queue takes it to be."""
    stage = LeasesStage()
    stage.script.always(CHANGE_VISIBILITY, slow(5))
    (delivery,) = stage.received()
    await stage.keep(HALF + 6)
    assert HALF + VISIBILITY_TIMEOUT == delivery.lease_until
    assert HALF + VISIBILITY_TIMEOUT + 5 == stage.hidden_until("m1")
    assert 1 == stage.kit.value("lease_extensions_total")


async def test_a_failed_renewal_is_tried_again_long_before_the_lease_runs_out() -> None:
    """A fault of the queue, or of one entry."""
    stage = LeasesStage()
    stage.script.next(CHANGE_VISIBILITY, refused(), partly(Entry.REFUSED))
    stage.received(2)
    await stage.keep(VISIBILITY_TIMEOUT - 1)
    assert [("m1#1", "m2#1"), ("m1#1", "m2#1"), ("m1#1",)] == [handles for _, handles in stage.changes]
    first, _, third = [when for when, _ in stage.changes]
    assert HALF == first
    assert third < VISIBILITY_TIMEOUT - HALF / 2
    assert 0 == stage.kit.value("leases_lost_total")


async def test_a_lease_that_the_queue_no_longer_honours_is_lost_once() -> None:
    """One count; it is not renewed again."""
    stage = LeasesStage()
    stage.script.next(CHANGE_VISIBILITY, partly(Entry.GONE))
    (delivery,) = stage.received()
    await stage.keep(2 * VISIBILITY_TIMEOUT)
    assert 1 == len(stage.changes)
    assert 1 == stage.kit.value("leases_lost_total")
    assert delivery.lost


async def test_no_renewal_starts_while_a_delete_is_on_the_wire() -> None:
    """And it is made up for as soon as the delete has failed."""
    stage = LeasesStage()
    (delivery,) = stage.received()

    async def delete() -> None:
        await asyncio.sleep(HALF - 1)
        async with stage.ledger.closing([delivery]):
            await asyncio.sleep(21)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delete())
        await stage.keep(VISIBILITY_TIMEOUT)
    assert 1 == len(stage.changes)
    assert HALF + 20 < stage.changes[0].at < HALF + 50


async def test_while_a_renewal_is_on_the_wire_its_deliveries_say_so() -> None:
    """That is what deletes and releases wait for, and it ends with the answer, whatever it is."""
    stage = LeasesStage()
    stage.script.next(CHANGE_VISIBILITY, refused(after=4))
    (delivery,), seen = stage.received(), list[bool]()
    for when in (HALF - 1, HALF + 2, HALF + 4.01):
        later(when, lambda: seen.append(not delivery.is_renewable))
    await stage.keep(HALF + 4.05)
    assert [False, True, False] == seen


async def test_no_lease_is_asked_to_outlive_twelve_hours() -> None:
    """SQS hides no message for longer: the last renewal reaches just that far, and there is none after it."""
    stage = LeasesStage()
    stage.received()
    await stage.keep(LEASE_MAX_SECONDS + 10 * VISIBILITY_TIMEOUT)
    assert LEASE_MAX_SECONDS == stage.hidden_until("m1")
    assert LEASE_MAX_SECONDS - VISIBILITY_TIMEOUT <= stage.changes[-1].at < LEASE_MAX_SECONDS


async def test_without_permission_it_says_so_once_goes_on_and_heals() -> None:
    """One warning; one request at a time finds out whether it is allowed again."""
    stage = LeasesStage()
    stage.received(30)
    stage.script.always(CHANGE_VISIBILITY, refused(Cause.DENIED))
    await stage.keep(HALF + 60)
    might_renew = stage.ledger.may_renew
    assert not might_renew
    assert 3 <= len(stage.changes) <= 10
    stage.script.clear(CHANGE_VISIBILITY)
    await stage.keep(60)
    assert stage.ledger.may_renew


async def test_what_is_given_back_is_visible_at_once_and_no_longer_in_flight() -> None:
    """Visibility 0, ten to a request, in the order of receiving."""
    stage = LeasesStage()
    deliveries = stage.received(12)
    handles = tuple(delivery.receipt_handle for delivery in deliveries)
    await stage.leases.give_back(deliveries)
    assert [(0, handles[:10]), (0, handles[10:])] == stage.changes
    assert 12 == len(stage.queue.visible)
    assert 0 == len(stage.ledger)
    assert 12 == stage.kit.value("messages_released_total", reason="shutdown")


async def test_giving_back_waits_for_a_renewal_on_the_wire() -> None:
    """Landing after it, the renewal would hide the message again."""
    stage = LeasesStage()
    (delivery,) = stage.received()
    async with asyncio.TaskGroup() as tasks:
        with stage.ledger.renewing([delivery]):
            tasks.create_task(stage.leases.give_back([delivery]))
            await asyncio.sleep(3)
    assert [(3, ("m1#1",))] == stage.changes
    assert ["m1"] == stage.queue.visible


async def test_what_fails_is_given_back_again_and_what_is_lost_is_let_go() -> None:
    """Three messages: one whose lease is lost, one that the queue no longer knows, one whose entry fails once."""
    stage = LeasesStage()
    lost, gone, failed = stage.received(3)
    stage.ledger.lose(lost, "m1#1")
    stage.script.next(CHANGE_VISIBILITY, partly(Entry.GONE, Entry.REFUSED))
    await stage.leases.give_back([lost, gone, failed])
    assert [("m2#1", "m3#1"), ("m3#1",)] == [handles for _, handles in stage.changes]
    assert ["m3"] == stage.queue.visible
    assert 0 == len(stage.ledger)
    assert 1 == stage.kit.value("messages_released_total", reason="shutdown")


async def test_a_fault_of_the_queue_is_no_reason_to_keep_the_rest() -> None:
    """Two requests fail, and are made again, further and further apart."""
    stage = LeasesStage()
    stage.script.next(CHANGE_VISIBILITY, refused(Cause.SERVER), refused(Cause.NETWORK))
    await stage.leases.give_back(stage.received(12))
    assert ["m1#1", "m1#1", "m1#1", "m11#1"] == [handles[0] for _, handles in stage.changes]
    assert 0 == len(stage.ledger)
    times = [when for when, _ in stage.changes]
    assert times[0] < times[1] < times[2] == times[3]


async def test_without_permission_nothing_is_given_back_and_the_stop_goes_on() -> None:
    """It would be denied again; the leases run out by themselves."""
    stage = LeasesStage()
    stage.script.next(CHANGE_VISIBILITY, refused(Cause.DENIED))
    await stage.leases.give_back(stage.received(30))
    assert 1 == len(stage.changes)
    assert 30 == len(stage.ledger)
