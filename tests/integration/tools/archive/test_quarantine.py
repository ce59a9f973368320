"""`quarantine` as it is typed: what is in there, out of it, or away."""

import json
import re

import pytest

from email_processor.domain.document import quarantine_document
from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.message import Message
from tests.integration.tools.archive.conftest import Place
from tests.support.aws_answers import s3_error
from tests.support.fault_proxy import fault_proxy, only
from tests.support.mail import email
from tests.unit.tools.archive.kit import NOON, made


def rejected(message_id: str, body: str, reason: Reason) -> tuple[str, bytes]:
    """A message in quarantine."""
    message = Message(message_id, "", body.encode(), attributes={"ApproximateReceiveCount": "1"})
    document = quarantine_document(message, UnarchivableError(reason, "why"), NOON, "0.9")
    return f"quarantine/2024/12/10/{message_id}.json", document


FINE = [
    rejected(f"m{number}", email(f"ann.{number % 2}@example.com", content="c"), Reason.MISSING_FIELD)
    for number in range(4)
]
BROKEN = [rejected("broken", "\x1b]0;{", Reason.NOT_JSON)]
OBJECTS = dict(FINE + BROKEN)


def test_a_quarantine_is_looked_at_released_and_discarded(place: Place) -> None:
    """All the way: grouped, one shown, a dry run, the release, and what is left thrown away."""
    place.add(OBJECTS)
    ls = json.loads(place.run("quarantine", "ls", "--output", "json").stdout)["groups"]
    assert [("missing_field", 4, 2, 4), ("not_json", 1, 0, 0)] == [
        (it["reason"], it["count"], it["senders"], it["releasable"]) for it in ls
    ]
    shown = place.run("quarantine", "show", "broken")
    assert "Reason:   not_json: why\n" in shown.stdout
    assert shown.stdout.endswith("\n\n\\x1b]0;{\n")
    assert (
        OBJECTS["quarantine/2024/12/10/broken.json"] == place.run("quarantine", "show", "broken", "--raw").stdout_bytes
    )
    dry = place.run("quarantine", "release", "--dry-run")
    assert "4 would be released, 1 still no email; " in dry.stderr
    assert sorted(OBJECTS) == place.site.bucket.listing("")

    done = place.run("quarantine", "release", "--since", "2024-12-10", "--because", "a fix")
    assert (0, "") == (done.exit_code, done.stdout)
    assert "4 released, 1 still no email; " in done.stderr
    assert '"command":"quarantine release"' in done.stderr
    assert sorted(made(f"m{number}", email(f"ann.{number % 2}@example.com"))[0] for number in range(4)) == (
        place.site.bucket.listing("emails/")
    )
    away = place.run("quarantine", "discard", "--reason", "not_json", "--because", "noise")
    assert 0 == away.exit_code, away.stderr
    assert [] == place.site.bucket.listing("quarantine/")
    assert 1 == len(place.site.bucket.listing("access-records/"))
    assert "Nothing is in quarantine, all days." in place.run("quarantine", "ls").stderr


MISUSED = {
    "all of it": ("discard --because x", "Which ones?"),
    "no why": ("discard --id m1", "Missing option '--because'"),
    "a why that says nothing": ("discard --id m1 --because \t", "has no reason in it"),
    "an option without effect": ("release --dry-run --keep", "would do nothing"),
    "no such reason": ("ls --reason bored", "is not one of"),
    "too many requests": ("release --max-requests 2", "more than 2 requests"),
}


@pytest.mark.parametrize(("arguments", "said"), MISUSED.values(), ids=MISUSED)
def test_wrong_use_is_two_and_changes_nothing(place: Place, arguments: str, said: str) -> None:
    """With what to do."""
    place.add(OBJECTS)
    ended = place.run("quarantine", *arguments.split(" "))
    assert (2, "") == (ended.exit_code, ended.stdout)
    assert said in ended.stderr
    assert sorted(OBJECTS) == place.site.bucket.listing("quarantine/")


def test_what_was_done_before_a_fault_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release without the right to delete has stored; a discard has written its record."""
    place.add(OBJECTS)
    with fault_proxy(place.site.emulator.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.rule = only("DELETE", s3_error("AccessDenied", 403))
        released = place.run("quarantine", "release")
        discarded = place.run("quarantine", "discard", "--reason", "not_json", "--because", "noise")
    assert (1, 1) == (released.exit_code, discarded.exit_code)
    assert re.search(r"^Until then: [1-4] stored, perhaps still in quarantine", released.stderr, re.MULTILINE)
    assert "Until then: 0 discarded, 1 more on record and perhaps gone.\n" in discarded.stderr


NO_ID = [
    "quarantine discard --because x --id",
    "quarantine release --id",
    "quarantine ls --id",
    "quarantine show",
    "find --day 2024-12-10 --id",
    "export --day 2024-12-10 --format jsonl --to a --id",
    "show --day 2024-12-10",
]


@pytest.mark.parametrize("command", NO_ID)
def test_an_id_that_is_none_never_means_all(place: Place, command: str) -> None:
    """As from a variable of the shell that is not set."""
    place.add(OBJECTS)
    for message_id in ("", " ", "m1\n"):
        ended = place.run(*command.split(), message_id)
        assert (2, "") == (ended.exit_code, ended.stdout)
        assert "is no message id" in ended.stderr
    assert sorted(OBJECTS) == place.site.bucket.listing("")


def test_what_is_not_there_is_one(place: Place) -> None:
    """And what cannot be released."""
    assert 1 == place.run("quarantine", "show", "nobody").exit_code
    place.add({"quarantine/2024/12/10/odd.json": b"{}"})
    ended = place.run("quarantine", "release")
    assert 1 == ended.exit_code
    assert "quarantine/2024/12/10/odd.json: not released: it is not what the service writes there." in ended.stderr
