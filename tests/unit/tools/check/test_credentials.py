"""Findings about credentials and the clock."""

from dataclasses import replace

import pytest

from email_processor.domain.errors import Cause
from email_processor.tools.check.inspect.asking import Failure, Unasked
from email_processor.tools.check.inspect.sts_and_kms import IdentityFacts, KeyFacts
from tests.unit.tools.check.known import (
    BUCKET,
    DENIED,
    IDENTITY,
    LATE,
    REFUSED,
    TIMEOUT,
    bucket,
    facts,
    found,
    queue,
    told,
)


@pytest.mark.parametrize(
    ("provider", "evidence"),
    [
        ("assume-role-with-web-identity", "from a web identity token (IRSA)"),
        ("container-role", "from the container's role (EKS Pod Identity or ECS)"),
        ("env", "from the environment (AWS_ACCESS_KEY_ID)"),
        ("something-new", "from something-new"),
    ],
)
def test_provider(provider: str, evidence: str) -> None:
    """Where the credentials come from is told in words that operators use."""
    assert f"ok: {evidence}" == told("EP202", facts(provider=provider))


def test_no_credentials() -> None:
    """Without credentials the identity is not known, and neither is anything that has to be signed."""
    none = Failure(Cause.CREDENTIALS, "NoCredentialsError: none", "Give some.")
    known = facts(provider=none, who=Unasked("credentials"))
    assert "failed: none that can be used" == told("EP202", known)
    assert "skipped: needs credentials" == told("EP203", known)
    assert ("NoCredentialsError: none", "Give some.") == (found("EP202", known).error, found("EP202", known).fix)


def test_identity() -> None:
    """The role is the evidence."""
    assert f"ok: {IDENTITY.arn}" == told("EP203", facts())


@pytest.mark.parametrize("fault", [DENIED, TIMEOUT])
def test_sts_is_not_needed(fault: Failure) -> None:
    """An STS that denies or cannot be reached is no failure: the service never asks it."""
    known = facts(who=IdentityFacts(fault))
    assert "skipped: STS does not say; the service does not need it to" == told("EP203", known)
    assert fault.error == found("EP203", known).error


def test_credentials_that_are_refused() -> None:
    """Credentials that AWS refuses are one failure, whoever refuses them; what hangs on them is skipped."""
    known = queue(attributes=REFUSED, delete=REFUSED, change_visibility=REFUSED)
    assert "failed: AWS does not accept these credentials" == told("EP203", known)
    elsewhere = facts(bucket=replace(BUCKET, endpoint="http://user:secret@minio:9000", may_list=REFUSED))
    assert "failed: the server at http://minio:9000 does not accept these credentials" == told("EP203", elsewhere)
    no = Unasked("a valid AWS_CLIENT")
    nobody = facts(who=IdentityFacts(REFUSED), queue=no, bucket=no)
    assert "failed: STS does not accept these credentials" == told("EP203", nobody)
    assert REFUSED.error == found("EP203", known).error
    needs = "skipped: needs credentials that AWS accepts"
    assert [needs] * 6 == [told(code, known) for code in ("EP303", "EP304", "EP306", "EP307", "EP311", "EP503")]


def test_credentials_that_only_sts_or_kms_refuses() -> None:
    """What SQS or S3 accepts is good for the service, which asks nobody else."""
    why = "STS does not accept these credentials, but SQS or S3 does, and the service needs no other"
    no = Unasked("a valid AWS_CLIENT")
    for accepted in (facts(queue=no), facts(bucket=no)):
        known = replace(accepted, who=IdentityFacts(REFUSED))
        assert f"skipped: {why}" == told("EP203", known)
        assert REFUSED.error == found("EP203", known).error
    assert f"ok: {IDENTITY.arn}" == told("EP203", facts(key=KeyFacts("mail", REFUSED, REFUSED)))


def test_credentials_that_are_refused_where_sts_is_not_asked() -> None:
    """Their refusal is told, whoever is asked besides."""
    known = replace(queue(delete=REFUSED), who=Unasked("a queue or a bucket at AWS, or AWS_ENDPOINT_URL_STS"))
    assert "failed: AWS does not accept these credentials" == told("EP203", known)


def test_clock_and_identity() -> None:
    """Where STS refuses because of the clock, the clock is what failed."""
    known = facts(who=IdentityFacts(LATE))
    assert "skipped: needs the right time on this host" == told("EP203", known)


def test_configuration_that_cannot_be_used() -> None:
    """A profile that does not exist is the one failure, and all else is skipped."""
    no = Unasked("a usable AWS configuration")
    fault = Failure(Cause.CREDENTIALS, "ProfileNotFound: nope", "")
    known = facts(configuration=fault, provider=no, who=no, queue=no, bucket=no, key=no)
    assert "failed: cannot be used" == told("EP201", known)
    assert "ProfileNotFound: nope" == found("EP201", known).error
    for code in ("EP202", "EP203", "EP301", "EP401", "EP501", "EP502", "EP503"):
        assert "skipped: needs a usable AWS configuration" == told(code, known)


def test_no_region() -> None:
    """Without a region there is nowhere to ask, not even for the time."""
    no = Unasked("a valid AWS_REGION")
    known = facts(configuration=no, provider=no, who=no, queue=no, bucket=no, key=no)
    for code in ("EP201", "EP202", "EP203", "EP301", "EP414", "EP501", "EP601"):
        assert "skipped: needs a valid AWS_REGION" == told(code, known)


@pytest.mark.parametrize(
    ("skew", "expected"),
    [
        (0.9, "ok: none to speak of"),
        (-30.2, "ok: 30 s behind"),
        (60.0, "ok: 60 s ahead"),
        (61.0, "warning: 61 s ahead"),
        (-600.0, "warning: 600 s behind"),
    ],
)
def test_difference(skew: float, expected: str) -> None:
    """More than a minute is a warning, in either direction."""
    no = queue(skew=None).queue
    known = facts(who=IdentityFacts(IDENTITY, skew), queue=no, bucket=bucket(skew=None).bucket)
    assert expected == told("EP601", known)


def test_best_of_all_answers() -> None:
    """An answer that was long on its way does not make the clock wrong."""
    assert "ok: none to speak of" == told("EP601", facts(who=IdentityFacts(IDENTITY, 90.0)))


def test_refused_for_the_time() -> None:
    """Requests that were refused for their time make it a failure, in AWS's words."""
    known = queue(attributes=LATE, delete=LATE, change_visibility=LATE, skew=400.0)
    known = facts(queue=known.queue, who=IdentityFacts(LATE, 400.0), bucket=bucket(skew=400.0).bucket)
    assert "failed: 400 s ahead" == told("EP601", known)
    assert LATE.error == found("EP601", known).error
    assert "skipped: needs the right time on this host" == told("EP304", known)


def test_nobody_says_the_time() -> None:
    """Without any answer the clock is not known."""
    known = facts(who=IdentityFacts(IDENTITY), queue=queue(skew=None).queue, bucket=bucket(skew=None).bucket)
    assert "skipped: needs an answer of AWS" == told("EP601", known)
