"""When a dead-letter queue is archived: by the ordinary pipeline, until nothing is left to come."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from email_processor.domain.errors import Cause, QueueFaultError, StoreFaultError
from email_processor.exit_codes import EXIT_SETTINGS
from email_processor.metrics import Metrics
from email_processor.pipeline.health import PASSING_FAULTS_BEFORE_RED, Health, Part
from email_processor.ports import QueueState
from email_processor.settings import queue_region, read_by
from email_processor.tools.archive import dead
from email_processor.tools.archive.dead import (
    QUIET_SECONDS,
    SETTLED_SECONDS,
    DrainEnd,
    HeardQueue,
    report,
    stop_when_done,
)
from email_processor.tools.archive.reader import bucket_settings
from tests.unit.pipeline.kit import later, new_metrics, now, queue_fault, store_fault, virtual_clock
from tests.unit.tools.check.known import settings as settings_of

EMPTY = QueueState(0, 0, 0, None)
HIDDEN = QueueState(0, 2, 0, None)


@dataclass
class Gauge:
    """A queue that says what it is told to say."""

    states: list[QueueState] = field(default_factory=list)
    always: QueueState = EMPTY
    fault: Cause | None = None  # once it has told its states
    is_fifo: bool = False

    async def state(self) -> QueueState:
        if self.fault is not None and not self.states:
            raise QueueFaultError(self.fault, "GetQueueAttributes: simulated")
        return self.states.pop(0) if self.states else self.always


def failing(part: Part, fault: QueueFaultError | StoreFaultError, metrics: Metrics, health: Health) -> None:
    """A part that fails, as often as makes it red."""
    metrics.received.inc()
    for _ in range(PASSING_FAULTS_BEFORE_RED):
        health.failed(part, fault)


def refused(metrics: Metrics, _: Health) -> None:
    """A message that was left to the queue."""
    metrics.received.inc()
    metrics.released.labels("refused").inc()


DENIED_RECEIVE, DENIED_STORE, DOWN = queue_fault(Cause.DENIED), store_fault(Cause.DENIED), store_fault(Cause.NETWORK)
ENDS: dict[str, tuple[Gauge, Callable[[Metrics, Health], None] | None, float, DrainEnd]] = {
    "empty": (Gauge(), None, QUIET_SECONDS + 1, DrainEnd()),
    "some may come yet": (Gauge([QueueState(3, 0, 0, None)] * 2), None, QUIET_SECONDS + 3, DrainEnd()),
    "hidden ones are waited for": (Gauge([HIDDEN] * 9), None, QUIET_SECONDS + 10, DrainEnd()),
    "but not for ever": (Gauge(always=HIDDEN), None, SETTLED_SECONDS + 1, DrainEnd(2)),
    "nor if we left them": (Gauge(always=HIDDEN), refused, QUIET_SECONDS + 1, DrainEnd(2)),
    "nor are those behind them in a FIFO group": (
        Gauge(always=QueueState(5, 2, 0, None), is_fifo=True),
        refused,
        QUIET_SECONDS + 1,
        DrainEnd(7),
    ),
    "it may not be asked": (Gauge(fault=Cause.DENIED), None, QUIET_SECONDS + 1, DrainEnd()),
    "it may not be asked any more": (
        Gauge([HIDDEN], fault=Cause.DENIED),
        None,
        QUIET_SECONDS + 2,
        DrainEnd(fault=QueueFaultError(Cause.DENIED, "GetQueueAttributes: simulated")),
    ),
    "nothing may be received": (
        Gauge(fault=Cause.DENIED),
        partial(failing, Part.RECEIVING, DENIED_RECEIVE),
        QUIET_SECONDS + 1,
        DrainEnd(fault=DENIED_RECEIVE),
    ),
    "nothing may be stored": (
        Gauge(),
        partial(failing, Part.STORING, DENIED_STORE),
        QUIET_SECONDS + 1,
        DrainEnd(fault=DENIED_STORE),
    ),
    "S3 is down": (
        Gauge(always=QueueState(3, 0, 0, None)),
        partial(failing, Part.STORING, DOWN),
        SETTLED_SECONDS + 1,
        DrainEnd(fault=DOWN),
    ),
}


@pytest.mark.parametrize(("gauge", "happens", "ends_at", "end"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("messages_until", [0, 20])
async def test_it_stops_when_nothing_has_come_for_a_while(
    gauge: Gauge, happens: Callable[[Metrics, Health], None] | None, ends_at: float, end: DrainEnd, messages_until: int
) -> None:
    """And the queue says that none is left, or something fails that does not mend itself."""
    metrics, health, stop = new_metrics(), Health(virtual_clock(), patience=60), asyncio.Event()
    health.well(Part.RECEIVING)
    for second in range(messages_until):
        later(second + 0.5, metrics.received.inc)
    if happens is not None:
        later(max(0.0, messages_until - 0.5), happens, metrics, health)
    fresh = HeardQueue(replace(gauge, states=list(gauge.states)))
    ended = await stop_when_done(fresh, metrics, health, stop, is_fifo=gauge.is_fifo)
    assert (end.remaining, str(end.fault)) == (ended.remaining, str(ended.fault))
    assert stop.is_set()
    assert messages_until + ends_at == pytest.approx(now(), abs=1)


async def test_a_queue_that_told_the_pipeline_of_messages_is_not_held_to_be_empty_when_it_may_not_be_asked() -> None:
    """It told of one that another has, and one came: that may be another one."""
    metrics, health, stop = new_metrics(), Health(virtual_clock(), patience=60), asyncio.Event()
    health.well(Part.RECEIVING)
    queue = HeardQueue(Gauge([QueueState(0, 1, 0, None)], fault=Cause.DENIED))
    later(1.5, metrics.received.inc)
    _, end = await asyncio.gather(queue.state(), stop_when_done(queue, metrics, health, stop, is_fifo=False))
    assert isinstance(end.fault, QueueFaultError)


@pytest.mark.parametrize("is_proven", [False, True])
async def test_a_signal_ends_it_at_once(*, is_proven: bool) -> None:
    """A queue in trouble, or one that has not answered yet, is not taken for an empty one."""
    stop = asyncio.Event()
    later(60, stop.set)
    health = Health(virtual_clock(), patience=60)
    if is_proven:
        health.well(Part.RECEIVING)
    gauge = Gauge(fault=Cause.NETWORK if is_proven else Cause.DENIED)
    assert DrainEnd() == await stop_when_done(HeardQueue(gauge), new_metrics(), health, stop, is_fifo=False)
    assert 60 == now()


@pytest.mark.parametrize(
    ("totals", "left", "remaining", "code", "said"),
    [
        ({}, 0, 0, 0, "q: nothing was there.\n"),
        ({"received": 1_000, "archived": 1_000}, 0, 0, 0, "q: 1,000 received, 1,000 archived.\n"),
        ({"received": 2, "released": 1}, 0, 0, 1, "q: 2 received, 1 released.\n"),
        ({"received": 2}, 1, 3, 1, "q: 2 received, 1 left in flight, 3 still on the queue.\n"),
    ],
)
def test_whatever_is_left_is_a_failure(
    totals: dict[str, int], left: int, remaining: int, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is said."""
    assert code == report("q", {**totals, "released": totals.get("released", 0)}, left, DrainEnd(remaining))
    assert said == capsys.readouterr().err


