"""The part of a story in which an operator archives what was left: in quarantine, and on the dead-letter queue."""

from dataclasses import dataclass
from enum import StrEnum

DAY_SECONDS = 86_400
OLDER = "an older service"  # who has left the messages
LEFT = "left"  # the ids of these begin with it


class Command(StrEnum):
    """What an operator runs."""

    RELEASE = "quarantine release"
    DEAD_ARCHIVE = "dead archive"


class Comeback(StrEnum):
    """How a message that was left comes again."""

    FROM_THE_QUEUE = "the queue hands it out once more"
    INTO_QUARANTINE = "a replica of the older service puts it into quarantine once more"


@dataclass(frozen=True, slots=True)
class Leftover:
    """An email that an older service did not archive, since `at`. Times in seconds.

    It could not read it and put it into `quarantine`, or it could not store it until it was a `dead` letter, or both.
    `is_stored` says that its object is there all the same, and `is_taken` that under its key there is something else.
    It comes `again` at a time, if there is one.
    """

    at: float = 0.0
    kind: str = "email"
    sender: int = 0
    days_ago: int = 0
    quarantine: bool = True
    dead: bool = False
    is_stored: bool = False
    is_taken: bool = False
    again: float | None = None
    comeback: Comeback = Comeback.FROM_THE_QUEUE


@dataclass(frozen=True, slots=True)
class RequestFault:
    """What becomes of the request number `nth` of a run, or of a `share` of its requests. Times in seconds.

    It is answered `seconds` later with `cause`, and has taken effect if it `is_done`.
    """

    cause: str
    nth: int = 0
    share: float = 0.0
    seconds: float = 0.0
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class CommandRun:
    """An operator's run of a command, at `at`; `again` seconds after it was killed or has failed it is begun again.

    The first is killed before its step number `kills[0]`, the next one before `kills[1]`, and so on. A release takes
    what is of the last `days` (0: of any day) and has the `reason` (if any), and may `keep` it in quarantine. A listing
    has `page_size` objects.
    """

    command: Command
    at: float = 0.0
    again: float = 1.0
    kills: tuple[int, ...] = ()
    faults: tuple[RequestFault, ...] = ()
    days: int = 0
    reason: str = ""
    keep: bool = False
    page_size: int = 1000


@dataclass(frozen=True, slots=True)
class Rescue:
    """What was left, and who archives it.

    What S3 refuses it takes from `mended_at` on (seconds); if that is None, when all else is over.
    """

    leftovers: tuple[Leftover, ...] = ()
    runs: tuple[CommandRun, ...] = ()
    mended_at: float | None = None

    def __str__(self) -> str:
        mended = "the end" if self.mended_at is None else f"{self.mended_at:g} s"
        lines = [f"left, and what S3 refuses is mended at {mended}:", *(f"  {it}" for it in self.leftovers)]
        return "\n".join([*lines, *(f"  {it}" for it in self.runs)])
