"""A story: everything that a run is made of, as frozen data that prints, saves as JSON and replays exactly."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from email_processor.domain.message import KeyTime
from tests.simulation.rescue import Comeback, Command, CommandRun, Leftover, RequestFault, Rescue
from tests.support.aws_answers import CallFault


class Kind(StrEnum):
    """What goes wrong. Times are seconds since the start; `who` is the nth of the processes that are alive then.

    A call is the `nth` of its `operation`, counted over all processes. A spell lasts from `at` for `seconds` and meets
    a `share` of the calls of its `operation`; those of a process or of a message it meets all, or none. `where` is a
    bucket: then it meets only the calls that are about it.
    """

    # one call
    REFUSE = CallFault.REFUSE.value  # answered with `cause`, no effect
    LOSE = CallFault.LOSE.value  # takes effect, answered with `cause`
    HANG = CallFault.HANG.value  # no effect, no answer
    MUTE = CallFault.MUTE.value  # takes effect, no answer
    DELAY_REQUEST = CallFault.DELAY_REQUEST.value  # takes effect `seconds` late
    DELAY_ANSWER = CallFault.DELAY_ANSWER.value  # answered `seconds` late
    PARTLY = "partly"  # some entries are refused, or left out of the answer
    CORRUPT = "corrupt"  # what is received is not what was sent
    KILL_UNSENT = "kill unsent"  # SIGKILL before the request leaves; a new process starts `seconds` later
    KILL_SENT = "kill sent"  # SIGKILL before the answer comes; as above
    STOP_MEANWHILE = "stop meanwhile"  # SIGTERM while the call is under way; a new process starts when it has ended
    PAUSE_MEANWHILE = "pause meanwhile"  # SIGSTOP for `seconds` while the call is under way
    DUPLICATE_MEANWHILE = "duplicate meanwhile"  # the messages of the call are handed out once more
    # a spell
    SPELL = "spell"  # as `mode` says, one of the first seven
    CUT_OFF = "cut off"  # the same, and only for the calls of process number `who`
    OUTAGE = "outage"  # the same for all calls, and it may cost no message a receive
    STUCK = "stuck"  # a `share` of the messages: calls and entries of batches that are about them are refused
    # a process
    KILL = "kill"  # at `at`
    KILL_AT_STEP = "kill at step"  # process number `who`, before its step number `nth`
    STOP = "stop"  # at `at`; a new process starts when it has ended
    REPLACE = "replace"  # the same, and it may cost no message a receive
    PAUSE = "pause"  # at `at` for `seconds`
    CLOCK = "clock"  # its wall clock is set `seconds` forward or back
    # a message
    BURST = "burst"  # `nth` more plain emails are sent at `at`
    DUPLICATE = "duplicate"  # message number `nth` is handed out once more
    COPY = "copy"  # as above, by a server that knows nothing of its first receive and tells another one


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong; see `Kind`."""

    kind: Kind
    at: float = 0.0
    seconds: float = 0.0
    operation: str = ""
    nth: int = 0
    who: int = 0
    cause: str = ""
    mode: str = ""
    share: float = 1.0
    where: str = ""

    @property
    def process(self) -> str:
        """The name of process number `who`."""
        return f"p{self.who + 1}"

    def __str__(self) -> str:
        facts = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        shown = (f"{name}={value}" for name, value in facts.items() if value != _DEFAULTS[name])
        return f"{self.kind.value}({', '.join(shown)})"


_DEFAULTS = {field.name: field.default for field in fields(Fault)}


@dataclass(frozen=True, slots=True)
class Mail:
    """A message: sent at `at` (seconds), of a kind that `mails` knows, with `size` bytes of content."""

    at: float = 0.0
    kind: str = "email"
    sender: int = 0
    size: int = 10


@dataclass(frozen=True, slots=True)
class Life:
    """A process: from `start` until it is asked to stop, if it is before the end. Seconds."""

    start: float = 0.0
    stop: float | None = None


