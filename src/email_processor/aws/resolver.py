"""Names to addresses: one lookup of a name at a time for all who wait, and the last good answer where one is late.

A lookup blocks its thread, for a minute or for ever if the system's resolver hangs. On the event loop's few shared
threads one name that hangs would keep all others from being looked up; here each lookup has a thread of its own, which
nobody waits for at the end of the process.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

AddressInfo = tuple[int, int, int, str, Any]  # as getaddrinfo gives it
LookUp = Callable[[str], Sequence[AddressInfo]]  # blocks

FRESH_SECONDS = 5.0  # S3 changes its addresses every few seconds, and spreads load by it
LATE_SECONDS = 1.0  # after which an answer from before is better than none
LOST_SECONDS = 60.0  # after which a lookup is given up; another one may be tried, and after that in twice the time
LOOKUPS_MAX = 32  # threads
NAMES_MAX = 128  # payloads can be in any bucket, and each may have a name of its own


@dataclass(slots=True)
class _Name:
    """What is known of one name, and the lookup that is under way."""

    answer: Sequence[AddressInfo] = ()
    answered_at: float = float("-inf")
    lookup: "asyncio.Future[Sequence[AddressInfo] | OSError] | None" = None
    begun_at: float = float("-inf")
    threads: int = 0


class Resolver(AbstractResolver):
    """Looks names up, for our own HTTP client and for aiohttp's."""

    def __init__(self, look_up: LookUp | None = None) -> None:
        """`look_up` is called in threads; the system's by default."""
        self._look_up = look_up or _ask_system
        self._names: dict[str, _Name] = {}  # the longest unused first
        self._threads = 0

    async def addresses(self, host: str, port: int) -> list[AddressInfo]:
        """Where `host` is, for a TCP connection to `port`.

        Raises:
            OSError: there is no such name, or nobody says.
        """
        if _is_address(host):
            return _with_port(_ask_system(host), port)
        name = self._names[host] = self._names.pop(host, _Name())
        now = asyncio.get_running_loop().time()
        if now >= name.answered_at + FRESH_SECONDS:
            await self._renew(host, name, now)
        return _with_port(name.answer, port)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The same for aiohttp."""
        return [
            ResolveResult(hostname=host, host=address[0], port=port, family=kind, proto=proto, flags=0)
            for kind, _, proto, _, address in await self.addresses(host, port)
            if family in {socket.AF_UNSPEC, kind}
        ]

    async def close(self) -> None:
        """Nothing: threads end by themselves, and nobody waits for one that does not."""

    async def _renew(self, host: str, name: _Name, now: float) -> None:
        lookup = name.lookup
        if lookup is None or now >= name.begun_at + LOST_SECONDS * 2 ** (name.threads - 1):  # each may hold its thread
            lookup = self._begin(host, name, now)
        given_up_at = name.begun_at + (LATE_SECONDS if name.answer else LOST_SECONDS)
        await asyncio.wait({lookup}, timeout=max(0.0, given_up_at - now))  # it goes on when who waits is cancelled
        outcome = (
            lookup.result() if lookup.done() else OSError(f"nobody says within {LOST_SECONDS:g} s where {host} is")
        )
        if isinstance(outcome, OSError) and not name.answer:
            raise outcome.with_traceback(None)

    def _begin(self, host: str, name: _Name, now: float) -> "asyncio.Future[Sequence[AddressInfo] | OSError]":
        loop = asyncio.get_running_loop()
        lookup = name.lookup = loop.create_future()
        name.begun_at = now
        if self._threads >= LOOKUPS_MAX:
            self._end(host, name, lookup, OSError(f"{LOOKUPS_MAX} lookups of other names are under way"), threads=0)
            return lookup

        def look_up() -> None:
            outcome: Sequence[AddressInfo] | OSError
            try:
                outcome = self._look_up(host)
            except OSError as error:
                outcome = error
            except UnicodeError as error:
                outcome = OSError(f"{host} is not a host name: {error}")
            with suppress(RuntimeError):  # the loop is closed: nobody wants to know
                loop.call_soon_threadsafe(self._end, host, name, lookup, outcome, 1)

        self._threads += 1
        name.threads += 1
        try:
            threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
        except RuntimeError as error:  # the system gives no more threads
            self._end(host, name, lookup, OSError(str(error)), threads=1)
        return lookup

    def _end(
        self,
        host: str,
        name: _Name,
        lookup: "asyncio.Future[Sequence[AddressInfo] | OSError]",
        outcome: Sequence[AddressInfo] | OSError,
        threads: int,
    ) -> None:
        self._threads -= threads
        name.threads -= threads
        if name.lookup is lookup:
            name.lookup = None
        if not isinstance(outcome, OSError):
            name.answer = outcome
            name.answered_at = asyncio.get_running_loop().time()
        lookup.set_result(outcome)
        for other in [each for each in self._names if each != host][: max(0, len(self._names) - NAMES_MAX)]:
            del self._names[other]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ask_system(host: str) -> Sequence[AddressInfo]:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)


def _with_port(found: Sequence[AddressInfo], port: int) -> list[AddressInfo]:
    return [(*what, (address[0], port, *address[2:])) for *what, address in found]  # type: ignore[misc]
