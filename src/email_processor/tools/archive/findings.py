"""What an audit has found: each with its kind, the key or id that it is about, and what is wrong with it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MOST_NAMED = 1000  # of each kind: all are counted, so many are named


class Flaw(StrEnum):
    """A kind of finding. The values stand in the report for machines."""

    TWO_KEYS = "two_keys"  # of one message id
    CONTRADICTION = "contradiction"  # between a key and its content
    STRANGER = "stranger"  # an object that the service did not make
    WRONG_SUFFIX = "wrong_suffix"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    QUARANTINED_AND_ARCHIVED = "quarantined_and_archived"
    MISSING = "missing"  # an id of the producer's list that is nowhere
    GAP = "gap"  # fewer than the producer counted
    EXPIRES = "expires"  # a lifecycle rule deletes it


@dataclass(slots=True)
class AuditFindings:
    """All that was found, in bounded memory."""

    counts: Counter[Flaw] = field(default_factory=Counter)
    named: list[Mapping[str, str]] = field(default_factory=list)

    def add(self, flaw: Flaw, what: str, detail: str = "") -> None:
        """Count a finding, and keep what it is about if there are not too many of its kind."""
        self.counts[flaw] += 1
        if self.counts[flaw] <= MOST_NAMED:
            self.named.append({"kind": flaw.value, "what": what, "detail": detail})
