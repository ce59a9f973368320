"""The inbox against two implementations of SQS, through both clients."""

import hashlib
import json
from collections.abc import AsyncIterator

import pytest

from email_processor.aws.connect import Aws
from email_processor.domain.errors import Cause, QueueFaultError
from email_processor.domain.message import MESSAGE_MAX_BYTES, Attribute
from email_processor.ports import QueueState, Verdict
from tests.integration.opening import opened, point_at
from tests.support.aws_answers import Reply, sqs, sqs_error
from tests.support.emulators import Emulator, Queue
from tests.support.mail import email
from tests.support.scripted_server import FakeAws

# Everything that SQS allows in a body and that an encoding could spoil.
ODD = 'Grüße \U0001f600 \u2028 \t \\ "quoted" \u202e <&> \ud7ff\ue000'


@pytest.fixture
def queue(emulator: Emulator) -> Queue:
    """A queue on each emulator in turn."""
    return emulator.new_queue()


@pytest.fixture
async def at_queue(queue: Queue, client: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Aws]:
    """The ports, pointed at it."""
    point_at(queue.emulator.url, monkeypatch)
    async with opened(client=client, queue_url=queue.url, timeout=10) as ports:
        yield ports


async def test_a_message_arrives_as_it_was_sent(at_queue: Aws, queue: Queue) -> None:
    """Body, digest, system attributes and user attributes are all there."""
    message_id = queue.send(
        ODD,
        MessageAttributes={
            "text": {"DataType": "String", "StringValue": "é"},
            "number": {"DataType": "Number.int", "StringValue": "42"},
            "binary": {"DataType": "Binary.png", "BinaryValue": b"\x89PNG\x00\xff"},
        },
    )
    (message,) = await at_queue.inbox.receive(10, 1)
    assert message.message_id == message_id
    assert message.body == ODD.encode()
    assert message.md5_of_body == hashlib.md5(ODD.encode(), usedforsecurity=False).hexdigest()
    assert message.is_intact
    assert 1 == message.receive_count
    assert message.sent_at is not None
    assert abs(message.moment("first_receive", 0).timestamp() - message.sent_at) < 5
    assert {
        "text": Attribute("String", "é"),
        "number": Attribute("Number.int", "42"),
        "binary": Attribute("Binary.png", b"\x89PNG\x00\xff"),
    } == message.message_attributes


async def test_no_more_than_asked_for_is_received(at_queue: Aws, queue: Queue) -> None:
    """The limit of a receive holds, and what is in flight is not handed out again."""
    queue.send_all([email() for _ in range(5)])
    received = [*await at_queue.inbox.receive(3, 0), *await at_queue.inbox.receive(3, 0)]
    assert 5 == len({message.message_id for message in received})
    assert [] == await at_queue.inbox.receive(3, 0)
    assert 5 == queue.in_flight


async def test_a_deleted_message_is_gone(at_queue: Aws, queue: Queue) -> None:
    """A batch of ten is deleted, each entry done."""
    queue.send_all([email() for _ in range(10)])
    handles = [message.receipt_handle for message in await at_queue.inbox.receive(10, 1)]
    assert [Verdict.DONE] * 10 == await at_queue.inbox.delete(handles)
    assert queue.is_empty()


async def test_a_handle_that_never_was_is_gone(at_queue: Aws, queue: Queue) -> None:
    """It is neither deleted nor extended, and its neighbour is."""
    queue.send(email())
    (message,) = await at_queue.inbox.receive(10, 1)
    handles = ["AQEBnever", message.receipt_handle]
    assert [Verdict.GONE, Verdict.DONE] == await at_queue.inbox.change_visibility(handles, 60)
    assert [Verdict.GONE, Verdict.DONE] == await at_queue.inbox.delete(handles)


async def test_visibility_zero_gives_a_message_back(at_queue: Aws, queue: Queue) -> None:
    """It can be received again at once, counted, with a new handle and the first receive's time."""
    queue.send(email())
    (first,) = await at_queue.inbox.receive(10, 1)
    assert [Verdict.DONE] == await at_queue.inbox.change_visibility([first.receipt_handle], 0)
    (second,) = await at_queue.inbox.receive(10, 1)
    assert 2 == second.receive_count
    assert second.receipt_handle != first.receipt_handle
    assert second.moment("first_receive", 0) == first.moment("first_receive", 0)


async def test_the_state_counts_messages(at_queue: Aws, queue: Queue) -> None:
    """Visible and in flight are told apart; without a redrive policy there is no limit of receives."""
    queue.send_all([email() for _ in range(3)])
    await at_queue.inbox.receive(1, 1)
    assert QueueState(visible=2, in_flight=1, delayed=0, max_receive_count=None) == await at_queue.inbox.state()


