"""The figures that the demo follows while the service works."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from email_processor.domain.errors import Cause, Reason
from email_processor.metrics import Metrics, Operation
from email_processor.tools.demo import figures as module
from email_processor.tools.demo.figures import Figures, Watch, read, watching
from email_processor.tools.demo.process import DemoError, ServiceProcess


@pytest.fixture
def metrics() -> Metrics:
    """The service's metrics."""
    return Metrics(CollectorRegistry(), "1.0.0")


def text_of(metrics: Metrics) -> str:
    """What `/metrics` answers."""
    return generate_latest(metrics.registry).decode()


def test_every_figure_is_read_from_its_metric(metrics: Metrics) -> None:
    """Labels are added up, except where one of them is meant."""
    metrics.received.inc(9)
    for count in (1, 1, 1, 2, 4):
        metrics.receive_count.observe(count)
    metrics.archived.inc(4)
    metrics.quarantined.labels(Reason.NOT_JSON).inc(2)
    metrics.quarantined.labels(Reason.TOO_DEEP).inc()
    metrics.duplicates.labels("stored").inc(2)
    metrics.released.labels("shutdown").inc(3)
    metrics.leases_lost.inc(5)
    metrics.in_flight_messages.set(6)
    metrics.circuit_open.set(1)
    metrics.aws_requests.labels(Operation.PUT.service, Operation.PUT, Cause.SERVER).inc(7)
    metrics.aws_requests.labels(Operation.PUT.service, Operation.PUT, "ok").inc(100)
    metrics.aws_requests.labels(Operation.RECEIVE.service, Operation.RECEIVE, Cause.SERVER).inc(100)
    found = read(text_of(metrics))
    assert (
        Figures(
            received=9,
            archived=4,
            quarantined=3,
            duplicates=2,
            released=3,
            leases_lost=5,
            seen_once=3,
            in_flight=6,
            uploads_failed=7,
            circuit_open=True,
        )
        == found
    )
    assert 7 == found.settled


def test_a_service_that_has_done_nothing_has_all_figures_at_zero(metrics: Metrics) -> None:
    """None of them is missing."""
    assert Figures() == read(text_of(metrics))


def test_the_last_line_of_the_log_brings_the_counts_up_to_date() -> None:
    """They were read a moment before; what the line does not tell stays."""
    before = Figures(received=5, archived=4, in_flight=1, uploads_failed=2)
    last = {"event": "stopped", "received": 6, "archived": 6, "left_in_flight": 0}
    assert Figures(received=6, archived=6, in_flight=1, uploads_failed=2) == before.brought_up_to(last)


@asynccontextmanager
async def following(answer: Callable[[], str], seen: list[Figures]) -> AsyncIterator[tuple[Watch, Callable[[], None]]]:
    """Follow a server that answers like a service; the other value takes the server away."""

    async def respond(_request: web.Request) -> web.Response:
        return web.Response(text=answer())

    app = web.Application()
    app.router.add_get("/metrics", respond)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service = ServiceProcess(cast("asyncio.subprocess.Process", None), lambda _entry: None)
    service._note(b'{"event":"started","port":%d}' % runner.addresses[0][1])
    ends: list[asyncio.Task[None]] = []
    try:
        async with asyncio.TaskGroup() as tasks, watching(tasks, service, seen.append) as watch:
            yield watch, lambda: ends.append(asyncio.get_running_loop().create_task(runner.cleanup()))
    finally:
        await asyncio.gather(*ends)
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)


async def test_it_returns_with_the_first_figures_that_will_do(metrics: Metrics) -> None:
    """Everything that was read until then has been reported, the last of it last."""
    seen: list[Figures] = []

    def answer() -> str:
        metrics.archived.inc()
        return text_of(metrics)

    async with following(answer, seen) as (watch, _):
        found = await watch.until(lambda now: now.archived >= 3, 10, "three")
    assert 3 == found.archived
    assert [1, 2, 3] == [figures.archived for figures in seen[:3]]


async def test_it_gives_up_when_nothing_moves(metrics: Metrics) -> None:
    """And says what it was waiting for."""
    async with following(lambda: text_of(metrics), []) as (watch, _):
        with pytest.raises(DemoError, match=r"Waiting for rain, but nothing has happened for 0.1 s"):
            await watch.until(lambda now: now.archived > 0, 0.1, "rain")


async def test_a_service_that_goes_away_is_noticed(metrics: Metrics) -> None:
    """It is quoted: its last log line may say why."""

    async def follow_until_it_is_gone() -> None:
        async with following(lambda: text_of(metrics), []) as (watch, take_away):
            await watch.until(lambda _now: True, 10, "nothing")
            take_away()
            await watch.until(lambda _now: False, 60, "the end")

    with pytest.raises(ExceptionGroup) as failure:
        await follow_until_it_is_gone()
    (error,) = failure.value.exceptions
    assert isinstance(error, DemoError)
    assert 'its last words: {"event": "started"' in str(error)
