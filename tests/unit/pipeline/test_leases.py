"""Leases are renewed at half their life, and given back when nobody will work on them."""

import asyncio

from email_processor.domain.errors import Cause
from email_processor.pipeline.leases import LeaseKeeper
from email_processor.pipeline.ledger import LEASE_MAX_SECONDS
from email_processor.ports import Verdict
from tests.simulation.loop import simulate
from tests.unit.pipeline.fakes import FakeInbox
from tests.unit.pipeline.kit import VISIBILITY_TIMEOUT, Kit, queue_fault

HALF = VISIBILITY_TIMEOUT / 2


class Stage:
    """A lease keeper at work."""

    def __init__(self) -> None:
        self.kit = Kit.new()
        self.inbox = FakeInbox()
        self.leases = LeaseKeeper(self.kit.common, self.inbox, VISIBILITY_TIMEOUT)

    @property
    def changes(self) -> list[tuple[float, tuple[str, ...], int]]:
        """Each request: when, which handles, how many seconds."""
        return [(round(call.began, 3), *call.about) for call in self.inbox.changes.calls]  # type: ignore[misc]

    async def keep(self, seconds: float) -> None:
        """Keep leases for so long."""
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self.leases.keep())
            await asyncio.sleep(seconds)
            keeping.cancel()


def test_a_lease_is_renewed_at_half_its_life_again_and_again() -> None:
    """For as long as the message is in hand, whatever it waits for."""

    async def story() -> list[tuple[float, tuple[str, ...], int]]:
        stage = Stage()
        stage.kit.in_hand()
        await stage.keep(3.5 * HALF)
        return stage.changes

    assert [(HALF * n, ("r",), VISIBILITY_TIMEOUT) for n in (1, 2, 3)] == simulate(story())


def test_leases_are_renewed_ten_to_a_request() -> None:
    """Twenty-five messages: three requests."""

    async def story() -> list[int]:
        stage = Stage()
        for number in range(25):
            stage.kit.in_hand(f"m{number}", f"r{number}")
        await stage.keep(HALF + 1)
        return [len(handles) for _, handles, _ in stage.changes]

    assert [10, 10, 5] == simulate(story())


def test_a_message_that_arrives_later_is_renewed_in_time() -> None:
    """Received while the keeper sleeps: its lease is extended before it runs out."""

    async def story() -> float:
        stage = Stage()
        asyncio.get_running_loop().call_later(HALF - 1, stage.kit.in_hand)
        await stage.keep(2 * VISIBILITY_TIMEOUT)
        return stage.changes[0][0]

    assert HALF - 1 < simulate(story()) < VISIBILITY_TIMEOUT


def test_a_renewed_lease_is_counted_from_before_the_request() -> None:
    """A slow answer never makes a lease look longer than the queue takes it to be."""

    async def story() -> tuple[float, float]:
        stage = Stage()
        stage.inbox.changes.seconds = 5
        delivery = stage.kit.in_hand()
        await stage.keep(HALF + 6)
        return delivery.lease_until, stage.kit.value("lease_extensions_total")

    assert (HALF + VISIBILITY_TIMEOUT, 1) == simulate(story())


def test_a_failed_renewal_is_tried_again_long_before_the_lease_runs_out() -> None:
    """A fault of the queue, or of one entry."""

    async def story() -> tuple[list[float], float]:
        stage = Stage()
        stage.inbox.changes.answers.extend([queue_fault(), [Verdict.FAILED]])
        stage.kit.in_hand()
        await stage.keep(VISIBILITY_TIMEOUT)
        return [when for when, _, _ in stage.changes[:3]], stage.kit.value("leases_lost_total")

    tries, lost = simulate(story())
    assert HALF == tries[0]
    assert len(tries) == 3
    assert tries[2] < VISIBILITY_TIMEOUT - HALF / 2
    assert lost == 0


def test_a_lease_that_the_queue_no_longer_honours_is_lost_once() -> None:
    """One count; it is not renewed again."""

    async def story() -> tuple[int, float, bool]:
        stage = Stage()
        stage.inbox.changes.answers.append([Verdict.GONE])
        delivery = stage.kit.in_hand()
        await stage.keep(2 * VISIBILITY_TIMEOUT)
        return len(stage.changes), stage.kit.value("leases_lost_total"), delivery.lost

    assert (1, 1, True) == simulate(story())


def test_no_renewal_starts_while_a_delete_is_on_the_wire() -> None:
    """And it is made up for as soon as the delete has failed."""

    async def story() -> list[float]:
        stage = Stage()
        delivery = stage.kit.in_hand()
        loop = asyncio.get_running_loop()
        loop.call_later(HALF - 1, setattr, delivery, "closing", True)
        loop.call_later(HALF + 20, setattr, delivery, "closing", False)
        await stage.keep(VISIBILITY_TIMEOUT)
        return [when for when, _, _ in stage.changes]

    (renewed_at,) = simulate(story())
    assert HALF + 20 < renewed_at < HALF + 50


def test_while_a_renewal_is_on_the_wire_its_deliveries_say_so() -> None:
    """That is what deletes and releases wait for, and it ends with the answer, whatever it is."""

    async def story() -> list[bool]:
        stage = Stage()
        stage.inbox.changes.seconds = 4
        stage.inbox.changes.answers.append(queue_fault())
        delivery, seen = stage.kit.in_hand(), []
        loop = asyncio.get_running_loop()
        for when in (HALF - 1, HALF + 2, HALF + 4.01):
            loop.call_later(when, lambda: seen.append(delivery.renewal is not None))
        await stage.keep(HALF + 4.05)
        return seen

    assert [False, True, False] == simulate(story())