def test_what_ended_it_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    """So that it is told with its fix, and nobody reads that the queue was empty."""
    with pytest.raises(StoreFaultError, match="PutObject: simulated"):
        report("q", {}, 0, DrainEnd(fault=DENIED_STORE))
    assert "q: nothing was received.\n" == capsys.readouterr().err


def test_the_region_of_a_given_queue_is_the_one_that_its_url_names() -> None:
    """Whatever is set for the first queue; a host that names none leaves what is set."""
    settings = settings_of(sqs_region="eu-west-1")
    for url, region in (("https://sqs.us-east-2.amazonaws.com/1/q", "us-east-2"), ("http://queue/1/q", "eu-west-1")):
        assert region == queue_region(dead.on_queue(settings, url))


@pytest.mark.parametrize("name", ["AWS_CLIENT", "QUARANTINE_ENABLED", "S3_KEY_TIME", "VISIBILITY_TIMEOUT_SECONDS"])
def test_whatever_the_pipeline_reads_has_to_be_right(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An example in its place would store mails under other keys, or quarantine what is not to be."""
    monkeypatch.setenv("S3_BUCKET_NAME", "my-email-archive")
    monkeypatch.setenv(name, "wrong")
    assert EXIT_SETTINGS == dead.archive("http://127.0.0.1:1/1/emails-dead")
    assert f"1 of the settings is wrong:\n  {name}: " in capsys.readouterr().err


def test_a_setting_that_a_command_reads_is_looked_at_before() -> None:
    """Else an example would stand in for a wrong one."""
    folder = Path(dead.__file__).parent
    named = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r"\bsettings\.(s3_\w+|payload_\w+)", path.read_text())
    }
    assert "s3_key_prefix" in named
    assert set() == {name.upper() for name in named} - read_by(bucket_settings, settings_of())


@dataclass
class OddClient:
    """A queue's client that answers what it is told to answer."""

    answer: object

    def __getattr__(self, _: str) -> Callable[..., Any]:
        async def call(**_: object) -> object:
            return self.answer

        return call


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (dead.dead_letter_queue, {}),
        (dead.dead_letter_queue, {"Attributes": {"RedrivePolicy": "no JSON"}}),
        (dead.dead_letter_queue, {"Attributes": {"RedrivePolicy": '{"deadLetterTargetArn": "arn:aws"}'}}),
        (dead.verdicts, {"Messages": [{}]}),
    ],
)
async def test_an_answer_that_is_none_is_a_fault_of_the_queue(
    ask: Callable[[Any, str], Any], answer: dict[str, Any]
) -> None:
    """It is told as every other is, never as a stack trace."""
    with pytest.raises(QueueFaultError):
        await ask(cast("Any", OddClient(answer)), "q")
