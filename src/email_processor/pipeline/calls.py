"""Every call to the outside: bounded in time, counted by outcome, and seen by health while it is under way."""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from email_processor.counting import Count
from email_processor.domain.errors import (
    Cause,
    EmailProcessorError,
    QueueFaultError,
    ServiceFaultError,
    StoreFaultError,
)
from email_processor.metrics import Metrics, Operation
from email_processor.pipeline.deadlines import Deadlines
from email_processor.pipeline.health import Health, Part

Answer = TypeVar("Answer")

_PARTS: Mapping[Operation, Part] = {
    Operation.RECEIVE: Part.RECEIVING,
    Operation.DELETE: Part.DELETING,
    Operation.CHANGE_VISIBILITY: Part.RENEWING,
    Operation.QUEUE_STATE: Part.MEASURING,
    Operation.PUT: Part.STORING,
    Operation.FETCH: Part.FETCHING,
}


class _Kind(NamedTuple):
    """What is the same for all calls of an operation: looked up once for each of them."""

    service: str
    part: Part
    seconds: float
    answered: Count


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How many seconds one call may take: to SQS, on top of a long poll, and to S3."""

    queue: float
    store: float


class Calls:
    """No call waits for ever, whatever the other side does."""

    def __init__(self, metrics: Metrics, health: Health, timeouts: Timeouts) -> None:
        """`timeouts` bound every call."""
        self._requests = metrics.aws_requests
        self._deadlines = Deadlines()
        health.watch(self._deadlines)
        seconds = {"sqs": timeouts.queue, "s3": timeouts.store}
        self._kinds = {
            it: _Kind(it.service, part, seconds[it.service], metrics.aws_requests.labels(it.service, it, "ok"))
            for it, part in _PARTS.items()
        }

    def seconds(self, operation: Operation) -> float:
        """How many seconds one call of this operation may take."""
        return self._kinds[operation].seconds

    def suspended(self) -> AbstractContextManager[None]:
        """Wait, within the call of this task, for something of ours: that is no time that the call takes."""
        return self._deadlines.suspended()

    async def bounded(
        self, operation: Operation, request: Awaitable[Answer], longer: float = 0.0, *, is_whole: bool = True
    ) -> Answer:
        """The answer to `request`, which is one call; `longer` seconds are added to its timeout.

        Unless it `is_whole`, the rest of the answer follows in another call, and is what is counted if it goes well.

        Raises:
            QueueFaultError, StoreFaultError: it took too long; what the call itself raises passes through.
        """
        service, part, seconds, answered = self._kinds[operation]
        # What every call of its kind may take is in the health's patience; what one large object takes is not.
        patience = longer if service == "s3" else 0.0
        call = self._deadlines.begin(part, seconds + longer, patience)  # mutant: call-bounded
        try:
            answer = await request
        except asyncio.CancelledError as error:
            if not call.takes_back_cancellation():
                raise
            _let_go(error)
            self._requests.labels(service, operation, Cause.TIMEOUT).inc()
            fault = StoreFaultError if service == "s3" else QueueFaultError
            raise fault(
                Cause.TIMEOUT,
                f"{operation}: no answer within {seconds + longer:g} s.",
                fix="Check the network path to the service: route, security group, VPC endpoint, proxy.",
            ) from error
        except EmailProcessorError as error:
            # mutant of the next line: call-refused
            outcome = error.cause if isinstance(error, ServiceFaultError) else "refused"
            self._requests.labels(service, operation, outcome).inc()
            _let_go(error)
            raise
        finally:
            self._deadlines.end(call)
        if is_whole:
            answered.inc()
        return answer


def _let_go(error: BaseException) -> None:
    """Let go of the frames that an error and its causes have passed: a body is in them.

    A client that keeps an error, in its connection or in a future, is in those frames too. The two would hold on to
    each other until the garbage collector comes, and in an outage there are many. Whoever hears of a fault has no use
    for where it was raised: it says itself what has happened.
    """
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