def test_no_lease_is_asked_to_outlive_twelve_hours() -> None:
    """SQS hides no message for longer: the last renewal reaches just that far, and there is none after it."""

    async def story() -> tuple[bool, float]:
        stage = Stage()
        stage.kit.in_hand()
        await stage.keep(LEASE_MAX_SECONDS + 10 * VISIBILITY_TIMEOUT)
        reaches = [when + seconds for when, _, seconds in stage.changes]
        return max(reaches) <= LEASE_MAX_SECONDS, max(when for when, _, _ in stage.changes)

    is_within, last = simulate(story())
    assert is_within
    assert LEASE_MAX_SECONDS - VISIBILITY_TIMEOUT <= last < LEASE_MAX_SECONDS


def test_without_permission_it_says_so_once_goes_on_and_heals() -> None:
    """One warning; one request at a time finds out whether it is allowed again."""

    async def story() -> tuple[bool, int, bool]:
        stage = Stage()
        for number in range(30):
            stage.kit.in_hand(f"m{number}", f"r{number}")
        denied = queue_fault(Cause.DENIED)
        stage.inbox.changes.otherwise = lambda *_: denied
        await stage.keep(HALF + 60)
        may_renew, requests = stage.kit.common.ledger.may_renew, len(stage.changes)
        stage.inbox.changes.otherwise = lambda handles, _: [Verdict.DONE] * len(handles)
        await stage.keep(60)
        return may_renew, requests, stage.kit.common.ledger.may_renew

    may_renew, requests, heals = simulate(story())
    assert (False, True) == (may_renew, heals)
    assert 3 <= requests <= 10


def test_what_is_given_back_is_visible_at_once_and_no_longer_in_hand() -> None:
    """Visibility 0, ten to a request, in the order of receiving."""

    async def story() -> tuple[list[tuple[tuple[str, ...], int]], int, float]:
        stage = Stage()
        for number in range(12):
            stage.kit.in_hand(f"m{number}", f"r{number}")
        await stage.leases.give_back(list(stage.kit.common.ledger))
        changes = [(handles, seconds) for _, handles, seconds in stage.changes]
        return changes, len(stage.kit.common.ledger), stage.kit.value("messages_released_total", reason="shutdown")

    handles = tuple(f"r{number}" for number in range(12))
    assert ([(handles[:10], 0), (handles[10:], 0)], 0, 12) == simulate(story())


def test_giving_back_waits_for_a_renewal_on_the_wire() -> None:
    """Landing after it, the renewal would hide the message again."""

    async def story() -> float:
        stage = Stage()
        delivery = stage.kit.in_hand()
        delivery.renewal = asyncio.Event()
        asyncio.get_running_loop().call_later(3, delivery.renewal.set)
        await stage.leases.give_back([delivery])
        return stage.changes[0][0]

    assert simulate(story()) == 3


def test_what_fails_is_given_back_again_and_what_is_lost_is_let_go() -> None:
    """Three messages: one whose lease is lost, one that the queue no longer knows, one whose entry fails once."""

    async def story() -> tuple[list[tuple[str, ...]], int, float]:
        stage = Stage()
        lost, gone, failed = (stage.kit.in_hand(name, name) for name in ("lost", "gone", "failed"))
        stage.kit.common.ledger.lose(lost, "lost")
        stage.inbox.changes.answers.append([Verdict.GONE, Verdict.FAILED])
        await stage.leases.give_back([lost, gone, failed])
        handles = [handles for _, handles, _ in stage.changes]
        return handles, len(stage.kit.common.ledger), stage.kit.value("messages_released_total", reason="shutdown")

    assert ([("gone", "failed"), ("failed",)], 0, 1) == simulate(story())


def test_a_fault_of_the_queue_is_no_reason_to_keep_the_rest() -> None:
    """Two requests fail, and are made again, further and further apart."""

    async def story() -> tuple[list[str], int, bool]:
        stage = Stage()
        for number in range(12):
            stage.kit.in_hand(f"m{number}", f"r{number}")
        stage.inbox.changes.answers.extend([queue_fault(Cause.SERVER), queue_fault(Cause.NETWORK)])
        await stage.leases.give_back(list(stage.kit.common.ledger))
        first = [handles[0] for _, handles, _ in stage.changes]
        times = [at for at, _, _ in stage.changes]
        return first, len(stage.kit.common.ledger), times[0] < times[1] < times[2] == times[3]

    assert (["r0", "r0", "r0", "r10"], 0, True) == simulate(story())


def test_without_permission_nothing_is_given_back_and_the_stop_goes_on() -> None:
    """It would be denied again; the leases run out by themselves."""

    async def story() -> tuple[int, int]:
        stage = Stage()
        for number in range(30):
            stage.kit.in_hand(f"m{number}", f"r{number}")
        stage.inbox.changes.answers.append(queue_fault(Cause.DENIED))
        await stage.leases.give_back(list(stage.kit.common.ledger))
        return len(stage.changes), len(stage.kit.common.ledger)

    assert (1, 30) == simulate(story())
