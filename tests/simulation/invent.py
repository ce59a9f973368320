"""Stories from seeds: which sections of bad luck a story has is drawn first, then how bad each is (swarm testing).

Everything is drawn from a random source of its own, named after what is drawn: a section, a kind of mail, a setting. So
what is added later moves nothing of what today's seeds are made of: a seed that does not draw it is the story that it
was, and one that does has it beside all that it had. Only within a section the draws follow each other: a new kind of
fault is a new section, not one more entry in the choices of an old one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from tests.simulation.fault_schedule import SPELLS
from tests.simulation.inventing_rescues import invent_rescue
from tests.simulation.mails import BROKEN, FAILING, HEALTHY, endless
from tests.simulation.rescue import Rescue
from tests.simulation.sections import SECTIONS, Section
from tests.simulation.story import Fault, Kind, Life, Mail, Story, StorySettings, draw

T = TypeVar("T")

MIB = 1024 * 1024

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
    Kind.COPY,
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

# The kinds of mail beside plain emails: how likely a story has a kind, which then is that of a third of its mails.
MAIL_KINDS: Mapping[str, float] = {
    "envelope": 0.3,
    "offloaded": 0.3,
    "not json": 0.12,
    "no object": 0.12,
    "field missing": 0.12,
    "wrong type": 0.12,
    "payload missing": 0.12,
    "refused": 0.06,
    "payload denied": 0.06,
    "refused twice": 0.06,
    "offloaded elsewhere": 0.3,
    "key denied": 0.1,
    "key failing": 0.1,
}
MAIL_KIND_SHARE = 1 / 3
TRIED_SECONDS_MOST = 240.0  # of faults, or the receives that they may burn would take days with mails of such a kind
# A day of one of these kinds takes twenty times as much as another day, so that they were a third of all work.
LONG_WEATHER_SHARE = 0.01
UNENDED_SHARE = 0.25  # of the days without quarantine: on which a store refuses an email until it is dead-lettered
OPERATORS_SHARE = 0.15  # of the days on which operators are at work
FEW_MAILS_SHARE = 0.1  # of the kinds that a store only refuses when it takes the others


def invent(seed: int) -> Story:
    """The story of a seed."""
    return Inventor(seed).story()


class Inventor:
    """Draws the parts of one story."""

    def __init__(self, seed: int) -> None:
        """Draw what the other parts depend on."""
        self.seed = seed
        # Each keeps the name that it was first drawn by: another name would make other stories of all seeds.
        self.faults_until = self.pick("weather", (20.0, 60.0, 60.0, 120.0, 240.0))
        if self.happens("long weather", LONG_WEATHER_SHARE):
            self.faults_until = self.pick("length of long weather", (3600.0, 4 * 3600.0))
        self.mail_count = self.pick("mail count", (1, 3, 3, 6, 6, 10, 15, 30))
        self.is_fifo = self.happens("fifo", 0.15)
        self.quarantine = self.happens("quarantine", 0.9)

    def pick(self, name: str, choices: Sequence[T]) -> T:
        """One of these, for what has this name; each draws a lot, so one that is added takes only what it wins."""
        return choices[max(range(len(choices)), key=lambda index: draw("story", self.seed, name, index))]

    def happens(self, name: str, likelihood: float) -> bool:
        """Whether what has this name happens."""
        return draw("story", self.seed, name) < likelihood

    def source(self, name: str) -> Random:
        """A random source for what has this name, and needs many draws."""
        return Random(f"story {self.seed} {name}")

    def story(self) -> Story:
        """All parts together."""
        faults, mails = self.faults(), self.mails()
        return Story(
            seed=self.seed,
            shuffled=self.happens("shuffled", 0.8),
            faults_until=self.faults_until,
            settings=self.settings(faults, mails),
            lives=self.lives(self.source("lives")),
            mails=mails,
            faults=faults,
            rescue=self.rescue(),
        )

    def rescue(self) -> Rescue | None:
        """What operators find and do, on some days."""
        if not self.happens("operators", OPERATORS_SHARE):
            return None
        return invent_rescue(self.source("operators"), self.faults_until, is_fifo=self.is_fifo)

    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong: a theme's sections, and others by chance."""
        theme, others = self.pick("theme", THEMES)
        armed = [name for name in SECTIONS if name in theme or self.happens(f"section {name}", others)]
        return tuple(
            fault
            for name in armed
            for fault in SECTIONS[name](Section(self.source(f"faults {name}"), self.faults_until, self.mail_count))
        )

    def lives(self, chance: Random) -> tuple[Life, ...]:
        """When processes start and stop: one, several, a rolling update, or scaling up or down."""
        late = self.faults_until
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
        """What is sent, and when."""
        chance = self.source("mails")
        spread = 0.0 if chance.random() < 0.5 else min(self.faults_until, 120.0)
        mails = [
            Mail(round(chance.uniform(0, spread), 1), sender=chance.randrange(5), size=chance.choice((0, 10, 2000)))
            for _ in range(self.mail_count)
        ]
        for kind, likelihood in MAIL_KINDS.items():
            if self.faults_until > TRIED_SECONDS_MOST and kind in (*FAILING, *endless(quarantine=self.quarantine)):
                continue
            if kind in FAILING and not (self.quarantine or self.happens("refused without quarantine", UNENDED_SHARE)):
                continue
            if self.happens(f"mails of kind {kind}", likelihood):
                chance = self.source(f"mails of kind {kind}")
                share = FEW_MAILS_SHARE if kind in FAILING else MAIL_KIND_SHARE
                for index, mail in enumerate(mails):
                    if chance.random() < share and (index or kind in HEALTHY):  # one is always healthy
                        mails[index] = replace(mail, kind=kind)
        return tuple(mails)

    def settings(self, faults: tuple[Fault, ...], mails: tuple[Mail, ...]) -> StorySettings:
        """The settings, with as many receives as the faults may burn before a message would be dead-lettered."""
        pick, happens = self.pick, self.happens
        visibility_timeout = pick("visibility_timeout", (30, 30, 45, 60, 120))
        batch = pick("batch", (1, 3, 10, 10, 10))
        quarantine = self.quarantine
        needs_end = any(mail.kind not in (*HEALTHY, *((*BROKEN, *FAILING) if quarantine else ())) for mail in mails)
        burns = sum(
            1 + int(fault.seconds / visibility_timeout)
            for fault in faults
            if fault.kind in (BURNING | SPELLS) - {Kind.OUTAGE}
        )
        max_receive_count = None
        if needs_end or happens("max_receive_count", 0.5):
            max_receive_count = 3 + 2 * burns + pick("spare receives", range(3))
        return StorySettings(
            receivers=pick("receivers", (1, 2, 4)),
            batch=batch,
            wait=pick("wait", (1, 5, 20, 20)),
            poll_interval=pick("poll_interval", (1.0, 5.0, 30.0)),
            uploads=pick("uploads", (1, 2, 8, 8, 16)),
            deletes=pick("deletes", (1, 2, 4)),
            delete_linger=pick("delete_linger", (0.0, 0.2, 0.2, 1.0)),
            visibility_timeout=visibility_timeout,
            queue_timeout=pick("queue_timeout", (2.0, 4.0, 8.0)),
            upload_timeout=pick("upload_timeout", (3.0, 5.0, 15.0)),
            # Room for three batches and more: a container that holds the process has room for hundreds.
            in_flight_messages=pick("in_flight_messages", (30, 31, 40, 45, 60)),
            in_flight_bytes=pick("in_flight_bytes", (batch * MIB, batch * MIB + 3000, 2 * batch * MIB + 1, 64 * MIB)),
            grace=pick("grace", (5.0, 25.0, 25.0)),
            quarantine=quarantine,
            conditional=happens("conditional", 0.9),
            max_receive_count=max_receive_count,
            fifo=self.is_fifo,
            queue_in_flight_max=pick("queue_in_flight_max", (120_000, 120_000, 120_000, 12)),
            deletes_stale=happens("deletes_stale", 0.2),
            notices_hang_up=happens("notices_hang_up", 0.7),
            latency=pick("latency", (0.0, 0.01, 0.02, 0.1)),
            tail=pick("tail", (0.0, 0.0, 0.02, 0.2)),
            ranked=happens("ranked", 0.5),
            # A copy that tells another first receive breaks the promise of one object, unless sending dates the key.
            key_time="sent" if any(fault.kind is Kind.COPY for fault in faults) else "first_receive",
        )
