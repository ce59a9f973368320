"""`find` and `show` as they are typed, on a bucket that speaks S3's protocol."""

import json
from pathlib import Path

import pytest

from tests.integration.tools.archive.conftest import Place
from tests.support.mail import email
from tests.unit.tools.archive.kit import made

HELLO = email(content="Hello\x1b[2J", email_subject="An invoice")
ODD_ID = "a+b c/é%"  # what an S3 key has to be escaped for, in a listing and in a path
KEY, DOCUMENT = made("m1", HELLO)
OBJECTS = dict(
    [(KEY, DOCUMENT), made(ODD_ID, email("jörg.größe@example.com", content="two")), made("m3", email("x@y"))]
)
ON_THE_DAY = ("--day", "2024-12-10")


def test_mails_are_found_in_four_forms(place: Place) -> None:
    """A table for people, keys for xargs, JSON for machines; what it took is on stderr."""
    place.add(OBJECTS)
    table, keys, lines, document = (
        place.run("find", *ON_THE_DAY, "--output", form) for form in ("table", "keys", "jsonl", "json")
    )
    assert sorted(OBJECTS) == keys.stdout.splitlines()
    assert sorted(OBJECTS) == [json.loads(line)["key"] for line in lines.stdout.splitlines()]
    assert {1} == {json.loads(line)["schema"] for line in lines.stdout.splitlines()}
    parsed = json.loads(document.stdout)
    assert (1, sorted(OBJECTS)) == (parsed["schema"], [mail["key"] for mail in parsed["mails"]])
    assert ODD_ID in {mail["message_id"] for mail in parsed["mails"]}
    assert 3 == len(table.stdout.splitlines())
    assert "3 found; listed 1 page, $0.0000\n" == keys.stderr


def test_words_and_addresses_are_looked_for_in_the_mails(place: Place) -> None:
    """What is read is shown: sender and subject beside the key."""
    place.add(OBJECTS)
    found = place.run("find", *ON_THE_DAY, "--subject", "INVOICE", "--output", "jsonl")
    assert ["An invoice"] == [json.loads(line)["subject"] for line in found.stdout.splitlines()]
    assert "1 found; listed 1 page, read 3 objects, $0.0000\n" == found.stderr
    found = place.run("find", *ON_THE_DAY, "--from", "john.doe@elsewhere.example", "--output", "json")
    assert {"schema": 1, "mails": []} == json.loads(found.stdout)
    assert "No mail: 2024-12-10, from john.doe@elsewhere.example." in found.stderr


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_half_of_an_emoji_does_not_end_the_results(place: Place, form: str) -> None:
    """A producer has cut a subject there; machines read what stands in the mail, and what comes behind it."""
    cut = "a \ud83d b"
    place.add(dict([made("m1", email(email_subject=cut)), made("m2", email())]))
    ended = place.run("find", *ON_THE_DAY, "--subject", ".", "--output", form)
    assert 0 == ended.exit_code
    printed = ended.stdout if form == "json" else f'{{"mails": [{",".join(ended.stdout.splitlines())}]}}'
    assert [cut, "Subject"] == [mail["subject"] for mail in json.loads(printed)["mails"]]


def test_a_mail_is_shown_by_key_or_by_id(place: Place) -> None:
    """Safe for a terminal, exactly as it is, as a message, as a page."""
    place.add(OBJECTS)
    shown = place.run("show", KEY)
    assert "Subject:  An invoice\n" in shown.stdout
    assert shown.stdout.endswith("\n\nHello\\x1b[2J\n")
    assert shown.stdout == place.run("show", "m1", *ON_THE_DAY).stdout
    assert DOCUMENT == place.run("show", "--raw", KEY).stdout_bytes
    assert b"\r\nX-Archive-Key: emails/2024/12/10/" in place.run("show", "--eml", KEY).stdout_bytes
    assert 0 == place.run("show", KEY, "--html", "mail.html").exit_code
    assert '<iframe sandbox=""' in Path("mail.html").read_text()
    again = place.run("show", KEY, "--html", "mail.html")
    assert (2, "") == (again.exit_code, again.stdout)
    assert "error: mail.html is there already.\n" in again.stderr


MISUSED = {
    "no day": ("find", "Which days?"),
    "no such date": ("find --day 2024-02-30", "day is out of range for month"),
    "another form of date": ("find --day 10.12.2024", "is no day; write it as 2026-10-01"),
    "a date with other digits": ("find --day \u0662\u0660\u0662\u0664-12-10", "is no day"),
    "days that contradict each other": ("find --since 2024-12-10 --until 2024-12-09", "is after"),
    "a pattern for a sender": ("find --from john* --day 2024-12-10", "stand for nothing"),
    "no regular expression": ("find --day 2024-12-10 --text [", "no regular expression"),
    "an option without effect": ("find --day 2024-12-10 --plan --output json", "would do nothing"),
    "words in the quarantine": ("find --day 2024-12-10 --quarantine --text a", "is no email"),
    "too many requests": ("find --since 1990-01-01 --until 2024-12-10", "at least 12,763 requests"),
    "two forms": ("show --raw --eml a/b", "choose one"),
    "a key with a day": (f"show {KEY} --day 2024-12-10", "says its day itself"),
    "an id without a day": ("show m1", "Which days?"),
    "a key that is none": ("show emails/x", "is no key of an email"),
}


@pytest.mark.parametrize(("arguments", "said"), MISUSED.values(), ids=MISUSED)
def test_wrong_use_is_two_and_says_what_to_do(place: Place, arguments: str, said: str) -> None:
    """Without a result, and before anything is asked."""
    ended = place.run(*arguments.split())
    assert (2, "") == (ended.exit_code, ended.stdout)
    assert said in ended.stderr


@pytest.mark.parametrize("arguments", ["show m9 --day 2024-12-10", f"show {KEY}"])
def test_a_mail_that_is_not_there_is_one(place: Place, arguments: str) -> None:
    """With nothing on stdout."""
    ended = place.run(*arguments.split())
    assert (1, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith("error: ")


def test_an_id_of_what_cannot_be_read_is_said_with_its_key(place: Place) -> None:
    """It is there, and can be printed as it is."""
    odd = KEY.replace("m1", "odd")
    place.add({KEY: DOCUMENT, odd: b"{"})
    ended = place.run("show", "odd", *ON_THE_DAY)
    assert (1, "") == (ended.exit_code, ended.stdout)
    assert f"error: {odd} has this id and cannot be read as an email.\n" in ended.stderr
    assert "show KEY --raw" in ended.stderr
    assert "{" == place.run("show", odd, "--raw").stdout
    place.add({KEY.replace("john.doe/m1", "ann/odd"): DOCUMENT})
    assert "More than one mail has this id" in place.run("show", "odd", *ON_THE_DAY).stderr


def test_a_bucket_that_is_not_there_is_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fix."""
    monkeypatch.setenv("S3_BUCKET_NAME", "nowhere-at-all")
    ended = place.run("find", *ON_THE_DAY)
    assert (1, "") == (ended.exit_code, ended.stdout)
    assert "NoSuchBucket" in ended.stderr
    assert "fix: Create it, or correct" in ended.stderr
