"""The tour: emails flow, S3 goes away and comes back, the queue delivers twice; then what came of it is shown."""

import asyncio
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from email_processor.domain.errors import Reason
from email_processor.ports import BATCH
from email_processor.tools.demo import proof
from email_processor.tools.demo.cloud import DemoAccount, FaultSwitch, Version
from email_processor.tools.demo.figures import Figures, Watch
from email_processor.tools.demo.screen import Screen
from email_processor.tools.send.samples.generate import Recipe, Sample, samples
from email_processor.tools.send.sender import Sender

BACKLOG = 60  # messages: what moto takes for one grows with all that are on its queue
RECEIVE_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
DELETES_FORGOTTEN = 10
COMPARED_MAX = 500  # objects that are read back
READABLE_BYTES = 6000
TELLING_BYTES = 700


class Feeder:
    """Sends samples; `sent` holds those that SQS has taken, by message id."""

    def __init__(self, sender: Sender, watch: Watch) -> None:
        """`watch` tells how many the service has received."""
        self._sender = sender
        self._watch = watch
        self.sent: dict[str, Sample] = {}

    async def feed(self, samples: Iterator[Sample], count: int) -> None:
        """Send the next `count` samples."""
        while count > 0 and (batch := list(islice(samples, min(count, BATCH)))):
            await self._watch.until(
                lambda now: len(self.sent) - now.seen_once <= BACKLOG - BATCH,
                RECEIVE_SECONDS,
                "the service to receive",
            )
            await self._sender.send(batch, self._note)
            count -= len(batch)

    def _note(self, sample: Sample, message_id: str) -> None:
        self.sent[message_id] = sample


@dataclass(frozen=True, slots=True)
class Options:
    """What the demo does. `outage` is in seconds, 0 for none; `broken` a percentage."""

    messages: int = 300
    seed: int = 1
    broken: float = 5.0
    outage: float = 3.0
    keep: bool = False

    @property
    def recipe(self) -> Recipe:
        """What messages to send: varied ones, of which so many percent are broken."""
        return Recipe(seed=self.seed, broken=self.broken)


@dataclass(frozen=True, slots=True)
class Demo:
    """Everything that the tour plays with."""

    screen: Screen
    switch: FaultSwitch
    account: DemoAccount
    watch: Watch
    feeder: Feeder