@dataclass(frozen=True, slots=True)
class StorySettings:
    """The service's settings and the world's habits. Times in seconds."""

    receivers: int = 2
    batch: int = 10
    wait: int = 20
    poll_interval: float = 30.0
    uploads: int = 8
    deletes: int = 2
    delete_linger: float = 0.2
    visibility_timeout: int = 30
    queue_timeout: float = 4.0
    upload_timeout: float = 5.0
    in_flight_messages: int = 25
    in_flight_bytes: int = 64 * 1024 * 1024
    depth_interval: float = 30.0
    grace: float = 25.0
    quarantine: bool = True
    conditional: bool = True
    max_receive_count: int | None = None
    fifo: bool = False
    queue_in_flight_max: int = 120_000
    deletes_stale: bool = False
    notices_hang_up: bool = True
    latency: float = 0.02  # of a call, on average
    tail: float = 0.0  # share of calls that take up to two seconds
    ranked: bool = False  # a standard queue hands out in any order
    key_time: KeyTime = "first_receive"


@dataclass(frozen=True, slots=True)
class Story:
    """A run. Its faults end at `faults_until` (seconds); then everything must come right."""

    seed: int = 0
    shuffled: bool = True
    faults_until: float = 60.0
    settings: StorySettings = StorySettings()
    lives: tuple[Life, ...] = (Life(),)
    mails: tuple[Mail, ...] = (Mail(),) * 3
    faults: tuple[Fault, ...] = ()
    rescue: Rescue | None = None

    def __str__(self) -> str:
        defaults = asdict(StorySettings())
        knobs = {name: value for name, value in asdict(self.settings).items() if value != defaults[name]}
        kinds = [mail.kind for mail in self.mails]
        order = "any order" if self.shuffled else "first come first served"
        lives = [f"{life.start:g} to {'the end' if life.stop is None else life.stop}" for life in self.lives]
        lines = [
            f"seed {self.seed}, {order}, faults until {self.faults_until:g} s",
            f"settings: {', '.join(f'{name}={value}' for name, value in knobs.items()) or 'defaults'}",
            f"processes: {', '.join(lives)}",
            f"mails: {', '.join(f'{kinds.count(kind)} {kind}' for kind in sorted(set(kinds)))}",
            *(f"  {fault}" for fault in self.faults),
            *([] if self.rescue is None else [f"{self.rescue}"]),
        ]
        return "\n".join(lines)

    def without(self, *indices: int) -> "Story":
        """Without some of its faults."""
        return replace(self, faults=tuple(fault for i, fault in enumerate(self.faults) if i not in indices))


def draw(*key: object) -> float:
    """A number from 0 to 1 that hangs on nothing but its key."""
    digest = blake2b("/".join(map(str, key)).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


def dump(story: Story) -> str:
    """As JSON."""
    return json.dumps(asdict(story), indent=1)


def load(text: str) -> Story:
    """From JSON."""
    value: Mapping[str, Any] = json.loads(text)
    return Story(
        seed=value["seed"],
        shuffled=value["shuffled"],
        faults_until=value["faults_until"],
        settings=StorySettings(**value["settings"]),
        lives=tuple(Life(**life) for life in value["lives"]),
        mails=tuple(Mail(**mail) for mail in value["mails"]),
        faults=tuple(Fault(**{**fault, "kind": Kind(fault["kind"])}) for fault in value["faults"]),
        rescue=_rescue(value["rescue"]) if value.get("rescue") else None,
    )


def _rescue(value: Mapping[str, Any]) -> Rescue:
    return Rescue(
        leftovers=tuple(Leftover(**{**it, "comeback": Comeback(it["comeback"])}) for it in value["leftovers"]),
        runs=tuple(
            CommandRun(
                **{
                    **run,
                    "command": Command(run["command"]),
                    "kills": tuple(run["kills"]),
                    "faults": tuple(RequestFault(**fault) for fault in run["faults"]),
                }
            )
            for run in value["runs"]
        ),
        mended_at=value["mended_at"],
    )
