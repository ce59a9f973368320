"""`dead` as it is typed: a dead-letter queue looked at, and archived under the ids that its messages have."""

import json

import pytest

from tests.integration.tools.archive.conftest import Place
from tests.support.emulators import Queue
from tests.support.mail import email


@pytest.fixture
def dead_letters(place: Place) -> Queue:
    """The dead-letter queue of the place's queue."""
    letters = place.site.emulator.new_queue()
    policy = json.dumps({"deadLetterTargetArn": letters.arn, "maxReceiveCount": 1})
    sqs, url = place.site.emulator.sqs, place.site.queue.url
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    return letters


def test_dead_letters_are_archived_under_their_ids(place: Place, dead_letters: Queue) -> None:
    """And deleted; what is no email is in quarantine, and the next look finds nothing."""
    ids = dead_letters.send_all([email(f"ann.{number}@example.com") for number in range(12)])
    broken = dead_letters.send("{")
    seen = place.run("dead", "ls")
    assert 0 == seen.exit_code, seen.stderr
    assert f"Queue:     {dead_letters.url}\nVisible:   13\nIn flight: 0\n" in seen.stdout
    assert "looked at: an email\n" in seen.stdout
    assert 13 == dead_letters.visible

    done = place.run("dead", "archive")
    assert (0, "") == (done.exit_code, done.stdout), done.stderr
    assert "13 received, 12 archived, 1 quarantined." in done.stderr
    assert sorted(ids) == place.site.bucket.message_ids()
    assert [broken] == place.site.bucket.message_ids("quarantine/")
    assert dead_letters.is_empty()
    assert "nothing was there." in place.run("dead", "archive", "--queue-url", dead_letters.url).stderr


def test_a_queue_without_dead_letters_is_wrong_use(place: Place) -> None:
    """With what to do; one that is not there is a failure."""
    ended = place.run("dead", "archive")
    assert 2 == ended.exit_code
    assert "has no dead-letter queue" in ended.stderr
    assert 1 == place.run("dead", "ls", "--queue-url", f"{place.site.queue.url}-nowhere").exit_code


def test_a_dead_letter_queue_that_counts_receives_is_not_looked_into(place: Place, dead_letters: Queue) -> None:
    """Its messages would move on."""
    further = place.site.emulator.new_queue()
    policy = json.dumps({"deadLetterTargetArn": further.arn, "maxReceiveCount": 1})
    dead_letters.emulator.sqs.set_queue_attributes(QueueUrl=dead_letters.url, Attributes={"RedrivePolicy": policy})
    dead_letters.send(email())
    seen = place.run("dead", "ls")
    assert "its messages are not looked at" in seen.stdout
    (message,) = dead_letters.receive()
    assert "1" == message["Attributes"]["ApproximateReceiveCount"]
