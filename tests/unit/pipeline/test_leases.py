"""Leases are renewed at half their life, and given back when nobody will work on them."""

import asyncio
from collections import Counter

from email_processor.domain.errors import Cause
from email_processor.pipeline.leases import MOST_REQUESTS, LeaseKeeper, LeaseRules
from email_processor.pipeline.ledger import LEASE_MAX_SECONDS, Delivery
from email_processor.ports import BATCH
from tests.simulation.connection import CHANGE_VISIBILITY, Entry, Fate, hung, partly, refused, slow
from tests.unit.pipeline.kit import VISIBILITY_TIMEOUT, Kit, later, now
from tests.unit.pipeline.virtual_aws import Call, VirtualAws

HALF = VISIBILITY_TIMEOUT / 2


class LeasesStage(VirtualAws):
    """A lease keeper at work."""

    def __init__(self, in_flight: int = 1000) -> None:
        super().__init__()
        self.kit = Kit.new(max_messages=in_flight)
        self.ledger = self.kit.context.ledger
        self.leases = LeaseKeeper(self.kit.context, self.inbox, LeaseRules(VISIBILITY_TIMEOUT))

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


async def test_entries_that_always_fail_slow_no_other() -> None:
    """Three of eight hundred: the others stay on schedule, and the three are tried again and again."""
    stage = LeasesStage()
    bad = {"m5#1", "m6#1", "m700#1"}

    def change(handles: tuple[str, ...]) -> Fate:
        return partly(*(Entry.REFUSED if handle in bad else Entry.DONE for handle in handles))

    stage.script.always(CHANGE_VISIBILITY, change)
    stage.received(800)
    await stage.keep(3 * VISIBILITY_TIMEOUT)
    assert {"m5", "m6", "m700"} == set(stage.queue.visible)
    assert 3 == stage.kit.value("leases_lost_total")
    tries = Counter(handle for _, handles in stage.changes for handle in handles)
    assert 7 >= max(count for handle, count in tries.items() if handle not in bad)
    assert 10 <= min(tries[handle] for handle in bad)


async def test_a_request_that_hangs_holds_up_no_other() -> None:
    """One in a hundred is never answered, until its timeout, at each try: the others are renewed meanwhile."""
    stage = LeasesStage()
    stage.script.always(CHANGE_VISIBILITY, lambda handles: hung() if "m1#1" in handles else slow(0))
    stage.received(1000)
    await stage.keep(HALF + 7)
    assert 100 == len(stage.changes)
    assert 990 == stage.kit.value("lease_extensions_total")


async def test_as_many_requests_run_at_once_as_what_is_due_takes() -> None:
    """Ten thousand leases and a queue that takes seven seconds for a request: none of them runs out."""
    stage = LeasesStage(in_flight=10_000)
    stage.script.always(CHANGE_VISIBILITY, slow(7))
    stage.received(10_000)
    await stage.keep(VISIBILITY_TIMEOUT)
    assert [] == stage.queue.visible
    assert MOST_REQUESTS == stage.most_at_once(CHANGE_VISIBILITY)
    assert 0 == stage.kit.value("leases_lost_total")


async def test_a_queue_that_is_down_is_asked_less_and_less_and_all_is_renewed_when_it_is_back() -> None:
    """A thousand leases, a hundred seconds without an answer: a few requests a second, and no lease lost."""
    stage = LeasesStage()
    stage.script.always(CHANGE_VISIBILITY, refused())
    stage.received(1000)
    later(HALF + 100, stage.script.clear, CHANGE_VISIBILITY)
    await stage.keep(VISIBILITY_TIMEOUT)
    assert len([when for when, _ in stage.changes if when < HALF + 100]) < 1000
    assert 1000 == stage.kit.value("lease_extensions_total")
    assert [] == stage.queue.visible


