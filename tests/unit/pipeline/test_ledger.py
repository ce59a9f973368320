"""The ledger: what is in hand, within its budget, and what its leases allow."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.message import Attribute, Message
from email_processor.pipeline.ledger import MESSAGE_MAX_BYTES, REMEMBERED_MAX, State
from tests.simulation.loop import simulate
from tests.unit.pipeline.kit import EMAIL, VISIBILITY_TIMEOUT, Kit


@given(st.integers(10, 60), st.integers(1, 6), st.integers(1, 10))
def test_receives_never_bring_more_than_the_budget_whatever_they_bring(
    max_messages: int, megabytes: int, batch: int
) -> None:
    """Room is kept for a full batch of the largest messages for every receive that is under way."""

    async def story() -> bool:
        kit = Kit.new(max_messages=max_messages, max_bytes=megabytes * 10 * MESSAGE_MAX_BYTES, batch=batch)
        ledger, count = kit.common.ledger, 0
        while ledger.has_room:
            with ledger.reserved():
                pass
            for _ in range(batch):
                count += 1
                kit.admit(f"m{count}", body=b"x" * MESSAGE_MAX_BYTES)
        return len(ledger) <= max_messages and count <= megabytes * 10

    assert simulate(story())


def test_a_reserved_batch_leaves_no_room_for_another() -> None:
    """Reservations count like messages, by count and by bytes, and are seen in the gauge."""

    async def story() -> list[tuple[bool, float]]:
        kit = Kit.new(max_messages=19)
        ledger, seen = kit.common.ledger, []
        with ledger.reserved():
            seen.append((ledger.has_room, kit.value("in_flight_bytes")))
        seen.append((ledger.has_room, kit.value("in_flight_bytes")))
        return seen

    assert [(False, 10 * MESSAGE_MAX_BYTES), (True, 0)] == simulate(story())


def test_attributes_count_against_the_budget() -> None:
    """A message of 1 MiB may consist of them, and they are in memory as long as its body is."""

    async def story() -> list[float]:
        kit = Kit.new()
        attribute = Attribute("Binary", b"x" * 1000)
        delivery = kit.common.ledger.admit(Message("m", "r", b"12345", message_attributes={"big": attribute}))
        assert delivery is not None
        seen = [kit.value("in_flight_bytes")]
        kit.common.ledger.archived(delivery)
        return [*seen, kit.value("in_flight_bytes")]

    assert [1008, 0] == simulate(story())


def test_who_waits_for_room_goes_on_when_there_is_some() -> None:
    """Closing a delivery makes room."""

    async def story() -> float:
        kit = Kit.new(max_messages=10)
        delivery = kit.in_hand()
        asyncio.get_running_loop().call_later(5, kit.common.ledger.close, delivery)
        await kit.common.ledger.room()
        return asyncio.get_running_loop().time()

    assert simulate(story()) == 5


def test_a_body_counts_until_its_object_is_durable_and_its_message_until_it_is_deleted() -> None:
    """Bytes are given back by the upload, the place by the delete."""

    async def story() -> list[tuple[float, float]]:
        kit = Kit.new()
        delivery = kit.in_hand()
        seen = [(kit.value("in_flight_messages"), kit.value("in_flight_bytes"))]
        kit.common.ledger.archived(delivery)
        seen.append((kit.value("in_flight_messages"), kit.value("in_flight_bytes")))
        kit.common.ledger.deleted(delivery)
        seen.append((kit.value("in_flight_messages"), kit.value("in_flight_bytes")))
        return seen

    assert [(1, len(EMAIL)), (1, 0), (0, 0)] == simulate(story())


def test_a_message_that_comes_again_while_in_hand_brings_only_its_newest_handle() -> None:
    """Twice in one batch or redelivered: one delivery, the newest handle and count, a fresh lease."""

    async def story() -> tuple[object, str, int, float, int, float]:
        kit = Kit.new()
        delivery = kit.in_hand(handle="old")
        kit.common.ledger.lose(delivery, "old")
        await asyncio.sleep(10)
        again = kit.admit(handle="new", ApproximateReceiveCount="3")
        return (
            again,
            delivery.receipt_handle,
            delivery.receive_count,
            delivery.lease_until,
            len(kit.common.ledger),
            kit.value("messages_duplicate_total", kind="in_hand"),
        )

    assert (None, "new", 3, 10 + VISIBILITY_TIMEOUT, 1, 1) == simulate(story())


def test_an_archived_message_whose_lease_was_lost_comes_back_archived() -> None:
    """Only its delete is left to do: no second PUT."""

    async def story() -> tuple[State, float]:
        kit = Kit.new()
        delivery = kit.in_hand(handle="old")
        kit.common.ledger.archived(delivery)
        kit.common.ledger.close(delivery)
        again = kit.in_hand(handle="new")
        return again.state, kit.value("messages_duplicate_total", kind="remembered")

    assert (State.ARCHIVED, 1) == simulate(story())


def test_a_deleted_message_is_forgotten_and_the_memory_is_bounded() -> None:
    """What is remembered does not grow with traffic."""

    async def story() -> tuple[State, State, State]:
        kit = Kit.new()
        ledger = kit.common.ledger
        done = kit.in_hand("done")
        ledger.archived(done)
        ledger.deleted(done)
        for number in range(REMEMBERED_MAX + 1):
            delivery = kit.in_hand(f"m{number}")
            ledger.archived(delivery)
            ledger.close(delivery)
        return kit.in_hand("done").state, kit.in_hand("m0").state, kit.in_hand(f"m{REMEMBERED_MAX}").state

    assert (State.QUEUED, State.QUEUED, State.ARCHIVED) == simulate(story())


def test_a_lease_is_lost_once_and_only_by_its_newest_handle() -> None:
    """One count for one lease; a stale handle says nothing of the newest."""

    async def story() -> list[tuple[bool, float]]:
        kit = Kit.new()
        delivery, seen = kit.in_hand(handle="new"), []
        for handle in ("old", "new", "new"):
            kit.common.ledger.lose(delivery, handle)
            seen.append((delivery.lost, kit.value("leases_lost_total")))
        return seen

    assert [(False, 0), (True, 1), (True, 1)] == simulate(story())


def test_work_is_started_while_the_lease_holds_and_only_if_it_outlasts_the_work_when_it_cannot_be_renewed() -> None:
    """Ten seconds of work, a lease of 300: asked at 0, 295 and 300 seconds, with and without renewal."""

    async def story() -> list[tuple[bool, bool]]:
        kit = Kit.new()
        delivery, seen = kit.in_hand(), []
        for wait in (0, 295, 5):
            await asyncio.sleep(wait)
            kit.common.ledger.may_renew = True
            renewable = kit.common.ledger.may_start(delivery, 10)
            kit.common.ledger.may_renew = False
            seen.append((renewable, kit.common.ledger.may_start(delivery, 10)))
        return seen

    assert [(True, True), (True, False), (False, False)] == simulate(story())


def test_closing_twice_or_an_older_delivery_changes_nothing() -> None:
    """A delivery that is no longer in hand cannot push out the one that is."""

    async def story() -> tuple[int, float]:
        kit = Kit.new()
        first = kit.in_hand()
        kit.common.ledger.close(first)
        kit.in_hand()
        kit.common.ledger.close(first)
        return len(kit.common.ledger), kit.value("in_flight_bytes")

    assert (1, len(EMAIL)) == simulate(story())
