"""Stories from seeds: which sections of bad luck a story has is drawn first, then how bad each is (swarm testing)."""

from collections.abc import Callable
from random import Random

from email_processor.domain.errors import Cause
from tests.simulation.mails import BROKEN, HEALTHY, HOPELESS, STUBBORN
from tests.simulation.story import Fault, Kind, Life, Mail, Story, StorySettings
from tests.simulation.weather import S3, SQS

MIB = 1024 * 1024

CALLS = ("RECEIVE", "PUT", "DELETE", "CHANGE_VISIBILITY", "RECEIVE", "PUT", "DELETE", "FETCH", "QUEUE_STATE")
BATCHES = ("DELETE", "CHANGE_VISIBILITY")
CAUSES = tuple(cause.value for cause in Cause)
PERSON = tuple(cause.value for cause in Cause if cause.needs_a_person)
MODES = (Kind.REFUSE, Kind.REFUSE, Kind.REFUSE, Kind.HANG, Kind.LOSE, Kind.MUTE)
BURNING = {
    Kind.LOSE,
    Kind.MUTE,
    Kind.HANG,
    Kind.DELAY_REQUEST,
    Kind.DELAY_ANSWER,
    Kind.CORRUPT,
    Kind.KILL,
    Kind.KILL_SENT,
    Kind.KILL_UNSENT,
    Kind.KILL_AT_STEP,
    Kind.STOP,
    Kind.STOP_MEANWHILE,
    Kind.PAUSE,
    Kind.PAUSE_MEANWHILE,
    Kind.DUPLICATE,
    Kind.DUPLICATE_MEANWHILE,
}


# Sections that are always armed, and the share of the others.
THEMES: tuple[tuple[tuple[str, ...], float], ...] = (
    ((), 0.3),
    ((), 0.3),
    (("store",), 0.15),
    (("store", "stops"), 0.1),
    (("store", "renewals"), 0.1),
    (("store", "kills"), 0.1),
    (("store", "pauses"), 0.1),
    (("partial", "duplicates"), 0.15),
    (("queue", "duplicates"), 0.15),
    (("corruption", "calls"), 0.1),
    (("stops", "partial"), 0.1),
    (("stops", "calls"), 0.1),
)


def invent(seed: int) -> Story:
    """The story of a seed."""
    return _Inventor(seed).story()


