"""`audit` as it is typed: its exit code is its verdict."""

import json
from pathlib import Path

import pytest

from tests.integration.tools.archive.conftest import Place
from tests.support.aws_answers import Reply, Request, s3_error
from tests.support.fault_proxy import fault_proxy
from tests.support.mail import email
from tests.unit.tools.archive.kit import made

OBJECTS = dict(made(f"m{number}", email(f"ann.{number}@example.com")) for number in range(5))
OF_THE_DAY = ("audit", "--day", "2024-12-10")


def test_the_exit_code_is_the_verdict(place: Place) -> None:
    """0 for a clean day; 3 with findings, for people or for machines."""
    place.add(OBJECTS)
    clean = place.run(*OF_THE_DAY)
    assert 0 == clean.exit_code, clean.stderr
    assert clean.stdout.startswith("2024-12-10 is clean: 5 emails")
    assert clean.stderr.startswith("listed 2 pages, read 1 setting, $0.0000")
    place.add({"emails/2024/12/10/\x1b[2J.txt": b"x"})
    Path("sent").write_text("m0\nm1\nnever\n")
    bad = place.run(*OF_THE_DAY, "--counts", "sent")
    assert 3 == bad.exit_code
    assert "stranger: emails/2024/12/10/\\x1b[2J.txt" in bad.stdout
    report = json.loads(place.run(*OF_THE_DAY, "--counts", "sent", "--output", "json").stdout)
    assert {"stranger": 1, "missing": 1} == report["findings"]
    assert 2 == place.run(*OF_THE_DAY, "--counts", "nowhere").exit_code


def test_a_lifecycle_rule_that_deletes_is_a_finding(place: Place) -> None:
    """One for something else is none."""
    rules = [
        {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": 30}}
        for name, prefix in (("of-others", "logs/"), ("of-ours", "emails/2024"))
    ]
    bucket = place.site.bucket
    bucket.emulator.s3.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration={"Rules": rules})
    ended = place.run(*OF_THE_DAY)
    assert 3 == ended.exit_code
    assert "expires: emails/: the rule of-ours deletes objects under emails/2024 after 30 days" in ended.stdout
    assert "of-others" not in ended.stdout


NOT_READABLE = {
    "a store that has none": (s3_error("NotImplemented", 501), "GetBucketLifecycleConfiguration: NotImplemented: No."),
    "a reader who may not": (
        s3_error("AccessDenied", 403),
        "without s3:GetLifecycleConfiguration they are not readable.",
    ),
}


@pytest.mark.parametrize(("answer", "said"), NOT_READABLE.values(), ids=NOT_READABLE)
def test_lifecycle_rules_that_cannot_be_read_are_a_remark(
    place: Place, monkeypatch: pytest.MonkeyPatch, answer: Reply, said: str
) -> None:
    """They are asked for last: what was found by then is reported all the same."""
    place.add({**OBJECTS, "emails/2024/12/10/a.txt": b"x"})
    with fault_proxy(place.site.emulator.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.rule = lambda request: answer if is_about_lifecycles(request) else None
        ended = place.run(*OF_THE_DAY)
    assert 3 == ended.exit_code, ended.stderr
    assert "2024-12-10 has 1 finding: 5 emails" in ended.stdout
    assert f"Lifecycle rules could not be read: {said}\n" in ended.stdout


def test_lifecycle_rules_are_asked_for_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fault that passes."""
    place.add(OBJECTS)
    with fault_proxy(place.site.emulator.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        faults = [s3_error("ServiceUnavailable", 503)]
        proxy.rule = lambda request: faults.pop() if is_about_lifecycles(request) and faults else None
        ended = place.run(*OF_THE_DAY)
    assert (0, []) == (ended.exit_code, faults), ended.stderr
    assert "Lifecycle rules" not in ended.stdout
    assert ended.stderr.startswith("listed 2 pages, read 2 settings, $0.0000")


def test_no_request_left_for_lifecycle_rules_is_a_remark(place: Place) -> None:
    """What was found with those that were allowed is reported."""
    place.add(OBJECTS)
    ended = place.run(*OF_THE_DAY, "--max-requests", "2")
    assert 0 == ended.exit_code, ended.stderr
    assert "Lifecycle rules could not be read: This takes more than 2 requests" in ended.stdout


def is_about_lifecycles(request: Request) -> bool:
    """Whether it asks for the rules."""
    return "lifecycle" in request.target
