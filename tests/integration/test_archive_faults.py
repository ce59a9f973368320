"""What S3 and the network say when something is wrong, and what the archive makes of it."""

import gc
import sys

import pytest

from email_processor.aws.connect import Aws
from email_processor.domain.email import Pointer
from email_processor.domain.errors import (
    Cause,
    EmailProcessorError,
    ObjectRefusedError,
    PayloadMissingError,
    StoreFaultError,
)
from email_processor.metrics import Operation
from email_processor.pipeline.calls import Calls, Timeouts
from email_processor.ports import Stored
from tests.integration.opening import opened, point_at
from tests.support.aws_answers import STORED, CallFault, Reply, Rule, s3_error
from tests.support.emulators import free_port
from tests.support.payloads import fetched
from tests.support.scripted_server import FakeAws
from tests.unit.pipeline.kit import Kit, new_metrics

KEY = "emails/2024/12/10/john.doe/m_143022.json"
PAYLOAD = Pointer("theirs", "payloads/1")

# Status, code, cause: as S3 answers to PutObject.
ANSWERS = [
    (503, "SlowDown", Cause.THROTTLED),
    (429, "TooManyRequests", Cause.THROTTLED),
    (400, "KMS.ThrottlingException", Cause.THROTTLED),
    (500, "InternalError", Cause.SERVER),
    (503, "ServiceUnavailable", Cause.SERVER),
    (409, "OperationAborted", Cause.SERVER),
    (409, "ConditionalRequestConflict", Cause.SERVER),
    (507, "InsufficientCapacity", Cause.SERVER),
    (400, "RequestTimeout", Cause.TIMEOUT),
    (403, "AccessDenied", Cause.DENIED),
    (403, "AllAccessDisabled", Cause.DENIED),
    (405, "MethodNotAllowed", Cause.CONFIGURATION),
    (403, "InvalidAccessKeyId", Cause.CREDENTIALS),
    (403, "SignatureDoesNotMatch", Cause.CREDENTIALS),
    (400, "ExpiredToken", Cause.CREDENTIALS),
    (400, "InvalidToken", Cause.CREDENTIALS),
    (400, "TokenRefreshRequired", Cause.CREDENTIALS),
    (401, "Unauthorized", Cause.CREDENTIALS),
    (403, "RequestTimeTooSkewed", Cause.CLOCK),
    (404, "NoSuchBucket", Cause.MISSING),
    (400, "KMS.DisabledException", Cause.ENCRYPTION),
    (400, "KMS.NotFoundException", Cause.ENCRYPTION),
    (403, "KMS.AccessDeniedException", Cause.ENCRYPTION),
    (301, "PermanentRedirect", Cause.CONFIGURATION),
    (400, "AuthorizationHeaderMalformed", Cause.CONFIGURATION),
    (400, "InvalidRequest", Cause.CONFIGURATION),
    (501, "NotImplemented", Cause.CONFIGURATION),
]

BARE: dict[str, tuple[Rule, Cause]] = {
    "503 without a body": (Reply(503), Cause.SERVER),
    "403 without a body": (Reply(403), Cause.DENIED),
    "404 without a body": (Reply(404), Cause.MISSING),
    "a balancer's page": (Reply(502, b"<html>Bad\n\nGateway</html>"), Cause.SERVER),
    "a page that looks like an error of ours": (
        Reply(502, b"\n\nDebug source:\ninner: Status {\n    status: 412,\n<Code>PreconditionFailed</Code>"),
        Cause.SERVER,
    ),
    "stored, but by whom? no ETag": (Reply(200), Cause.SERVER),
    "closed": (CallFault.CUT, Cause.NETWORK),
    "reset": (CallFault.RESET, Cause.NETWORK),
}


async def fault_of_a_put(aws: Aws) -> StoreFaultError:
    """What a PUT raises."""
    with pytest.raises(StoreFaultError) as caught:
        await aws.archive.put(KEY, b"{}")
    return caught.value


@pytest.mark.parametrize(("status", "code", "cause"), ANSWERS, ids=[f"{row[0]} {row[1]}" for row in ANSWERS])
async def test_what_s3_says_has_a_cause(fake: FakeAws, aws: Aws, status: int, code: str, cause: Cause) -> None:
    """Every error of a PUT is a fault of the store that names the object, the code and what S3 says of it."""
    fake.rule = s3_error(code, status)
    fault = await fault_of_a_put(aws)
    assert fault.cause is cause
    assert fault.detail == f"PutObject s3://archive/{KEY}: {code}: No."


@pytest.mark.parametrize(
    "script",
    [s3_error("InternalError", 500), s3_error("EntityTooLarge", 400), CallFault.CUT, CallFault.RESET, CallFault.HANG],
    ids=["refused", "refused alone", "closed", "reset", "no answer"],
)
async def test_a_put_that_fails_lets_go_of_its_document(fake: FakeAws, aws: Aws, script: Rule) -> None:
    """At once: until the garbage collector came, those of a hundred lost connections would be in memory."""
    fake.rule = script
    document = bytes(bytearray(b"{}"))
    before = sys.getrefcount(document)
    calls = Calls(new_metrics(), Kit.new().context.health, Timeouts(queue=1, store=0.2))
    gc.disable()
    try:
        with pytest.raises(EmailProcessorError):
            await calls.bounded(Operation.PUT, aws.archive.put(KEY, document))
        assert before == sys.getrefcount(document)
    finally:
        gc.enable()


