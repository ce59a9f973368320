"""The bucket's configuration, as far as it may be read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from email_processor.domain.errors import Cause
from email_processor.settings import Settings
from email_processor.tools.check.findings import Finding, blocked, ok, skipped, warning
from email_processor.tools.check.fixes import command
from email_processor.tools.check.inspect.asking import Answer, Fault, Unasked
from email_processor.tools.check.inspect.bucket import BucketFacts, default_encryption


def judge_configuration(bucket: BucketFacts, settings: Settings) -> Iterator[Finding]:
    """Nothing that the service needs to read."""
    yield _unreadable("EP411", bucket.encryption, "s3:GetEncryptionConfiguration") or _encryption(bucket)
    yield _unreadable("EP412", bucket.versioning, "s3:GetBucketVersioning") or _versioning(bucket.versioning)
    yield _unreadable("EP413", bucket.object_lock, "s3:GetBucketObjectLockConfiguration") or _object_lock(bucket)
    yield _unreadable("EP414", bucket.lifecycle, "s3:GetLifecycleConfiguration") or _lifecycle(
        bucket.lifecycle, settings
    )


def _unreadable(code: str, answer: Answer[Mapping[str, Any]], action: str) -> Finding | None:
    if not isinstance(answer, Fault | Unasked):
        return None
    fault = blocked(code, answer, missing="the bucket")
    if isinstance(fault, Finding):
        return fault
    if fault.cause is Cause.DENIED:
        return skipped(code, f"not readable without {action}, which the service does not need")
    return skipped(code, f"not readable ({fault.error})")


def _encryption(bucket: BucketFacts) -> Finding:
    default = default_encryption(bucket)
    if default is None:
        return ok("EP411", "no default of its own")
    return ok("EP411", " ".join(part for part in (default.algorithm, default.key_id) if part))


def _versioning(answer: Answer[Mapping[str, Any]]) -> Finding:
    status = answer.get("Status") if isinstance(answer, Mapping) else None
    return ok("EP412", str(status or "off").lower())


def _object_lock(bucket: BucketFacts) -> Finding:
    if isinstance(bucket.object_lock, Mapping) and not bucket.object_lock:
        return ok("EP413", "off")
    retention = default_retention(bucket)
    if retention is None:
        return ok("EP413", "on, without a default retention")
    return ok("EP413", f"on, {retention} by default: it holds for every email, and for the probe of --write")


def default_retention(bucket: BucketFacts) -> str | None:
    """How long a new object is locked, as in `GOVERNANCE 30 days`; None if it is not, or if that cannot be read."""
    if not isinstance(bucket.object_lock, Mapping):
        return None
    rule = bucket.object_lock.get("ObjectLockConfiguration", {}).get("Rule", {})
    retention = rule.get("DefaultRetention")
    if not retention:
        return None
    days, years = retention.get("Days"), retention.get("Years")
    return f"{retention.get('Mode', '')} {f'{days} days' if days else f'{years} years'}"


@dataclass(frozen=True, slots=True)
class _Expiry:
    """A lifecycle rule that deletes objects whose keys begin with `prefix`."""

    name: str
    prefix: str
    when: str

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> "_Expiry | None":
        expiration = rule.get("Expiration", {})
        when = expiration.get("Days") or expiration.get("Date")
        chosen = rule.get("Filter", {})
        both = chosen.get("And", {})
        if rule.get("Status") != "Enabled" or not when or chosen.get("Tag") or both.get("Tags"):
            return None  # our objects carry no tags
        prefix = rule.get("Prefix") or chosen.get("Prefix") or both.get("Prefix") or ""
        return cls(rule.get("ID", ""), prefix, f"after {when} days" if "Days" in expiration else f"on {when:%Y-%m-%d}")


def _lifecycle(answer: Answer[Mapping[str, Any]], settings: Settings) -> Finding:
    rules = answer.get("Rules", []) if isinstance(answer, Mapping) else []
    ours = f"{settings.s3_key_prefix}/"
    expiries = [expiry for rule in rules if (expiry := _Expiry.of(rule)) is not None]
    hit = next((each for each in expiries if ours.startswith(each.prefix) or each.prefix.startswith(ours)), None)
    if hit is None:
        return ok("EP414", f"nothing under {ours} is deleted by it")
    show = command("aws", "s3api", "get-bucket-lifecycle-configuration", "--bucket", settings.s3_bucket_name)
    return warning(
        "EP414",
        f"the rule {hit.name or 'without a name'} deletes objects under {hit.prefix or 'any prefix'} {hit.when}",
        fix=f"If the archive is to be kept, restrict or remove the rule:\n{show}",
    )
