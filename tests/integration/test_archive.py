"""The archive: what is written, under which key, and how it is asked for."""

import hashlib
import os
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from email_processor.aws.connect import Aws
from email_processor.domain.email import Pointer
from email_processor.domain.errors import Cause, PayloadMissingError, PayloadTooLargeError, StoreFaultError
from email_processor.domain.sender import sender_folder
from email_processor.ports import Stored
from tests.integration.opening import PAYLOAD_MAX, opened, point_at
from tests.support.aws_answers import STORED, Reply
from tests.support.emulators import ACCESS_KEY, Bucket, Emulator
from tests.support.payloads import fetched
from tests.support.scripted_server import FakeAws

KEY = "emails/2024/12/10/john.doe/m_143022.json"


@pytest.fixture
def bucket(emulator: Emulator) -> Bucket:
    """A bucket on each emulator in turn."""
    return emulator.new_bucket()


@pytest.fixture
async def at_bucket(bucket: Bucket, client: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Aws]:
    """The ports, pointed at it."""
    point_at(bucket.emulator.url, monkeypatch)
    async with opened(client=client, timeout=10, bucket=bucket.name) as ports:
        yield ports


async def test_an_object_is_written_once(at_bucket: Aws, bucket: Bucket) -> None:
    """The first put creates it, the second finds what was written of the same message and changes nothing."""
    assert await at_bucket.archive.put(KEY, b'{"message_id":"m","first":1}') is Stored.CREATED
    assert await at_bucket.archive.put(KEY, b'{"message_id":"m","second":2}') is Stored.ALREADY_THERE
    assert b'{"message_id":"m","first":1}' == bucket.read(KEY)


