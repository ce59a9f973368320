"""A whole pipeline in virtual time, as the tests of several of its stages take it."""

import asyncio
from collections.abc import Callable

from email_processor.pipeline.calls import Timeouts
from email_processor.pipeline.ceilings import Ceilings
from email_processor.pipeline.deleter import DeleteRules
from email_processor.pipeline.health import Health
from email_processor.pipeline.leases import LeaseRules
from email_processor.pipeline.receiver import ReceiveRules
from email_processor.pipeline.room import Budget
from email_processor.pipeline.run import Plan, Ports, run
from email_processor.pipeline.storing import StoreRules
from email_processor.pipeline.uploader import UploadRules
from tests.simulation.connection import PUT, Fate, What, message_id_of
from tests.unit.pipeline.kit import PROBE, highest, later, new_metrics, now, virtual_clock
from tests.unit.pipeline.virtual_aws import VirtualAws

PLAN = Plan(
    receive=ReceiveRules(most=4, batch=10, wait=20, poll_interval=0),
    upload=UploadRules("emails", "quarantine", quarantine=True, version="1.2.3", key_time="first_receive"),
    store=StoreRules(most=8, probe=PROBE),
    leases=LeaseRules(visibility_timeout=300),
    delete=DeleteRules(most_in_flight=4),
    budget=Budget(max_messages=1000, max_bytes=64 * 1024 * 1024),
    timeouts=Timeouts(queue=8, store=15),
    grace=25,
)


class Pipeline(VirtualAws):
    """A pipeline in virtual time, and what became of it."""

    def __init__(self, plan: Plan = PLAN, *, max_receive_count: int | None = None) -> None:
        super().__init__(max_receive_count=max_receive_count)
        self.plan = plan
        self.metrics = new_metrics()
        self.stop = asyncio.Event()
        self.health = Health(virtual_clock(), patience=60)
        self.left = -1
        self.uniform: Callable[[float, float], float] = highest
        self.ceilings: Callable[[], Ceilings] | None = None

    def start_well(self) -> None:
        """Let the probe object and the first email be stored at once, whatever comes then: so all are received."""
        self.script.next(PUT, Fate(), Fate())

    async def run(self, seconds: float) -> float:
        """Run, stop after `seconds`, and say how long the stop took."""
        ports = Ports(self.inbox, self.inbox, self.store, self.store, virtual_clock(), self.uniform, self.ceilings)
        later(seconds, self.stop.set)
        self.left = await run(self.plan, ports, self.metrics, self.health, self.stop)
        return now() - seconds

    async def again(self, until: float) -> None:
        """Run as a new process, with the same queue and bucket, until so many seconds after the beginning."""
        self.metrics, self.stop = new_metrics(), asyncio.Event()
        self.health = Health(virtual_clock(), patience=60)
        await self.run(until - now())

    def value(self, name: str, **labels: str) -> float | None:
        """A metric's value."""
        return self.metrics.registry.get_sample_value(f"email_processor_{name}", labels)

    @property
    def failed(self) -> set[str]:
        """The messages whose last PUT failed."""
        last = {
            fact.subject: fact.detail
            for fact in self.facts.log
            if fact.what is What.HEARD and fact.operation == PUT.name and fact.subject != PROBE.key
        }
        return {message_id_of(key) for key, heard in last.items() if heard not in {"ok", "cancelled"}}

    @property
    def given_back(self) -> set[str]:
        """Handles whose messages were made visible."""
        return set(self.happened(What.GIVEN_BACK))
