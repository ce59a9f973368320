"""The context of a stage: what all stages of one pipeline share."""

from collections.abc import Callable
from dataclasses import dataclass

from email_processor.metrics import Metrics
from email_processor.pipeline.calls import Calls
from email_processor.pipeline.circuit import Circuit
from email_processor.pipeline.health import Health
from email_processor.pipeline.ledger import Ledger
from email_processor.pipeline.waiting import Backoff
from email_processor.ports import Clock


@dataclass(frozen=True, slots=True)
class StageContext:
    """One of each for all stages; `new_backoff` makes a fresh backoff for whoever starts to try again."""

    clock: Clock
    metrics: Metrics
    health: Health
    calls: Calls
    ledger: Ledger
    circuit: Circuit
    new_backoff: Callable[[], Backoff]
