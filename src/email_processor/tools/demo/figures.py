"""What the service says of itself at `/metrics`, followed while it works."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from email_processor.metrics import PREFIX
from email_processor.tools.demo.process import DemoError, ServiceProcess

EVERY_SECONDS = 0.15
ANSWER_SECONDS = 5.0
FAILURES_TO_GIVE_UP = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """The counts that the demo shows; `seen_once` are messages on their first receive."""

    received: int = 0
    archived: int = 0
    quarantined: int = 0
    duplicates: int = 0
    released: int = 0
    leases_lost: int = 0
    seen_once: int = 0
    in_flight: int = 0
    uploads_failed: int = 0
    circuit_open: bool = False

    @property
    def settled(self) -> int:
        """Messages that have an object."""
        return self.archived + self.quarantined

    def brought_up_to(self, totals: Mapping[str, Any]) -> "Figures":
        """The same with the newer counts that are among `totals`."""
        return replace(self, **{each.name: totals[each.name] for each in fields(self) if each.name in totals})


def read(text: str) -> Figures:
    """Read the text that `/metrics` answers."""
    totals: dict[str, float] = {}
    failed = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(f"{PREFIX}_")
            if name == "message_receive_count_bucket" and sample.labels["le"] != "1.0":
                continue
            totals[name] = totals.get(name, 0.0) + sample.value
            if name == "aws_requests_total" and sample.labels["operation"] == "PutObject":
                failed += sample.value if sample.labels["outcome"] not in {"ok", "refused"} else 0
    return Figures(
        received=int(totals["messages_received_total"]),
        archived=int(totals["messages_archived_total"]),
        quarantined=int(totals["messages_quarantined_total"]),
        duplicates=int(totals["messages_duplicate_total"]),
        released=int(totals["messages_released_total"]),
        leases_lost=int(totals["leases_lost_total"]),
        seen_once=int(totals["message_receive_count_bucket"]),
        in_flight=int(totals["in_flight_messages"]),
        uploads_failed=int(failed),
        circuit_open=totals["circuit_open"] > 0,
    )


class Watch:
    """Follows the figures. `now` is what was read last."""

    def __init__(self, service: ServiceProcess, on_change: Callable[[Figures], None]) -> None:
        """`on_change` hears of every reading."""
        self._service = service
        self._on_change = on_change
        self._read = asyncio.Condition()
        self.now = Figures()

    async def follow(self) -> None:
        """Read until cancelled.

        Raises:
            DemoError: the service does not answer any more.
        """
        await self._service.started()
        failures = 0
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    async with session.get(f"{self._service.url}/metrics") as answer:
                        self.now = read(await answer.text())
                except (aiohttp.ClientError, TimeoutError):
                    failures += 1
                    if failures >= FAILURES_TO_GIVE_UP:
                        raise self._service.ended() from None
                else:
                    failures = 0
                    self._on_change(self.now)
                    async with self._read:
                        self._read.notify_all()
                await asyncio.sleep(EVERY_SECONDS)

    async def until(self, condition: Callable[[Figures], bool], patience: float, what: str) -> Figures:
        """Return the first figures that meet the condition.

        Raises:
            DemoError: nothing at all has moved for `patience` seconds.
        """
        loop = asyncio.get_running_loop()
        last, moved_at = self.now, loop.time()
        while not condition(self.now):
            async with self._read:
                await self._read.wait()
            if self.now != last:
                last, moved_at = self.now, loop.time()
            elif loop.time() - moved_at > patience:
                raise DemoError(f"Waiting for {what}, but nothing has happened for {patience:g} s: {self.now}.")
        return self.now


@asynccontextmanager
async def watching(
    background: asyncio.TaskGroup, service: ServiceProcess, on_change: Callable[[Figures], None]
) -> AsyncIterator[Watch]:
    """Follow the service's figures for as long as the context lasts."""
    watch = Watch(service, on_change)
    following = background.create_task(watch.follow(), name="figures")
    try:
        yield watch
    finally:
        following.cancel()