class Tour:
    """One tour; `claims` are gathered on the way."""

    def __init__(self, stage: Demo, options: Options) -> None:
        """Make the samples; they are sent as the tour goes on."""
        self._stage = stage
        self._options = options
        self._screen = stage.screen
        self._account = stage.account
        self._samples = samples(options.messages, options.recipe)
        self.claims: list[proof.Claim] = []

    async def emails_flow(self) -> None:
        """Send everything, with an outage and a second delivery on the way."""
        third = -(-self._options.messages // 3)
        without_s3 = 0.0
        feed = self._stage.feeder.feed
        with self._screen.progress(self._options.messages):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(feed(self._samples, third), name="feeder")
                await self._until(lambda now: now.settled >= 1, "the first object")
                self._screen.event(f"the first is in the bucket: [cyan]{(await self._account.versions())[0].key}[/]")
                await self._until(lambda now: now.settled >= third * 2 // 3, "emails to be archived")
                if self._options.outage:
                    without_s3 = await self._outage(tasks, third)
            self._stage.switch.forget_deletes(DELETES_FORGOTTEN)
            await feed(self._samples, self._options.messages)
            now = await self._until(
                lambda now: now.settled >= len(self._stage.feeder.sent) and not now.in_flight, "all to be archived"
            )
            if self._options.outage:
                self.claims.append(proof.outage_was_free(without_s3, now.received, now.seen_once))
            await self._second_delivery()

    async def _outage(self, tasks: asyncio.TaskGroup, count: int) -> float:
        """Turn S3 off while emails are in flight and `count` more are on their way; for how many seconds it was off."""
        now = asyncio.get_running_loop().time
        self._stage.switch.s3_is_down = True
        began = now()
        self._screen.outage("S3 goes down: every request is answered 503", begins=True)
        tasks.create_task(self._stage.feeder.feed(self._samples, count), name="feeder in the outage")
        opened = await self._until(lambda now: now.circuit_open, "the circuit to open")
        self._screen.event(
            f"the circuit opens: nothing more is received, {opened.in_flight} messages in flight keep their lease and "
            f"wait; S3 stays away for {self._options.outage:g} s more"
        )
        ends = now() + self._options.outage
        while (left := ends - now()) > 0:
            self._screen.waiting_for(f"S3 is back in {left:.0f} s")
            await asyncio.sleep(min(left, 1))
        self._stage.switch.s3_is_down = False
        back = now()
        self._screen.outage(
            "S3 is back, and the service finds out at its next probe: one upload at a time, after pauses that have "
            "grown with each that failed",
            begins=False,
        )
        self._screen.waiting_for("the circuit is open until a probe gets through")
        await self._until(lambda now: not now.circuit_open, "the circuit to close")
        self._screen.waiting_for("")
        self._screen.event(
            f"a probe got through, {now() - back:.1f} s after S3 was back, and the circuit closes: work goes on where "
            "it stopped"
        )
        return back - began

    async def _second_delivery(self) -> None:
        """Let the queue hand out again what was archived, as SQS may at any time."""
        self._stage.switch.forget_deletes(0)
        handles = self._stage.switch.forgotten
        before, duplicates = await self._account.versions(), self._stage.watch.now.duplicates
        await self._account.redeliver(handles)
        self._screen.event(
            f"SQS delivers {len(handles)} archived messages once more, as if their deletes had been lost"
        )
        now = await self._until(
            lambda now: now.duplicates - duplicates >= len(handles) and not now.in_flight, "the duplicates"
        )
        self._screen.event("their objects are there already: nothing is written, the messages are deleted")
        after = await self._account.versions()
        self.claims.append(proof.unchanged(before, after, len(handles), now.duplicates - duplicates))

    async def show_bucket(self) -> None:
        """Show what is stored, and compare it with what was sent."""
        sent = self._stage.feeder.sent
        versions = await self._account.versions()
        emails = [version for version in versions if not version.key.startswith("quarantine/")]
        quarantined = [version for version in versions if version not in emails]
        read_back = [*emails[:COMPARED_MAX], *quarantined[:COMPARED_MAX]]
        self._screen.event(f"{len(read_back)} objects are read back, to compare them with what was sent")
        with self._screen.busy("Reading objects"):
            contents = await self._account.read_all([version.key for version in read_back])
        by_message = {version.message_id: contents[version.key] for version in read_back}
        self._screen.heading("In the bucket")
        self._screen.tree(versions, {key: sample.flaw.value for key, sample in sent.items() if sample.flaw is not None})
        if emails:
            shown = max(emails[:COMPARED_MAX], key=lambda version: _appeal(version, contents))
            self._screen.heading("One email, pretty-printed; email_data is what was sent, byte for byte")
            self._screen.document(shown.key, contents[shown.key])
        self._show_quarantined(quarantined[:COMPARED_MAX], contents)
        self.claims[:0] = [proof.stored_once(sent, versions), proof.byte_for_byte(sent, by_message)]
        self.claims.append(proof.queues_empty(*await self._account.left_on_queues()))

    def _show_quarantined(self, versions: Sequence[Version], contents: Mapping[str, bytes]) -> None:
        sent = self._stage.feeder.sent
        if versions:
            wanted = (Reason.MISSING_FIELD, Reason.WRONG_TYPE)
            shown = min(
                versions,
                key=lambda it: (sent[it.message_id].flaw not in wanted, it.size < TELLING_BYTES, it.size),
            )
            self._screen.heading("One message in quarantine, with the reason and all that arrived")
            self._screen.document(shown.key, contents[shown.key])

    async def _until(self, condition: Callable[[Figures], bool], what: str) -> Figures:
        return await self._stage.watch.until(condition, PATIENCE_SECONDS + self._options.outage, what)


def _appeal(version: Version, contents: Mapping[str, bytes]) -> tuple[bool, ...]:
    """How telling an email is: easy to read, with attributes, from somebody whose script is not ours."""
    content = contents[version.key].decode()
    kinds = {unicodedata.category(letter) for letter in content}
    sides = {unicodedata.bidirectional(letter) for letter in content}
    return (
        version.size < READABLE_BYTES,
        "Mn" not in kinds and sides.isdisjoint({"R", "AL"}),  # many terminals draw these badly
        not version.key.isascii(),
        "  " not in content,
        '"attributes"' in content,
        len(content) < len(content.encode()),
    )
