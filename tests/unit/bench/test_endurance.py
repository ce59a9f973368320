"""What the endurance run sees of a process, from inside and from outside, and what its server does to it."""

import asyncio
import os
import socket
from collections import Counter
from pathlib import Path

import orjson
import pytest

from bench.aws import CountingBucket, CountingQueue, Totals
from bench.endurance import inside, outside
from bench.endurance.__main__ import faults
from bench.endurance.run import EnduranceRun, _read
from bench.faults import CYCLE_SECONDS, FaultSchedule
from bench.mail import MixedPost, message_id
from bench.world import REST_SECONDS, BenchWorld, Scenario
from tests.support.aws_answers import CallFault
from tests.unit.pipeline.kit import Kit

NOW = 1_000.0


async def test_every_table_of_the_service_is_counted_without_being_named() -> None:
    """What hides in an attribute of an object of ours, and who waits for its events."""
    before = inside.look()
    kit = Kit.new()
    ledger = kit.context.ledger
    ledger._deliveries |= {str(number): None for number in range(7000)}  # type: ignore[misc]
    after = inside.look()
    grown = Counter(after["tables"]) - Counter(before["tables"])
    assert 7000 == grown["Ledger._deliveries"]


async def test_pending_tasks_are_counted() -> None:
    """Those that are done are only garbage."""
    before = inside.look()["tasks"]
    async with asyncio.TaskGroup() as tasks:
        done, pending = tasks.create_task(asyncio.sleep(0)), tasks.create_task(asyncio.sleep(60))
        await done
        assert before + 1 == inside.look()["tasks"]
        pending.cancel()


def test_the_kernel_tells_descriptors_and_sockets() -> None:
    """Of any process."""
    before = outside.look(os.getpid())
    with socket.socket(), socket.socket():
        after = outside.look(os.getpid())
    assert (2, 2) == (after["descriptors"] - before["descriptors"], after["sockets"] - before["sockets"])
    assert after["rss_kib"] > 1000


def test_a_broken_message_belongs_into_quarantine_and_nowhere_else() -> None:
    """And a good one under the emails."""
    post, tally = MixedPost(), Totals()
    queue = CountingQueue(post, tally, until=61)
    bucket = CountingBucket(post, queue, tally)
    for _ in range(7):
        queue.receive(10, 30, NOW, with_attributes=True)
    broken = post.mail(60)
    document = orjson.dumps({"body": broken.body.decode()})
    assert broken.is_broken
    bucket.put(f"/b/emails/{message_id(60)}.json".encode(), document, NOW, if_none_match=True)
    assert (1, 0) == (tally.damaged, tally.quarantined)
    bucket.put(f"/b/quarantine/{message_id(60)}.json".encode(), document, NOW, if_none_match=True)
    assert (1, 1, 1) == (tally.damaged, tally.quarantined, tally.twice)


def test_messages_are_of_every_size_and_one_in_a_hundred_is_broken() -> None:
    """In a thousand: one of 1 MiB, 20 of 64 KiB, 10 broken ones."""
    mails = [MixedPost().mail(number) for number in range(1000)]
    sizes = Counter(len(mail.body) for mail in mails if not mail.is_broken)
    assert (1, 20, 10) == (sizes[1024 * 1024], sizes[64 * 1024], sum(mail.is_broken for mail in mails))
    assert 10 == MixedPost.broken_below(1000)
    assert 1 == MixedPost.broken_below(61)
    assert 0 == MixedPost.broken_below(60)


def test_an_outage_is_total_and_comes_round_in_another_way() -> None:
    """So that what is seen late in a run can be compared with what was seen early."""
    faults = FaultSchedule()
    faults.start(NOW)

    def kinds(at: float) -> set[CallFault | None]:
        troubles = [faults.strikes("s3", NOW + at) for _ in range(200)]
        return {None if trouble is None else trouble.kind for trouble in troubles}

    outage = 11.0
    found = [kinds(outage + cycle * CYCLE_SECONDS) for cycle in range(4)]
    assert [{CallFault.REFUSE}, {CallFault.RESET}, {CallFault.HANG}, {CallFault.REFUSE}] == found


