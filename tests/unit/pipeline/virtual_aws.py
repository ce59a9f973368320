"""The queue and the bucket of the simulation, as the tests of the pipeline take them."""

import asyncio
from typing import NamedTuple, cast

from email_processor.metrics import Operation
from email_processor.pipeline.ledger import Delivery, Ledger
from tests.simulation.connection import Facts, Script, What
from tests.simulation.loop import TICKS, Loop
from tests.simulation.world import SimBucket, SimQueue
from tests.unit.pipeline.kit import EMAIL, PROBE, VISIBILITY_TIMEOUT


class Call(NamedTuple):
    """A call: when it began, and the receipt handles or the key that it was about."""

    at: float
    subjects: tuple[str, ...]


class VirtualAws:
    """An empty queue and an empty bucket. `script` decides what becomes of calls to both: by default all go well."""

    def __init__(self, *, max_receive_count: int | None = None) -> None:
        driver = cast("Loop", asyncio.get_running_loop()).driver
        self.facts = Facts(driver)
        self.queue = SimQueue(
            driver, visibility_timeout=VISIBILITY_TIMEOUT, max_receive_count=max_receive_count, facts=self.facts
        )
        self.bucket = SimBucket(driver, self.facts)
        self.script = Script()
        self.inbox = self.queue.client(fates=self.script)
        self.store = self.bucket.client(fates=self.script)

    def send(self, count: int = 1, body: bytes = EMAIL) -> None:
        """Put so many messages on the queue: their ids are m1, m2, ..., their receipt handles m1#1, m1#2, ..."""
        for _ in range(count):
            self.queue.send(body)

    def admit(self, ledger: Ledger, count: int = 1) -> list[Delivery]:
        """Let the ledger admit so many of the messages that are visible, as if they had been received just now."""
        admitted = (ledger.admit(message) for message in self.queue._take("main", count, ()))
        return [delivery for delivery in admitted if delivery is not None]

    def hidden_until(self, message_id: str) -> float:
        """When a message becomes visible by itself."""
        return self.queue.messages[message_id].visible_at / TICKS

    @property
    def stored(self) -> dict[str, bytes]:
        """The objects in the bucket, by key, without the probe object."""
        return {key: document for key, document in self.bucket.objects.items() if key != PROBE.key}

    def calls(self, operation: Operation) -> list[Call]:
        """The calls of one kind, in order, without those for the probe object."""
        return [
            Call(fact.tick / TICKS, fact.subjects)
            for fact in self.facts.log
            if fact.what is What.CALLED and fact.operation == operation.name and fact.subject != PROBE.key
        ]

    def times(self, operation: Operation) -> list[float]:
        """When the calls of one kind began, to the millisecond."""
        return [round(call.at, 3) for call in self.calls(operation)]

    def most_at_once(self, operation: Operation, since: float = 0.0) -> int:
        """How many calls of one kind were under way at the same time, `since` so many seconds after the start."""
        running = most = 0
        for fact in self.facts.log:
            if fact.operation == operation.name:
                running += {What.CALLED: 1, What.HEARD: -1}.get(fact.what, 0)
                most = max(most, running if fact.tick >= since * TICKS else 0)
        return most

    def happened(self, what: What) -> list[str]:
        """What such facts were about, in order: ids, receipt handles or keys."""
        return [fact.subject for fact in self.facts.log if fact.what is what]
