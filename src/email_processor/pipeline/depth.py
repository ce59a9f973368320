"""The queue's own figures, read now and then."""

import asyncio
from dataclasses import dataclass

from email_processor.domain.errors import QueueFaultError
from email_processor.metrics import Operation
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.health import Part
from email_processor.ports import QueueGauge


@dataclass(frozen=True, slots=True)
class DepthRules:
    """The queue's figures are read every `interval` seconds, and are out of date after `stale_after` seconds."""

    interval: float = 30.0
    stale_after: float = 90.0


async def measure(context: StageContext, queue: QueueGauge, rules: DepthRules) -> None:
    """Read the queue's depth and redrive policy now and then, until cancelled.

    A depth that is out of date is taken back: whoever looks at it must not take an old zero for an empty queue.
    """
    messages = context.metrics.queue_messages
    read_at = context.clock.monotonic()
    while True:
        try:
            state = await context.calls.bounded(Operation.QUEUE_STATE, queue.state())
        except QueueFaultError as fault:
            context.health.failed(Part.MEASURING, fault)
            if context.clock.monotonic() - read_at >= rules.stale_after:
                messages.clear()
        else:
            context.health.well(Part.MEASURING)
            read_at = context.clock.monotonic()
            messages.labels("visible").set(state.visible)
            messages.labels("in_flight").set(state.in_flight)
            messages.labels("delayed").set(state.delayed)
            context.ledger.expect_redrive(state.max_receive_count)
        await asyncio.sleep(rules.interval)  # noqa: TID251 - nothing else is waited for
