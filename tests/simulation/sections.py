"""The sections of bad luck that a story may have: what goes wrong in each, drawn from the section's own source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from email_processor.domain.errors import Cause
from tests.simulation.fault_schedule import S3, SQS
from tests.simulation.mails import OTHER_PAYLOADS, PAYLOADS
from tests.simulation.story import Fault, Kind

CALLS = ("RECEIVE", "PUT", "DELETE", "CHANGE_VISIBILITY", "RECEIVE", "PUT", "DELETE", "FETCH", "QUEUE_STATE")
BATCHES = ("DELETE", "CHANGE_VISIBILITY")
# Written down, not asked of the service: one cause more would make other stories of all seeds.
CAUSES = (
    "throttled",
    "timeout",
    "network",
    "server",
    "denied",
    "missing",
    "credentials",
    "clock",
    "configuration",
    "encryption",
)
MODES = (Kind.REFUSE, Kind.REFUSE, Kind.REFUSE, Kind.HANG, Kind.LOSE, Kind.MUTE)


@dataclass(frozen=True, slots=True)
class Section:
    """What the faults of one section are drawn from: its random source, and how long and how large the story is."""

    chance: Random
    faults_until: float
    mail_count: int

    def some(self, most: int) -> range:
        return range(self.chance.randint(1, most))

    def moment(self) -> float:
        """A time before the faults end: often early, when most happens."""
        early = self.chance.random() < 0.7
        return round(self.chance.uniform(0, min(2.0, self.faults_until) if early else self.faults_until), 2)

    def nth(self, operation: str) -> int:
        likely = {"RECEIVE": 4, "QUEUE_STATE": 2, "FETCH": 3, "CHANGE_VISIBILITY": 4}
        return self.chance.randint(1, likely.get(operation, max(3, self.mail_count)))

    def length(self, longest: float) -> float:
        """A duration: from milliseconds on, each order of magnitude as likely as the others."""
        return round(float(10 ** self.chance.uniform(-2, 0) * longest ** self.chance.random()), 3)

    def one_call_failures(self) -> list[Fault]:
        faults = []
        for _ in self.some(4):
            operation = self.chance.choice(CALLS)
            kind, cause = self.chance.choice(MODES), self.chance.choice(CAUSES)
            faults.append(Fault(kind, operation=operation, nth=self.nth(operation), cause=cause))
        return faults

    def corruption(self) -> list[Fault]:
        return [Fault(Kind.CORRUPT, operation="RECEIVE", nth=nth) for nth in self.some(3)]

    def delays(self) -> list[Fault]:
        faults = []
        for _ in self.some(3):
            operation = self.chance.choice(CALLS)
            kind = self.chance.choice((Kind.DELAY_REQUEST, Kind.DELAY_ANSWER))
            seconds = self.chance.choice((0.5, 2.0, 3.5, 6.0, 20.0, 40.0))
            faults.append(Fault(kind, seconds=seconds, operation=operation, nth=self.nth(operation)))
        return faults

    def partial_failures(self) -> list[Fault]:
        operations = [self.chance.choice(BATCHES) for _ in self.some(3)]
        faults = [Fault(Kind.PARTLY, operation=operation, nth=self.nth(operation)) for operation in operations]
        if self.chance.random() < 0.7:
            faults.append(self.spell(self.chance.choice(BATCHES), Kind.PARTLY, "", self.chance.uniform(0.3, 1.0)))
        return faults

    def store_outage(self) -> list[Fault]:
        operations = self.chance.choice(("s3", "s3", *S3))
        return [
            self.spell(operations, self.chance.choice(MODES), self.chance.choice(CAUSES), self.share())
            for _ in self.some(2)
        ]

    def queue_outage(self) -> list[Fault]:
        operations = self.chance.choice(("sqs", "sqs", "all", *SQS))
        return [self.spell(operations, self.chance.choice(MODES), self.chance.choice(CAUSES), self.share())]

    def no_renewals(self) -> list[Fault]:
        mode = self.chance.choice((*MODES, Kind.PARTLY))
        cause = self.chance.choice((Cause.DENIED.value, *CAUSES))
        return [self.spell("CHANGE_VISIBILITY", mode, cause, self.share()) for _ in self.some(2)]

    def denied(self) -> list[Fault]:
        operation = self.chance.choice(("RECEIVE", "DELETE", "DELETE", "QUEUE_STATE"))
        return [self.spell(operation, Kind.REFUSE, Cause.DENIED, 1.0) for _ in self.some(2)]

    def throttling(self) -> list[Fault]:
        operation = self.chance.choice(("PUT", "PUT", "s3", "sqs"))
        return [self.spell(operation, Kind.REFUSE, Cause.THROTTLED, self.chance.choice((0.3, 0.7, 1.0)))]

    def spell(self, operation: str, mode: Kind, cause: str, share: float) -> Fault:
        at = self.chance.choice((0.0, self.moment()))
        length = self.chance.choice(
            (self.length(self.faults_until), self.chance.uniform(0, self.faults_until), self.faults_until)
        )
        seconds = round(min(length, self.faults_until - at), 3)
        return Fault(Kind.SPELL, at, seconds, operation, cause=cause, mode=mode.value, share=round(share, 2))

    def share(self) -> float:
        return self.chance.choice((1.0, 1.0, 0.5, 0.1))

    def kills(self) -> list[Fault]:
        faults = []
        for _ in self.some(3):
            seconds = self.chance.choice((0.0, 1.0, 10.0))
            roll = self.chance.random()
            if roll < 0.4:
                kind, operation = self.chance.choice((Kind.KILL_SENT, Kind.KILL_UNSENT)), self.chance.choice(CALLS)
                faults.append(Fault(kind, seconds=seconds, operation=operation, nth=self.nth(operation)))
            elif roll < 0.7:
                step = self.chance.randint(1, 40 + 12 * self.mail_count)
                faults.append(Fault(Kind.KILL_AT_STEP, seconds=seconds, who=self.chance.randint(0, 1), nth=step))
            else:
                faults.append(Fault(Kind.KILL, self.moment(), seconds, who=self.chance.randint(0, 2)))
        return faults

    def stops(self) -> list[Fault]:
        faults = []
        for _ in self.some(2):
            if self.chance.random() < 0.6:
                operation = self.chance.choice(CALLS)
                faults.append(Fault(Kind.STOP_MEANWHILE, operation=operation, nth=self.nth(operation)))
            else:
                at = round(self.chance.uniform(0, min(60.0, self.faults_until)), 2)
                faults.append(Fault(Kind.STOP, at, who=self.chance.randint(0, 2)))
        return faults

    def pauses(self) -> list[Fault]:
        faults = []
        for _ in self.some(2):
            seconds = self.chance.choice((0.1, 3.0, 10.0, 40.0, 100.0))
            if self.chance.random() < 0.6:
                operation = self.chance.choice(CALLS)
                nth = self.nth(operation)
                faults.append(Fault(Kind.PAUSE_MEANWHILE, seconds=seconds, operation=operation, nth=nth))
            else:
                faults.append(Fault(Kind.PAUSE, self.moment(), seconds, who=self.chance.randint(0, 2)))
        return faults

    def clocks(self) -> list[Fault]:
        steps = (-86_400.0, -3600.0, -1.0, 1.0, 3600.0, 86_400.0)
        return [
            Fault(Kind.CLOCK, self.moment(), self.chance.choice(steps), who=self.chance.randint(0, 2))
            for _ in self.some(2)
        ]

    def duplicates(self) -> list[Fault]:
        faults = []
        for _ in self.some(3):
            if self.chance.random() < 0.6:
                operation = self.chance.choice(("PUT", "DELETE", "DELETE", "CHANGE_VISIBILITY"))
                faults.append(Fault(Kind.DUPLICATE_MEANWHILE, operation=operation, nth=self.nth(operation)))
            else:
                faults.append(Fault(Kind.DUPLICATE, self.moment(), nth=self.chance.randrange(self.mail_count)))
        return faults

    def copies(self) -> list[Fault]:
        return [Fault(Kind.COPY, self.moment(), nth=self.chance.randrange(self.mail_count)) for _ in self.some(3)]

    def stuck_renewals(self) -> list[Fault]:
        """Some leases cannot be renewed, and all of them have to be while nothing can be stored."""
        outage = Fault(Kind.SPELL, 0.0, self.faults_until, "PUT", cause=Cause.SERVER, mode=Kind.REFUSE.value)
        share = self.chance.choice((0.1, 0.3, 0.5))
        return [replace(outage, kind=Kind.STUCK, operation="CHANGE_VISIBILITY", cause="", share=share), outage]

    def expired_credentials(self) -> list[Fault]:
        """No new credentials are to be had for a while: those of each process expire at a time of its own."""
        until = round(self.chance.uniform(0, self.faults_until), 2)
        times = [round(self.chance.uniform(0, until), 2) for _ in range(4)]
        return [
            Fault(
                Kind.CUT_OFF,
                at,
                round(until - at, 2),
                "all",
                who=who,
                cause=Cause.CREDENTIALS,
                mode=Kind.REFUSE.value,
            )
            for who, at in enumerate(times)
        ]

    def unresolved_names(self) -> list[Fault]:
        """The name of S3, of SQS or of both does not resolve for a while: nowhere, or where one process runs."""
        mode = self.chance.choice((Kind.REFUSE, Kind.HANG))
        spell = self.spell(self.chance.choice(("s3", "s3", "sqs", "all")), mode, Cause.NETWORK, 1.0)
        if self.chance.random() < 0.5:
            return [spell]
        return [replace(spell, kind=Kind.CUT_OFF, who=self.chance.randint(0, 1))]

    def refused_keys(self) -> list[Fault]:
        """Some objects cannot be stored, and all others can."""
        cause = self.chance.choice((Cause.DENIED, Cause.SERVER))
        spell = self.spell("PUT", Kind.REFUSE, cause, self.chance.choice((0.02, 0.1, 0.2)))
        return [replace(spell, kind=Kind.STUCK)]

    def replacements(self) -> list[Fault]:
        """One pod after the other is replaced, up to twelve of them, while nothing can be stored or deleted."""
        operation = self.chance.choice(("PUT", "s3", "s3", "DELETE"))
        mode, cause = self.chance.choice((Kind.REFUSE, Kind.HANG)), self.chance.choice((Cause.SERVER, Cause.DENIED))
        kind = Kind.SPELL if operation in BATCHES else Kind.OUTAGE  # what is not deleted must come back
        seconds = round(self.chance.uniform(0.5, 1.0) * self.faults_until, 2)
        at = self.chance.choice((0.0, round(self.faults_until - seconds, 2)))
        pace = max(seconds / 12, self.chance.choice((5.0, 10.0, 20.0)))
        return [
            Fault(kind, at, seconds, operation, cause=cause, mode=mode.value),
            *(Fault(Kind.REPLACE, round(at + n * pace, 2), who=n % 2) for n in range(1, 1 + int(seconds / pace))),
        ]

    def payload_bucket(self) -> list[Fault]:
        """The payloads in one bucket cannot be read, whatever becomes of all else."""
        mode, cause = self.chance.choice(
            ((Kind.REFUSE, Cause.DENIED), (Kind.REFUSE, Cause.ENCRYPTION), (Kind.REFUSE, Cause.SERVER), (Kind.HANG, ""))
        )
        at, where = self.chance.choice((0.0, self.moment())), f"{self.chance.choice((PAYLOADS, OTHER_PAYLOADS))}/"
        seconds = round(self.faults_until - at, 2)
        return [Fault(Kind.OUTAGE, at, seconds, "FETCH", cause=cause, mode=mode.value, where=where)]

    def burst_in_outage(self) -> list[Fault]:
        """Nothing can be stored any more once there is much in flight, and often no lease can be renewed either."""
        mode, at = (
            self.chance.choice((Kind.HANG, Kind.REFUSE)),
            round(self.chance.uniform(2.0, self.faults_until / 2), 2),
        )
        burst = Fault(Kind.BURST, at, nth=self.chance.choice((10, 30)))
        at = round(at + self.chance.choice((0.0, 0.05, 0.5)), 2)
        seconds = round(self.chance.uniform(0.3, 1.0) * (self.faults_until - at), 2)
        outage = Fault(Kind.SPELL, at, seconds, "PUT", cause=Cause.SERVER, mode=mode.value)
        denied = replace(outage, operation="CHANGE_VISIBILITY", cause=Cause.DENIED, mode=Kind.REFUSE.value)
        return [burst, outage, denied][: self.chance.randint(2, 3)]


# In this order their faults stand in a story. A new kind of fault is a new section at the end.
SECTIONS: Mapping[str, Callable[[Section], list[Fault]]] = {
    "calls": Section.one_call_failures,
    "corruption": Section.corruption,
    "delays": Section.delays,
    "partial": Section.partial_failures,
    "store": Section.store_outage,
    "queue": Section.queue_outage,
    "renewals": Section.no_renewals,
    "denied": Section.denied,
    "throttling": Section.throttling,
    "kills": Section.kills,
    "stops": Section.stops,
    "pauses": Section.pauses,
    "clocks": Section.clocks,
    "duplicates": Section.duplicates,
    "copies": Section.copies,
    "stuck renewals": Section.stuck_renewals,
    "expired credentials": Section.expired_credentials,
    "unresolved names": Section.unresolved_names,
    "payload bucket": Section.payload_bucket,
    "refused keys": Section.refused_keys,
    "replacements": Section.replacements,
    "burst in an outage": Section.burst_in_outage,
}
