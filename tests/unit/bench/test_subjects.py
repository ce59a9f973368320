"""Who is measured by the benchmark, from when on, and with which versions."""

import os
import re
import threading
import time
from pathlib import Path

import pytest

from bench import plan
from bench.machine import PINNED
from bench.measure import Result
from bench.processes import Scheduled
from bench.subjects import BUILT, Subject, subjects

FIGURES = ("cpu_us_per_message", "steady_cpu_us_per_message", "messages_per_second", "warm_up_seconds")


@pytest.mark.parametrize("cell", [*plan.standard(), *plan.bars(), *plan.full()], ids=lambda cell: cell.name)
def test_everyone_whom_the_plan_names_is_a_subject(cell: plan.Cell) -> None:
    """One with a wrong name would be left out in silence."""
    assert set() == cell.subjects - {subject.name for subject in subjects()}


@pytest.mark.parametrize(
    "path", [path for path in PINNED if BUILT not in path.parents], ids=lambda path: path.parent.name
)
def test_the_version_of_every_peer_that_is_built_is_told(path: Path) -> None:
    """Whatever else its file of versions comes to hold."""
    assert re.findall(PINNED[path], path.read_text(), re.MULTILINE)


def test_a_thread_that_has_ended_has_used_its_process_s_time() -> None:
    """A virtual machine ends the threads of its compiler when there is nothing to compile."""

    def work() -> None:
        while time.thread_time() < 0.1:
            sum(range(1000))

    before = Scheduled.of(os.getpid())
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert (Scheduled.of(os.getpid()) - before).cpu > 0.09  # the two clocks do not tick at one moment


def test_what_a_subject_does_while_it_warms_up_is_in_its_life_only() -> None:
    """Rate and CPU of its work are those after it."""
    counts = {"requests": {}, "under_way": {}, "sent_to_stored": {}, "redelivered": 0, "throttled": 0, "server_cpu": 0}
    result = Result(
        subject=Subject("peer", (), warm_up=5),
        cell=plan.Cell("backlog", plan.LOOPBACK, 10),
        messages=1000,
        cpu=2.0,
        steady=Scheduled(0.1, 0.0),
        steady_messages=100,
        steady_seconds=10.0,
        rss=1024,
        first_receive=0.5,
        exit_code=0,
        report=counts,
    )
    row = result.as_dict()
    assert [2000.0, 1000.0, 10.0, 5] == [row[name] for name in FIGURES]
