"""What the health answers say, and what is logged when a part fails or heals."""

import asyncio
import logging

import pytest

from email_processor.domain.errors import Cause
from email_processor.pipeline.health import PASSING_FAULTS_BEFORE_RED, REMINDER_SECONDS, Health, Part
from tests.simulation.loop import simulate
from tests.unit.pipeline.kit import queue_fault, virtual_clock


def new_health() -> Health:
    """Health on the running loop, with a patience of a minute."""
    return Health(virtual_clock(), patience=60)


def test_it_is_not_ready_before_the_queue_has_answered() -> None:
    """A receive that came back, or the queue's own figures, prove that receiving works."""

    async def story() -> list[bool]:
        by_receive, by_figures, neither = new_health(), new_health(), new_health()
        by_receive.well(Part.RECEIVING)
        by_figures.well(Part.MEASURING)
        return [by_receive.ready().ok, by_figures.ready().ok, neither.ready().ok]

    assert [True, True, False] == simulate(story())


@pytest.mark.parametrize(("cause", "faults"), [(Cause.NETWORK, PASSING_FAULTS_BEFORE_RED), (Cause.DENIED, 1)])
def test_a_part_turns_red_when_it_fails_again_and_again_or_needs_a_person(cause: Cause, faults: int) -> None:
    """A reset connection is everyday weather, a denied permission is not; one success turns it green."""

    async def story() -> list[bool]:
        health = new_health()
        health.well(Part.RECEIVING)
        seen = []
        for _ in range(faults):
            seen.append(health.ready().ok)
            health.failed(Part.RECEIVING, queue_fault(cause))
        seen.append(health.ready().ok)
        health.well(Part.RECEIVING)
        seen.append(health.ready().ok)
        return seen

    assert [*[True] * faults, False, True] == simulate(story())


def test_leases_and_figures_do_not_make_it_unready() -> None:
    """Both are permissions that it can do without."""

    async def story() -> bool:
        health = new_health()
        health.well(Part.RECEIVING)
        health.failed(Part.RENEWING, queue_fault(Cause.DENIED))
        health.failed(Part.MEASURING, queue_fault(Cause.DENIED))
        return health.ready().ok

    assert simulate(story()) is True


@pytest.mark.parametrize("name", ["draining", "circuit_open"])
def test_it_is_alive_but_not_ready_while_draining_or_without_s3(name: str) -> None:
    """A restart would mend neither."""

    async def story() -> tuple[bool, bool]:
        health = new_health()
        health.well(Part.RECEIVING)
        setattr(health, name, True)
        return health.alive().ok, health.ready().ok

    assert (True, False) == simulate(story())


def test_an_operation_that_outlives_its_patience_is_stuck() -> None:
    """It is not alive until that operation ends, however it ends."""

    async def story() -> list[tuple[bool, object]]:
        health = new_health()
        seen: list[tuple[bool, object]] = []

        def look() -> None:
            report = health.alive()
            seen.append((report.ok, report.parts["storing"]["status"]))  # type: ignore[index]

        async def work() -> None:
            operation = health.begin(Part.STORING)
            try:
                await asyncio.sleep(62)
                raise ZeroDivisionError
            finally:
                health.end(Part.STORING, operation)

        for when in (1, 59, 61):
            asyncio.get_running_loop().call_later(when, look)
        with pytest.raises(ZeroDivisionError):
            await work()
        look()
        return seen

    assert [(True, "working"), (True, "working"), (False, "stuck"), (True, "idle")] == simulate(story())


def test_a_lasting_fault_is_said_once_then_every_five_minutes_and_once_more_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One clear line with the fix in it, not one a second."""
    caplog.set_level(logging.INFO)

    async def story() -> None:
        health = new_health()
        for _ in range(2 * int(REMINDER_SECONDS)):
            health.failed(Part.RECEIVING, queue_fault(Cause.MISSING))
            await asyncio.sleep(1)
        health.well(Part.RECEIVING)
        health.well(Part.RECEIVING)

    simulate(story())
    assert ["failing", "failing", "recovered"] == [record.message for record in caplog.records]
    assert ["ERROR", "ERROR", "INFO"] == [record.levelname for record in caplog.records]
    first = caplog.records[0].__dict__
    assert ("receiving", "missing", "Wait.") == (first["part"], first["cause"], first["fix"])


def test_an_outage_that_flickers_at_its_edge_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Good and bad answers mixed within a second are one `failing` and one `recovered`."""
    caplog.set_level(logging.INFO)

    async def story() -> None:
        health = new_health()
        for _ in range(10):
            health.failed(Part.STORING, queue_fault(Cause.MISSING))
            await asyncio.sleep(0.05)
            health.well(Part.STORING)

    simulate(story())
    assert ["failing", "recovered"] == [record.message for record in caplog.records]


def test_a_fault_that_comes_back_later_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    """Ten seconds on it is news."""

    async def story() -> None:
        health = new_health()
        for _ in range(2):
            health.failed(Part.STORING, queue_fault(Cause.MISSING))
            health.well(Part.STORING)
            await asyncio.sleep(10)

    simulate(story())
    assert ["failing", "failing"] == [record.message for record in caplog.records if record.levelname == "ERROR"]


def test_another_cause_is_another_line(caplog: pytest.LogCaptureFixture) -> None:
    """The queue is there now, but access is denied: that is news."""

    async def story() -> None:
        health = new_health()
        for cause in (Cause.MISSING, Cause.MISSING, Cause.DENIED, Cause.DENIED):
            health.failed(Part.RECEIVING, queue_fault(cause))

    simulate(story())
    assert ["missing", "denied"] == [record.__dict__["cause"] for record in caplog.records]


def test_a_passing_fault_that_passes_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Normal work is silent."""
    caplog.set_level(logging.INFO)

    async def story() -> None:
        health = new_health()
        health.failed(Part.RECEIVING, queue_fault(Cause.NETWORK))
        health.well(Part.RECEIVING)

    simulate(story())
    assert [] == caplog.records


def test_what_it_can_do_without_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """No permission to renew leases is no error: it goes on."""

    async def story() -> None:
        new_health().failed(Part.RENEWING, queue_fault(Cause.DENIED))

    simulate(story())
    assert ["WARNING"] == [record.levelname for record in caplog.records]
