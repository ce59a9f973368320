"""Days that were written by hand, because chance would take long to come upon them: one bad thing stops no other."""

from collections.abc import Mapping

from email_processor.domain.errors import Cause
from tests.simulation.story import Fault, Kind, Mail, Story, StorySettings

OUTAGE_SECONDS = 240.0
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

DAYS: Mapping[str, Story] = {
    "some leases cannot be renewed in an outage of S3": _day(
        _mails(20),
        Fault(Kind.STUCK, seconds=OUTAGE_SECONDS, operation="CHANGE_VISIBILITY", share=0.3),
        Fault(Kind.SPELL, seconds=OUTAGE_SECONDS, operation="PUT", cause=Cause.SERVER, mode=Kind.REFUSE),
        settings=StorySettings(poll_interval=1.0),
    ),
    "a payload bucket is denied": _day(_OFFLOADED, _outage("FETCH", cause=Cause.DENIED, where="payloads/")),
    "a payload bucket answers with errors": _day(_OFFLOADED, _outage("FETCH", where="payloads/")),
    "a payload bucket does not answer": _day(_OFFLOADED, _outage("FETCH", Kind.HANG, where="payloads/")),
}
