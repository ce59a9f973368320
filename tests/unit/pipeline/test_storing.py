"""Storing: one try to put an object, and who hears how it went."""

import asyncio
from unittest import mock

import pytest

from email_processor.domain.errors import Cause, ObjectRefusedError
from email_processor.pipeline.circuit import Allowance
from email_processor.pipeline.evidence import History
from email_processor.pipeline.ledger import State
from email_processor.pipeline.storing import StoreRules, Storing
from email_processor.ports import Stored
from tests.simulation.connection import PUT, Fate, hung, refused
from tests.unit.pipeline.kit import PROBE, Kit, later, store_fault
from tests.unit.pipeline.virtual_aws import VirtualAws


class StoringStage(VirtualAws):
    """A bucket, and one delivery."""

    def __init__(self, *, start: int = 8) -> None:
        super().__init__()
        self.kit = Kit.new()
        self.circuit = self.kit.context.circuit
        self.storing = Storing(self.kit.context, self.store, StoreRules(most=64, start=start, probe=PROBE))
        self.delivery = self.kit.in_flight()

    async def put(
        self, key: str = "key", history: History | None = None, mib: int = 0, *, is_probe: bool = False
    ) -> Stored | History | None:
        """One try."""
        document = b"x" * mib * 1024 * 1024
        return await self.storing.store(
            self.delivery, key, lambda: document, expected_bytes=len(document), history=history, is_probe=is_probe
        )

    def open(self) -> None:
        """Let the circuit open."""
        for number in range(5):
            self.circuit.fail(f"other {number}", store_fault())


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.THROTTLED])
async def test_a_failure_is_the_stores(cause: Cause) -> None:
    """The circuit hears of it; the object gets a history, by which its next try is a retry."""
    stage = StoringStage()
    stage.script.next(PUT, refused(cause))
    history = await stage.put()
    assert isinstance(history, History)
    assert history.has_failed
    assert (State.FAILED, Allowance.NOTHING) == (stage.delivery.state, stage.circuit.allowance)
    assert 0 == stage.kit.value("retries_total", cause=cause)
    assert Stored.CREATED == await stage.put(history=history)
    assert 1 == stage.kit.value("retries_total", cause=cause)
    assert Allowance.EVERYTHING == stage.circuit.allowance


@pytest.mark.parametrize("allowed", [1, 64])
async def test_what_is_throttled_stays_in_the_line_and_has_not_failed(allowed: int) -> None:
    """Its next turn comes when the limiter says so, further and further apart where one at a time is too many."""
    stage = StoringStage(start=allowed)
    stage.script.next(PUT, *[refused(Cause.THROTTLED)] * 6)
    assert Stored.CREATED == await stage.put()
    assert [0, 0.1, 0.3, 0.7, 1.5, 2.5, 3.5] == stage.times(PUT)
    assert 6 == stage.kit.value("retries_total", cause=Cause.THROTTLED)
    stage.script.next(PUT, *[refused(Cause.THROTTLED)] * 2)
    assert Stored.CREATED == await stage.put("next")
    assert [3.5, 3.6, 3.8] == stage.times(PUT)[-3:]  # what was stored in between has begun it anew
    assert Allowance.EVERYTHING is stage.circuit.allowance


async def test_what_is_throttled_while_others_are_stored_waits_by_itself() -> None:
    """It comes back after the second time, so that the others are not slowed down for it; two seconds at most."""
    stage = StoringStage()
    stage.script.always(PUT, lambda subjects: refused(Cause.THROTTLED) if subjects == ("busy",) else Fate())
    history: History | None = None
    pauses: list[float] = []
    for number in range(7):
        answer, _ = await asyncio.gather(stage.put("busy", history), stage.put(f"other {number}"))
        assert isinstance(answer, History)
        assert not answer.has_failed
        history = answer
        pauses.append(history.pause())
    assert [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2] == pauses


