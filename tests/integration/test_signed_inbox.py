"""What is particular to calling SQS and S3 without the SDK's client: signatures, odd answers, proxies, fallbacks."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from unittest import mock

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from email_processor.aws.archive import SdkArchive, SignedArchive
from email_processor.aws.checked import CheckedArchive
from email_processor.aws.connect import Aws
from email_processor.aws.credentials import Credentials
from email_processor.aws.faults import PROTOCOL_FIX
from email_processor.aws.http_client import Answer, HttpClient
from email_processor.aws.signed import Endpoint, SignedSqs
from email_processor.aws.sigv4 import Signer
from email_processor.domain.errors import Cause, QueueFaultError
from email_processor.domain.message import KeyTime
from email_processor.ports import Stored, Verdict
from tests.integration.opening import CLIENTS, opened, point_at
from tests.support.aws_answers import STORED, CallFault, Reply, Request, an_aws, sqs
from tests.support.emulators import ACCESS_KEY, REGION, SECRET_KEY
from tests.support.scripted_server import FakeAws

KEY = "emails/2024/12/10/jörg müller+x/msg 1_143022.json"


@pytest.fixture
def client() -> str:
    """Here, only the one that signs."""
    return "signed"


def signature_by_botocore(asked: Request, url: str, token: str | None) -> str:
    """What botocore signs a request like this one with."""
    is_queue = "x-amz-target" in asked.headers
    names = asked.headers.keys() - {"authorization", "content-length", "user-agent", "x-amz-date"}
    names -= {
        "x-amz-security-token",
        "accept",
        "accept-encoding",
        "connection",
    }  # added by botocore, or by a proxy's client
    request = AWSRequest(
        asked.method, f"{url}{asked.target}", headers={name: asked.headers[name] for name in names}, data=asked.body
    )
    request.context["payload_signing_enabled"] = True
    auth = (SigV4Auth if is_queue else S3SigV4Auth)(
        ReadOnlyCredentials(ACCESS_KEY, SECRET_KEY, token), "sqs" if is_queue else "s3", REGION
    )
    moment = datetime.strptime(asked.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        auth.add_auth(request)
    return str(request.headers["Authorization"])


def is_signed(asked: Request, name: str) -> bool:
    """Whether a header is under the signature."""
    names = asked.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    return name in names.split(";")


@pytest.mark.parametrize("token", [None, "a/session+token=="])
async def test_what_arrives_is_signed_as_botocore_signs_it(
    fake: FakeAws, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    """All of it but the user agent, which proxies may change; a key of any script, with and without a token."""
    if token is None:
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    else:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    fake.rule = an_aws
    async with opened(sse="aws:kms", kms_key_id="alias/mail") as aws:
        await aws.inbox.receive(10, 0)
        await aws.inbox.delete(["a", "b"])
        await aws.archive.put(KEY, "{}é".encode())
    assert [asked.headers.get("x-amz-security-token") for asked in fake.requests] == [token] * 3
    for asked in fake.requests:
        assert asked.headers["authorization"] == signature_by_botocore(asked, fake.url, token)
        assert not is_signed(asked, "user-agent")


async def test_a_put_says_everything_that_it_should(fake: FakeAws) -> None:
    """Only new, what it is, its digest, how it is to be encrypted; under the key, as S3 decodes it."""
    fake.rule = STORED
    async with opened(sse="aws:kms", kms_key_id="alias/mail") as aws:
        assert await aws.archive.put(KEY, b"{}") is Stored.CREATED
    (asked,) = fake.requests
    names = ("if-none-match", "content-type", "x-amz-content-sha256", "x-amz-server-side-encryption")
    assert [asked.headers[name] for name in names] == [
        "*",
        "application/json",
        hashlib.sha256(b"{}").hexdigest(),
        "aws:kms",
    ]
    assert "alias/mail" == asked.headers["x-amz-server-side-encryption-aws-kms-key-id"]
    assert (asked.method, asked.path, asked.body) == ("PUT", f"/archive/{KEY}", b"{}")


async def test_one_odd_message_does_not_hold_up_its_batch(aws: Aws, fake: FakeAws) -> None:
    """A lone surrogate, which no strict parser takes, comes through beside an email that has none."""
    messages = [{"MessageId": str(n), "ReceiptHandle": "r", "Body": body} for n, body in enumerate(["a\ud800", "b"])]
    fake.rule = sqs({"Messages": messages})
    assert [b"a\xed\xa0\x80", b"b"] == [message.body for message in await aws.inbox.receive(10, 0)]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'{"Messages": [',
        b"[]",
        b'{"Messages": [{"Body": "x"}]}',
        b'{"Messages": {"MessageId": "m"}}',
        b'{"__type": "com.amazonaws.sqs#InternalFailure"}',
        b'{"status": "ok"}',
        b"\x1f\x8b\x08 compressed, though nobody asked for it",
    ],
)
@pytest.mark.parametrize("client", CLIENTS)
async def test_an_answer_that_is_not_sqss_is_a_fault_of_the_queue(aws: Aws, fake: FakeAws, body: bytes) -> None:
    """Never an empty receive, and never a crash."""
    fake.rule = Reply(200, body)
    with pytest.raises(QueueFaultError) as caught:
        await aws.inbox.receive(10, 0)
    assert caught.value.cause is Cause.SERVER


@pytest.mark.parametrize("status", [400, 415])
async def test_a_server_of_the_older_protocol_is_named(aws: Aws, fake: FakeAws, status: int) -> None:
    """It takes no JSON, and says so in words of its own."""
    fake.rule = Reply(status, b"<html>Unsupported Media Type</html>", {"content-type": "text/html"})
    with pytest.raises(QueueFaultError) as caught:
        await aws.inbox.receive(10, 0)
    assert PROTOCOL_FIX == caught.value.fix


async def test_both_protocols_of_errors_are_asked_for(aws: Aws, fake: FakeAws) -> None:
    """SQS then names an error as it always has, too, and not only as the JSON protocol does."""
    fake.rule = sqs({})
    await aws.inbox.receive(10, 0)
    assert "true" == fake.requests[0].headers["x-amzn-query-mode"]
    assert 10 == json.loads(fake.requests[0].body)["MaxNumberOfMessages"]


async def test_behind_a_proxy_the_sdk_does_the_work(fake: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both halves go through it, with requests for the server behind it."""
    point_at("http://aws.test", monkeypatch)
    monkeypatch.setenv("HTTP_PROXY", fake.url)
    fake.rule = an_aws
    async with opened() as aws:
        await aws.inbox.receive(10, 0)
        assert await aws.archive.put(KEY, b"{}") is Stored.CREATED
    assert ["aws.test", "aws.test"] == [asked.headers["host"] for asked in fake.requests]


