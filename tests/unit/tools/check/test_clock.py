"""Findings about the clock."""

import pytest

from email_processor.tools.check.inspect.identity import IdentityFacts
from tests.unit.tools.check.known import IDENTITY, LATE, bucket, facts, found, queue, told


@pytest.mark.parametrize(
    ("skew", "expected"),
    [
        (0.9, ("ok", "none to speak of")),
        (-30.2, ("ok", "30 s behind")),
        (60.0, ("ok", "60 s ahead")),
        (61.0, ("warning", "61 s ahead")),
        (-600.0, ("warning", "600 s behind")),
    ],
)
def test_difference(skew: float, expected: tuple[str, str]) -> None:
    """More than a minute is a warning, in either direction."""
    no = queue(skew=None).queue
    known = facts(who=IdentityFacts(IDENTITY, skew), queue=no, bucket=bucket(skew=None).bucket)

    assert expected == told("EP601", known)


def test_best_of_all_answers() -> None:
    """An answer that was long on its way does not make the clock wrong."""
    assert ("ok", "none to speak of") == told("EP601", facts(who=IdentityFacts(IDENTITY, 90.0)))


def test_refused_for_the_time() -> None:
    """Requests that were refused for their time make it a failure, in AWS's words."""
    known = queue(attributes=LATE, delete=LATE, change_visibility=LATE, skew=400.0)
    known = facts(queue=known.queue, who=IdentityFacts(LATE, 400.0), bucket=bucket(skew=400.0).bucket)

    assert ("failed", "400 s ahead") == told("EP601", known)
    assert LATE.error == found("EP601", known).error
    assert ("skipped", "needs the right time on this host") == told("EP304", known)


def test_nobody_says_the_time() -> None:
    """Without any answer the clock is not known."""
    known = facts(who=IdentityFacts(IDENTITY), queue=queue(skew=None).queue, bucket=bucket(skew=None).bucket)

    assert ("skipped", "needs an answer of AWS") == told("EP601", known)
