"""The bucket for who reads it: the same in the simulation and, signed here or by the SDK, on the emulators."""

from email_processor.ports import Listed, Stored
from tests.contract.places import Place, behaviour

DAY = "emails/2024/12/10/"
# In the order of UTF-8; what a query, XML or a URL would take for its own is in them.
NAMES = ["%41", "A", "a b", "a&b=c+d", 'a\'<"x">', "a/b", "a~", "grüße", "zß", "\uffee", "\U0001f600"]


@behaviour()
async def test_keys_are_listed_in_the_order_of_utf8(place: Place) -> None:
    """Under the prefix alone, behind a key if one is named, with their sizes."""
    for name in NAMES:
        await place.archive.put(DAY + name, name.encode())
    await place.archive.put("emails/2024/12/1", b"another day")
    expected = [Listed(DAY + name, len(name.encode())) for name in NAMES]
    for shelf in place.shelves:
        everything = await shelf.page(DAY, "")
        assert (expected, True) == (list(everything.objects), everything.is_last)
        for number, name in enumerate(NAMES):
            assert expected[number + 1 :] == list((await shelf.page(DAY, DAY + name)).objects)
        assert ([], True) == await shelf.page("emails/2024/12/11/", "")


@behaviour()
async def test_a_page_has_a_thousand_keys(place: Place) -> None:
    """And says that more are behind them; the next begins behind its last one."""
    keys = [f"{DAY}{number:04}" for number in range(1001)]
    for key in keys:
        await place.archive.put(key, b"{}")
    for shelf in place.shelves:
        first = await shelf.page(DAY, "")
        assert (keys[:1000], False) == ([it.key for it in first.objects], first.is_last)
        assert ([Listed(keys[1000], 2)], True) == await shelf.page(DAY, first.objects[-1].key)


@behaviour()
async def test_an_object_is_put_once_read_and_deleted(place: Place) -> None:
    """Every byte of it; what is not there is None, and to delete it is no error."""
    document = bytes(range(256)) * 1000
    for shelf in place.shelves:
        for name in NAMES:
            assert await shelf.get(DAY + name) is None
            assert Stored.CREATED is await shelf.put(DAY + name, document)
            assert Stored.ALREADY_THERE is await shelf.put(DAY + name, b"another")
            assert document == await shelf.get(DAY + name)
            await shelf.delete(DAY + name)
            await shelf.delete(DAY + name)
            assert await shelf.get(DAY + name) is None