@pytest.mark.parametrize(("script", "cause"), BARE.values(), ids=BARE)
async def test_what_is_no_answer_of_s3_has_a_cause(fake: FakeAws, aws: Aws, script: Rule, cause: Cause) -> None:
    """Answers without a code, from a balancer, or none at all, are faults as well."""
    fake.rule = script
    assert (await fault_of_a_put(aws)).cause is cause


async def test_only_a_failed_precondition_means_already_there(fake: FakeAws, aws: Aws) -> None:
    """412 to the PUT is the object that was written before, here for who may not look at it; no other refusal is."""
    found = s3_error("PreconditionFailed", 412)
    fake.rule = lambda request: found if request.method == "PUT" else Reply(403)
    assert await aws.archive.put(KEY, b"{}") is Stored.ALREADY_THERE


@pytest.mark.parametrize(("status", "code"), [(400, "KeyTooLongError"), (400, "EntityTooLarge"), (400, "InvalidURI")])
async def test_an_object_that_s3_will_never_take_is_refused_alone(
    fake: FakeAws, aws: Aws, status: int, code: str
) -> None:
    """It is no fault of the store, and no other object suffers for it."""
    fake.rule = s3_error(code, status)
    with pytest.raises(ObjectRefusedError, match=code):
        await aws.archive.put(KEY, b"{}")


WRONG_REGION = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"


@pytest.mark.parametrize(
    "reply",
    [Reply(301, headers={"x-amz-bucket-region": "eu-west-1"}), Reply(400, WRONG_REGION)],
    ids=["header", "body"],
)
async def test_the_region_that_s3_names_is_in_the_fix(fake: FakeAws, aws: Aws, reply: Reply) -> None:
    """In a header of a redirect or in the body of a refusal, without another request."""
    fake.rule = reply
    assert (await fault_of_a_put(aws)).fix.startswith("Set AWS_REGION=eu-west-1,")
    assert 1 == len(fake.requests)


async def test_a_put_is_made_once(fake: FakeAws, aws: Aws) -> None:
    """Trying again is the pipeline's business."""
    fake.rule = s3_error("InternalError", 500)
    await fault_of_a_put(aws)
    assert 1 == len(fake.requests)


async def test_a_put_without_an_answer_is_a_timeout(fake: FakeAws, client: str) -> None:
    """The client itself gives up after its timeout, and says how to go on."""
    fake.rule = CallFault.HANG
    async with opened(client=client, timeout=0.2) as aws:
        fault = await fault_of_a_put(aws)
    assert fault.cause is Cause.TIMEOUT
    assert "network path" in fault.fix


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_server_that_is_not_there_is_the_network(
    host: str, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection and a name that does not resolve are faults of the network, with a fix."""
    point_at(f"http://{host}:{free_port()}", monkeypatch)
    async with opened(client=client) as aws:
        fault = await fault_of_a_put(aws)
    assert fault.cause is Cause.NETWORK
    assert "DNS" in fault.fix


async def test_a_key_cannot_pass_for_an_answer(fake: FakeAws, aws: Aws) -> None:
    """What stands in the key is not taken for what the server said."""
    fake.rule = s3_error("InternalError", 500)
    with pytest.raises(StoreFaultError) as caught:
        await aws.archive.put("inner: Status { status: 412, <Code>PreconditionFailed<Code>.json", b"{}")
    assert caught.value.cause is Cause.SERVER


async def test_after_a_fault_the_next_put_works(fake: FakeAws, aws: Aws) -> None:
    """Nothing of a fault stays behind."""
    fake.rule = CallFault.RESET
    await fault_of_a_put(aws)
    fake.rule = STORED
    assert await aws.archive.put(KEY, b"{}") is Stored.CREATED


PAYLOAD_FAULTS: dict[str, tuple[Rule, Cause]] = {
    "denied": (s3_error("AccessDenied", 403), Cause.DENIED),
    "no bucket": (s3_error("NoSuchBucket", 404), Cause.MISSING),
    "slow down": (s3_error("SlowDown", 503), Cause.THROTTLED),
    "internal error": (s3_error("InternalError", 500), Cause.SERVER),
    "key denied": (s3_error("KMS.DisabledException", 400), Cause.ENCRYPTION),
    "closed": (CallFault.CUT, Cause.NETWORK),
    "reset": (CallFault.RESET, Cause.NETWORK),
    "cut short": (Reply(200, b"{", length=500), Cause.NETWORK),
    "cut short, in chunks": (Reply(200, b"{" * 500, in_chunks=True, share=0.5), Cause.NETWORK),
    "hung": (CallFault.HANG, Cause.TIMEOUT),
}


@pytest.mark.parametrize(("script", "cause"), PAYLOAD_FAULTS.values(), ids=PAYLOAD_FAULTS)
async def test_a_payload_that_cannot_be_read_has_a_cause(fake: FakeAws, aws: Aws, script: Rule, cause: Cause) -> None:
    """A GET that fails names the payload; only a missing object is missing for good."""
    fake.rule = script
    with pytest.raises(StoreFaultError) as caught:
        await fetched(aws.payloads, PAYLOAD)
    assert caught.value.cause is cause
    assert caught.value.detail.startswith("GetObject s3://theirs/payloads/1: ")


async def test_a_payload_that_does_not_exist_is_told_apart(fake: FakeAws, aws: Aws) -> None:
    """Then the message that points to it can never be archived."""
    fake.rule = s3_error("NoSuchKey", 404)
    with pytest.raises(PayloadMissingError, match="s3://theirs/payloads/1"):
        await fetched(aws.payloads, PAYLOAD)
