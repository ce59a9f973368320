"""What the health answers say, and what is logged when a part fails or heals."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import pytest

from email_processor.domain.errors import Cause
from email_processor.pipeline.deadlines import Deadlines
from email_processor.pipeline.health import (
    PASSING_FAULTS_BEFORE_RED,
    REMINDER_SECONDS,
    SETTLING_SECONDS,
    Health,
    Part,
)
from tests.unit.pipeline.kit import queue_fault, virtual_clock


def new_health() -> Health:
    """Health on the running loop, with a patience of a minute."""
    return Health(virtual_clock(), patience=60)


def receiving_health() -> Health:
    """Health of a process that has looked at the store and has received, and hence is ready."""
    health = new_health()
    health.well(Part.STORING)
    health.well(Part.RECEIVING)
    assert health.ready().ok
    return health


@pytest.mark.parametrize(("part", "is_ready"), [(Part.RECEIVING, True), (Part.MEASURING, True), (Part.STORING, False)])
async def test_it_is_not_ready_before_the_queue_has_answered(part: Part, is_ready: bool) -> None:
    """A receive that came back, or the queue's own figures, prove that receiving works."""
    health = new_health()
    health.well(Part.STORING)
    assert {"status": "starting"} == health.ready().parts["receiving"]
    assert not health.ready().ok
    health.well(part)
    assert is_ready == health.ready().ok


async def test_it_is_not_ready_before_the_store_has_answered() -> None:
    """A store that does not answer at all is a fault only after the timeouts of two PUTs: until then nobody knows."""
    health = new_health()
    health.well(Part.RECEIVING)
    assert {"status": "starting"} == health.ready().parts["storing"]
    assert not health.ready().ok
    health.well(Part.STORING)
    assert health.ready().ok


async def test_a_fault_that_was_said_is_said_to_be_over_though_there_was_nothing_left_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The next to try tells; and the same fault is news once more."""
    caplog.set_level(logging.INFO)
    health = new_health()
    for _ in range(2):
        health.failed(Part.RENEWING, queue_fault(Cause.DENIED))
        health.idle(Part.RENEWING)
        await asyncio.sleep(SETTLING_SECONDS)
        health.well(Part.RENEWING)
    assert ["failing", "recovered"] * 2 == caplog.messages


@pytest.mark.parametrize(("cause", "faults"), [(Cause.NETWORK, PASSING_FAULTS_BEFORE_RED), (Cause.DENIED, 1)])
async def test_a_part_turns_red_when_it_fails_again_and_again_or_needs_a_person(cause: Cause, faults: int) -> None:
    """A reset connection happens every day, a denied permission is not; one success turns it green."""
    health = receiving_health()
    for _ in range(faults):
        assert health.ready().ok
        health.failed(Part.RECEIVING, queue_fault(cause))
    assert not health.ready().ok
    health.well(Part.RECEIVING)
    assert health.ready().ok


@pytest.mark.parametrize("part", [Part.RENEWING, Part.MEASURING])
async def test_leases_and_figures_do_not_make_it_unready(part: Part) -> None:
    """Both are permissions that it can do without."""
    health = receiving_health()
    health.failed(part, queue_fault(Cause.DENIED))
    assert health.ready().ok
    assert [] == list(health.failing())


async def test_leases_that_cannot_be_renewed_though_it_is_permitted_make_it_unready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is in flight would come again and again."""
    health = receiving_health()
    for _ in range(PASSING_FAULTS_BEFORE_RED):
        assert health.ready().ok
        health.failed(Part.RENEWING, queue_fault(Cause.SERVER))
    assert not health.ready().ok
    assert ["ERROR"] == [record.levelname for record in caplog.records]
    assert [Cause.SERVER] == [fault.cause for fault, _ in health.failing()]


@pytest.mark.parametrize("happen", [Health.drain, partial(Health.circuit, is_open=True)], ids=["draining", "circuit"])
async def test_it_is_alive_but_not_ready_while_draining_or_without_s3(happen: Callable[[Health], None]) -> None:
    """A restart would mend neither."""
    health = receiving_health()
    happen(health)
    assert health.alive().ok
    assert not health.ready().ok


async def test_an_operation_that_outlives_its_patience_is_stuck() -> None:
    """It is not alive until that operation ends, however it ends."""
    health, deadlines = new_health(), Deadlines()
    health.watch(deadlines)

    def assert_storing(status: str, *, alive: bool) -> None:
        report = health.alive()
        assert alive == report.ok
        assert status == report.parts["storing"]["status"]  # type: ignore[index]

    async def work() -> None:
        call = deadlines.begin(Part.STORING, 100)
        try:
            await asyncio.sleep(1)
            assert_storing("working", alive=True)
            await asyncio.sleep(58)
            assert_storing("working", alive=True)
            await asyncio.sleep(2)
            assert_storing("stuck", alive=False)
            raise ZeroDivisionError
        finally:
            deadlines.end(call)

    with pytest.raises(ZeroDivisionError):
        await work()
    assert_storing("idle", alive=True)


async def test_a_lasting_fault_is_said_once_then_every_five_minutes_and_once_more_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One clear line with the fix in it, not one a second."""
    caplog.set_level(logging.INFO)
    health = new_health()
    for _ in range(2 * int(REMINDER_SECONDS)):
        health.failed(Part.RECEIVING, queue_fault(Cause.MISSING))
        await asyncio.sleep(1)
    health.well(Part.RECEIVING)
    health.well(Part.RECEIVING)
    assert ["failing", "failing", "recovered"] == caplog.messages
    assert ["ERROR", "ERROR", "INFO"] == [record.levelname for record in caplog.records]
    first = caplog.records[0].__dict__
    assert "receiving" == first["part"]
    assert "missing" == first["cause"]
    assert "Wait." == first["fix"]


async def test_an_outage_that_flickers_at_its_edge_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Good and bad answers mixed within a second are one `failing` and one `recovered`."""
    caplog.set_level(logging.INFO)
    health = new_health()
    for _ in range(10):
        health.failed(Part.STORING, queue_fault(Cause.MISSING))
        await asyncio.sleep(0.05)
        health.well(Part.STORING)
    assert ["failing", "recovered"] == caplog.messages


async def test_a_fault_that_comes_back_later_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    """Ten seconds on it is news."""
    health = new_health()
    for _ in range(2):
        health.failed(Part.STORING, queue_fault(Cause.MISSING))
        health.well(Part.STORING)
        await asyncio.sleep(10)
    assert ["failing", "failing"] == [record.message for record in caplog.records if record.levelname == "ERROR"]


async def test_another_cause_is_another_line(caplog: pytest.LogCaptureFixture) -> None:
    """The queue is there now, but access is denied: that is news."""
    health = new_health()
    for cause in (Cause.MISSING, Cause.MISSING, Cause.DENIED, Cause.DENIED):
        health.failed(Part.RECEIVING, queue_fault(cause))
    assert ["missing", "denied"] == [record.__dict__["cause"] for record in caplog.records]


async def test_a_passing_fault_that_passes_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Normal work is silent."""
    caplog.set_level(logging.INFO)
    health = new_health()
    health.failed(Part.RECEIVING, queue_fault(Cause.NETWORK))
    health.well(Part.RECEIVING)
    assert [] == caplog.records


async def test_what_it_can_do_without_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """No permission to renew leases is no error: it goes on."""
    new_health().failed(Part.RENEWING, queue_fault(Cause.DENIED))
    assert ["WARNING"] == [record.levelname for record in caplog.records]
