"""What the tests of single stages share: virtual time, chance that is none, and metrics that can be read."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from email_processor.domain.errors import Cause, QueueFaultError, StoreFaultError
from email_processor.domain.message import Message
from email_processor.metrics import Metrics
from email_processor.pipeline.calls import Calls, Timeouts
from email_processor.pipeline.circuit import Circuit
from email_processor.pipeline.context import StageContext
from email_processor.pipeline.health import Health
from email_processor.pipeline.ledger import Delivery, Ledger
from email_processor.pipeline.room import Budget, Room
from email_processor.pipeline.waiting import Backoff
from email_processor.ports import Clock, ProbeObject

VISIBILITY_TIMEOUT = 300
EMAIL = b'{"email_subject":"s","email_sender":"ann@example.com","email_timestream":1,"email_content":"c"}'


def highest(_low: float, high: float) -> float:
    """Chance that always draws the highest number."""
    return high


def new_backoff() -> Backoff:
    """A backoff without jitter: 0.1 s, 0.2 s, 0.4 s, ..."""
    return Backoff(highest)


def now() -> float:
    """Virtual seconds since the test began, to the millisecond."""
    return round(asyncio.get_running_loop().time(), 3)


def later(seconds: float, callback: Callable[..., object], *args: object) -> None:
    """Let something happen while the test waits."""
    asyncio.get_running_loop().call_later(seconds, callback, *args)


def virtual_clock() -> Clock:
    """The running loop's time, and a wall clock that began at 1,000,000,000."""
    time = asyncio.get_running_loop().time
    return Clock(monotonic=time, wall=lambda: 1_000_000_000 + time())


def new_metrics() -> Metrics:
    """Metrics over a registry of their own."""
    return Metrics(CollectorRegistry(), "0")


@dataclass
class Kit:
    """The shared parts of a pipeline, in virtual time."""

    context: StageContext

    @classmethod
    def new(
        cls, *, max_messages: int = 1000, max_bytes: int = 64 * 1024 * 1024, batch: int = 10, trusted: bool = True
    ) -> "Kit":
        """Fresh parts; must be called on a running loop. `trusted` is the circuit after a good start."""
        clock, metrics = virtual_clock(), new_metrics()
        health = Health(clock, patience=60)
        room = Room(Budget(max_messages=max_messages, max_bytes=max_bytes), batch)
        ledger = Ledger(clock, metrics, room, visibility_timeout=VISIBILITY_TIMEOUT)
        calls = Calls(metrics, health, Timeouts(queue=8, store=15))
        circuit = Circuit(clock, metrics, health, new_backoff())
        if trusted:
            circuit.succeed()
            circuit.deleted()
        return cls(StageContext(clock, metrics, health, calls, ledger, circuit, new_backoff))

    def value(self, name: str, **labels: str) -> float:
        """A metric's value."""
        value = self.context.metrics.registry.get_sample_value(f"email_processor_{name}", labels)
        assert value is not None, f"no metric {name} {labels}"
        return value

    def admit(
        self, message_id: str = "m", handle: str = "r", body: bytes = EMAIL, **attributes: str
    ) -> Delivery | None:
        """Take a message into the ledger."""
        return self.context.ledger.admit(Message(message_id, handle, body, attributes=attributes))

    def in_flight(self, message_id: str = "m", handle: str = "r", body: bytes = EMAIL, **attributes: str) -> Delivery:
        """A message that was taken into the ledger."""
        delivery = self.admit(message_id, handle, body, **attributes)
        assert delivery is not None
        return delivery


PROBE = ProbeObject("quarantine/check/probe.json", b"{}")


def store_fault(cause: Cause = Cause.SERVER) -> StoreFaultError:
    """S3 failed."""
    return StoreFaultError(cause, "PutObject: simulated.", fix="Wait.")


def queue_fault(cause: Cause = Cause.SERVER) -> QueueFaultError:
    """SQS failed."""
    return QueueFaultError(cause, "SQS: simulated.", fix="Wait.")
