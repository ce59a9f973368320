"""The ledger: what is in flight, within its budget, and what its leases allow."""

import asyncio

import pytest

from email_processor.domain.message import Attribute, Message
from email_processor.pipeline.ledger import REMEMBERED_MAX, State
from tests.unit.pipeline.kit import EMAIL, VISIBILITY_TIMEOUT, Kit, now


async def test_attributes_count_against_the_budget() -> None:
    """A message of 1 MiB may consist of them, and they are in memory as long as its body is."""
    kit = Kit.new()
    attribute = Attribute("Binary", b"x" * 1000)
    delivery = kit.context.ledger.admit(Message("m", "r", b"12345", message_attributes={"big": attribute}))
    assert delivery is not None
    assert 1008 == kit.value("in_flight_bytes")
    kit.context.ledger.archived(delivery)
    assert 0 == kit.value("in_flight_bytes")


async def test_a_body_counts_until_its_object_is_durable_and_its_message_until_it_is_deleted() -> None:
    """Bytes are given back by the upload, the place by the delete."""
    kit = Kit.new()

    def assert_in_flight(messages: int, size: int) -> None:
        assert messages == kit.value("in_flight_messages")
        assert size == kit.value("in_flight_bytes")

    delivery = kit.in_flight()
    assert_in_flight(1, len(EMAIL))
    kit.context.ledger.archived(delivery)
    assert_in_flight(1, 0)
    kit.context.ledger.deleted(delivery)
    assert_in_flight(0, 0)


async def test_a_message_that_comes_again_while_in_flight_brings_only_its_newest_handle() -> None:
    """Twice in one batch or redelivered: one delivery, the newest handle and count, a fresh lease."""
    kit = Kit.new()
    delivery = kit.in_flight(handle="old")
    kit.context.ledger.lose(delivery, "old")
    await asyncio.sleep(10)
    assert kit.admit(handle="new", ApproximateReceiveCount="3") is None
    assert "new" == delivery.receipt_handle
    assert 3 == delivery.receive_count
    assert 10 + VISIBILITY_TIMEOUT == delivery.lease_until
    assert 1 == len(kit.context.ledger)
    assert 1 == kit.value("messages_duplicate_total", kind="in_flight")


async def test_an_answer_that_was_overtaken_by_that_of_a_later_receive_changes_nothing() -> None:
    """Its receipt handle is an old one by now, and its lease is over sooner; if that was lost, it still is."""
    kit = Kit.new()
    delivery = kit.in_flight(handle="newest", ApproximateReceiveCount="3")
    kit.context.ledger.lose(delivery, "newest")
    await asyncio.sleep(10)
    assert kit.admit(handle="overtaken", ApproximateReceiveCount="2") is None
    assert ("newest", 3, True) == (delivery.receipt_handle, delivery.receive_count, delivery.lost)
    assert VISIBILITY_TIMEOUT == delivery.lease_until
    assert 1 == kit.value("messages_duplicate_total", kind="in_flight")


async def test_an_archived_message_whose_lease_was_lost_comes_back_archived() -> None:
    """Only its delete is left to do: no second PUT."""
    kit = Kit.new()
    delivery = kit.in_flight(handle="old")
    kit.context.ledger.archived(delivery)
    kit.context.ledger.close(delivery)
    assert State.ARCHIVED == kit.in_flight(handle="new").state
    assert 1 == kit.value("messages_duplicate_total", kind="remembered")


async def test_a_deleted_message_is_forgotten_and_the_memory_is_bounded() -> None:
    """What is remembered does not grow with traffic."""
    kit = Kit.new()
    ledger = kit.context.ledger
    done = kit.in_flight("done")
    ledger.archived(done)
    ledger.deleted(done)
    for number in range(REMEMBERED_MAX + 1):
        delivery = kit.in_flight(f"m{number}")
        ledger.archived(delivery)
        ledger.close(delivery)
    assert State.QUEUED == kit.in_flight("done").state
    assert State.QUEUED == kit.in_flight("m0").state
    assert State.ARCHIVED == kit.in_flight(f"m{REMEMBERED_MAX}").state


async def test_a_lease_is_lost_once_and_only_by_its_newest_handle() -> None:
    """One count for one lease; a stale handle says nothing of the newest."""
    kit = Kit.new()
    delivery = kit.in_flight(handle="new")
    for handle, lost in (("old", False), ("new", True), ("new", True)):
        kit.context.ledger.lose(delivery, handle)
        assert lost == delivery.lost
        assert lost == kit.value("leases_lost_total")


async def test_work_is_started_while_the_lease_holds_and_only_if_it_outlasts_the_work_when_it_cannot_be_renewed() -> (
    None
):
    """Ten seconds of work, a lease of 300: asked at 0, 295 and 300 seconds, with and without renewal."""
    kit = Kit.new()
    ledger, delivery = kit.context.ledger, kit.in_flight()
    for wait, if_renewable, if_not in ((0, True, True), (295, True, False), (5, False, False)):
        await asyncio.sleep(wait)
        ledger.permit_renewals(is_permitted=True)
        assert if_renewable == ledger.may_start(delivery, 10)
        ledger.permit_renewals(is_permitted=False)
        assert if_not == ledger.may_start(delivery, 10)


async def test_what_is_deleted_or_given_back_waits_for_a_renewal_under_way_and_lets_none_start() -> None:
    """Two messages, one of which is being renewed for three seconds."""
    kit = Kit.new()
    ledger, batch = kit.context.ledger, [kit.in_flight("m1", "r1"), kit.in_flight("m2", "r2")]

    async def delete() -> None:
        async with ledger.closing(batch) as ours:
            assert 3 == now()
            assert batch == ours
            assert not any(delivery.is_renewable for delivery in batch)

    async with asyncio.TaskGroup() as tasks:
        with ledger.renewing(batch[:1]):
            tasks.create_task(delete())
            await asyncio.sleep(3)
            assert not any(delivery.is_renewable for delivery in batch)
    assert all(delivery.is_renewable for delivery in batch)


async def test_who_gives_up_waiting_for_a_renewal_lets_the_next_one_start() -> None:
    """A stop cuts a delete short while it waits."""
    kit = Kit.new()
    ledger, batch = kit.context.ledger, [kit.in_flight()]
    with ledger.renewing(batch), pytest.raises(TimeoutError):
        async with asyncio.timeout(1), ledger.closing(batch):
            pass
    assert batch[0].is_renewable


async def test_a_message_that_lost_its_lease_while_it_was_renewed_is_neither_deleted_nor_given_back() -> None:
    """Somebody else has it by now, so it is no longer in flight here."""
    kit = Kit.new()
    ledger, lost, kept = kit.context.ledger, kit.in_flight("lost", "r1"), kit.in_flight("kept", "r2")

    async def lose() -> None:
        with ledger.renewing([lost]):
            await asyncio.sleep(1)
            ledger.lose(lost, "r1")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(lose())
        await asyncio.sleep(0.5)
        async with ledger.closing([lost, kept]) as ours:
            assert [kept] == ours
    assert [kept] == list(ledger)


async def test_closing_twice_or_an_older_delivery_changes_nothing() -> None:
    """A delivery that is no longer in flight cannot push out the one that is."""
    kit = Kit.new()
    first = kit.in_flight()
    kit.context.ledger.close(first)
    kit.in_flight()
    kit.context.ledger.close(first)
    assert 1 == len(kit.context.ledger)
    assert len(EMAIL) == kit.value("in_flight_bytes")
