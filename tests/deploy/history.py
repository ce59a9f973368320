"""What a Prometheus would have scraped of a pod: the real pipeline, played in virtual time."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from email_processor.pipeline.calls import Timeouts
from email_processor.pipeline.deleter import DeleteRules
from email_processor.pipeline.health import Health
from email_processor.pipeline.leases import LeaseRules
from email_processor.pipeline.receiver import ReceiveRules
from email_processor.pipeline.room import Budget
from email_processor.pipeline.run import Plan, Ports, run
from email_processor.pipeline.storing import StoreRules
from email_processor.pipeline.uploader import UploadRules
from tests.deploy.chart import NAME, NAMESPACE
from tests.simulation.loop import Loop, in_virtual_time
from tests.simulation.world import EPOCH, SimClock
from tests.unit.pipeline.kit import PROBE, highest, later, new_metrics
from tests.unit.pipeline.virtual_aws import VirtualAws

STEP = 15  # seconds between scrapes
TARGET = {"namespace": NAMESPACE, "pod": f"{NAME}-5d9c7b6f4-x2x4z"}


@dataclass
class History:
    """Every series, as it is written, with its value at each scrape; None where it was not there."""

    job: str
    series: dict[str, list[float | None]] = field(default_factory=lambda: defaultdict(list))
    scrapes: int = 0

    def add(self, name: str, labels: dict[str, str], value: float) -> None:
        """Note a sample of the scrape that is being made."""
        written = ",".join(f'{label}="{text}"' for label, text in {**TARGET, "job": self.job, **labels}.items())
        values = self.series[f"{name}{{{written}}}"]
        values += [None] * (self.scrapes - len(values))
        values.append(value)

    @property
    def end(self) -> float:
        """Unix time of the last scrape."""
        return EPOCH + STEP * (self.scrapes - 1)

    def lines(self) -> Iterator[str]:
        """Every sample as a line of OpenMetrics, from which promtool makes a Prometheus's data."""
        for series, values in self.series.items():
            for index, value in enumerate(values):
                if value is not None:
                    yield f"{series} {value} {EPOCH + STEP * index}"

    def input_series(self) -> list[dict[str, str]]:
        """All of it as a test of rules takes it: what is not there any more is stale."""
        found = []
        for series, values in self.series.items():
            shown = ["stale" if value is None else str(value) for value in values]
            found.append({"series": series, "values": " ".join([*shown, *["stale"] * (self.scrapes - len(values))])})
        return found


class Pod(VirtualAws):
    """A pod, its queue and its bucket, and how they came to be as they are."""

    def __init__(self, history: History, uploads: int, poll_interval: float) -> None:
        """At most so many uploads at once; an idle queue is looked at so seldom."""
        super().__init__()
        self._history = history
        self._metrics = new_metrics()
        self._clock = SimClock(cast("Loop", asyncio.get_running_loop()).driver).clock()
        self._health = Health(self._clock, patience=60)
        self._metrics.ready.set_function(lambda: float(self._health.ready().ok))
        self._uploads = uploads
        self._poll_interval = poll_interval

    def send_steadily(self, count: int, *, every: float, until: float) -> None:
        """Put so many messages on the queue, again and again."""
        for number in range(int(until / every)):
            later(number * every, self.send, count)

    def scrape(self) -> None:
        """Note all that /metrics says."""
        for family in self._metrics.registry.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    self._history.add(sample.name, sample.labels, sample.value)
        self._history.add("up", {}, 1)
        self._history.scrapes += 1

    async def run(self, seconds: float) -> None:
        """Run for so long, and be scraped."""
        plan = Plan(
            receive=ReceiveRules(most=4, batch=10, wait=20, poll_interval=self._poll_interval),
            upload=UploadRules("emails", "quarantine", quarantine=True, version="1.2.3", key_time="first_receive"),
            store=StoreRules(most=self._uploads, probe=PROBE),
            leases=LeaseRules(visibility_timeout=300),
            delete=DeleteRules(most_in_flight=4),
            budget=Budget(max_messages=1000, max_bytes=24 * 1024 * 1024),
            timeouts=Timeouts(queue=8, store=15),
            grace=25,
        )
        stop = asyncio.Event()
        for second in range(0, int(seconds), STEP):
            later(second, self.scrape)
        later(seconds, stop.set)
        ports = Ports(self.inbox, self.inbox, self.store, self.store, self._clock, highest)
        await run(plan, ports, self._metrics, self._health, stop)


def played(
    story: Callable[[Pod], None], minutes: float, *, uploads: int = 256, job: str = NAME, poll_interval: float = 30
) -> History:
    """What is scraped of a pod to which `story` happens: it scripts what AWS answers, and what is sent when."""
    history = History(job)

    async def play() -> None:
        pod = Pod(history, uploads, poll_interval)
        story(pod)
        await pod.run(minutes * 60)

    in_virtual_time(play)()
    return history
