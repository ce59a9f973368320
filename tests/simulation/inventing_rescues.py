"""What an operator finds and does in the story of a seed, drawn from a random source of its own."""

from random import Random

from email_processor.domain.errors import Cause, Reason
from tests.simulation.rescue import Comeback, Command, CommandRun, Leftover, RequestFault, Rescue

LATEST_SECONDS = 60.0  # when something is left, or a command is run
STEPS_OF_A_REQUEST = 16  # about so many steps a message takes a release
STEPS_OF_A_DRAIN = 160  # about so many steps an archiving of dead letters takes
KINDS = ("email", "email", "email", "envelope", "offloaded")
REASONS = ("", "", "", Reason.MISSING_FIELD.value, Reason.PAYLOAD_MISSING.value, Reason.UNDELIVERABLE.value)
PASSING = (Cause.THROTTLED, Cause.THROTTLED, Cause.SERVER, Cause.NETWORK, Cause.TIMEOUT)
SILENCE_SECONDS = 15.0  # after which a request that nobody answers is given up


def invent_rescue(chance: Random, faults_until: float, *, is_fifo: bool) -> Rescue:
    """Draw one."""
    latest = min(faults_until, LATEST_SECONDS)
    leftovers = tuple(_leftover(chance, latest, is_fifo=is_fifo) for _ in range(chance.choice((1, 2, 3, 5, 8))))
    runs: list[CommandRun] = []
    for _ in range(chance.randint(1, 2)):
        for command in Command:
            if chance.random() < (0.8 if command is Command.RELEASE else 0.7):
                run = _run(chance, command, latest, len(leftovers))
                runs.append(run)
                if chance.random() < 0.3:  # another operator does the same at the same time
                    at = round(run.at + chance.choice((0.0, 0.02, 0.5)), 2)
                    runs.append(_run(chance, command, latest, len(leftovers), at))
    mended_at = round(chance.uniform(0, latest), 1) if chance.random() < 0.4 else None
    return Rescue(leftovers, tuple(runs), mended_at)


def _leftover(chance: Random, latest: float, *, is_fifo: bool) -> Leftover:
    at = 0.0 if chance.random() < 0.5 else round(chance.uniform(0, latest), 1)
    quarantine, dead = chance.choice(((True, False), (True, False), (False, True), (True, True)))
    fate = chance.random()
    comes_again = chance.random() < 0.3 and not (is_fifo or dead)
    return Leftover(
        at,
        chance.choice(KINDS),
        chance.randrange(5),
        chance.choice((0, 0, 1, 2)),
        quarantine,
        dead,
        is_stored=fate < 0.2,
        is_taken=fate > 0.9 and not (comes_again or dead),
        again=round(at + chance.uniform(0, latest - at), 2) if comes_again else None,
        comeback=chance.choice(tuple(Comeback)),
    )


def _run(chance: Random, command: Command, latest: float, count: int, at: float | None = None) -> CommandRun:
    is_release = command is Command.RELEASE
    most = STEPS_OF_A_REQUEST * (count + 2) if is_release else STEPS_OF_A_DRAIN
    kills = [round(most ** chance.uniform(0.2 if is_release else 0.6, 1.0)) for _ in range(chance.choice((0, 1, 1, 2)))]
    return CommandRun(
        command,
        round(chance.uniform(0, latest), 2) if at is None else at,
        chance.choice((0.1, 1.0, 5.0)),
        tuple(kills),
        tuple(_fault(chance) for _ in range(chance.choice((0, 1, 1, 2)))),
        days=chance.choice((0, 0, 1, 2)),
        reason=chance.choice(REASONS),
        keep=chance.random() < 0.1,
        page_size=chance.choice((1000, 2)),
    )


def _fault(chance: Random) -> RequestFault:
    cause = chance.choice(PASSING)
    seconds = SILENCE_SECONDS if cause is Cause.TIMEOUT else chance.choice((0.0, 0.05))
    is_done = chance.random() < 0.5 and cause is not Cause.THROTTLED
    if chance.random() < 0.3:
        return RequestFault(cause, share=chance.choice((0.1, 0.5)), seconds=seconds, is_done=is_done)
    cause = chance.choice((cause, cause, Cause.DENIED))
    is_done = is_done and cause is not Cause.DENIED
    return RequestFault(cause, nth=chance.randint(1, 12), seconds=seconds, is_done=is_done)
