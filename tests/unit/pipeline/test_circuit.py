"""The circuit: whether S3 is held to be up, and how much more may be received."""

import asyncio

import pytest

from email_processor.domain.errors import Cause
from email_processor.pipeline.circuit import FAILURES_TO_OPEN, Allowance, Circuit
from tests.unit.pipeline.kit import Kit, later, now, store_fault


def fail(circuit: Circuit, *keys: str, is_news: bool = True) -> None:
    """The PUTs of these objects fail, one after the other."""
    for key in keys:
        circuit.fail(key, store_fault(), is_news=is_news)


def state(circuit: Circuit) -> tuple[Allowance, bool]:
    """How much may be received, and whether it is open."""
    return circuit.allowance, circuit.is_open


DIFFERENT = [f"object {number}" for number in range(FAILURES_TO_OPEN)]


async def test_it_begins_in_doubt_and_one_success_is_enough() -> None:
    """A process that starts does not know how the store is: it could have been started by an outage."""
    circuit = Kit.new(trusted=False).context.circuit
    assert (Allowance.NOTHING, False) == state(circuit)
    circuit.deleted()
    circuit.succeed()
    assert (Allowance.EVERYTHING, False) == state(circuit)
    fail(circuit, "one")
    assert (Allowance.NOTHING, False) == state(circuit)


async def test_the_probe_object_allows_one_message_and_no_second() -> None:
    """Until it says so again, or until an email is stored."""
    circuit = Kit.new(trusted=False).context.circuit
    for _ in range(2):
        circuit.succeed(is_probe_object=True)
        assert (Allowance.ONE_MESSAGE, False) == state(circuit)
        circuit.spend()
        assert (Allowance.NOTHING, False) == state(circuit)
    circuit.deleted()
    circuit.succeed()
    circuit.spend()
    assert (Allowance.EVERYTHING, False) == state(circuit)


async def test_the_one_message_is_given_back_if_s3_has_no_part_in_what_became_of_it() -> None:
    """It only points to its body, say; once it has met S3 it is not."""
    circuit = Kit.new(trusted=False).context.circuit
    circuit.succeed(is_probe_object=True)
    circuit.spend()
    circuit.refund()
    assert (Allowance.ONE_MESSAGE, False) == state(circuit)
    circuit.spend()
    fail(circuit, "one")
    circuit.refund()
    assert (Allowance.NOTHING, False) == state(circuit)


async def test_at_the_start_a_delete_has_to_be_answered_too() -> None:
    """Until then no probe is due either, because S3 is known to be up; a failure begins the doubt anew."""
    circuit = Kit.new(trusted=False).context.circuit
    circuit.succeed()
    assert (Allowance.NOTHING, False) == state(circuit)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await circuit.probe_due()
    circuit.undeleted()
    assert (Allowance.ONE_MESSAGE, False) == state(circuit)
    fail(circuit, "one")
    circuit.undeleted()
    circuit.deleted()
    assert (Allowance.NOTHING, False) == state(circuit)
    await circuit.probe_due()
    circuit.succeed()
    assert (Allowance.EVERYTHING, False) == state(circuit)


@pytest.mark.parametrize("cause", list(Cause))
async def test_different_objects_that_fail_open_it_and_a_success_closes_it(cause: Cause) -> None:
    """Open is seen in health and metrics as well."""
    kit = Kit.new()
    circuit, health = kit.context.circuit, kit.context.health

    def assert_is_open(expected: bool) -> None:
        assert expected == circuit.is_open
        assert expected == kit.value("circuit_open")
        assert expected == health.is_circuit_open

    for key in DIFFERENT[1:]:
        circuit.fail(key, store_fault(cause))
    assert_is_open(False)
    circuit.fail(DIFFERENT[0], store_fault(cause))
    assert_is_open(True)
    assert not health.ready().ok
    circuit.succeed(is_probe_object=True)
    assert_is_open(False)


async def test_one_object_that_fails_again_and_again_opens_nothing() -> None:
    """Nor do five, if others are stored between; a failure of one that was refused before is no news."""
    circuit = Kit.new().context.circuit
    fail(circuit, *["one"] * 100)
    assert (Allowance.NOTHING, False) == state(circuit)
    for key in DIFFERENT:
        fail(circuit, key)
        circuit.succeed()
    fail(circuit, *DIFFERENT, is_news=False)
    assert (Allowance.NOTHING, False) == state(circuit)


@pytest.mark.parametrize("before", ["an email", "the probe object"])
async def test_the_probe_object_opens_it_if_anything_failed_before(before: str) -> None:
    """An email of which one could have thought that it is refused alone, or the probe object itself, at a start."""
    circuit = Kit.new(trusted=False).context.circuit
    circuit.fail(before, store_fault(), is_probe_object=before != "an email")
    assert (Allowance.NOTHING, False) == state(circuit)
    circuit.fail("the probe object", store_fault(), is_probe_object=True)
    assert (Allowance.NOTHING, True) == state(circuit)


async def test_a_probe_is_due_at_once_at_the_start_and_then_further_and_further_apart() -> None:
    """Each failed one doubles the distance to the next; a success of the real thing begins anew."""
    circuit = Kit.new(trusted=False).context.circuit
    due: list[float] = []
    for _ in range(5):
        await circuit.probe_due()
        due.append(now())
        circuit.fail("probe", store_fault(), is_probe_object=True)
        circuit.probed()
    assert [0, 0.1, 0.3, 0.7, 1.5] == due
    circuit.deleted()
    circuit.succeed()
    fail(circuit, "one")
    await circuit.probe_due()
    assert 1.6 == now()


async def test_no_probe_is_due_while_something_is_tried_or_may_be_received() -> None:
    """That will tell; once the circuit is open, nothing else does."""
    circuit = Kit.new().context.circuit
    fail(circuit, "one")
    async with asyncio.TaskGroup() as tasks:
        due = tasks.create_task(circuit.probe_due())
        circuit.begin()
        await asyncio.sleep(10)
        assert not due.done()
        circuit.succeed(is_probe_object=True)
        circuit.end()
        await asyncio.sleep(10)
        assert not due.done()
        circuit.begin()
        fail(circuit, *DIFFERENT)
        await asyncio.sleep(1)
        assert due.done()


async def test_uploads_that_were_under_way_do_not_put_off_the_probe() -> None:
    """A hundred that fail together say no more than one of them."""
    circuit = Kit.new().context.circuit
    fail(circuit, *DIFFERENT * 20)
    await circuit.probe_due()
    assert 0.1 == now()


async def test_a_late_success_closes_it() -> None:
    """An upload that had begun before and succeeds is proof enough."""
    circuit = Kit.new().context.circuit
    fail(circuit, *DIFFERENT)
    later(0.01, circuit.succeed)
    await circuit.closed()
    assert 0.01 == now()
    assert (Allowance.EVERYTHING, False) == state(circuit)


async def test_it_stays_open_until_it_was_closed_in_time() -> None:
    """Closed and opened again, the time begins anew."""
    circuit = Kit.new().context.circuit
    later(1, fail, circuit, *DIFFERENT)
    later(2, circuit.succeed)
    later(3, fail, circuit, *DIFFERENT)
    await circuit.stays_open(2)
    assert 5 == now()
