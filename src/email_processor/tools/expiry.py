"""Lifecycle rules of a bucket that delete what the service has stored."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """A lifecycle rule that deletes objects whose keys begin with `prefix`."""

    name: str
    prefix: str
    when: str

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> "ExpiryRule | None":
        """A rule as S3 says it; None if it deletes nothing of ours."""
        expiration = rule.get("Expiration", {})
        when = expiration.get("Days") or expiration.get("Date")
        chosen = rule.get("Filter", {})
        both = chosen.get("And", {})
        if rule.get("Status") != "Enabled" or not when or chosen.get("Tag") or both.get("Tags"):
            return None  # our objects carry no tags
        prefix = rule.get("Prefix") or chosen.get("Prefix") or both.get("Prefix") or ""
        return cls(rule.get("ID", ""), prefix, f"after {when} days" if "Days" in expiration else f"on {when:%Y-%m-%d}")

    def __str__(self) -> str:
        """Say what it does."""
        return (
            f"the rule {self.name or 'without a name'} deletes objects under {self.prefix or 'any prefix'} {self.when}"
        )


def expiring(rules: Iterable[Mapping[str, Any]], prefix: str) -> Iterator[ExpiryRule]:
    """Those of a bucket's lifecycle rules that delete what is under `prefix`, which ends in a slash, or some of it."""
    found = (ExpiryRule.of(rule) for rule in rules)
    return (each for each in found if each and (prefix.startswith(each.prefix) or each.prefix.startswith(prefix)))
