"""Sending samples: against two implementations of SQS, and against one that refuses."""

import asyncio
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.errors import Cause, QueueFaultError, StartError
from email_processor.domain.message import Attribute
from email_processor.tools.send import sender as module
from email_processor.tools.send.samples.generate import Recipe, samples
from email_processor.tools.send.samples.sizes import Sizes
from email_processor.tools.send.sender import BATCH_MAX_BYTES, Repeats, batches, open_sender
from tests.integration.opening import point_at
from tests.support import overheard
from tests.support.aws_answers import CallFault, Reply, Request, Rule, sqs, sqs_error
from tests.support.commands import COMMAND, run_to_end
from tests.support.emulators import BIN, REGION, Emulator, Queue, aws_environment
from tests.support.environment import clean_environment
from tests.support.scripted_server import FakeAws
from tests.support.waiting import eventually

SEND = (COMMAND, "send")
QUEUE_URL = "http://127.0.0.1/123456789012/emails"


@dataclass(frozen=True)
class Note:
    """A letter of which the test knows body and attributes."""

    body: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


async def send(letters: Sequence[Note], queue_url: str = QUEUE_URL, run_id: str = "run") -> dict[str, Note]:
    """Send; what was sent, by message id."""
    sent: dict[str, Note] = {}

    def note(letter: Note, message_id: str) -> None:
        assert message_id not in sent
        sent[message_id] = letter

    async with open_sender(REGION, queue_url, "email-processor/test", run_id) as sender:
        await sender.send(letters, note)
    return sent


def drain(queue: Queue) -> Iterator[Any]:
    """Everything that is on a queue, deleted as it comes, as a FIFO queue wants it."""
    while messages := queue.emulator.sqs.receive_message(
        QueueUrl=queue.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    ).get("Messages"):
        for message in messages:
            yield message
            queue.emulator.sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])


