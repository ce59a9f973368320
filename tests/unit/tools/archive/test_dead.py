"""When a dead-letter queue is archived: by the ordinary pipeline, until nothing is left to come."""

import asyncio
from dataclasses import dataclass, field

import pytest

from email_processor.domain.errors import Cause, QueueFaultError
from email_processor.ports import QueueState
from email_processor.tools.archive.dead import QUIET_SECONDS, stop_when_empty
from tests.unit.pipeline.kit import later, new_metrics, now


@dataclass
class Gauge:
    """A queue that says what it is told to say."""

    visible: list[int] = field(default_factory=list)
    fault: Cause | None = None

    async def state(self) -> QueueState:
        if self.fault is not None:
            raise QueueFaultError(self.fault, "GetQueueAttributes: simulated")
        return QueueState(self.visible.pop(0) if self.visible else 0, 0, 0, None)


@pytest.mark.parametrize(
    ("gauge", "messages_until", "ends_at"),
    [
        (Gauge(), 0, QUIET_SECONDS + 1),
        (Gauge(), 20, 20 + QUIET_SECONDS + 1),
        (Gauge([3, 3]), 0, QUIET_SECONDS + 3),  # it says that there are some: they may come yet
        (Gauge(fault=Cause.DENIED), 0, QUIET_SECONDS + 1),
    ],
)
async def test_it_stops_when_nothing_has_come_for_a_while(gauge: Gauge, messages_until: int, ends_at: float) -> None:
    """And the queue says that none is visible, if it may be asked."""
    metrics, stop = new_metrics(), asyncio.Event()
    for second in range(messages_until):
        later(second + 0.5, metrics.received.inc)
    await stop_when_empty(gauge, metrics, stop)
    assert ends_at == pytest.approx(now(), abs=1)


async def test_a_signal_ends_it_at_once() -> None:
    """And a queue in trouble is not taken for an empty one."""
    stop = asyncio.Event()
    later(60, stop.set)
    await stop_when_empty(Gauge(fault=Cause.NETWORK), new_metrics(), stop)
    assert 60 == now()