async def test_a_default_port_is_not_part_of_the_name() -> None:
    """`host` is what botocore signs: lower case, and a port only where it is not the scheme's."""
    http = mock.create_autospec(HttpClient, instance=True)
    http.send.return_value = Answer(200, {}, b"")
    credentials = mock.create_autospec(Credentials, instance=True)
    credentials.get_frozen_credentials.return_value = ReadOnlyCredentials(ACCESS_KEY, SECRET_KEY, None)
    for url, host in [
        ("http://AWS.test:80", "aws.test"),
        ("https://aws.test:443/x", "aws.test"),
        ("http://a:81", "a:81"),
    ]:
        await Endpoint(url, Signer("sqs", REGION), credentials, http, "us").send("POST", "/", {}, b"", "")
        assert host == http.send.call_args.args[2]["host"]


async def test_connections_are_kept(fake: FakeAws) -> None:
    """A second call needs no second connection."""
    fake.rule = an_aws
    async with opened() as aws:
        for _ in range(3):
            await aws.inbox.receive(10, 0)
            await aws.archive.put(KEY, b"{}")
    assert 2 == fake.connections


@pytest.mark.parametrize("client", CLIENTS)
async def test_one_setting_chooses_the_client_of_both_halves(aws: Aws, client: str) -> None:
    """SQS and S3 are called by requests that are signed here, or both by the SDK."""
    assert isinstance(aws.inbox._client, SignedSqs) is (client == "signed")
    assert isinstance(aws.archive, CheckedArchive)
    assert isinstance(aws.archive._inner, SignedArchive if client == "signed" else SdkArchive)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("body", [b"", b"{}", b'{"Messages":null}', b'{"Messages":[]}'])
async def test_an_answer_that_says_nothing_is_that_of_an_empty_queue(aws: Aws, fake: FakeAws, body: bytes) -> None:
    """Servers say it in four ways."""
    fake.rule = Reply(200, body)
    assert [] == await aws.inbox.receive(10, 0)


