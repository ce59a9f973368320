"""The audit of what is shipped: a known vulnerability fails, a service that does not answer does not."""

import json

import pytest

from scripts import audit

FLAW = {"id": "PYSEC-1", "aliases": ["CVE-1", "GHSA-1"], "fix_versions": ["2.0"], "description": "."}
GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "1.0", "vulns": [FLAW]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found"}


def answer(*dependencies: object) -> str:
    """What pip-audit prints."""
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_nothing_known_is_silence() -> None:
    """And success."""
    assert (0, []) == audit.verdict(0, answer(GOOD), "No known vulnerabilities found", {})


def test_a_known_vulnerability_fails() -> None:
    """With its names and the release that mends it."""
    said = "error: bad 1.0: PYSEC-1, CVE-1, GHSA-1; fixed in 2.0"
    assert (1, [said]) == audit.verdict(1, answer(GOOD, BAD), "Found 1 known vulnerability in 1 package", {})


def test_one_that_is_accepted_is_said_with_its_reason() -> None:
    """By any of its names."""
    said = "accepted: bad 1.0: PYSEC-1, CVE-1, GHSA-1: we do not call it"
    assert (0, [said]) == audit.verdict(1, answer(BAD), "", {"CVE-1": "we do not call it"})


def test_what_the_service_does_not_know_is_counted() -> None:
    """Nobody may think that it was audited, and what is known still counts."""
    said = "note: the vulnerability service does not know 1 of 2 dependencies: they were not audited"
    assert (0, [said]) == audit.verdict(0, answer(GOOD, UNKNOWN), "", {})
    code, lines = audit.verdict(1, answer(BAD, UNKNOWN), "", {})
    assert (1, 2) == (code, len(lines))


@pytest.mark.parametrize(
    "error",
    [
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='x', port=443): Max retries exceeded",
        "ERROR:pip_audit._cli:Could not connect to the vulnerability feed",
        "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://x/",
    ],
)
def test_a_service_out_of_reach_is_a_note(error: str) -> None:
    """It fails nothing, and says that nothing was audited."""
    code, (said,) = audit.verdict(1, "", f"Traceback ...\n{error}\n", {})
    assert 0 == code
    assert said.startswith("note: the vulnerability service cannot be reached, so nothing was audited: ")
    assert error in said


@pytest.mark.parametrize(
    ("code", "error"), [(2, "pip-audit: error: unrecognized arguments: --x"), (1, "ERROR: invalid requirements")]
)
def test_any_other_failure_fails(code: int, error: str) -> None:
    """An audit that cannot be run is not one that found nothing."""
    assert (1, [error, f"error: pip-audit failed (exit code {code})"]) == audit.verdict(code, "", error, {})
