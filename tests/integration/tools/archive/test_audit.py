"""`audit` as it is typed: its exit code is its verdict."""

import json
from pathlib import Path

from tests.integration.tools.archive.conftest import Place
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
    assert clean.stderr.startswith("listed 2 pages, $0.0000")
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