async def test_a_lease_that_passes_unrenewed_is_counted_once() -> None:
    """Whether the queue tells later on or not; the next receive of its message is another lease."""
    stage = LeasesStage()
    stage.script.always(CHANGE_VISIBILITY, refused())
    (delivery,) = stage.received()
    await stage.keep(VISIBILITY_TIMEOUT - 1)
    assert 0 == stage.kit.value("leases_lost_total")
    await stage.keep(VISIBILITY_TIMEOUT)
    assert 1 == stage.kit.value("leases_lost_total")
    stage.script.clear(CHANGE_VISIBILITY)
    await stage.keep(VISIBILITY_TIMEOUT)
    assert delivery.lost
    assert 1 == stage.kit.value("leases_lost_total")
    stage.admit(stage.ledger)
    await stage.keep(VISIBILITY_TIMEOUT)
    assert 1 == stage.kit.value("leases_lost_total")
    assert not delivery.lost


async def test_what_waited_long_in_its_receive_is_renewed_in_time() -> None:
    """The receive was made twenty seconds before its answer: the lease is as old as the request."""
    stage = LeasesStage()
    stage.send()
    (message,) = await stage.inbox.receive(1, 0)
    await asyncio.sleep(20)
    delivery = stage.ledger.admit(message, asked_at=0)
    assert delivery is not None
    assert VISIBILITY_TIMEOUT == delivery.lease_until
    await stage.keep(HALF)
    (when,) = [when for when, _ in stage.changes]
    assert HALF <= when < HALF + 10


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


async def test_what_was_given_back_while_its_renewal_waited_for_a_slot_is_not_renewed() -> None:
    """It would be hidden again, for nobody."""
    stage = LeasesStage()
    *_, last = stage.received(MOST_REQUESTS * BATCH + 1)
    stage.script.always(CHANGE_VISIBILITY, lambda handles: slow(1 if len(handles) == BATCH else 0.2))
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(stage.leases.keep())
        await asyncio.sleep(HALF + 0.1)  # all slots are taken, and the last renewal waits for one
        await stage.leases.give_back([last])
        await asyncio.sleep(5)
        keeping.cancel()
    assert 1 == sum(last.receipt_handle in handles for _, handles in stage.changes)
    assert [last.message_id] == stage.queue.visible


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
    """A request fails twice, and is made again, further and further apart; the other one does not wait for it."""
    stage = LeasesStage()
    faults = [refused(Cause.NETWORK), refused(Cause.SERVER)]
    stage.script.always(CHANGE_VISIBILITY, lambda handles: faults.pop() if "m1#1" in handles and faults else slow(0))
    await stage.leases.give_back(stage.received(12))
    assert ["m1#1", "m11#1", "m1#1", "m1#1"] == [handles[0] for _, handles in stage.changes]
    assert 0 == len(stage.ledger)
    times = [when for when, _ in stage.changes]
    assert times[0] == times[1] < times[2] < times[3]
    assert times[2] - times[1] < times[3] - times[2]


async def test_without_permission_nothing_is_given_back_and_the_stop_goes_on() -> None:
    """What is asked at the same time is denied, and then one request a call asks again; the leases run out."""
    stage = LeasesStage()
    stage.script.always(CHANGE_VISIBILITY, refused(Cause.DENIED, after=1))
    await stage.leases.give_back(stage.received(1000))
    assert MOST_REQUESTS == len(stage.changes)
    assert 1000 == len(stage.ledger)
    await stage.leases.give_back(list(stage.ledger))
    assert MOST_REQUESTS + 1 == len(stage.changes)


async def test_what_is_given_back_finds_out_that_it_is_permitted_again() -> None:
    """There may be no renewal that would: where payloads may not wait, whatever comes is hidden at once."""
    stage = LeasesStage()
    stage.script.next(CHANGE_VISIBILITY, refused(Cause.DENIED))
    await stage.leases.give_back(stage.received(1))
    assert 1 == len(stage.ledger)
    await stage.leases.give_back(stage.received(1000))
    assert 1 == len(stage.ledger)
    assert stage.ledger.may_renew


async def test_ten_thousand_are_given_back_in_seconds() -> None:
    """Many requests at once, at a tenth of a second for each."""
    stage = LeasesStage(in_flight=10_000)
    stage.script.always(CHANGE_VISIBILITY, slow(0.1))
    await stage.leases.give_back(stage.received(10_000))
    assert now() < 5
    assert MOST_REQUESTS == stage.most_at_once(CHANGE_VISIBILITY)
    assert 0 == len(stage.ledger)


