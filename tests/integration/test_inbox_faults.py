"""What SQS and the network say when something is wrong, and what the inbox makes of it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from email_processor.aws.connect import Aws
from email_processor.domain.errors import Cause, QueueFaultError
from email_processor.ports import Verdict
from tests.integration.opening import QUEUE, opened, point_at
from tests.support.aws_answers import CallFault, Reply, Rule, sqs, sqs_error
from tests.support.emulators import free_port
from tests.support.scripted_server import FakeAws

CALLS: dict[str, Callable[[Aws], Awaitable[object]]] = {
    "ReceiveMessage": lambda aws: aws.inbox.receive(10, 0),
    "DeleteMessageBatch": lambda aws: aws.inbox.delete(["a", "b"]),
    "ChangeMessageVisibilityBatch": lambda aws: aws.inbox.change_visibility(["a", "b"], 30),
    "GetQueueAttributes": lambda aws: aws.inbox.state(),
}

EXPIRED = "Signature expired: 20241210T143022Z is now earlier than 20241210T143023Z"

ERRORS: dict[str, tuple[Rule, Cause]] = {
    "no queue": (sqs_error("QueueDoesNotExist"), Cause.MISSING),
    "no queue, as AWS says it": (
        sqs_error("QueueDoesNotExist", query_code="AWS.SimpleQueueService.NonExistentQueue"),
        Cause.MISSING,
    ),
    "denied": (sqs_error("AccessDeniedException"), Cause.DENIED),
    "denied, as AWS says it": (sqs_error("AccessDeniedException", 403, query_code="AccessDenied"), Cause.DENIED),
    "denied without a word": (Reply(403), Cause.DENIED),
    "throttled": (sqs_error("ThrottlingException"), Cause.THROTTLED),
    "throttled by SQS": (sqs_error("RequestThrottled", query_code="RequestThrottled"), Cause.THROTTLED),
    "too much in flight": (sqs_error("OverLimit", 403, query_code="OverLimit"), Cause.THROTTLED),
    "throttled by KMS": (sqs_error("KmsThrottled", query_code="KMS.ThrottlingException"), Cause.THROTTLED),
    "key disabled": (sqs_error("KmsDisabled", query_code="KMS.DisabledException"), Cause.ENCRYPTION),
    "key denied": (sqs_error("KmsAccessDenied", query_code="KMS.AccessDeniedException"), Cause.ENCRYPTION),
    "token expired": (sqs_error("ExpiredTokenException", 403, query_code="ExpiredToken"), Cause.CREDENTIALS),
    "unknown key id": (
        sqs_error("UnrecognizedClientException", 403, query_code="InvalidClientTokenId"),
        Cause.CREDENTIALS,
    ),
    "wrong signature": (
        sqs_error("InvalidSignatureException", 403, query_code="SignatureDoesNotMatch"),
        Cause.CREDENTIALS,
    ),
    "clock skewed": (
        sqs_error("InvalidSignatureException", 403, query_code="SignatureDoesNotMatch", message=EXPIRED),
        Cause.CLOCK,
    ),
    "clock skewed, in a word": (sqs_error("RequestExpired"), Cause.CLOCK),
    "internal failure": (sqs_error("InternalFailure", 500, query_code="InternalFailure"), Cause.SERVER),
    "unavailable": (Reply(503), Cause.SERVER),
    "a balancer's page": (Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}), Cause.SERVER),
    "an error cut short": (Reply(500, b'{"__ty'), Cause.SERVER),
    "not an answer of SQS": (sqs(["what?"]), Cause.SERVER),
    "not UTF-8": (Reply(200, b'{"Messages":[{"Body":"\xff"}]}'), Cause.SERVER),
    "another region's or nobody's address": (sqs_error("InvalidAddress"), Cause.CONFIGURATION),
    "closed": (CallFault.CUT, Cause.NETWORK),
    "reset": (CallFault.RESET, Cause.NETWORK),
    "an answer cut short": (Reply(200, b'{"Messages":[{', length=1000), Cause.NETWORK),
}


@pytest.mark.parametrize(("script", "cause"), ERRORS.values(), ids=ERRORS)
async def test_what_sqs_says_has_a_cause(fake: FakeAws, aws: Aws, script: Rule, cause: Cause) -> None:
    """Every error of a receive is a fault of the queue with the cause that decides what is done about it."""
    fake.rule = script
    with pytest.raises(QueueFaultError) as caught:
        await aws.inbox.receive(10, 0)
    assert caught.value.cause is cause


@pytest.mark.parametrize("operation", CALLS)
async def test_every_call_translates_what_it_meets(fake: FakeAws, aws: Aws, operation: str) -> None:
    """Whatever the operation: the fault names it, the queue, the code and a fix, and nothing else is raised."""
    fake.rule = sqs_error("AccessDeniedException", 403, query_code="AccessDenied", message="Who are you?")
    with pytest.raises(QueueFaultError) as caught:
        await CALLS[operation](aws)
    assert caught.value.cause is Cause.DENIED
    assert caught.value.detail == f"{operation} {QUEUE.url}: AccessDenied: Who are you?"
    assert "policy" in caught.value.fix


@pytest.mark.parametrize("operation", CALLS)
async def test_a_call_is_made_once(fake: FakeAws, aws: Aws, operation: str) -> None:
    """Trying again is the pipeline's business: the SDK makes one request."""
    fake.rule = Reply(503)
    with pytest.raises(QueueFaultError):
        await CALLS[operation](aws)
    assert [asked.operation for asked in fake.requests] == [operation]


