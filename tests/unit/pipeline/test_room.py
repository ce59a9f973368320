"""Room for what is received: within the budget, learnt from what came, and never more than is announced."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.message import MESSAGE_MAX_BYTES, Message
from email_processor.pipeline.room import BATCHES_AHEAD, LEARNT_LEAST_BYTES, Budget, Room
from tests.simulation.loop import in_virtual_time
from tests.unit.pipeline.kit import now

KIB = 1024
BATCH = 10
FULL = BATCH * MESSAGE_MAX_BYTES


def new_room(*, max_messages: int = 10_000, max_bytes: int = 24 * MESSAGE_MAX_BYTES, learnt: int = 0) -> Room:
    """A room; `learnt` is the size of the emails that came so far, if any."""
    room = Room(Budget(max_messages, max_bytes), BATCH)
    room.follow(lambda: 10_000)
    for _ in range(100 if learnt else 0):
        room.learn(emails(BATCH, learnt))
    return room


def emails(count: int, size: int) -> Sequence[Message]:
    """A batch."""
    return [Message("m", "r", b"x" * size)] * count


def receives_at_once(room: Room) -> int:
    """How many receives can be under way together."""
    if not room.is_free:
        return 0
    with room.reserved():
        return 1 + receives_at_once(room)


@pytest.mark.parametrize(
    ("learnt", "expected"), [(0, 2), (MESSAGE_MAX_BYTES, 2), (64 * KIB, 19), (4 * KIB, 307), (1, 384)]
)
async def test_as_many_receives_are_made_at_once_as_are_likely_to_fit(learnt: int, expected: int) -> None:
    """In 24 MiB: two batches of the largest messages, 19 of 64 KiB with their margin; nothing is known at first."""
    assert expected == receives_at_once(new_room(learnt=learnt))


async def test_one_large_batch_is_remembered_for_a_while() -> None:
    """The first receives after it reserve as much; many small ones later it is forgotten."""
    room = new_room(learnt=KIB)
    room.learn([*emails(9, KIB), *emails(1, MESSAGE_MAX_BYTES)])
    after_one = receives_at_once(room)
    for _ in range(50):
        room.learn(emails(3, KIB))
        room.learn([])
    assert (11, 384) == (after_one, receives_at_once(room))


@pytest.mark.parametrize(("uploads", "expected"), [(1, BATCHES_AHEAD), (256, 25)])
async def test_no_more_is_received_ahead_than_there_are_uploads(uploads: int, expected: int) -> None:
    """Ten batches at least. What an uploader has begun with does not count."""
    room = new_room(learnt=KIB)
    room.follow(lambda: uploads)
    assert expected == receives_at_once(room)
    for _ in range(expected * BATCH):
        room.enter(KIB, is_queued=True)
    assert not room.is_free
    for _ in range(BATCH + uploads % BATCH):
        room.start()
    assert room.is_free


async def test_receives_that_wait_for_room_have_it_in_turn() -> None:
    """One that stops waiting, the first in the line or one behind it, holds up nobody."""
    room, served = new_room(max_messages=BATCH), []

    async def receive(number: int) -> None:
        await room.free()
        with room.reserved():
            served.append((now(), number))
            await asyncio.sleep(10)

    async with asyncio.TaskGroup() as tasks:
        receiving = [tasks.create_task(receive(number)) for number in range(6)]
        await asyncio.sleep(5)
        receiving[1].cancel()
        receiving[3].cancel()
    assert [(0, 0), (10, 2), (20, 4), (30, 5)] == served


async def test_another_budget_holds_from_now_on() -> None:
    """A container that is resized."""
    room = new_room(max_messages=10)
    room.enter(KIB, is_queued=False)
    waiting = asyncio.ensure_future(room.free())
    await asyncio.sleep(5)
    room.resize(Budget(20, 24 * MESSAGE_MAX_BYTES))
    await waiting
    assert 5 == now()


@given(st.lists(st.integers(1, MESSAGE_MAX_BYTES), min_size=1, max_size=40), st.integers(10, 30), st.integers(0, 3))
@in_virtual_time
async def test_whatever_the_answers_bring_what_is_in_flight_stays_within_the_budget(
    sizes: list[int], megabytes: int, likely: int
) -> None:
    """Answers of any size, in any order, each read when there is room and stored for a second: all get their turn."""
    most = megabytes * MESSAGE_MAX_BYTES
    room = new_room(max_bytes=most, learnt=(0, KIB, 64 * KIB, MESSAGE_MAX_BYTES)[likely])
    in_flight = high = 0

    async def receive(size: int) -> None:
        nonlocal in_flight, high
        await room.free()
        with room.reserved() as reservation:
            await asyncio.sleep(0.1)
            await reservation.admit(BATCH * size)
            await asyncio.sleep(0.1)
        for message in emails(BATCH, size):
            room.enter(message.size, is_queued=False)
        in_flight += BATCH * size
        high = max(high, in_flight)
        await asyncio.sleep(1)
        in_flight -= BATCH * size
        for _ in range(BATCH):
            room.leave(size, is_queued=False)

    async with asyncio.timeout(100), asyncio.TaskGroup() as receives:
        for size in sizes:
            receives.create_task(receive(size))
    assert high <= most
    assert 0 == room.reserved_bytes


async def test_a_large_answer_waits_for_what_is_in_flight_and_no_receive_is_made_before_it_is_read() -> None:
    """Eighteen of 24 MiB are taken until the fifth second; the answer has ten, and the next receive waits too."""
    room = new_room(learnt=KIB)
    room.enter(18 * MESSAGE_MAX_BYTES, is_queued=False)
    asyncio.get_running_loop().call_later(5, lambda: room.let_go(18 * MESSAGE_MAX_BYTES))
    with room.reserved() as reservation:
        answer = asyncio.ensure_future(reservation.admit(3 * FULL))  # as JSON it is more than its messages are
        await asyncio.sleep(1)
        assert 0 == receives_at_once(room)
        await answer
        assert 5 == now()
        assert FULL == room.reserved_bytes
        assert receives_at_once(room) > 0
    assert 0 == room.reserved_bytes


async def test_an_answer_that_is_not_waited_for_any_more_leaves_no_trace() -> None:
    """A stop cuts the wait short."""
    room = new_room(learnt=KIB)
    room.enter(24 * MESSAGE_MAX_BYTES, is_queued=False)

    async def receive() -> None:
        with room.reserved() as reservation:
            await reservation.admit(FULL)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receive(), 1)
    room.leave(24 * MESSAGE_MAX_BYTES, is_queued=False)
    assert 0 == room.reserved_bytes
    assert room.is_free


async def test_the_smallest_reservation_covers_what_is_read_unannounced() -> None:
    """So much of an answer may be in memory before it is asked whether there is room."""
    room = new_room(learnt=1)
    with room.reserved():
        assert LEARNT_LEAST_BYTES == room.reserved_bytes
