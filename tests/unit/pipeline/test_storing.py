"""Storing: what follows a failed PUT, and which object is given up."""

import asyncio
from unittest import mock

import pytest

from email_processor.domain.errors import Cause, ObjectRefusedError
from email_processor.pipeline.storing import NO_EVIDENCE, Evidence, Next, RetryPolicy, StoreRules, Storing
from email_processor.ports import Stored
from tests.simulation.connection import PUT, Fate, hung, refused
from tests.unit.pipeline.kit import Kit, later
from tests.unit.pipeline.virtual_aws import VirtualAws

TO_BLAME = Evidence(failures=5, others_stored=20, others_failed=2)


class StoringStage(VirtualAws):
    """A bucket that fails one of its objects every time."""

    def __init__(self) -> None:
        super().__init__()
        self.kit = Kit.new()
        self.script.always(PUT, lambda key: refused() if key == ("bad",) else Fate())
        self.storing = Storing(self.kit.context, self.store, StoreRules(most=64))

    async def others(self) -> None:
        """Store another object every hundredth of a second."""
        for number in range(200):
            await self.storing.store(f"good {number}", lambda: b"{}", 2)
            await asyncio.sleep(0.01)

    def retries(self) -> float:
        """How many calls were tried again because S3 had an error of its own."""
        return self.kit.value("retries_total", cause="server")


@pytest.mark.parametrize(
    ("cause", "evidence", "is_open", "expected"),
    [
        *((cause, NO_EVIDENCE, False, Next.BACK_OFF) for cause in Cause),
        *((cause, Evidence(1, 0, 0), False, Next.BACK_OFF) for cause in Cause),
        *((cause, NO_EVIDENCE, True, Next.PROBE) for cause in Cause if cause is not Cause.THROTTLED),
        (Cause.THROTTLED, NO_EVIDENCE, True, Next.BACK_OFF),
        (Cause.SERVER, Evidence(1, 1000, 0), False, Next.BACK_OFF),
        (Cause.SERVER, Evidence(1000, 0, 0), True, Next.PROBE),
        (Cause.SERVER, Evidence(4, 20, 2), False, Next.BACK_OFF),
        (Cause.SERVER, Evidence(5, 19, 1), False, Next.BACK_OFF),
        (Cause.SERVER, Evidence(5, 20, 3), False, Next.BACK_OFF),
        (Cause.SERVER, TO_BLAME, False, Next.GIVE_UP),
        (Cause.TIMEOUT, TO_BLAME, True, Next.GIVE_UP),
        (Cause.SERVER, Evidence(1000, 1000, 100), False, Next.GIVE_UP),
    ],
)
def test_a_failed_put_is_tried_again_unless_its_object_alone_is_to_blame(
    cause: Cause, evidence: Evidence, expected: Next, *, is_open: bool
) -> None:
    """The circuit spaces the tries while it is open; only a throttled one has a pause of its own even then."""
    assert expected == RetryPolicy().after(cause, evidence, is_open=is_open)


async def test_the_failure_after_which_an_object_is_given_up_is_no_retry() -> None:
    """It fails five times, and is tried again four times."""
    stage = StoringStage()
    async with asyncio.TaskGroup() as tasks:
        others = tasks.create_task(stage.others())
        with pytest.raises(ObjectRefusedError, match="5 tries failed while others succeeded: PutObject bad: simulated"):
            await stage.storing.store("bad", lambda: b"{}", 2)
        others.cancel()
    assert 5 == len([call for call in stage.calls(PUT) if call.subjects == ("bad",)])
    assert 4 == stage.retries()


async def test_every_failure_that_another_try_follows_is_a_retry() -> None:
    """Two failures, and the third try succeeds."""
    stage = StoringStage()
    stage.script.next(PUT, refused(), refused())
    assert Stored.CREATED == await stage.storing.store("good", lambda: b"{}", 2)
    assert 3 == len(stage.calls(PUT))
    assert 2 == stage.retries()


async def test_an_object_that_s3_refuses_is_not_tried_again() -> None:
    """S3 says itself that it is the object."""
    stage = StoringStage()
    stage.bucket.refuses.add("too long")
    with pytest.raises(ObjectRefusedError, match="PutObject too long: simulated"):
        await stage.storing.store("too long", lambda: b"{}", 2)
    assert 1 == len(stage.calls(PUT))
    assert 0 == stage.kit.context.metrics.retries.total


@pytest.mark.parametrize(("mib", "expected"), [(0, 15), (16, 31)])
async def test_a_put_may_take_a_second_longer_for_each_mib(mib: int, expected: int) -> None:
    """A large document on a slow line would else be broken off again and again; its time is no sign of being stuck."""
    stage = StoringStage()
    stage.script.next(PUT, hung())
    later(expected - 0.5, lambda: alive.append(stage.kit.context.health.alive().ok))
    alive: list[bool] = []
    stage.kit.context.health._patience = 16
    await stage.storing.store("large", lambda: b"x" * mib * 1024 * 1024, mib)
    assert [True] == alive
    assert [0, expected + 0.1] == stage.times(PUT)


async def test_the_time_that_a_duplicate_takes_is_no_sign_of_crowding() -> None:
    """The object is looked at, which takes requests of its own: no round of the limiter is made of them."""
    stage = StoringStage()
    stage.bucket.objects["there"] = b"{}"
    with mock.patch.object(stage.storing._limiter, "succeed") as succeed:
        assert Stored.ALREADY_THERE is await stage.storing.store("there", lambda: b"{}", 2)
        assert not succeed.called
        assert Stored.CREATED is await stage.storing.store("new", lambda: b"{}", 2)
        assert succeed.called
