"""What a bucket does, as AWS documents it, in the simulation and on the emulators."""

import asyncio

import pytest

from email_processor.domain.email import Pointer
from email_processor.domain.errors import PayloadMissingError
from email_processor.ports import Stored
from tests.contract.places import Place, behaviour
from tests.support.payloads import fetched

KEY = "emails/2024/12/10/grüße_+&=/m_143022.json"
OF_ONE_MESSAGE = b'{"message_id":"m","by":%d}'  # else the second would be taken for what a broken store has left
FIRST, SECOND = OF_ONE_MESSAGE % 1, OF_ONE_MESSAGE % 2


@behaviour()
async def test_a_conditional_put_stores_once(place: Place) -> None:
    """The second one finds the object and leaves its bytes as they are, whatever it brings."""
    assert Stored.CREATED is await place.archive.put(KEY, FIRST)
    assert Stored.ALREADY_THERE is await place.archive.put(KEY, SECOND)
    assert Stored.ALREADY_THERE is await place.archive.put(KEY, FIRST)
    assert FIRST == place.read(KEY)


@behaviour(conditional=False)
async def test_a_put_without_condition_overwrites(place: Place) -> None:
    """The last one stays, and each is told as the one that stored it."""
    assert Stored.CREATED is await place.archive.put(KEY, b'{"first":1}')
    assert Stored.CREATED is await place.archive.put(KEY, b'{"second":2}')
    assert b'{"second":2}' == place.read(KEY)


@behaviour()
async def test_of_many_conditional_puts_at_once_one_stores(place: Place) -> None:
    """The others find it; the bytes are those of the one."""
    documents = [OF_ONE_MESSAGE % number for number in range(8)]
    async with asyncio.TaskGroup() as tasks:
        puts = [tasks.create_task(place.archive.put(KEY, it), name=f"put-{it!r}") for it in documents]
    found = [put.result() for put in puts]
    assert [Stored.CREATED] == [stored for stored in found if stored is not Stored.ALREADY_THERE]
    assert documents[found.index(Stored.CREATED)] == place.read(KEY)


@behaviour()
async def test_keys_are_apart(place: Place) -> None:
    """Neither letter case nor a common beginning makes two keys one."""
    keys = ["emails/a", "emails/A", "emails/a/b", "emails/%61", "emails/a b"]
    for number, key in enumerate(keys):
        assert Stored.CREATED is await place.archive.put(key, b"%d" % number)
    assert [b"%d" % number for number in range(len(keys))] == [place.read(key) for key in keys]


@behaviour()
async def test_a_large_document_is_stored_whole(place: Place) -> None:
    """As large as SQS allows a message to be, and every byte value in it."""
    document = bytes(range(256)) * 4096
    assert Stored.CREATED is await place.archive.put(KEY, document)
    assert document == place.read(KEY)


@behaviour()
async def test_a_payload_is_read_as_it_was_stored(place: Place) -> None:
    """Every byte value of it."""
    payload = bytes(range(256))
    assert payload == await fetched(place.payloads, place.offload("payloads/1", payload))


@behaviour()
async def test_a_payload_that_is_not_there_is_missing(place: Place) -> None:
    """NoSuchKey is about this object, not about the store."""
    there = place.offload("payloads/1", b"{}")
    with pytest.raises(PayloadMissingError):
        await fetched(place.payloads, Pointer(there.bucket, "payloads/2"))