async def test_everything_arrives_once_as_it_was_made(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies and attributes of every type, under the message ids that the sender reports."""
    point_at(emulator.url, monkeypatch)
    queue = emulator.new_queue()
    made = [Note(it.body, it.attributes) for it in samples(95, Recipe(broken=10, sizes=Sizes(300, 3000)))]
    sent = await send(made, queue.url)
    arrived = {message["MessageId"]: message for message in drain(queue)}
    assert sorted(note.body for note in sent.values()) == sorted(note.body for note in made)
    assert {key: message["Body"] for key, message in arrived.items()} == {key: it.body for key, it in sent.items()}
    for key, note in sent.items():
        received = arrived[key].get("MessageAttributes", {})
        values = {name: it.get("StringValue", it.get("BinaryValue")) for name, it in received.items()}
        assert values == {name: it.value for name, it in note.attributes.items()}


async def test_a_fifo_queue_gets_groups_and_takes_the_same_letters_in_another_run(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deduplication ids are those of a run, and several groups can be in flight side by side."""
    point_at(emulator.url, monkeypatch)
    queue = emulator.new_queue(fifo=True)
    letters = [Note(f"letter {number}") for number in range(20)]
    await send(letters, queue.url, "one")
    await send(letters, queue.url, "one")
    await send(letters, queue.url, "two")
    arrived = list(drain(queue))
    assert sorted(message["Body"] for message in arrived) == sorted([note.body for note in letters] * 2)
    assert 16 == len({message["Attributes"]["MessageGroupId"] for message in arrived})


@given(sizes=st.lists(st.sampled_from([1, 1000, 100_000, 300_000, BATCH_MAX_BYTES]), max_size=40))
def test_a_batch_is_at_most_ten_messages_and_one_mebibyte(sizes: list[int]) -> None:
    """No letter is left out, none changes places, and no batch could have taken the next letter as well."""
    letters = [Note("é" * (size // 2) + "x" * (size % 2)) for size in sizes]
    found = [[entry.letter for entry in batch] for batch in batches(letters)]
    assert [letter for batch in found for letter in batch] == letters
    weights = [[len(letter.body.encode()) for letter in batch] for batch in found]
    assert all(len(batch) <= 10 and sum(batch) <= BATCH_MAX_BYTES for batch in weights)
    for batch, following in pairwise(weights):
        assert len(batch) == 10 or sum(batch) + following[0] > BATCH_MAX_BYTES


def test_attributes_count_as_sqs_counts_them() -> None:
    """Name, type and value of each."""
    note = Note("x" * 100, {"né": Attribute("String", "é"), "b": Attribute("Binary", b"\xff" * 10)})
    (batch,) = batches([note])
    assert [100 + 3 + 6 + 2 + 1 + 6 + 10] == [entry.size for entry in batch]


@dataclass
class Picky:
    """A queue that takes an entry only when `refusal` says nothing against it."""

    refusal: Callable[[str, int], dict[str, Any] | None]
    taken: list[str] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)

    def __call__(self, asked: Request) -> Reply:
        """Answer a SendMessageBatch."""
        answer: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
        for entry in asked.json["Entries"]:
            body = entry["MessageBody"]
            self.tries[body] = self.tries.get(body, 0) + 1
            failure = self.refusal(body, self.tries[body])
            if failure is None:
                self.taken.append(body)
                answer["Successful"].append({"Id": entry["Id"], "MessageId": f"id-{body}", "MD5OfMessageBody": ""})
            elif failure:
                answer["Failed"].append({"Id": entry["Id"], **failure})
        return sqs(answer)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0)


@pytest.mark.parametrize(
    "failure",
    [
        {"Code": "InternalError", "SenderFault": False, "Message": "Try again."},
        {"Code": "ThrottlingException", "SenderFault": True, "Message": "Slow down."},
        {},
    ],
    ids=["failed", "throttled", "not mentioned"],
)
async def test_entries_that_failed_are_sent_again_and_no_others(fake: FakeAws, failure: dict[str, Any]) -> None:
    """Every third letter fails twice, or is not mentioned in the answer; each is taken once."""
    letters = [Note(str(number)) for number in range(25)]
    queue = Picky(lambda body, tries: failure if int(body) % 3 == 0 and tries <= 2 else None)
    fake.rule = queue
    sent = await send(letters)
    assert sorted(queue.taken) == sorted(note.body for note in letters)
    assert {note.body for note in sent.values()} == {note.body for note in letters}
    assert {body: tries for body, tries in queue.tries.items() if tries > 1} == {str(n): 3 for n in range(0, 25, 3)}


async def test_a_letter_that_can_never_be_taken_ends_the_run(fake: FakeAws) -> None:
    """At once, with what SQS says against it; the others of its batch are reported as sent."""
    refusal = {"Code": "InvalidMessageContents", "SenderFault": True, "Message": "Bad character."}
    queue = Picky(lambda body, _tries: refusal if body == "3" else None)
    fake.rule = queue
    sent: list[str] = []
    async with open_sender(REGION, QUEUE_URL, "email-processor/test", "run") as sender:
        with pytest.raises(QueueFaultError, match="InvalidMessageContents: Bad character"):
            await sender.send([Note(str(n)) for n in range(10)], lambda note, _id: sent.append(note.body))
    assert [str(n) for n in range(10) if n != 3] == sent
    assert 1 == queue.tries["3"]


async def test_it_gives_up_on_a_queue_that_keeps_failing(fake: FakeAws) -> None:
    """The error says what was wrong last."""
    queue = Picky(lambda _body, _tries: {"Code": "InternalError", "SenderFault": False, "Message": "Sorry."})
    fake.rule = queue
    with pytest.raises(QueueFaultError, match="InternalError: Sorry") as fault:
        await send([Note("x")])
    assert fault.value.cause is Cause.SERVER
    assert queue.tries == {"x": module.TRIES}


@dataclass
class Forgetful:
    """A queue that takes everything, and answers only when `answers` says so, by how often it was asked."""

    answers: Callable[[int], bool]
    instead: Reply | CallFault = CallFault.CUT
    taken: list[str] = field(default_factory=list)
    requests: int = 0

    def __call__(self, asked: Request) -> Reply | CallFault:
        """Answer a SendMessageBatch."""
        self.requests += 1
        entries = asked.json["Entries"]
        self.taken += [entry["MessageBody"] for entry in entries]
        if not self.answers(self.requests):
            return self.instead
        return sqs({"Successful": [{"Id": entry["Id"], "MessageId": entry["MessageBody"]} for entry in entries]})


async def repeats_of(count: int, queue_url: str = QUEUE_URL) -> Repeats:
    """Send so many letters as far as that goes; what the sender says of its repeats."""
    async with open_sender(REGION, queue_url, "email-processor/test", "run") as sender:
        with suppress(QueueFaultError):
            await sender.send([Note(str(number)) for number in range(count)], lambda _note, _id: None)
    return sender.repeats


def refused_at_first() -> Rule:
    """A queue that throttles two requests, and then fails each message once."""
    replies = [sqs_error("ThrottlingException"), sqs_error("RequestThrottled", 403)]
    queue = Picky(lambda _body, tries: {"Code": "InternalError"} if tries == 1 else None)
    return lambda asked: replies.pop() if replies else queue(asked)


LATER = Repeats(requests=2, messages=10, unanswered=0)
DOUBTS: dict[str, tuple[Rule, int, str, Repeats]] = {
    # what was lost is repeated and counted, and each of its messages counts once
    "closed": (Forgetful(lambda asked: asked > 2), 10, QUEUE_URL, LATER),
    "reset": (Forgetful(lambda asked: asked > 2, CallFault.RESET), 10, QUEUE_URL, LATER),
    "late": (Forgetful(lambda asked: asked > 2, CallFault.HANG), 10, QUEUE_URL, LATER),
    "failed": (Forgetful(lambda asked: asked > 2, sqs_error("InternalFailure", 500)), 10, QUEUE_URL, LATER),
    "not an answer of SQS": (Forgetful(lambda asked: asked > 2, Reply(503, b"<html>busy")), 10, QUEUE_URL, LATER),
    "one request of five": (Forgetful(lambda asked: asked != 2), 50, QUEUE_URL, Repeats(1, 10, 0)),
    "one message that an answer does not mention": (
        Picky(lambda body, tries: {} if body == "3" and tries == 1 else None),
        10,
        QUEUE_URL,
        Repeats(1, 1, 0),
    ),
    # what was given up does not count as sent, but its last request may have been taken
    "given up": (CallFault.CUT, 10, QUEUE_URL, Repeats(module.TRIES - 1, 10, 10)),
    # an answer is an answer, and a FIFO queue knows a message that is sent again by its deduplication id
    "throttled or failed by SQS's own word": (refused_at_first(), 10, QUEUE_URL, Repeats()),
    "denied": (sqs_error("AccessDeniedException", 403), 10, QUEUE_URL, Repeats()),
    "sent again to a FIFO queue": (Forgetful(lambda asked: asked > 2), 10, f"{QUEUE_URL}.fifo", Repeats()),
}


@pytest.mark.parametrize(("rule", "count", "queue_url", "expected"), DOUBTS.values(), ids=DOUBTS)
async def test_messages_whose_answer_was_lost_may_be_there_twice(
    fake: FakeAws, monkeypatch: pytest.MonkeyPatch, rule: Rule, count: int, queue_url: str, expected: Repeats
) -> None:
    """And no others; what the queue has taken twice is what is said to be in doubt."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.5)
    fake.rule = rule
    assert expected == await repeats_of(count, queue_url)
    if isinstance(rule, Forgetful):
        assert count + 10 * (sum(not rule.answers(asked) for asked in range(1, 10))) == len(rule.taken)


@pytest.mark.parametrize(
    ("reply", "cause", "fix"),
    [
        (sqs_error("AccessDeniedException", 403), Cause.DENIED, "sqs:SendMessage"),
        (
            sqs_error("QueueDoesNotExist", query_code="AWS.SimpleQueueService.NonExistentQueue"),
            Cause.MISSING,
            "Create it",
        ),
        (sqs_error("InvalidClientTokenId", 403), Cause.CREDENTIALS, "valid credentials"),
    ],
)
async def test_what_a_person_has_to_mend_is_said_with_its_fix(
    fake: FakeAws, reply: Reply, cause: Cause, fix: str
) -> None:
    """At the first answer: one request of each worker, and no other."""
    fake.rule = reply
    with pytest.raises(QueueFaultError, match="SendMessageBatch") as fault:
        await send([Note(str(number)) for number in range(200)])
    assert fault.value.cause is cause
    assert fix in fault.value.fix
    assert len(fake.requests) <= module.IN_FLIGHT


async def test_an_aws_configuration_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent."""
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(StartError, match="nowhere"):
        await send([Note("x")])


def test_the_command_needs_a_queue_and_a_region_and_says_what_it_sent(moto: Emulator, tmp_path: Path) -> None:
    """No bucket and none of the other settings, even if they are wrong."""
    queue = moto.new_queue()
    settings = {"SQS_QUEUE_URL": queue.url, "AWS_REGION": REGION, "VISIBILITY_TIMEOUT_SECONDS": "never"}
    done = run_to_end(*SEND, "40", "--broken", "5", directory=tmp_path, **settings, **aws_environment(moto.url))
    assert (0, "") == (done.returncode, done.stderr)
    first, second = done.stdout.splitlines()
    assert first.startswith("Sent 40 messages, ")
    assert "; 2 of them broken, for the quarantine." in first
    assert "emails/ and quarantine/ of the bucket" in second
    assert 40 == queue.visible


async def test_the_command_says_how_many_the_queue_may_have_twice(fake: FakeAws, tmp_path: Path) -> None:
    """In the line that says how many it sent."""
    queue = Forgetful(lambda asked: asked != 1)
    fake.rule = queue
    process = await asyncio.create_subprocess_exec(
        BIN / "email-processor",
        *("send", "10", "--size", "300"),
        env={**clean_environment(), **aws_environment(fake.url), "SQS_QUEUE_URL": f"{fake.url}/123456789012/emails"},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert 0 == process.returncode
    assert said.decode().startswith("Sent 10 messages, 2.9 KiB, in ")
    doubts = " (1 request was repeated, so up to 10 of the messages may be on the queue twice)."
    assert said.decode().splitlines()[0].endswith(doubts)
    assert 20 == len(queue.taken)


def test_the_queue_of_the_option_beats_that_of_the_environment(moto: Emulator, tmp_path: Path) -> None:
    """And the bucket is named if it is known."""
    queue, other = moto.new_queue(), moto.new_queue()
    settings = {"SQS_QUEUE_URL": other.url, "S3_BUCKET_NAME": "the-archive", "S3_KEY_PREFIX": "mail"}
    options = ("10", "--queue-url", queue.url, "--size", "300")
    done = run_to_end(*SEND, *options, directory=tmp_path, **settings, **aws_environment(moto.url))
    assert (0, "") == (done.returncode, done.stderr)
    assert "Sent 10 messages, 2.9 KiB, in " in done.stdout
    assert "Look for them in s3://the-archive/mail/, and" in done.stdout
    assert (10, 0) == (queue.visible, other.visible)


def test_a_queue_that_is_not_there_is_one_clear_line_and_its_fix(moto: Emulator, tmp_path: Path) -> None:
    """With exit code 1 and nothing on stdout."""
    url = f"{moto.url}/123456789012/nowhere"
    done = run_to_end(*SEND, "10", directory=tmp_path, SQS_QUEUE_URL=url, **aws_environment(moto.url))
    assert (1, "") == (done.returncode, done.stdout)
    error, fix = done.stderr.splitlines()
    assert error.startswith(f"error: SendMessageBatch {url}: ")
    assert "NonExistentQueue" in error
    assert "  fix: Create it, or correct SQS_QUEUE_URL and AWS_REGION." == fix


def test_wrong_settings_are_reported_and_end_with_2(tmp_path: Path) -> None:
    """Only those that it needs."""
    done = run_to_end(*SEND, "10", directory=tmp_path, S3_BUCKET_NAME="Not a bucket")
    assert (2, "") == (done.returncode, done.stdout)
    assert "SQS_QUEUE_URL: is required" in done.stderr
    assert "S3_BUCKET_NAME:" not in done.stderr


@pytest.mark.parametrize("options", [["0"], ["many"], ["10", "--size", "huge"], ["10", "--broken", "101"], []])
def test_options_that_make_no_sense_end_with_2(options: list[str], tmp_path: Path) -> None:
    """Before anything is read or sent."""
    done = run_to_end(*SEND, *options, directory=tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert "Usage: email-processor send [OPTIONS] N" in done.stderr


def test_a_dry_run_prints_the_bodies_and_sends_nothing(tmp_path: Path) -> None:
    """One a line, the same as would be sent, without any setting."""
    done = run_to_end(*SEND, "12", "--dry-run", "--seed", "7", "--broken", "50", directory=tmp_path)
    assert 0 == done.returncode
    assert done.stdout.splitlines() == [sample.body for sample in samples(12, Recipe(seed=7, broken=50))]
    assert done.stderr.startswith("Nothing was sent. These were 12 messages, ")
    assert ["a sample's body in stdout of email-processor"] == overheard.take()  # as was asked for


def test_an_interrupted_run_says_how_far_it_came(moto: Emulator, tmp_path: Path) -> None:
    """In one line, with exit code 1; what was sent stays sent."""
    queue = moto.new_queue()
    environment = {**clean_environment(), **aws_environment(moto.url), "SQS_QUEUE_URL": queue.url}
    command = [str(BIN / "email-processor"), "send", "5000", "--size", "300"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: queue.visible, "a message on the queue")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert 1 == process.returncode
    count = re.fullmatch(r"Interrupted\. Until then: ([\d,]+) messages, .*\n", said)
    assert count is not None
    assert 0 < int(count[1].replace(",", "")) <= queue.visible < 5000


def test_on_a_terminal_there_is_a_bar(moto: Emulator, tmp_path: Path) -> None:
    """It is gone at the end, where one line says what was sent."""
    queue = moto.new_queue()
    ours, theirs = pty.openpty()
    environment = {**clean_environment(), **aws_environment(moto.url), "SQS_QUEUE_URL": queue.url, "TERM": "xterm"}
    command = [str(BIN / "email-processor"), "send", "30"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        os.close(ours)
        assert 0 == process.wait(60)
    assert b"Sending" in shown
    assert b"30/30" in shown
    assert "Sent 30 messages" in shown.decode().splitlines()[-2]


def _read(terminal: int) -> bytes:
    """What is there to read; nothing when the other side is closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