GOOD = {"MessageId": "good", "ReceiptHandle": "r", "Body": "b", "Attributes": {"SentTimestamp": "1733841000000"}}
ODD_ENTRIES = {
    "null": None,
    "a string": "message",
    "without a receipt handle": {"MessageId": "m", "Body": "b"},
    "a receipt handle of null": {**GOOD, "ReceiptHandle": None},
    "half a surrogate pair in a receipt handle": {**GOOD, "ReceiptHandle": "\ud800"},
    "a body that is an object": {**GOOD, "Body": {"email_subject": "s"}},
    "a body of null": {**GOOD, "Body": None},
    "attributes that are a list": {**GOOD, "MessageAttributes": ["a"]},
    "an attribute that is a string": {**GOOD, "MessageAttributes": {"a": "b"}},
    "an attribute that is not base64": {**GOOD, "MessageAttributes": {"a": {"BinaryValue": "a"}}},
}


@pytest.mark.parametrize("entry", ODD_ENTRIES.values(), ids=ODD_ENTRIES)
async def test_an_odd_entry_costs_that_entry(
    aws: Aws, fake: FakeAws, entry: object, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left to the queue, with a warning; its neighbour is received."""
    fake.rule = sqs({"Messages": [entry, GOOD]})
    assert ["good"] == [message.message_id for message in await aws.inbox.receive(10, 0)]
    assert ["odd_message"] == [record.message for record in caplog.records if record.levelname == "WARNING"]


async def test_a_number_does_for_a_string_and_null_for_nothing(aws: Aws, fake: FakeAws) -> None:
    """A message of a server that is not strict about types is as good as any."""
    entry = {
        "MessageId": 7,
        "ReceiptHandle": "r",
        "Body": "b",
        "MD5OfBody": None,
        "Attributes": {"ApproximateReceiveCount": 3, "SentTimestamp": 1733841000000, "SenderId": None},
        "MessageAttributes": None,
    }
    fake.rule = sqs({"Messages": [entry]})
    (message,) = await aws.inbox.receive(10, 0)
    assert ("7", 3, 1733841000.0) == (message.message_id, message.receive_count, message.sent_at)


async def test_verdicts_with_numbers_for_ids_count(aws: Aws, fake: FakeAws) -> None:
    """And an entry that is none does not spoil the others."""
    fake.rule = sqs({"Successful": [{"Id": 1}, None], "Failed": [{"Id": 0, "Code": 500}]})
    assert [Verdict.FAILED, Verdict.DONE] == await aws.inbox.delete(["a", "b"])


@pytest.mark.parametrize(
    ("key_time", "told", "asked_for"),
    [("first_receive", {}, "neither"), ("sent", {"ApproximateFirstReceiveTimestamp": "1733841000000"}, "=sent")],
)
async def test_a_queue_that_does_not_tell_what_keys_need_is_told_of_once(
    key_time: KeyTime,
    told: dict[str, str],
    asked_for: str,
    fake: FakeAws,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing guards against a second key then, which somebody should know."""
    point_at(fake.url, monkeypatch)
    fake.rule = sqs({"Messages": [{**GOOD, "Attributes": told}]})
    async with opened(key_time=key_time) as aws:
        for _ in range(3):
            await aws.inbox.receive(10, 0)
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert "no_message_times" == record.message
    assert asked_for in record.__dict__["fix"]
    assert "SentTimestamp" in record.__dict__["fix"]


async def test_no_compressed_answer_is_asked_for(aws: Aws, fake: FakeAws) -> None:
    """A gateway that compresses unless told otherwise leaves answers as they are."""
    fake.rule = an_aws
    await aws.inbox.receive(10, 0)
    await aws.archive.put(KEY, b"{}")
    assert ["identity", "identity"] == [asked.headers["accept-encoding"] for asked in fake.requests]


async def test_a_fifo_receive_that_is_cancelled_is_asked_for_again(fake: FakeAws) -> None:
    """A deadline arrives as a cancellation: the groups that an answer on its way has locked are had by the same id."""
    fake.rule = CallFault.HANG
    async with opened(queue_url="http://127.0.0.1/123456789012/emails.fifo", timeout=60) as aws:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await aws.inbox.receive(10, 0)
        fake.rule = sqs({})
        await aws.inbox.receive(10, 0)
        await aws.inbox.receive(10, 0)
    first, again, other = (asked.json["ReceiveRequestAttemptId"] for asked in fake.requests)
    assert first == again
    assert first != other


async def test_a_refusal_by_a_gateway_is_one_in_whatever_encoding_it_speaks(fake: FakeAws) -> None:
    """It is denied, and no fault of the server that passes."""
    fake.rule = Reply(403, "<html>Accès refusé</html>".encode("latin-1"), {"Content-Type": "text/html"})
    async with opened() as aws:
        with pytest.raises(QueueFaultError) as caught:
            await aws.inbox.receive(10, 0)
    assert Cause.DENIED is caught.value.cause
