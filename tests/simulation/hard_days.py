"""Days that were written by hand, because chance would take long to come upon them: one bad thing stops no other."""

from collections.abc import Mapping

from email_processor.domain.errors import Cause
from tests.simulation.story import Fault, Kind, Mail, Story, StorySettings

OUTAGE_SECONDS = 240.0


def _day(mails: tuple[Mail, ...], *faults: Fault, settings: StorySettings) -> Story:
    return Story(faults_until=OUTAGE_SECONDS, settings=settings, mails=mails, faults=faults)


DAYS: Mapping[str, Story] = {
    "some leases cannot be renewed in an outage of S3": _day(
        (Mail(),) * 20,
        Fault(Kind.STUCK, seconds=OUTAGE_SECONDS, operation="CHANGE_VISIBILITY", share=0.3),
        Fault(Kind.SPELL, seconds=OUTAGE_SECONDS, operation="PUT", cause=Cause.SERVER, mode=Kind.REFUSE),
        settings=StorySettings(poll_interval=1.0),
    ),
}
