"""The circuit: whether S3 is held to be up."""

import asyncio

import pytest

from email_processor.domain.errors import Cause
from email_processor.pipeline.circuit import FAILURES_TO_OPEN
from tests.unit.pipeline.kit import Kit, later, now, store_fault


async def test_one_failure_puts_it_in_doubt_and_one_success_restores_trust() -> None:
    """In doubt nothing more is received; S3 is not held to be down yet."""
    circuit = Kit.new().context.circuit
    assert circuit.is_trusted
    assert not circuit.is_open
    with circuit.trying():
        circuit.fail(store_fault())
        assert (False, False) == (circuit.is_trusted, circuit.is_open)
        circuit.succeed()
        assert (True, False) == (circuit.is_trusted, circuit.is_open)


async def test_failures_in_a_row_open_it_and_a_success_closes_it() -> None:
    """Open is seen in health and metrics as well."""
    kit = Kit.new()
    circuit, health = kit.context.circuit, kit.context.health

    def assert_is_open(expected: bool) -> None:
        assert expected == circuit.is_open
        assert expected == kit.value("circuit_open")
        assert expected == health.is_circuit_open

    with circuit.trying():
        for _ in range(FAILURES_TO_OPEN - 1):
            circuit.fail(store_fault())
        assert_is_open(False)
        circuit.fail(store_fault())
        assert_is_open(True)
        circuit.succeed()
        assert_is_open(False)


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause.needs_a_person])
async def test_what_takes_a_person_opens_it_at_once(cause: Cause) -> None:
    """Waiting mends no policy, no missing bucket and no disabled key."""
    circuit = Kit.new().context.circuit
    with circuit.trying():
        circuit.fail(store_fault(cause))
        assert circuit.is_open


async def test_open_it_lets_one_upload_probe_at_a_time_further_and_further_apart() -> None:
    """The others wait; each failed probe doubles the distance to the next."""
    circuit = Kit.new().context.circuit
    probes: list[float] = []

    async def upload() -> None:
        with circuit.trying():
            while len(probes) < 5:
                async with circuit.admitted():
                    probes.append(now())
                    circuit.fail(store_fault())

    with circuit.trying():
        circuit.fail(store_fault(Cause.DENIED))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(upload())
    assert [0.1, 0.3, 0.7, 1.5, 3.1] == probes[:5]


async def test_when_a_probe_succeeds_all_go_on_at_once() -> None:
    """Recovery is not one by one."""
    circuit = Kit.new().context.circuit
    running = high = 0

    async def upload() -> None:
        nonlocal running, high
        with circuit.trying():
            async with circuit.admitted():
                running += 1
                high = max(high, running)
                await asyncio.sleep(1)
                running -= 1
                circuit.succeed()

    with circuit.trying():
        circuit.fail(store_fault(Cause.DENIED))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(upload())
    assert 9 == high
    assert 2.1 == now()


async def test_a_late_success_ends_the_wait_of_the_probe() -> None:
    """An upload that had begun before and succeeds is proof enough."""
    circuit = Kit.new().context.circuit
    with circuit.trying():
        for _ in range(20):
            circuit.fail(store_fault())
        later(0.01, circuit.succeed)
        async with circuit.admitted():
            assert 0.01 == now()


async def test_no_doubt_outlives_those_who_could_clear_it() -> None:
    """When the last upload gives up for reasons of its own, receiving goes on: it brings the next one to try."""
    circuit = Kit.new().context.circuit
    with circuit.trying():
        with circuit.trying():
            circuit.fail(store_fault())
        was_trusted = circuit.is_trusted
    assert not was_trusted
    assert circuit.is_trusted
    async with asyncio.timeout(1):
        await circuit.trusted()


async def test_uploads_that_were_under_way_do_not_put_off_the_probe() -> None:
    """A hundred that fail together say no more than one of them."""
    circuit = Kit.new().context.circuit
    with circuit.trying():
        for _ in range(100):
            circuit.fail(store_fault())
        async with circuit.admitted():
            assert 0.1 == now()
