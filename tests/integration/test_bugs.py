"""Who is at fault: a bug of ours is raised as the bug that it is, and what an odd answer does to the SDK is a fault."""

from collections.abc import Awaitable, Callable

import pytest

from email_processor.aws.connect import Aws
from email_processor.aws.shelf import open_shelf
from email_processor.domain.email import Pointer
from email_processor.domain.errors import QueueFaultError, StoreFaultError
from tests.integration.opening import STORE, opened
from tests.support.aws_answers import STORED, Reply, Rule, s3_error, sqs
from tests.support.payloads import fetched
from tests.support.scripted_server import FakeAws

CALLS: dict[str, Callable[[Aws], Awaitable[object]]] = {
    "ReceiveMessage": lambda aws: aws.inbox.receive(10, 0),
    "DeleteMessageBatch": lambda aws: aws.inbox.delete(["a"]),
    "ChangeMessageVisibilityBatch": lambda aws: aws.inbox.change_visibility(["a"], 30),
    "GetQueueAttributes": lambda aws: aws.inbox.state(),
    "PutObject": lambda aws: aws.archive.put("emails/m.json", b"{}"),
    "GetObject": lambda aws: fetched(aws.payloads, Pointer("theirs", "payloads/1")),
}
READERS = {  # what reads an answer of ours
    "ReceiveMessage": "email_processor.aws.inbox.messages_of",
    "DeleteMessageBatch": "email_processor.aws.inbox.batch_of",
    "ChangeMessageVisibilityBatch": "email_processor.aws.inbox.batch_of",
    "GetQueueAttributes": "email_processor.aws.inbox.state_of",
}
ANY_CALL = "email_processor.aws.credentials.Credentials._begin_look"


def a_bug(*_: object) -> None:
    """Raise what no service says."""
    raise KeyError("a bug")


async def test_a_bug_on_the_way_out_is_no_fault_of_whom_is_called(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever client calls our code, and whatever it calls it for."""
    monkeypatch.setattr(ANY_CALL, a_bug)
    for call in CALLS.values():
        with pytest.raises(KeyError, match="a bug"):
            await call(aws)


async def test_a_bug_in_reading_an_answer_is_no_fault_of_the_queue(
    aws: Aws, fake: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was as it should be."""
    fake.rule = sqs({})
    for call, reader in READERS.items():
        monkeypatch.setattr(reader, a_bug)
        with pytest.raises(KeyError, match="a bug"):
            await CALLS[call](aws)


async def test_a_bug_in_looking_at_an_object_is_no_fault_of_the_store(
    aws: Aws, fake: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that is there already is compared here."""
    monkeypatch.setattr("email_processor.aws.checked.are_of_one_message", a_bug)
    fake.rule = lambda asked: s3_error("PreconditionFailed", 412) if asked.method == "PUT" else Reply(200, b"[]")
    with pytest.raises(KeyError, match="a bug"):
        await CALLS["PutObject"](aws)


async def test_a_bug_in_reading_http_is_no_fault_of_the_network(fake: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is met in the middle of the parser, and ends the connection all the same."""
    fake.rule = STORED
    monkeypatch.setattr("email_processor.aws.http_client._Connection.on_headers_complete", a_bug)
    async with opened() as aws:
        with pytest.raises(KeyError, match="a bug"):
            await CALLS["PutObject"](aws)


@pytest.mark.parametrize("proxy", [False, True], ids=["directly", "through a proxy"])
async def test_a_bug_is_no_fault_of_the_store_that_is_read(
    fake: FakeAws, monkeypatch: pytest.MonkeyPatch, proxy: bool
) -> None:
    """Nor for the commands on the archive."""
    if proxy:
        monkeypatch.setenv("HTTP_PROXY", fake.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example")
    monkeypatch.setattr(ANY_CALL, a_bug)
    async with open_shelf(STORE, 1000) as (shelf, configured):
        asked = shelf.page("", ""), shelf.get("k"), shelf.put("k", b""), shelf.delete("k"), configured.lifecycle()
        for call in asked:
            with pytest.raises(KeyError, match="a bug"):
                await call


ODD_REFUSALS: dict[str, Rule] = {
    "a list": Reply(400, b'["no"]'),
    "of a type that is a number": Reply(400, b'{"__type": 5}'),
}
ODD_ANSWERS: dict[str, Rule] = {
    "a list": Reply(200, b"[1]"),
    "numbers for lists": Reply(200, b'{"Messages": 5, "Successful": 5, "Attributes": 5}'),
    "lists of lists": Reply(200, b'{"Messages": [[1]], "Successful": [[1]], "Attributes": [[1]]}'),
    "deeper than anybody reads": Reply(200, b"[" * 100_000),
}


@pytest.mark.parametrize("odd", ODD_REFUSALS.values(), ids=ODD_REFUSALS)
async def test_whatever_a_library_makes_of_an_odd_refusal_is_a_fault(aws: Aws, fake: FakeAws, odd: Rule) -> None:
    """The SDK's parsers raise as a bug would: what they do not expect has come from outside."""
    fake.rule = odd
    for name, call in CALLS.items():
        with pytest.raises(StoreFaultError if name.endswith("Object") else QueueFaultError):
            await call(aws)


@pytest.mark.parametrize("odd", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
async def test_whatever_a_library_makes_of_an_odd_answer_is_a_fault(aws: Aws, fake: FakeAws, odd: Rule) -> None:
    """Of the queue's: what the bucket answers is not looked into."""
    fake.rule = odd
    for name in READERS:
        with pytest.raises(QueueFaultError):
            await CALLS[name](aws)
