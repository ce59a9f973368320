"""What a FIFO queue does beyond a standard one, as AWS documents it, in the simulation and on the emulators."""

import asyncio

from email_processor.ports import Verdict
from tests.contract.places import Place, behaviour

DONE, GONE = Verdict.DONE, Verdict.GONE


async def received(place: Place, limit: int = 10) -> list[str]:
    """The bodies of what a short poll takes."""
    return [message.body.decode() for message in await place.queue.receive(limit, 0)]


@behaviour(fifo=True)
async def test_a_group_comes_in_order(place: Place) -> None:
    """In one receive several messages of a group may come, never out of order."""
    for number in range(5):
        place.send(f"{number}", group="a")
    assert ["0", "1", "2", "3", "4"] == await received(place)


@behaviour(fifo=True)
async def test_a_group_in_flight_is_locked(place: Place) -> None:
    """What follows in it waits until what was received is deleted; other groups go on."""
    for group in ("a", "b"):
        place.send(f"{group} 1", group=group)
        place.send(f"{group} 2", group=group)
    first = await place.take(limit=1)
    assert b"a 1" == first.body
    assert ["b 1", "b 2"] == await received(place)
    assert [] == await received(place)
    assert [DONE] == await place.queue.delete([first.receipt_handle])
    assert ["a 2"] == await received(place)


@behaviour(fifo=True)
async def test_a_message_given_back_is_the_next_of_its_group(place: Place) -> None:
    """Order survives: nothing overtakes it."""
    place.send("1", group="a")
    place.send("2", group="a")
    first = await place.take(limit=1)
    assert [] == await received(place)
    assert [DONE] == await place.queue.change_visibility([first.receipt_handle], 0)
    assert ["1", "2"] == await received(place)


@behaviour(fifo=True, visibility=1)
async def test_a_lapsed_handle_does_not_delete(place: Place) -> None:
    """Unlike a standard queue, a FIFO queue refuses a handle whose visibility timeout is over; the emulators do not."""
    place.send("1", group="a")
    first = await place.take()
    await asyncio.sleep(1.2)
    assert [place.by(aws=GONE, moto=DONE, ministack=DONE)] == await place.queue.delete([first.receipt_handle])
    assert place.by(aws=["1"], moto=[], ministack=[]) == await received(place)
