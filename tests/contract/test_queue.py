"""What a queue does, as AWS documents it, in the simulation and on the emulators.

docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference is where it stands. Where an emulator does something
else, that is stated with `place.by`, and so noticed when it changes.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence

from email_processor.domain.errors import Cause, QueueFaultError
from email_processor.domain.message import Attribute
from email_processor.ports import QueueState, Verdict
from tests.contract.places import Place, behaviour

DONE, GONE = Verdict.DONE, Verdict.GONE
NO_HANDLE = "AQEBnever"
HOURS_12 = 43_200
Outcome = list[Verdict] | Cause
ODD = 'Grüße \U0001f600 \u2028 \t \\ "quoted" \u202e <&> \ud7ff\ue000'


async def outcome(batch: Awaitable[Sequence[Verdict]]) -> Outcome:
    """The verdicts of a batch, or the cause of its fault."""
    try:
        return list(await batch)
    except QueueFaultError as fault:
        return fault.cause


@behaviour()
async def test_a_message_arrives_as_it_was_sent(place: Place) -> None:
    """Body, digest, the system's attributes and the user's, text and bytes."""
    attributes = {
        "text": Attribute("String", "é"),
        "number": Attribute("Number.int", "42"),
        "binary": Attribute("Binary.png", b"\x89PNG\x00\xff"),
    }
    message_id = place.send(ODD, attributes=attributes)
    message = await place.take()
    assert (message_id, ODD.encode(), attributes) == (message.message_id, message.body, message.message_attributes)
    assert hashlib.md5(ODD.encode(), usedforsecurity=False).hexdigest() == message.md5_of_body
    assert (True, 1) == (message.is_intact, message.receive_count)
    sent, received = (int(message.attributes[name]) for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp"))
    assert 0 <= received - sent < 5000


@behaviour()
async def test_a_receive_takes_no_more_than_it_asks_for(place: Place) -> None:
    """And nothing that somebody has in flight, until nothing is left."""
    sent = {place.send(f"{number}") for number in range(5)}
    batches = [await place.queue.receive(3, 0) for _ in range(3)]
    received = [message.message_id for batch in batches for message in batch]
    assert all(len(batch) <= 3 for batch in batches)
    assert (5, sent) == (len(received), set(received))
    assert [] == list(await place.queue.receive(3, 0))


@behaviour()
async def test_an_empty_queue_is_empty_at_once_or_after_the_wait(place: Place) -> None:
    """A short poll comes back at once, a long poll when its time is over."""
    began = place.now
    assert [] == list(await place.queue.receive(10, 0))
    between = place.now
    assert [] == list(await place.queue.receive(10, 1))
    assert between - began < 0.9 <= place.now - between < 5


@behaviour()
async def test_a_long_poll_ends_with_the_first_message(place: Place) -> None:
    """What is sent while it waits is received before the wait is over."""
    async with asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(place.queue.receive(10, 15), name="poll")
        await asyncio.sleep(0.3)
        began = place.now
        message_id = place.send("at last")
    assert [message_id] == [message.message_id for message in poll.result()]
    assert place.now - began < 10


@behaviour(visibility=1)
async def test_a_message_is_hidden_for_its_visibility_timeout(place: Place) -> None:
    """Then it comes back: counted once more, with a new handle, and with the time of its first receive."""
    place.send("again")
    began = place.now
    first = await place.take()
    assert [] == list(await place.queue.receive(10, 0))
    second = await place.take()
    assert 0.9 <= place.now - began < 4
    assert (1, 2) == (first.receive_count, second.receive_count)
    assert first.message_id == second.message_id
    assert first.receipt_handle != second.receipt_handle
    assert first.attributes["ApproximateFirstReceiveTimestamp"] == second.attributes["ApproximateFirstReceiveTimestamp"]


@behaviour()
async def test_every_receive_is_counted_and_the_first_one_dates_it(place: Place) -> None:
    """Given back with visibility 0 it is there at once; its first receive and its sending stay what they were."""
    place.send("again and again")
    seen = []
    for _ in range(4):
        seen.append(await place.take(within=0))
        assert [DONE] == await place.queue.change_visibility([seen[-1].receipt_handle], 0)
        await asyncio.sleep(0.01)
    assert [1, 2, 3, 4] == [message.receive_count for message in seen]
    for name in ("ApproximateFirstReceiveTimestamp", "SentTimestamp"):
        assert 1 == len({message.attributes[name] for message in seen})
    assert 4 == len({message.receipt_handle for message in seen})


@behaviour(visibility=1)
async def test_a_changed_visibility_counts_from_now(place: Place) -> None:
    """The message stays hidden after its first timeout, and comes back after the new one."""
    place.send("hold on")
    first = await place.take()
    began = place.now
    assert [DONE] == await place.queue.change_visibility([first.receipt_handle], 2)
    second = await place.take(within=5)
    assert 1.9 <= place.now - began < 5
    assert 2 == second.receive_count


@behaviour(visibility=1)
async def test_the_newest_handle_deletes(place: Place) -> None:
    """For good: after its visibility timeout nothing comes back."""
    place.send("once")
    message = await place.take()
    assert [DONE] == await place.queue.delete([message.receipt_handle])
    assert [] == list(await place.queue.receive(10, 2))
    assert QueueState(0, 0, 0, None) == await place.queue.state()


@behaviour()
async def test_deleting_twice_is_done_twice(place: Place) -> None:
    """DeleteMessage is idempotent; ministack knows no handles of the past."""
    place.send("twice")
    message = await place.take()
    assert [DONE] == await place.queue.delete([message.receipt_handle])
    assert [place.by(aws=DONE, ministack=GONE)] == await place.queue.delete([message.receipt_handle])


@behaviour()
async def test_an_old_handle_deletes_nothing_and_says_done(place: Place) -> None:
    """Only the handle of the newest receive deletes: "the request succeeds, but the message will not be deleted".

    Moto deletes it after all, which the simulation can do as well (`deletes_stale`); ministack refuses the handle.
    """
    place.send("stale")
    first = await place.take()
    await place.queue.change_visibility([first.receipt_handle], 0)
    second = await place.take()
    assert [place.by(aws=DONE, ministack=GONE)] == await place.queue.delete([first.receipt_handle])
    left = place.by(aws=QueueState(0, 1, 0, None), moto=QueueState(0, 0, 0, None))
    assert left == await place.queue.state()
    assert [DONE] == await place.queue.delete([second.receipt_handle])
    assert QueueState(0, 0, 0, None) == await place.queue.state()


@behaviour(visibility=1)
async def test_the_newest_handle_deletes_even_after_its_timeout(place: Place) -> None:
    """As long as nobody else has received the message."""
    place.send("late")
    message = await place.take()
    await asyncio.sleep(1.2)
    assert 1 == (await place.queue.state()).visible
    assert [DONE] == await place.queue.delete([message.receipt_handle])
    assert [] == list(await place.queue.receive(10, 0))


@behaviour(visibility=1)
async def test_a_lease_that_has_lapsed_is_lost(place: Place) -> None:
    """MessageNotInflight: who comes too late cannot hide the message again; on the emulators one can."""
    place.send("too late")
    message = await place.take()
    await asyncio.sleep(1.2)
    verdict = place.by(aws=GONE, moto=DONE, ministack=DONE)
    assert [verdict] == await place.queue.change_visibility([message.receipt_handle], 30)
    assert place.by(aws=1, moto=0, ministack=0) == len(await place.queue.receive(10, 0))


@behaviour()
async def test_a_lease_that_was_given_back_is_lost(place: Place) -> None:
    """MessageNotInflight again, and again not on the emulators."""
    place.send("given back")
    message = await place.take()
    assert [DONE] == await place.queue.change_visibility([message.receipt_handle], 0)
    verdict = place.by(aws=GONE, moto=DONE, ministack=DONE)
    assert [verdict] == await place.queue.change_visibility([message.receipt_handle], 30)
    assert place.by(aws=1, moto=0, ministack=0) == len(await place.queue.receive(10, 0))


@behaviour()
async def test_an_old_handle_changes_no_visibility(place: Place) -> None:
    """While somebody else has the message, who had it before can neither hide it nor give it back; with moto he can."""
    place.send("not yours")
    first = await place.take()
    await place.queue.change_visibility([first.receipt_handle], 0)
    second = await place.take(within=0)
    assert [place.by(aws=GONE, moto=DONE)] == await place.queue.change_visibility([first.receipt_handle], 0)
    assert place.by(aws=0, moto=1) == (await place.queue.state()).visible
    assert [DONE] == await place.queue.change_visibility([second.receipt_handle], 30)


@behaviour()
async def test_a_lease_of_a_deleted_message_is_lost(place: Place) -> None:
    """There is nothing left to hide."""
    place.send("deleted")
    message = await place.take()
    await place.queue.delete([message.receipt_handle])
    assert [GONE] == await place.queue.change_visibility([message.receipt_handle], 30)


@behaviour()
async def test_nobody_hides_a_message_for_more_than_twelve_hours(place: Place) -> None:
    """Counted from its receive, so that a whole twelve hours from now are too much.

    Moto fails the whole batch with the InvalidParameterValue that AWS gives the entry; ministack has no limit.
    """
    place.send("for ever")
    message = await place.take()
    await asyncio.sleep(1.1)
    found = await outcome(place.queue.change_visibility([message.receipt_handle], HOURS_12))
    assert place.by(aws=[GONE], moto=Cause.CONFIGURATION, ministack=[DONE]) == found


@behaviour()
async def test_the_entries_of_a_batch_are_answered_one_by_one(place: Place) -> None:
    """In their order: a bad handle spoils neither its neighbours nor the order of the answers."""
    for number in range(3):
        place.send(f"{number}")
    one, two, three = [message.receipt_handle for message in await place.queue.receive(10, 0)]
    mixed = [one, NO_HANDLE, two, three]
    assert [DONE, GONE, DONE, DONE] == await place.queue.change_visibility(mixed, 60)
    assert [DONE, GONE, DONE, DONE] == await place.queue.delete(mixed)
    assert QueueState(0, 0, 0, None) == await place.queue.state()


@behaviour()
async def test_a_batch_has_at_most_ten_entries(place: Place) -> None:
    """TooManyEntriesInBatchRequest is our mistake and deletes nothing; the emulators take more."""
    for number in range(11):
        place.send(f"{number}")
    handles = [message.receipt_handle for _ in range(2) for message in await place.queue.receive(10, 0)]
    taken: Outcome = [DONE] * 11
    assert place.by(aws=Cause.CONFIGURATION, moto=taken, ministack=taken) == await outcome(place.queue.delete(handles))
    assert place.by(aws=11, moto=0, ministack=0) == (await place.queue.state()).in_flight


@behaviour(max_receive_count=5)
async def test_the_state_counts_and_tells_the_limit(place: Place) -> None:
    """Visible, in flight and delayed are told apart, and the redrive policy's limit is read."""
    for number in range(3):
        place.send(f"{number}")
    place.send("later", delay=900)
    await place.take(limit=1)
    assert QueueState(visible=2, in_flight=1, delayed=1, max_receive_count=5) == await place.queue.state()


@behaviour()
async def test_a_delayed_message_waits(place: Place) -> None:
    """It is received when its delay is over, for the first time."""
    began = place.now
    message_id = place.send("later", delay=1)
    assert [] == list(await place.queue.receive(10, 0))
    message = await place.take()
    assert 0.9 <= place.now - began < 4
    assert (message_id, 1) == (message.message_id, message.receive_count)


@behaviour(max_receive_count=2)
async def test_after_its_last_receive_a_message_is_dead_lettered(place: Place) -> None:
    """With its maxReceiveCount behind it, the next receive moves it instead of handing it out; its neighbour stays."""
    place.send("poison")
    for _ in range(2):
        message = await place.take()
        assert [] == place.dead()
        await place.queue.change_visibility([message.receipt_handle], 0)
    message_id = place.send("good")
    assert [message_id] == [message.message_id for message in await place.queue.receive(10, 0)]
    assert ["poison"] == place.dead()
    assert QueueState(visible=0, in_flight=1, delayed=0, max_receive_count=2) == await place.queue.state()
