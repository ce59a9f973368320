"""The faults of an endurance run: what goes wrong, how often, and the storms that come round again and again.

Each cycle is alike, so that what happens late in a run can be compared with what happened early.
"""

import random
from collections import Counter
from dataclasses import dataclass

from tests.support.aws_answers import CallFault

CYCLE_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class RequestFault:
    """One fault. `status` and `code` are those of an error answer; `seconds` is how late a slow one is."""

    kind: CallFault
    status: int = 0
    code: str = ""
    seconds: float = 0.0


_RESET, _HANG, _LOSE, _MUTE = (
    RequestFault(kind) for kind in (CallFault.RESET, CallFault.HANG, CallFault.LOSE, CallFault.MUTE)
)
_SLOW_DOWN = RequestFault(CallFault.REFUSE, 503, "SlowDown")
_S3_ERROR = RequestFault(CallFault.REFUSE, 500, "InternalError")
_S3_AWAY = RequestFault(CallFault.REFUSE, 503, "ServiceUnavailable")
_SQS_ERROR = RequestFault(CallFault.REFUSE, 500, "InternalFailure")
_SQS_AWAY = RequestFault(CallFault.REFUSE, 503, "ServiceUnavailable")
_SQS_THROTTLED = RequestFault(CallFault.REFUSE, 400, "RequestThrottled")

# While they are not paused: how likely each is for one request.
_OF_S3 = (
    (_S3_ERROR, 0.002),
    (_RESET, 0.002),
    (_LOSE, 0.002),
    (_HANG, 0.0001),
    (_MUTE, 0.0001),
    (_SLOW_DOWN, 0.0002),
    (RequestFault(CallFault.DELAY_ANSWER, seconds=0.3), 0.005),
)
_OF_SQS = (
    (_SQS_ERROR, 0.005),
    (_SQS_THROTTLED, 0.003),
    (_RESET, 0.003),
    (_LOSE, 0.003),
    (_HANG, 0.0005),
    (_MUTE, 0.0005),
    (RequestFault(CallFault.DELAY_ANSWER, seconds=0.3), 0.005),
)

# Storms: from which second of a cycle to which, whose requests, how many of them, and how. Those with several kinds of
# trouble take turns, one kind a cycle.
_STORMS = (
    (4.0, 6.0, "s3", 0.5, (_SLOW_DOWN,)),
    (9.0, 26.0, "s3", 1.0, (_S3_AWAY, _RESET, _HANG)),  # long enough that leases of 30 s are renewed
    (36.0, 38.0, "sqs", 1.0, (_SQS_AWAY, _RESET, _HANG)),
    (42.0, 43.0, "s3", 1.0, (_RESET, _S3_ERROR)),
    (42.0, 43.0, "sqs", 1.0, (_RESET, _SQS_ERROR)),
)

ENTRY_FAILS = 0.003
ENTRY_IS_OMITTED = 0.002
DELIVERY_IS_DOUBLE = 0.005
DELETE_IS_FORGOTTEN = 0.001
BODY_IS_DAMAGED = 0.0005


class FaultSchedule:
    """Chance, and the hour, which stands still during a pause. What has gone wrong is counted in `troubles`."""

    def __init__(self, seed: int = 1) -> None:
        """The same seed gives the same chances, in the order in which they are asked for."""
        self._random = random.Random(seed).random  # noqa: S311 - nothing secret
        self._began_at = 0.0
        self._lasted = 0.0
        self.is_paused = True
        self.troubles: Counter[str] = Counter()

    def start(self, now: float) -> None:
        """Go on with the cycles (monotonic seconds)."""
        self._began_at = now - self._lasted
        self.is_paused = False

    def pause(self, now: float) -> None:
        """Let nothing more go wrong."""
        if not self.is_paused:
            self._lasted = now - self._began_at
            self.is_paused = True

    def strikes(self, service: str, now: float) -> RequestFault | None:
        """What goes wrong with a request to `s3` or `sqs` that comes `now`; None if nothing does."""
        if self.is_paused:
            return None
        trouble = self._storm(service, now) or self._chance(service)
        if trouble is not None:
            self.troubles[f"{service} {trouble.code or trouble.kind.value}"] += 1
        return trouble

    def spares_entry(self) -> bool | None:
        """Of an entry in a batch: True if it is carried out, False if it fails, None if the answer omits it."""
        chance = 1.0 if self.is_paused else self._random()
        if chance < ENTRY_IS_OMITTED:
            self.troubles["entry omitted"] += 1
            return None
        if chance < ENTRY_IS_OMITTED + ENTRY_FAILS:
            self.troubles["entry failed"] += 1
            return False
        return True

    def delivers_twice(self) -> bool:
        """Whether a message that is handed out stays visible."""
        return self._happens("second delivery", DELIVERY_IS_DOUBLE)

    def forgets_delete(self) -> bool:
        """Whether a delete is answered with success and not done."""
        return self._happens("delete forgotten", DELETE_IS_FORGOTTEN)

    def damages_body(self) -> bool:
        """Whether a body does not match its MD5."""
        return self._happens("body damaged", BODY_IS_DAMAGED)

    def _happens(self, what: str, chance: float) -> bool:
        happens = not self.is_paused and self._random() < chance
        self.troubles[what] += happens
        return happens

    def _storm(self, service: str, now: float) -> RequestFault | None:
        cycle, second = divmod(now - self._began_at, CYCLE_SECONDS)
        for first, last, whose, share, kinds in _STORMS:
            if whose == service and first <= second < last and self._random() < share:
                return kinds[int(cycle) % len(kinds)]
        return None

    def _chance(self, service: str) -> RequestFault | None:
        chance = self._random()
        for trouble, share in _OF_S3 if service == "s3" else _OF_SQS:
            chance -= share
            if chance < 0:
                return trouble
        return None
