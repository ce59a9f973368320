"""Every call to the outside: bounded in time, counted by outcome, and seen by health while it is under way."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from email_processor.domain.errors import (
    Cause,
    EmailProcessorError,
    QueueFaultError,
    ServiceFaultError,
    StoreFaultError,
)
from email_processor.metrics import Metrics, Operation
from email_processor.pipeline.health import Health, Part

PARTS: Mapping[Operation, Part] = {
    Operation.RECEIVE: Part.RECEIVING,
    Operation.DELETE: Part.DELETING,
    Operation.CHANGE_VISIBILITY: Part.RENEWING,
    Operation.QUEUE_STATE: Part.MEASURING,
    Operation.PUT: Part.STORING,
    Operation.FETCH: Part.STORING,
}


class Calls:
    """No call waits for ever, whatever the other side does."""

    def __init__(self, metrics: Metrics, health: Health, *, queue_timeout: float, store_timeout: float) -> None:
        """A call to SQS may take `queue_timeout` seconds, one to S3 `store_timeout`."""
        self._requests = metrics.aws_requests
        self._health = health
        self._timeouts = {"sqs": queue_timeout, "s3": store_timeout}

    @asynccontextmanager
    async def bounded(self, operation: Operation, longer: float = 0.0) -> AsyncIterator[None]:
        """Run one call; `longer` seconds are added to its timeout.

        Raises:
            QueueFaultError, StoreFaultError: it took too long; what the call itself raises passes through.
        """
        service, name = operation.value
        seconds = self._timeouts[service] + longer
        try:
            with self._health.working(PARTS[operation]):
                async with asyncio.timeout(seconds):
                    yield
        except TimeoutError as error:
            self._requests.labels(service, name, Cause.TIMEOUT).inc()
            fault = StoreFaultError if service == "s3" else QueueFaultError
            raise fault(
                Cause.TIMEOUT,
                f"{name}: no answer within {seconds:g} s.",
                fix="Check the network path to the service: route, security group, VPC endpoint, proxy.",
            ) from error
        except ServiceFaultError as fault:
            self._requests.labels(service, name, fault.cause).inc()
            raise
        except EmailProcessorError:
            self._requests.labels(service, name, "refused").inc()
            raise
        self._requests.labels(service, name, "ok").inc()
