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
    """The queue's figures are read every `interval` seconds."""

    interval: float = 30.0


async def measure(context: StageContext, queue: QueueGauge, rules: DepthRules) -> None:
    """Read the queue's depth and redrive policy now and then, until cancelled."""
    messages = context.metrics.queue_messages
    while True:
        try:
            state = await context.calls.bounded(Operation.QUEUE_STATE, queue.state())
        except QueueFaultError as fault:
            context.health.failed(Part.MEASURING, fault)
        else:
            context.health.well(Part.MEASURING)
            messages.labels("visible").set(state.visible)
            messages.labels("in_flight").set(state.in_flight)
            messages.labels("delayed").set(state.delayed)
            context.ledger.expect_redrive(state.max_receive_count)
        await asyncio.sleep(rules.interval)  # noqa: TID251 - nothing else is waited for
