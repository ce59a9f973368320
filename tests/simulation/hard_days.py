"""Days that were written by hand, because chance would take long to come upon them: one bad thing stops no other."""

from collections.abc import Mapping
from dataclasses import replace

from email_processor.domain.errors import Cause
from tests.simulation.rescue import Command, CommandRun, Leftover, Rescue
from tests.simulation.story import Fault, Kind, Life, Mail, Story, StorySettings

OUTAGE_SECONDS = 240.0
DEAD = Leftover(quarantine=False, dead=True)
KILLED_HOLDING = 50  # a step of an archiving of dead letters at which it has some in flight
BUSY = StorySettings(poll_interval=1.0, in_flight_messages=60)
QUICK = StorySettings(poll_interval=1.0, max_receive_count=5)


def _outage(operation: str, mode: Kind = Kind.REFUSE, cause: Cause = Cause.SERVER, where: str = "") -> Fault:
    """Nothing of this works, from the start and for a long time."""
    return Fault(
        Kind.OUTAGE, seconds=OUTAGE_SECONDS, operation=operation, cause=cause.value, mode=mode.value, where=where
    )


def _mails(count: int, kind: str = "email", *, every: float = 0.0, first: float = 0.0) -> tuple[Mail, ...]:
    """So many of a kind, sent at once or one after the other (seconds)."""
    return tuple(Mail(at=first + n * every, kind=kind) for n in range(count))


def _day(mails: tuple[Mail, ...], *faults: Fault, settings: StorySettings = QUICK) -> Story:
    return Story(faults_until=OUTAGE_SECONDS, settings=settings, mails=mails, faults=faults)


# Pointers into a bucket that cannot be read, plain emails beside them, and pointers into one that can.
_OFFLOADED = (*_mails(40, "offloaded"), *_mails(40, every=1.0), *_mails(5, "offloaded elsewhere"))

_REPLACEMENTS = tuple(Fault(Kind.REPLACE, at=18.0 * n) for n in range(1, 13))
_A_LITTLE = _mails(12, every=30.0, first=20.0)


def _busy(kind: str, one_in: int) -> tuple[Mail, ...]:
    """Two hundred mails in twenty seconds, one in so many of another kind."""
    return tuple(Mail(at=0.1 * n, kind="email" if n % one_in else kind) for n in range(1, 201))


DAYS: Mapping[str, Story] = {
    "some leases cannot be renewed in an outage of S3": _day(
        (Mail(), *_mails(20, first=10.0)),  # the first is stored: else the others would not be received
        Fault(Kind.STUCK, seconds=OUTAGE_SECONDS, operation="CHANGE_VISIBILITY", share=0.3),
        Fault(Kind.SPELL, at=10.0, seconds=OUTAGE_SECONDS, operation="PUT", mode=Kind.HANG),
        settings=StorySettings(poll_interval=1.0),
    ),
    "a payload bucket is denied, and not all can be hidden": _day(
        (*_mails(80, "offloaded"), *_mails(40, every=1.0)),
        _outage("FETCH", cause=Cause.DENIED, where="payloads/"),
        Fault(Kind.STUCK, seconds=OUTAGE_SECONDS, operation="CHANGE_VISIBILITY", share=0.1),
        settings=StorySettings(poll_interval=1.0),  # what cannot be hidden comes again and again
    ),
    "a payload bucket is denied": _day(_OFFLOADED, _outage("FETCH", cause=Cause.DENIED, where="payloads/")),
    "a payload bucket answers with errors": _day(_OFFLOADED, _outage("FETCH", where="payloads/")),
    "a payload bucket does not answer": _day(_OFFLOADED, _outage("FETCH", Kind.HANG, where="payloads/")),
    "replacements while nothing can be stored": _day(_mails(40), _outage("PUT"), *_REPLACEMENTS),
    "replacements while S3 does not answer": _day(_mails(40), _outage("s3", Kind.HANG), *_REPLACEMENTS),
    "replacements while the queue is down": _day(_mails(40), _outage("sqs"), *_REPLACEMENTS),
    "one refused object on a quiet queue": _day((Mail(kind="key failing"), *_A_LITTLE)),
    "one denied object on a quiet queue without a redrive policy": _day(
        (Mail(kind="key denied"), *_A_LITTLE), settings=StorySettings(poll_interval=1.0)
    ),
    "one object in fifty is refused": _day(_busy("key denied", 50), settings=BUSY),
    "an answer is overtaken by that of a later receive": Story(
        seed=1500948351,  # it draws how long each answer takes
        shuffled=False,
        faults_until=60.0,
        settings=StorySettings(tail=0.2, key_time="sent"),
        lives=(Life(), Life(0.0, 52.85)),
        mails=_mails(19),
        faults=(Fault(Kind.COPY, at=1.28, nth=18),),
    ),
    "operators archive what was left": Story(
        shuffled=False,
        faults_until=60.0,
        settings=replace(QUICK, delete_linger=0.0),
        rescue=Rescue(
            leftovers=(*(Leftover(at=9.0, is_stored=n < 2) for n in range(4)), Leftover(is_taken=True), *(DEAD,) * 6),
            runs=(
                CommandRun(Command.RELEASE, at=1.0),
                CommandRun(Command.DEAD_ARCHIVE, at=1.0, kills=(KILLED_HOLDING,), again=60.0),
                CommandRun(Command.DEAD_ARCHIVE, at=1.2),
            ),
        ),
    ),
}