async def test_a_fifo_group_is_given_back_in_order_beside_the_others() -> None:
    """Fifteen of one group, the first of which fails twice, and thirty of other groups: only the fifteen wait."""
    stage = LeasesStage()
    deliveries = stage.received(45)
    for number, delivery in enumerate(deliveries):
        delivery.group = "big" if number % 3 == 0 else f"small-{number // 2}"
    big = tuple(delivery.receipt_handle for delivery in deliveries if delivery.group == "big")
    faults = [Entry.REFUSED, Entry.REFUSED]
    stage.script.always(
        CHANGE_VISIBILITY, lambda handles: partly(faults.pop()) if big[0] in handles and faults else slow(0)
    )
    await stage.leases.give_back(deliveries)
    others = [call for call in stage.changes if big[0] not in call.subjects and big[-1] not in call.subjects]
    assert [3, 0.0] == [len(others), max(when for when, _ in others)]
    sent = [call.subjects for call in stage.changes if call.subjects[0] in big]
    assert [big[:10], (big[0], *big[10:]), (big[0],)] == sent
    assert 0 == len(stage.ledger)


async def test_one_that_may_not_be_hidden_for_long_shortens_no_other_lease() -> None:
    """It has a request of its own."""
    stage = LeasesStage()
    old, *others = stage.received(BATCH)
    old.received_at = HALF + 200 - LEASE_MAX_SECONDS
    await stage.keep(HALF + 1)
    assert [(old.receipt_handle,), tuple(it.receipt_handle for it in others)] == sorted(
        (call.subjects for call in stage.changes), key=len
    )
    assert [HALF + 200, HALF + VISIBILITY_TIMEOUT] == [stage.hidden_until(name) for name in ("m1", "m2")]


async def test_one_that_may_not_be_hidden_any_more_is_asked_for_no_more() -> None:
    """Its lease ran out, and the longest that there can be is over: to ask for less than nothing is refused to all."""
    stage = LeasesStage()
    old, *others = stage.received(BATCH)
    old.received_at, old.lease_until = 10 - LEASE_MAX_SECONDS, 5
    await stage.keep(HALF + 1)
    assert [tuple(it.receipt_handle for it in others)] == [call.subjects for call in stage.changes]
    assert not any(it.lost for it in others)


async def test_that_it_is_not_permitted_is_known_until_it_is() -> None:
    """Another fault says nothing of that."""
    stage = LeasesStage()
    stage.received()
    stage.script.always(CHANGE_VISIBILITY, refused(Cause.DENIED))
    later(HALF + 1, stage.script.always, CHANGE_VISIBILITY, refused(Cause.TIMEOUT))
    await stage.keep(VISIBILITY_TIMEOUT)
    assert not stage.ledger.may_renew
    stage.script.clear()
    await stage.keep(VISIBILITY_TIMEOUT)
    assert stage.ledger.may_renew


async def test_one_that_is_redelivered_while_it_is_given_back_is_given_back_once_more() -> None:
    """By the newest handle: the older one may have been answered well, and have changed nothing."""
    stage = LeasesStage()
    deliveries = stage.received()
    stage.script.always(CHANGE_VISIBILITY, slow(1))
    later(0.4, stage.queue.duplicate, "m1")
    later(0.5, stage.admit, stage.ledger)
    await stage.leases.give_back(deliveries)
    assert [("m1#1",), ("m1#2",)] == [call.subjects for call in stage.changes]
    assert ["m1"] == stage.queue.visible


async def test_why_it_was_given_back_is_counted_however_long_it_is_hidden() -> None:
    """At a stop what has failed is hidden for a while."""
    stage = LeasesStage()
    await stage.leases.give_back(stage.received(2), 30)
    await stage.leases.give_back(stage.received(3), 30, reason="deferred")
    assert 2 == stage.kit.value("messages_released_total", reason="shutdown")
    assert 3 == stage.kit.value("messages_released_total", reason="deferred")