def test_in_a_pause_nothing_goes_wrong_and_the_hour_stands_still() -> None:
    """While a stage ends, so that a rest begins; the next goes on with the storm that comes then."""
    faults = FaultSchedule()
    faults.start(NOW)
    faults.pause(NOW + 8.0)
    faults.pause(NOW + 20.0)
    assert not any(faults.strikes("s3", NOW + 20.0) for _ in range(500))
    assert all(faults.spares_entry() for _ in range(500))
    assert not any(faults.delivers_twice() or faults.forgets_delete() for _ in range(500))
    faults.start(NOW + 100.0)
    assert [False, True] == [faults.strikes("s3", NOW + 100.0 + after) is not None for after in (0.5, 1.5)]


def test_a_stage_is_followed_by_a_rest_and_the_last_by_the_end() -> None:
    """The server says so, and sends the next stage only after the rest."""
    said: list[str] = []
    world = BenchWorld(Scenario(messages=20, stages=2), lambda name, _: said.append(name))
    now = NOW
    for until in (10, 20):
        assert until == world.queue.until
        for entry in world.queue.receive(10, 30, now, with_attributes=True):
            world.queue.delete(orjson.loads(entry)["ReceiptHandle"])
        while not world.queue.is_finished:  # a second delivery, or a forgotten delete
            now += 31
            for entry in world.queue.receive(10, 30, now, with_attributes=True):
                world.queue.delete(orjson.loads(entry)["ReceiptHandle"])
        assert world.faults is not None
        for _ in range(2):
            world._go_on(world.faults, now)
            now += REST_SECONDS + 1
    assert ["rest", "rest", "done"] == [name for name in said if name != "progress"]


def clean_run() -> EnduranceRun:
    """A run of 1,000 messages in which everything went as it should."""
    names = ("lost", "damaged", "overwritten", "twice", "left")
    truth = {**dict.fromkeys(names, 0), "counted": 1000, "quarantined": 10, "requests": {}}
    return EnduranceRun(messages=1000, broken=10, report=truth)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("lost", 1, "1 lost"),
        ("twice", 2, "2 twice"),
        ("left", 1, "1 left"),
        ("counted", 999, "999 of 1000 messages were stored and deleted"),
        ("quarantined", 9, "9 of 10 broken messages are in quarantine"),
    ],
)
def test_whatever_the_server_finds_wrong_fails_the_run(name: str, value: int, said: str) -> None:
    """However flat everything was."""
    run = clean_run()
    assert [] == faults(run)
    run.report[name] = value
    assert [said] == faults(run)


def test_a_crash_in_the_log_and_an_exit_code_fail_the_run(tmp_path: Path) -> None:
    """Outages are logged as well, and are what it is about."""
    run = clean_run()
    log = tmp_path / "log"
    log.write_text('{"event":"failing"}\n{"event":"unexpected_error"}\nTraceback\n')
    _read(log, run)
    run.exit_code = 1
    assert Counter({"failing": 1, "unexpected_error": 1, "not JSON": 1}) == run.events
    assert ["exit code 1", 'logged: {"event":"unexpected_error"}', "logged: Traceback"] == faults(run)


def test_a_message_that_is_blamed_for_an_outage_is_told_and_more_than_a_few_fail_the_run() -> None:
    """One in 50,000 is what is known of."""
    run = clean_run()
    run.messages = run.report["counted"] = 100_000
    run.events, run.bad_lines = Counter(refused=2), ['{"event":"refused"}'] * 2
    assert [] == faults(run)
    run.events["refused"] += 1
    assert ["3 messages were blamed for an outage"] == faults(run)


def test_what_was_seen_at_rest_is_the_last_look_of_each_rest() -> None:
    """Never one of the work before or after it."""
    run = clean_run()
    run.rests = [100.0, 200.0]
    looks = [{"at": at, "n": at} for at in (90.0, 99.0, 99.5, 100.5, 150.0, 199.0, 201.0)]
    assert [99.5, 199.0] == [look["n"] for look in run.at_rest(looks)]