class _Inventor:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = chance = Random(f"story {seed}")
        self.weather = chance.choice((20.0, 60.0, 60.0, 120.0, 240.0))
        if chance.random() < 0.02:
            self.weather = chance.choice((3600.0, 4 * 3600.0))
        self.mail_count = chance.choice((1, 3, 3, 6, 6, 10, 15, 30))
        self.is_fifo = chance.random() < 0.15

    def story(self) -> Story:
        sections: dict[str, Callable[[], list[Fault]]] = {
            "calls": self.one_call_failures,
            "corruption": self.corruption,
            "delays": self.delays,
            "partial": self.partial_failures,
            "store": self.store_outage,
            "queue": self.queue_outage,
            "renewals": self.no_renewals,
            "denied": self.denied,
            "throttling": self.throttling,
            "kills": self.kills,
            "stops": self.stops,
            "pauses": self.pauses,
            "clocks": self.clocks,
            "duplicates": self.duplicates,
        }
        theme, others = self.chance.choice(THEMES)
        armed = [name for name in sections if name in theme or self.chance.random() < others]
        faults = tuple(fault for name in armed for fault in sections[name]())
        mails = self.mails()
        return Story(
            seed=self.seed,
            shuffled=self.chance.random() < 0.8,
            weather=self.weather,
            settings=self.settings(faults, mails),
            lives=self.lives(),
            mails=mails,
            faults=faults,
        )

    def some(self, most: int) -> range:
        return range(self.chance.randint(1, most))

    def moment(self) -> float:
        """A time in the bad weather: often early, when most happens."""
        early = self.chance.random() < 0.7
        return round(self.chance.uniform(0, min(2.0, self.weather) if early else self.weather), 2)

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
        length = self.chance.choice((self.length(self.weather), self.chance.uniform(0, self.weather), self.weather))
        seconds = round(min(length, self.weather - at), 3)
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
                at = round(self.chance.uniform(0, min(60.0, self.weather)), 2)
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

    def lives(self) -> tuple[Life, ...]:
        chance, late = self.chance, self.weather
        match chance.choice(("one", "one", "several", "rolling", "up", "down")):
            case "several":
                return (Life(),) * chance.randint(2, 3)
            case "rolling":
                at, count = chance.uniform(0, late / 2), chance.randint(1, 3)
                old = [Life(0.0, round(at + 3 * n, 2)) for n in range(count)]
                return (*old, *(Life(round(at + 3 * n, 2)) for n in range(count)))
            case "up":
                return (Life(), *(Life(round(chance.uniform(0, late / 2), 2)) for _ in range(chance.randint(1, 3))))
            case "down":
                stops = (round(chance.uniform(0, late), 2) for _ in range(chance.randint(1, 2)))
                return (Life(), *(Life(0.0, stop) for stop in stops))
            case _:
                return (Life(),)

    def mails(self) -> tuple[Mail, ...]:
        chance = self.chance
        kinds = ["email"]
        if chance.random() < 0.3:
            kinds += [chance.choice(HEALTHY) for _ in range(3)]
        if chance.random() < 0.3:
            kinds += [chance.choice(BROKEN) for _ in range(2)]
        if chance.random() < 0.15:
            kinds += [chance.choice((*STUBBORN, *HOPELESS))]
        spread = 0.0 if chance.random() < 0.5 else min(self.weather, 120.0)
        return tuple(
            Mail(
                round(chance.uniform(0, spread), 1),
                chance.choice(kinds) if index else chance.choice(HEALTHY),
                chance.randrange(5),
                chance.choice((0, 10, 2000)),
            )
            for index in range(self.mail_count)
        )

    def settings(self, faults: tuple[Fault, ...], mails: tuple[Mail, ...]) -> StorySettings:
        chance = self.chance
        visibility_timeout = chance.choice((30, 30, 45, 60, 120))
        batch = chance.choice((1, 3, 10, 10, 10))
        quarantine = chance.random() < 0.9
        needs_end = any(mail.kind not in (*HEALTHY, *(BROKEN if quarantine else ())) for mail in mails)
        burns = sum(
            1 + int(fault.seconds / visibility_timeout)
            for fault in faults
            if fault.kind in BURNING or fault.kind is Kind.SPELL
        )
        max_receive_count = None
        if needs_end or chance.random() < 0.5:
            max_receive_count = 3 + 2 * burns + chance.randrange(3)
        return StorySettings(
            receivers=chance.choice((1, 2, 4)),
            batch=batch,
            wait=chance.choice((1, 5, 20, 20)),
            poll_interval=chance.choice((1.0, 5.0, 30.0)),
            uploads=chance.choice((1, 2, 8, 8, 16)),
            deletes=chance.choice((1, 2, 4)),
            delete_linger=chance.choice((0.0, 0.2, 0.2, 1.0)),
            visibility_timeout=visibility_timeout,
            queue_timeout=chance.choice((2.0, 4.0, 8.0)),
            upload_timeout=chance.choice((3.0, 5.0, 15.0)),
            in_flight_messages=chance.choice((10, 11, 20, 25, 60)),
            in_flight_bytes=chance.choice((batch * MIB, batch * MIB + 3000, 2 * batch * MIB + 1, 64 * MIB)),
            grace=chance.choice((5.0, 25.0, 25.0)),
            quarantine=quarantine,
            conditional=chance.random() < 0.9,
            max_receive_count=max_receive_count,
            fifo=self.is_fifo,
            queue_in_flight_max=chance.choice((120_000, 120_000, 120_000, 12)),
            deletes_stale=chance.random() < 0.2,
            notices_hang_up=chance.random() < 0.7,
            latency=chance.choice((0.0, 0.01, 0.02, 0.1)),
            tail=chance.choice((0.0, 0.0, 0.02, 0.2)),
            ranked=chance.random() < 0.5,
        )