async def test_without_conditional_writes_the_last_put_stays(
    bucket: Bucket, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a store that lacks them, both puts create."""
    point_at(bucket.emulator.url, monkeypatch)
    async with opened(client=client, timeout=10, bucket=bucket.name, conditional=False) as aws:
        assert await aws.archive.put(KEY, b'{"first":1}') is Stored.CREATED
        assert await aws.archive.put(KEY, b'{"second":2}') is Stored.CREATED
    assert b'{"second":2}' == bucket.read(KEY)


async def test_a_bucket_that_is_not_there_is_missing(
    emulator: Emulator, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a fault with a fix, not an object that is refused."""
    point_at(emulator.url, monkeypatch)
    async with opened(client=client, timeout=10, bucket="no-such-bucket") as aws:
        with pytest.raises(StoreFaultError) as caught:
            await aws.archive.put(KEY, b"{}")
    assert caught.value.cause is Cause.MISSING
    assert "S3_BUCKET_NAME" in caught.value.fix


async def test_a_put_carries_what_it_should(fake: FakeAws, aws: Aws) -> None:
    """Type, condition and signature; path and body are those that were given."""
    fake.rule = STORED
    await aws.archive.put(KEY, b'{"a":1}')
    (asked,) = fake.requests
    assert (asked.method, asked.path, asked.body) == ("PUT", f"/archive/{KEY}", b'{"a":1}')
    assert "application/json" == asked.headers["content-type"]
    assert "*" == asked.headers["if-none-match"]
    assert "email-processor/test" == asked.headers["user-agent"].split()[-1]
    assert f"Credential={ACCESS_KEY}/" in asked.headers["authorization"]
    assert "/us-east-1/s3/aws4_request" in asked.headers["authorization"]
    assert not [name for name in asked.headers if "encryption" in name]


async def test_a_put_carries_the_checksum_that_a_locked_bucket_asks_for(aws: Aws, fake: FakeAws) -> None:
    """S3 refuses a PUT without one where the bucket has a default retention."""
    fake.rule = STORED
    await aws.archive.put(KEY, b"{}")
    expected = b64encode(hashlib.sha256(b"{}").digest()).decode()
    assert expected == fake.requests[0].headers["x-amz-checksum-sha256"]


async def test_a_store_that_refuses_checksums_is_sent_none(
    fake: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own variable for that is obeyed."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    fake.rule = STORED
    async with opened(client=client) as aws:
        await aws.archive.put(KEY, b"{}")
    assert [] == [name for name in fake.requests[0].headers if "checksum" in name]


async def test_without_conditional_writes_there_is_no_condition(fake: FakeAws, client: str) -> None:
    """The header that such a store would refuse is not sent."""
    fake.rule = STORED
    async with opened(client=client, conditional=False) as aws:
        await aws.archive.put(KEY, b"{}")
    assert "if-none-match" not in fake.requests[0].headers


KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
ENCRYPTION = "x-amz-server-side-encryption"
ENCRYPTIONS = [
    ("AES256", None, {ENCRYPTION: "AES256"}),
    ("aws:kms", None, {ENCRYPTION: "aws:kms"}),
    ("aws:kms", KMS_KEY, {ENCRYPTION: "aws:kms", f"{ENCRYPTION}-aws-kms-key-id": KMS_KEY}),
]


@pytest.mark.parametrize(("sse", "key", "headers"), ENCRYPTIONS)
async def test_encryption_is_asked_for(
    fake: FakeAws, client: str, sse: str, key: str | None, headers: dict[str, str]
) -> None:
    """As it is set, and nothing more."""
    fake.rule = STORED
    async with opened(client=client, sse=sse, kms_key_id=key) as aws:
        await aws.archive.put(KEY, b"{}")
    sent = {name: value for name, value in fake.requests[0].headers.items() if name.startswith(ENCRYPTION)}
    assert headers == sent


HOSTILE = {
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_SERVER_SIDE_ENCRYPTION": "AES256",
    "AWS_SSE_BUCKET_KEY_ENABLED": "true",
    "AWS_UNSIGNED_PAYLOAD": "true",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    "AWS_ENDPOINT": "http://127.0.0.1:1",
    "AWS_BUCKET": "another",
    "AWS_CONDITIONAL_PUT": "disabled",
    "AWS_PROXY_URL": "http://127.0.0.1:1",
    "AWS_CHECKSUM_ALGORITHM": "sha256",
    "AWS_REQUEST_PAYER": "true",
    "AWS_DEFAULT_CONTENT_TYPE": "text/plain",
    "AWS_TIMEOUT": "1ms",
    "AWS_S3_EXPRESS": "true",
    "aws_skip_signature": "true",
}
VARYING = {"amz-sdk-invocation-id", "authorization", "user-agent", "x-amz-date"}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_variable_bends_the_put_that_does_not_bend_the_sdk(
    fake: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What other S3 libraries would read of the environment changes nothing."""
    fake.rule = STORED
    async with opened(client=client) as aws:
        await aws.archive.put(KEY, b"{}")
    monkeypatch.setenv(name, HOSTILE[name])
    async with opened(client=client) as aws:
        await aws.archive.put(KEY, b"{}")
    plain, bent = fake.requests
    assert bent.target == plain.target
    assert {it: bent.headers[it] for it in bent.headers.keys() - VARYING} == {
        it: plain.headers[it] for it in plain.headers.keys() - VARYING
    }
    assert "authorization" in bent.headers


async def test_the_environment_is_left_as_it_was(fake: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening hides nothing for longer than it takes: a variable of AWS that comes later is still seen."""
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    before = dict(os.environ)
    async with opened(client=client):
        assert os.environ == before


@pytest.mark.parametrize("key", ["a b+c=d/100%/%2F.json", "日本語/é\u0301/😀.json", "~!*'();:@&,$/?#[].json"])
async def test_a_key_arrives_as_it_is(at_bucket: Aws, bucket: Bucket, key: str) -> None:
    """Every character of a key is kept on its way to a real server."""
    assert await at_bucket.archive.put(key, b"{}") is Stored.CREATED
    assert bucket.listing() == [key]


@pytest.mark.parametrize("key", ["a//b.json", "a/../b.json", "a/./b.json", "a/\n.json"])
async def test_a_key_that_looks_like_a_path_to_be_tidied_up_arrives_as_it_is(fake: FakeAws, aws: Aws, key: str) -> None:
    """Empty and dot segments and control characters are part of a key: no client may resolve or drop them."""
    fake.rule = STORED
    await aws.archive.put(key, b"{}")
    assert [asked.path for asked in fake.requests] == [f"/archive/{key}"]


@given(st.lists(st.text(), min_size=20, max_size=20))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_key_of_any_sender_arrives_as_it_is(fake: FakeAws, aws: Aws, senders: list[str]) -> None:
    """Whatever the sender, S3 decodes the path of the PUT to the very key that was asked for."""
    fake.rule = STORED
    fake.requests.clear()
    keys = [f"emails/2024/12/10/{sender_folder(sender)}/m_143022.json" for sender in senders]
    for key in keys:
        await aws.archive.put(key, b"{}")
    assert [asked.path for asked in fake.requests] == [f"/archive/{key}" for key in keys]


async def test_a_payload_is_read(at_bucket: Aws, bucket: Bucket) -> None:
    """Its bytes are those of the object."""
    bucket.write("payloads/é 1", b"\x00payload\xff")
    assert b"\x00payload\xff" == await fetched(at_bucket.payloads, Pointer(bucket.name, "payloads/é 1"))


async def test_a_payload_that_is_not_there_is_missing(at_bucket: Aws, bucket: Bucket) -> None:
    """As real servers say it."""
    with pytest.raises(PayloadMissingError):
        await fetched(at_bucket.payloads, Pointer(bucket.name, "payloads/gone"))


async def test_a_payload_in_chunks_is_read(fake: FakeAws, aws: Aws) -> None:
    """As large as it may be: its size is not told, so room is to be made for the largest."""
    fake.rule = Reply(200, b"x" * PAYLOAD_MAX, in_chunks=True)
    async with aws.payloads.opened(Pointer("archive", "payloads/1")) as payload:
        assert PAYLOAD_MAX == payload.size
        assert b"x" * PAYLOAD_MAX == await payload.read()


@pytest.mark.parametrize(("in_chunks", "said"), [(False, "1001 bytes"), (True, "more than 1000 bytes")])
async def test_a_payload_that_is_too_large_is_not_read(fake: FakeAws, aws: Aws, in_chunks: bool, said: str) -> None:
    """Where its size is told, before a byte of it is in memory."""
    fake.rule = Reply(200, b"x" * (PAYLOAD_MAX + 1), in_chunks=in_chunks)
    with pytest.raises(PayloadTooLargeError) as caught:
        await fetched(aws.payloads, Pointer("archive", "payloads/1"))
    assert said in caught.value.detail
    assert "PAYLOAD_MAX_BYTES" in caught.value.fix
