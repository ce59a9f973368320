"""Names to addresses: shared lookups, in threads of their own, none of which can take another one along."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from email_processor.aws import resolver as module
from email_processor.aws.resolver import AddressInfo, Resolver


def at(address: str) -> list[AddressInfo]:
    """What the system says of a name at this address."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]


class System:
    """The system's resolver: every name has an address, is unknown, or makes it hang."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.let_go = threading.Event()

    def __call__(self, host: str) -> list[AddressInfo]:
        """Look it up, in whatever thread."""
        self.asked.append(host)
        if host in self.hanging:
            self.let_go.wait(60)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return at(self.known[host])


@pytest.fixture
def dns() -> Iterator[System]:
    """One whose threads all end with the test."""
    system = System()
    yield system
    system.let_go.set()


@pytest.fixture
def resolver(dns: System) -> Resolver:
    """One that asks it."""
    return Resolver(dns)


async def where(resolver: Resolver, host: str) -> str:
    """The first address of a name."""
    async with asyncio.timeout(5):
        return str((await resolver.addresses(host, 443))[0][4][0])


async def test_a_name_is_looked_up_once_for_all(dns: System, resolver: Resolver) -> None:
    """However many connections are made at the same time, and whoever of them gives up."""
    dns.known["s3.test"] = "192.0.2.1"
    dns.hanging.add("s3.test")
    callers = [asyncio.ensure_future(where(resolver, "s3.test")) for _ in range(100)]
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    dns.let_go.set()
    assert {"192.0.2.1"} == set(await asyncio.gather(*callers[1:]))
    assert await resolver.addresses("s3.test", 8443) == [(*at("")[0][:4], ("192.0.2.1", 8443))]
    assert ["s3.test"] == dns.asked


async def test_names_that_hang_do_not_keep_others_from_being_found(dns: System, resolver: Resolver) -> None:
    """There is no thread that they share."""
    dns.known["sqs.test"] = "192.0.2.2"
    dns.hanging = {f"{number}.test" for number in range(20)}
    stuck = [asyncio.ensure_future(resolver.addresses(name, 443)) for name in dns.hanging for _ in range(50)]
    await asyncio.sleep(0)
    assert "192.0.2.2" == await where(resolver, "sqs.test")
    assert 21 == len(dns.asked)
    for each in stuck:
        each.cancel()


async def test_threads_are_bounded(dns: System, resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a name that was never found is an error at once, and one that was is still known."""
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOOKUPS_MAX", 3)
    dns.known["sqs.test"] = "192.0.2.2"
    assert "192.0.2.2" == await where(resolver, "sqs.test")
    dns.hanging = {f"{number}.test" for number in range(3)}
    stuck = [asyncio.ensure_future(resolver.addresses(name, 443)) for name in dns.hanging]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="3 lookups of other names are under way"):
        await where(resolver, "more.test")
    assert "192.0.2.2" == await where(resolver, "sqs.test")
    for each in stuck:
        each.cancel()


async def test_the_last_answer_is_kept_when_there_is_no_better_one(
    dns: System, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is not found any more, or the lookup is late; a new answer is used when it comes."""
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(module, "LATE_SECONDS", 0.01)
    dns.known["s3.test"] = "192.0.2.1"
    assert "192.0.2.1" == await where(resolver, "s3.test")
    dns.known.clear()
    assert "192.0.2.1" == await where(resolver, "s3.test")
    dns.known["s3.test"] = "192.0.2.9"
    dns.hanging.add("s3.test")
    for _ in range(10):
        assert "192.0.2.1" == await where(resolver, "s3.test")
    assert 3 == len(dns.asked)
    dns.let_go.set()
    async with asyncio.timeout(5):
        while await where(resolver, "s3.test") != "192.0.2.9":
            pass


async def test_a_lookup_that_never_ends_is_given_up_and_tried_again(
    dns: System, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds a thread, so the time until the next one doubles; who waited is told."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    dns.hanging.add("hung.test")
    lookups = []
    for _ in range(10):
        waiting = asyncio.ensure_future(resolver.addresses("hung.test", 443))
        await asyncio.sleep(0)
        lookups.append(sum(thread.name == "look up hung.test" for thread in threading.enumerate()))
        waiting.cancel()
        now += module.LOST_SECONDS
    assert [1, 2, 2, 3, 3, 3, 3, 4, 4, 4] == lookups


async def test_who_waits_for_a_lookup_that_hangs_is_told(
    dns: System, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise aiohttp, which waits for it in a task of its own, would never ask for this name again."""
    monkeypatch.setattr(module, "LOST_SECONDS", 0.01)
    dns.hanging.add("sts.test")
    with pytest.raises(OSError, match=r"nobody says within 0\.01 s where sts\.test is"):
        await where(resolver, "sts.test")
    dns.hanging.clear()
    dns.known["sts.test"] = "192.0.2.3"
    assert "192.0.2.3" == await found(resolver, "sts.test")


async def found(resolver: Resolver, host: str) -> str:
    """The first address of a name that can be found from now on."""
    while True:
        with suppress(OSError):
            return await where(resolver, host)


async def test_a_name_that_is_not_there_is_told_each_time(dns: System, resolver: Resolver) -> None:
    """As the system tells it; it may be there the next time."""
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await where(resolver, "s3.test")
    dns.known["s3.test"] = "192.0.2.1"
    assert "192.0.2.1" == await where(resolver, "s3.test")


async def test_as_many_names_are_known_as_are_allowed(
    dns: System, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were longest not asked for are forgotten."""
    monkeypatch.setattr(module, "NAMES_MAX", 2)
    dns.known = {f"{number}.test": "192.0.2.1" for number in range(5)}
    for name in dns.known:
        await where(resolver, name)
    await where(resolver, "3.test")
    await where(resolver, "4.test")
    assert 5 == len(dns.asked)


async def test_an_address_is_not_looked_up(dns: System, resolver: Resolver) -> None:
    """Nor is a thread begun for it."""
    assert "127.0.0.1" == await where(resolver, "127.0.0.1")
    assert ("::1", 443) == (await resolver.addresses("::1", 443))[0][4][:2]
    assert [] == dns.asked


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
async def test_what_cannot_be_a_name_is_told(host: str) -> None:
    """As any other that is not found."""
    with pytest.raises(OSError, match=r"host name|known"):
        await Resolver().addresses(host, 443)


async def test_aiohttp_gets_the_same_in_its_own_form(dns: System, resolver: Resolver) -> None:
    """For the SDK's clients."""
    dns.known["sts.test"] = "192.0.2.3"
    (found,) = await resolver.resolve("sts.test", 443)
    assert (found["host"], found["port"], found["family"]) == ("192.0.2.3", 443, socket.AF_INET)
    assert [] == await resolver.resolve("sts.test", 443, socket.AF_INET6)
    await resolver.close()


def test_the_process_ends_though_a_lookup_hangs(dns: System) -> None:
    """Nobody waits for its thread, which finds the event loop gone when it comes back."""

    async def ask(resolver: Resolver) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await resolver.addresses("s3.test", 443)

    dns.hanging.add("s3.test")
    asyncio.run(ask(Resolver(dns)))
    for thread in threading.enumerate():
        if thread.name == "look up s3.test":
            assert thread.daemon
            thread.join(10)


async def test_a_system_without_threads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a name that cannot be found now."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match="can't start new thread"):
        await Resolver().addresses("s3.test", 443)