async def test_an_answer_that_does_not_come_is_a_timeout(fake: FakeAws, client: str) -> None:
    """The client itself gives up after its timeout."""
    fake.rule = CallFault.HANG
    async with opened(client=client, timeout=0.2) as aws:
        with pytest.raises(QueueFaultError) as caught:
            await aws.inbox.receive(10, 0)
    assert caught.value.cause is Cause.TIMEOUT


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_server_that_is_not_there_is_the_network(
    host: str, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection and a name that does not resolve are faults of the network, with a fix."""
    point_at(f"http://{host}:{free_port()}", monkeypatch)
    async with opened(client=client) as aws:
        with pytest.raises(QueueFaultError) as caught:
            await aws.inbox.receive(10, 0)
    assert caught.value.cause is Cause.NETWORK
    assert "DNS" in caught.value.fix


async def test_cancelling_a_call_is_no_fault(fake: FakeAws, aws: Aws) -> None:
    """A call that is cut short by a stop ends as cancelled, and the next one works."""
    fake.rule = CallFault.HANG
    call = asyncio.ensure_future(aws.inbox.receive(10, 0))
    await fake.next_request()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    fake.rule = sqs({})
    assert [] == await aws.inbox.receive(10, 0)


BATCHES = {
    "all done": ([("0", ""), ("1", "")], [Verdict.DONE, Verdict.DONE]),
    "in any order": ([("1", ""), ("0", "")], [Verdict.DONE, Verdict.DONE]),
    "one failed": ([("0", ""), ("1", "InternalError")], [Verdict.DONE, Verdict.FAILED]),
    "one handle gone": ([("0", "ReceiptHandleIsInvalid"), ("1", "")], [Verdict.GONE, Verdict.DONE]),
    "one not in flight": ([("0", ""), ("1", "MessageNotInflight")], [Verdict.DONE, Verdict.GONE]),
    "not in flight, as AWS says it": (
        [("0", ""), ("1", "AWS.SimpleQueueService.MessageNotInflight")],
        [Verdict.DONE, Verdict.GONE],
    ),
    "twelve hours over": ([("0", ""), ("1", "InvalidParameterValue")], [Verdict.DONE, Verdict.GONE]),
    "all handles gone": (
        [("0", "ReceiptHandleIsInvalid"), ("1", "ReceiptHandleIsInvalid")],
        [Verdict.GONE, Verdict.GONE],
    ),
    "one in neither list": ([("0", "")], [Verdict.DONE, Verdict.FAILED]),
}


def batch_answer(entries: list[tuple[str, str]]) -> Reply:
    """The answer to a batch: ids that went well, and ids with the code of their failure."""
    return sqs(
        {
            "Successful": [{"Id": entry} for entry, code in entries if not code],
            "Failed": [
                {"Id": entry, "Code": code, "Message": "No.", "SenderFault": False} for entry, code in entries if code
            ],
        }
    )


@pytest.mark.parametrize("operation", ["DeleteMessageBatch", "ChangeMessageVisibilityBatch"])
@pytest.mark.parametrize(("entries", "verdicts"), BATCHES.values(), ids=BATCHES)
async def test_every_entry_of_a_batch_gets_its_verdict(
    fake: FakeAws, aws: Aws, operation: str, entries: list[tuple[str, str]], verdicts: list[Verdict]
) -> None:
    """In the order of the handles; an entry that the answer does not mention is not done."""
    fake.rule = batch_answer(entries)
    assert await CALLS[operation](aws) == verdicts


@pytest.mark.parametrize("operation", ["DeleteMessageBatch", "ChangeMessageVisibilityBatch"])
async def test_a_batch_that_is_refused_altogether_is_a_fault_of_the_queue(
    fake: FakeAws, aws: Aws, operation: str
) -> None:
    """A person may have to act, so it is not one more retry."""
    fake.rule = batch_answer([("0", "AccessDenied"), ("1", "AccessDenied")])
    with pytest.raises(QueueFaultError) as caught:
        await CALLS[operation](aws)
    assert caught.value.cause is Cause.DENIED
    assert "policy" in caught.value.fix


NAMELESS = {
    "nothing at all": {},
    "nothing in either list": {"Successful": [], "Failed": []},
    "null in both lists": {"Successful": None, "Failed": None},
    "entries of somebody else": {"Successful": [{"Id": "7"}], "Failed": [{"Id": "8", "Code": "InternalError"}]},
    "entries without an id": {"Successful": [{}]},
}


@pytest.mark.parametrize("operation", ["DeleteMessageBatch", "ChangeMessageVisibilityBatch"])
@pytest.mark.parametrize("answer", NAMELESS.values(), ids=NAMELESS)
async def test_an_answer_that_names_none_of_the_entries_is_a_fault_of_the_queue(
    fake: FakeAws, aws: Aws, operation: str, answer: object
) -> None:
    """What is not said is never a yes, nor one more entry that is tried again without a word."""
    fake.rule = sqs(answer)
    with pytest.raises(QueueFaultError, match="names none of the entries") as caught:
        await CALLS[operation](aws)
    assert Cause.SERVER is caught.value.cause


@pytest.mark.parametrize("attributes", [{}, {"RedrivePolicy": "{}"}, {"ApproximateNumberOfMessages": "many"}, None])
async def test_a_queue_that_does_not_say_how_deep_it_is_is_a_fault(fake: FakeAws, aws: Aws, attributes: object) -> None:
    """It is not empty for that."""
    fake.rule = sqs({"Attributes": attributes})
    with pytest.raises(QueueFaultError, match="ApproximateNumberOfMessages"):
        await aws.inbox.state()
