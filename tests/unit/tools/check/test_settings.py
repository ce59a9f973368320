"""Findings about the settings."""

import pytest

from email_processor.settings import Problem
from email_processor.tools.check.findings import Finding, Status
from email_processor.tools.check.judge.host import judge_settings
from tests.unit.tools.check.known import settings


def of(code: str, findings: list[Finding]) -> list[tuple[str, str, str]]:
    """What was found under a code: title, status, evidence."""
    return [(finding.title, finding.status.value, finding.evidence) for finding in findings if finding.code == code]


def test_all_well() -> None:
    """Good settings are told by their names, never by their values."""
    findings = list(judge_settings(settings(), [], ["PATH"]))
    assert {Status.OK} == {finding.status for finding in findings}
    assert "3 set (AWS_REGION, S3_BUCKET_NAME, SQS_QUEUE_URL), " in of("EP101", findings)[0][2]


def test_each_problem_is_a_finding() -> None:
    """A wrong value and a broken rule have codes of their own, and the fix is an example."""
    wrong = Problem(("HTTP_PORT",), "must be a number", "8080")
    rule = Problem(("S3_SSE", "S3_KMS_KEY_ID"), "is none", "aws:kms")
    findings = list(judge_settings(settings(), [wrong, rule], []))
    assert [("HTTP_PORT", "failed", "must be a number")] == of("EP101", findings)
    assert [("S3_SSE", "failed", "is none")] == of("EP102", findings)
    assert ["For example:\nHTTP_PORT=8080", "For example:\nS3_SSE=aws:kms"] == [found.fix for found in findings[:2]]


@pytest.mark.parametrize(
    ("visibility", "upload", "status", "evidence"),
    [
        (45, 15, "ok", "45 s, room for 3 uploads of 15 s"),
        (44, 15, "warning", "44 s is less than three uploads of 15 s (S3_TIMEOUT_SECONDS)"),
    ],
)
def test_visibility_timeout(visibility: int, upload: float, status: str, evidence: str) -> None:
    """A visibility timeout should hold three uploads."""
    chosen = settings(visibility_timeout_seconds=visibility, s3_timeout_seconds=upload)
    findings = list(judge_settings(chosen, [], []))
    assert [("visibility timeout", status, evidence)] == of("EP103", findings)


def test_misspelt_names() -> None:
    """A variable that is nearly spelt like a setting is pointed out, with the setting that may be meant."""
    names = ["VISIBILITY_TIMEOUT_SECOND", "SQS_QUEUE_URI", "HTTP_PROXY", "HTTPS_PROXY", "AWS_PROFILE", "LOG_LEVEL"]
    findings = [finding for finding in judge_settings(settings(), [], names) if finding.code == "EP104"]
    assert [
        ("SQS_QUEUE_URI", "If SQS_QUEUE_URL is meant, rename it."),
        ("VISIBILITY_TIMEOUT_SECOND", "If VISIBILITY_TIMEOUT_SECONDS is meant, rename it."),
    ] == [(finding.title, finding.fix) for finding in findings]


def test_default_region_is_not_read() -> None:
    """Who sets AWS_DEFAULT_REGION alone is told which region is in force."""
    without_region = settings().model_copy()
    without_region.model_fields_set.discard("aws_region")
    (finding,) = (
        finding for finding in judge_settings(without_region, [], ["AWS_DEFAULT_REGION"]) if finding.code == "EP104"
    )
    assert "is set, but only AWS_REGION is read, which is us-east-1 by default" == finding.evidence


def test_default_region_beside_the_region() -> None:
    """AWS_DEFAULT_REGION does no harm where AWS_REGION is set."""
    findings = list(judge_settings(settings(), [], ["AWS_DEFAULT_REGION", "AWS_REGION"]))
    assert [("misspelt names", "ok", "none")] == of("EP104", findings)
