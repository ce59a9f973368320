"""How every part is: what `/healthz` and `/readyz` answer, and the one log line when a part fails or heals."""

import logging
from collections.abc import Iterable, Iterator
from enum import StrEnum
from math import inf
from typing import Protocol

from email_processor.domain.errors import Cause, ServiceFaultError
from email_processor.ports import Clock, Report

log = logging.getLogger(__name__)

PASSING_FAULTS_BEFORE_RED = 3  # a reset connection or two happens every day
REMINDER_SECONDS = 300.0
SETTLING_SECONDS = 5.0  # at the edge of an outage good and bad answers mix: one line is enough


class Part(StrEnum):
    """What the service does, part by part."""

    RECEIVING = "receiving"
    STORING = "storing"
    FETCHING = "fetching"
    DELETING = "deleting"
    RENEWING = "renewing"
    MEASURING = "measuring"


READINESS = (Part.RECEIVING, Part.STORING, Part.DELETING, Part.RENEWING)
# Shown beside them, and no part of the verdict: a bucket of offloaded bodies that fails is one sender's, and the emails
# of all others are stored. A pod that is not ready for it would hold up a rollout, perhaps the one that mends it.
SHOWN = (*READINESS, Part.FETCHING)


def _can_do_without(part: Part, fault: ServiceFaultError) -> bool:
    """Whether work goes on as well: without the queue's figures, and without permission to renew leases."""
    return part is Part.MEASURING or (part is Part.RENEWING and fault.cause is Cause.DENIED)


class Work(Protocol):
    """What is under way for a part, since when (monotonic, in seconds)."""

    part: Part
    since: float


class _Condition:
    """One part's state: the fault it is in, since when, how often, and what was said of it."""

    def __init__(self) -> None:
        self.proven = False
        self.fault: ServiceFaultError | None = None
        self.faults = 0
        self.since = 0.0
        self.is_said = False
        self.said_at = float("-inf")
        self.said_cause: Cause | None = None

    def is_red(self) -> bool:
        if self.fault is None:
            return False
        return self.fault.cause.needs_a_person or self.faults >= PASSING_FAULTS_BEFORE_RED

    def is_news(self, cause: Cause, now: float) -> bool:
        """Whether a fault is worth a line: another one than was said last, or the same once more after a while."""
        since_said = now - self.said_at
        return cause is not self.said_cause or since_said >= (REMINDER_SECONDS if self.is_said else SETTLING_SECONDS)


class Health:
    """Gathers faults and successes from every stage, and looks at what is under way."""

    def __init__(self, clock: Clock, patience: float) -> None:
        """No single operation may take longer than `patience` seconds: each has its own, shorter, deadline."""
        self._now = clock.monotonic
        self._patience = patience
        self._conditions = {part: _Condition() for part in Part}
        self._work: Iterable[Work] = ()
        self._is_draining = False
        self._is_circuit_open = False

    @property
    def is_draining(self) -> bool:
        """Whether the process is on its way out."""
        return self._is_draining

    @property
    def is_circuit_open(self) -> bool:
        """Whether S3 is held to be down."""
        return self._is_circuit_open

    def drain(self) -> None:
        """The process is on its way out: it is not ready any more."""
        self._is_draining = True

    def circuit(self, *, is_open: bool) -> None:
        """The circuit was opened or closed: while it is open, the process is not ready."""
        self._is_circuit_open = is_open

    def well(self, part: Part) -> None:
        """An operation of this part succeeded."""
        condition = self._conditions[part]
        condition.proven = True
        if condition.fault is None and not condition.is_said:
            return
        if condition.is_said:
            condition.is_said = False
            log.info(
                "recovered",
                extra={
                    "part": part.value,
                    "faults": condition.faults,
                    "seconds": round(self._now() - condition.since, 1),
                },
            )
        condition.fault = None
        condition.faults = 0

    def idle(self, part: Part) -> None:
        """Nothing is left to do for this part: whether its fault is still there, the next to try will tell."""
        condition = self._conditions[part]
        condition.fault = None
        condition.faults = 0

    def failed(self, part: Part, fault: ServiceFaultError) -> None:
        """An operation of this part failed. Said once per cause, when it turns red, and again every five minutes."""
        condition = self._conditions[part]
        if condition.fault is None:
            condition.since = self._now()
        condition.fault = fault.anew()
        condition.faults += 1
        if not condition.is_red():
            log.debug("fault", extra={"part": part.value, "cause": fault.cause.value, "error": str(fault)})
        elif condition.is_news(fault.cause, self._now()):
            condition.is_said = True
            condition.said_at = self._now()
            condition.said_cause = fault.cause
            log.log(
                logging.WARNING if _can_do_without(part, fault) else logging.ERROR,
                "failing",
                extra={
                    "part": part.value,
                    "cause": fault.cause.value,
                    "error": fault.detail,
                    "fix": fault.fix,
                    "faults": condition.faults,
                    "seconds": round(self._now() - condition.since, 1),
                },
            )

    def watch(self, work: Iterable[Work]) -> None:
        """Look at what is under way; what outlives its patience turns `/healthz` red."""
        self._work = work

    def alive(self) -> Report:
        """Whether every part made progress lately. A part that waits for work, or for S3 to come back, is alive."""
        parts: dict[str, object] = {}
        ok, now = True, self._now()
        for part in Part:
            since = [work.since for work in self._work if work.part is part]
            oldest = max(0.0, now - min(since, default=inf))
            stuck = oldest > self._patience
            ok = ok and not stuck
            parts[part.value] = {
                "status": "stuck" if stuck else "working" if since else "idle",
                "under_way": len(since),
                "oldest_seconds": round(oldest, 1),
            }
        return Report(ok, parts)

    def is_well(self, part: Part) -> bool:
        """Whether this part was seen to work, and nothing has failed since."""
        condition = self._conditions[part]
        return condition.proven and condition.fault is None

    def failing(self) -> Iterator[tuple[ServiceFaultError, float]]:
        """The faults that `/readyz` shows and that hold work up, and for how many seconds they have been there."""
        for part in SHOWN:
            condition = self._conditions[part]
            fault = condition.fault
            if fault is not None and condition.is_red() and not _can_do_without(part, fault):
                yield fault, self._now() - condition.since

    def ready(self) -> Report:
        """Whether receiving, storing, deleting and renewing work and we are not on our way out."""
        parts: dict[str, object] = {
            "draining": self._is_draining,
            "circuit": "open" if self._is_circuit_open else "closed",
        }
        ok = not self._is_draining and not self._is_circuit_open
        for part in SHOWN:
            condition = self._conditions[part]
            fault = condition.fault
            if fault is not None and condition.is_red():
                parts[part.value] = {"status": "failing", "cause": fault.cause.value, "fix": fault.fix}
                ok = ok and (part not in READINESS or _can_do_without(part, fault))
            elif not self._has_started(part):
                parts[part.value] = {"status": "starting"}
                ok = False
            else:
                parts[part.value] = {"status": "ok"}
        return Report(ok, parts)

    def _has_started(self, part: Part) -> bool:
        """Whether a part that begins with the process was seen to work.

        The first long poll may take twenty seconds, but the queue's own figures are there at once; and the store is
        looked at before anything is received.
        """
        if part is Part.RECEIVING:
            return self._conditions[part].proven or self._conditions[Part.MEASURING].proven
        return part is not Part.STORING or self._conditions[part].proven