async def test_the_state_tells_the_limit_of_receives(
    emulator: Emulator, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The redrive policy's maxReceiveCount is read."""
    policy = json.dumps({"deadLetterTargetArn": emulator.new_queue().arn, "maxReceiveCount": 7})
    queue = emulator.new_queue(RedrivePolicy=policy)
    point_at(emulator.url, monkeypatch)
    async with opened(client=client, queue_url=queue.url, timeout=10) as aws:
        assert 7 == (await aws.inbox.state()).max_receive_count


STATES = {
    "a number": ({"RedrivePolicy": '{"maxReceiveCount":5}'}, 5),
    "a number in quotes, as older policies have it": ({"RedrivePolicy": '{"maxReceiveCount":"5"}'}, 5),
    "an empty policy": ({"RedrivePolicy": ""}, None),
    "not JSON": ({"RedrivePolicy": "none"}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize(("attributes", "limit"), STATES.values(), ids=STATES)
async def test_a_redrive_policy_is_read_in_every_form(
    fake: FakeAws, aws: Aws, attributes: dict[str, str], limit: int | None
) -> None:
    """The limit of receives is a number or there is none; counts of what is hidden may be absent."""
    fake.rule = sqs({"Attributes": {"ApproximateNumberOfMessages": "3", **attributes}})
    assert await aws.inbox.state() == QueueState(3, 0, 0, limit)


async def test_a_receive_asks_for_everything(fake: FakeAws, aws: Aws) -> None:
    """Limit, wait and visibility timeout are those that were given; all attributes are asked for."""
    fake.rule = sqs({})
    assert [] == await aws.inbox.receive(7, 20)
    (asked,) = fake.requests
    assert "ReceiveMessage" == asked.operation
    assert {
        "QueueUrl": "http://127.0.0.1/123456789012/emails",
        "MaxNumberOfMessages": 7,
        "WaitTimeSeconds": 20,
        "VisibilityTimeout": 30,
        "MessageSystemAttributeNames": ["All"],
        "AttributeNames": ["All"],
        "MessageAttributeNames": ["All"],
    } == asked.json


@pytest.mark.parametrize("size", [4, 8000])
async def test_a_large_answer_is_asked_about_first(fake: FakeAws, client: str, size: int) -> None:
    """The SDK's client reads any answer at once: so there every receive is asked about, before it is made."""
    messages = [{"MessageId": f"m{n}", "ReceiptHandle": "r", "Body": "x" * size} for n in range(10)]
    fake.rule = sqs({"Messages": messages})
    asked = []

    async def admit(most: int) -> None:
        asked.append((len(fake.requests), most))

    async with opened(client=client) as aws:
        assert 10 == len(await aws.inbox.receive(10, 0, admit))
    if client == "sdk":
        assert [(0, 10 * MESSAGE_MAX_BYTES)] == asked
    elif size == 4:
        assert [] == asked
    else:
        ((requests, most),) = asked
        assert 1 == requests
        assert 80_000 < most < 90_000


async def test_a_fifo_receive_without_an_answer_is_asked_again_under_its_id(fake: FakeAws, client: str) -> None:
    """SQS repeats a receive of the same attempt, so that a lost answer does not lock its groups."""
    async with opened(client=client, queue_url="http://127.0.0.1/123456789012/emails.fifo") as aws:
        fake.rule = Reply(503)
        with pytest.raises(Exception, match="SQS failed"):
            await aws.inbox.receive(10, 0)
        fake.rule = sqs({})
        await aws.inbox.receive(10, 0)
        await aws.inbox.receive(10, 0)
    first, again, next_one = (asked.json["ReceiveRequestAttemptId"] for asked in fake.requests)
    assert first == again != next_one


async def test_a_message_that_says_little_is_taken_as_it_is(fake: FakeAws, aws: Aws) -> None:
    """No digest, no attributes, a lone surrogate in the body: the batch arrives."""
    entries = (
        b'{"Messages":[{"MessageId":"m","ReceiptHandle":"r","Body":"\\ud800"},{"MessageId":"n","ReceiptHandle":"s"}]}'
    )
    fake.rule = Reply(200, entries, {"Content-Type": "application/x-amz-json-1.0"})
    one, other = await aws.inbox.receive(10, 0)
    assert ("m", "r", b"\xed\xa0\x80") == (one.message_id, one.receipt_handle, one.body)
    assert (b"", None, 1) == (other.body, other.md5_of_body, other.receive_count)


NOT_DONE = ([Verdict.FAILED, Verdict.FAILED], Cause.SERVER)


async def delete_two(aws: Aws) -> object:
    """The verdicts of a delete of two messages, or the cause of its fault."""
    try:
        return await aws.inbox.delete(["a", "b"])
    except QueueFaultError as fault:
        return fault.cause


@pytest.mark.parametrize("body", [b"<html>", b'{"Successful":[{"Id":"0"', b"", b"null", b"[]"])
async def test_a_delete_is_never_done_on_an_answer_that_is_none(fake: FakeAws, aws: Aws, body: bytes) -> None:
    """What cannot be read as an answer may be a fault or a failed entry, but it is not a success."""
    fake.rule = Reply(200, body)
    assert await delete_two(aws) in NOT_DONE


ODD_ANSWERS = {
    "ids that were not sent": {"Successful": [{"Id": "7"}, {"Id": "-1"}, {"Id": "x"}]},
    "entries that are none": {"Successful": ["0", None], "Failed": 3},
    "no lists": {"Successful": None, "Failed": None},
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
async def test_a_delete_is_never_done_on_an_answer_that_makes_no_sense(fake: FakeAws, aws: Aws, answer: object) -> None:
    """The same of an answer that can be read and is about something else."""
    fake.rule = sqs(answer)
    assert await delete_two(aws) in NOT_DONE


async def test_an_error_does_not_repeat_what_it_should_not(fake: FakeAws, aws: Aws) -> None:
    """To a wrong signature SQS adds the request that it expected; only the first line of it is told."""
    message = (
        "The request signature does not match.\n\nThe Canonical String should have been\n'x-amz-security-token:T0KEN"
    )
    fake.rule = sqs_error("InvalidSignatureException", 403, query_code="SignatureDoesNotMatch", message=message)
    with pytest.raises(Exception, match="does not match") as caught:
        await aws.inbox.receive(10, 0)
    assert "T0KEN" not in str(caught.value)
