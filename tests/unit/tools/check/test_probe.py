"""Findings of `--write`."""

from dataclasses import replace

import pytest

from email_processor.domain.errors import Cause
from email_processor.ports import Stored
from email_processor.tools.check.inspect.asking import Fault, Unasked
from email_processor.tools.check.inspect.write import PROBE, Written
from tests.unit.tools.check.known import BUCKET, DENIED, LATE, TIMEOUT, bucket, facts, found, settings, told

KEY = "quarantine/check/probe-none.json"
WHERE = f"s3://archive/{KEY}"
WRITTEN = Written(KEY, Stored.CREATED, Stored.ALREADY_THERE, PROBE)
NO = Unasked("a PUT that succeeds")
LOCKED = {
    "ObjectLockConfiguration": {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}},
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (WRITTEN, ("ok", f"{WHERE}: stored, and read back; it stays there")),
        (
            replace(WRITTEN, encryption="aws:kms arn:key"),
            ("ok", f"{WHERE}: stored, and read back, encrypted with aws:kms arn:key; it stays there"),
        ),
        (
            replace(WRITTEN, first=Stored.ALREADY_THERE),
            ("ok", f"{WHERE}: was there already, from an earlier check, and read back; it stays there"),
        ),
        (replace(WRITTEN, back=DENIED), ("ok", f"{WHERE}: stored; to read it back is denied; it stays there")),
        (replace(WRITTEN, back=TIMEOUT), ("failed", f"{WHERE}: stored, but not read back")),
        (replace(WRITTEN, back=b"{}"), ("failed", f"{WHERE} holds something else")),
        (Written(KEY, TIMEOUT, NO, NO), ("failed", "not stored")),
        (Written(KEY, LATE, NO, NO), ("skipped", "needs the right time on this host")),
    ],
)
def test_write_probe(written: Written, expected: tuple[str, str]) -> None:
    """What became of the probe object."""
    assert expected == told("EP408", bucket(written=written))


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (Stored.ALREADY_THERE, ("ok", "the second PUT left the first alone")),
        (Stored.CREATED, ("warning", "this store ignores If-None-Match: the second PUT overwrote the first")),
        (TIMEOUT, ("failed", "the second PUT failed")),
        (NO, ("skipped", "needs a PUT that succeeds")),
    ],
)
def test_conditional_writes(again: Stored | Fault | Unasked, expected: tuple[str, str]) -> None:
    """A store that takes the second PUT would overwrite emails with their duplicates."""
    assert expected == told("EP409", bucket(written=replace(WRITTEN, again=again)))


def test_conditional_writes_are_off() -> None:
    """Who has switched them off knows."""
    known = facts(
        settings=settings(s3_conditional_writes=False),
        bucket=replace(BUCKET, written=replace(WRITTEN, again=Stored.CREATED)),
    )

    assert ("skipped", "not used: S3_CONDITIONAL_WRITES is false") == told("EP409", known)


def test_denied() -> None:
    """A denied PUT is one failure if the harmless question found it as well, else its own."""
    written = Written(KEY, DENIED, NO, NO)

    assert ("skipped", "needs s3:PutObject") == told("EP408", bucket(written=written, may_quarantine=DENIED))
    assert ("failed", "not stored") == told("EP408", bucket(written=written))


def test_denied_with_a_key() -> None:
    """With KMS, a denied PUT may be about the key."""
    known = facts(settings=settings(s3_sse="aws:kms"), bucket=replace(BUCKET, written=Written(KEY, DENIED, NO, NO)))

    assert "kms:GenerateDataKey" in found("EP408", known).fix


def test_store_without_conditional_writes() -> None:
    """A store that says it lacks them has a setting for it."""
    fault = Fault(Cause.SERVER, "PutObject s3://archive/k: 501 NotImplemented", "")

    assert "S3_CONDITIONAL_WRITES=false" in found("EP408", bucket(written=Written(KEY, fault, NO, NO))).fix


def test_bucket_with_default_retention() -> None:
    """A PUT that a locked bucket refuses is explained."""
    fault = Fault(Cause.CONFIGURATION, "PutObject s3://archive/k: 400 InvalidRequest", "Check.")
    known = bucket(written=Written(KEY, fault, NO, NO), object_lock=LOCKED)

    assert "checksum" in found("EP408", known).fix