async def test_nothing_is_tried_once_the_circuit_is_open_but_by_the_prober() -> None:
    """Nor by who already waits for a slot: it gives the slot back untried."""
    stage = StoringStage(start=1)
    stage.script.next(PUT, refused(after=1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.put("first"))
        waiting = tasks.create_task(stage.put("waiting"))
        await asyncio.sleep(0.5)
        stage.open()
    assert None is waiting.result()
    assert None is await stage.put("late")
    assert Stored.CREATED == await stage.put("probe", is_probe=True)
    assert [("first",), ("probe",)] == [call.subjects for call in stage.calls(PUT)]
    assert not stage.circuit.is_open


@pytest.mark.parametrize("is_refused", [False, True])
async def test_the_probe_object_says_that_the_store_is_up_and_no_more(*, is_refused: bool) -> None:
    """Even if S3 has something against this very object: one message may be received."""
    stage = StoringStage()
    if is_refused:
        stage.bucket.refuses.add(PROBE.key)
    stage.open()
    await stage.storing.probe()
    assert not stage.circuit.is_open
    assert Allowance.ONE_MESSAGE is stage.circuit.allowance


@pytest.mark.parametrize(("cause", "is_open"), [(Cause.SERVER, True), (Cause.THROTTLED, False)])
async def test_a_probe_object_that_fails_confirms_a_doubt(cause: Cause, *, is_open: bool) -> None:
    """A throttled one says nothing."""
    stage = StoringStage()
    stage.circuit.fail("other", store_fault())
    stage.script.next(PUT, refused(cause))
    await stage.storing.probe()
    assert is_open == stage.circuit.is_open
    assert Allowance.NOTHING is stage.circuit.allowance


async def test_what_s3_refuses_by_name_is_raised() -> None:
    """S3 says itself that it is the object."""
    stage = StoringStage()
    stage.bucket.refuses.add("too long")
    with pytest.raises(ObjectRefusedError, match="PutObject too long: simulated"):
        await stage.put("too long")
    assert 0 == stage.kit.context.metrics.retries.total


@pytest.mark.parametrize(("mib", "expected"), [(0, 15), (16, 31)])
async def test_a_put_may_take_a_second_longer_for_each_mib(mib: int, expected: int) -> None:
    """A large document on a slow line would else be broken off again and again; its time is no sign of being stuck."""
    stage = StoringStage()
    stage.script.next(PUT, hung())
    later(expected - 0.5, lambda: alive.append(stage.kit.context.health.alive().ok))
    alive: list[bool] = []
    stage.kit.context.health._patience = 16
    async with asyncio.timeout(expected + 0.001):
        assert isinstance(await stage.put(mib=mib), History)
    assert [True] == alive


async def test_the_time_that_a_duplicate_takes_is_no_sign_of_crowding() -> None:
    """The object is looked at, which takes requests of its own: no round of the limiter is made of them."""
    stage = StoringStage()
    stage.bucket.objects["there"] = b"{}"
    with mock.patch.object(stage.storing._limiter, "succeed") as succeed:
        assert Stored.ALREADY_THERE is await stage.put("there")
        assert not succeed.called
        assert Stored.CREATED is await stage.put("new")
        assert succeed.called


async def test_a_denial_is_forgotten_with_the_last_email_that_met_it_whoever_lets_go_of_it() -> None:
    """Nobody is left who would try again: `/readyz` is not red for an email that is another's by now."""
    stage = StoringStage()
    stage.script.next(PUT, *[refused(Cause.DENIED)] * 4)
    other = stage.kit.in_flight("other")
    for delivery in (stage.delivery, other):
        history: History | None = None
        for _ in range(2):
            answer = await stage.storing.store(delivery, "key", lambda: b"", expected_bytes=0, history=history)
            assert isinstance(answer, History)
            history = answer
    ledger, health = stage.kit.context.ledger, stage.kit.context.health
    ledger.close(stage.delivery)
    assert {"status": "failing", "cause": "denied", "fix": "Wait."} == health.ready().parts["storing"]
    ledger.close(other)
    assert {"status": "starting"} == health.ready().parts["storing"]
