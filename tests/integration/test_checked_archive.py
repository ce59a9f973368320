"""An object that the store says is there: looked at, and stored again where it is not."""

import hashlib
import logging
from base64 import b64encode

import pytest

from email_processor.aws.connect import Aws
from email_processor.domain.errors import Cause, ObjectRefusedError, StoreFaultError
from email_processor.ports import Stored
from tests.support.aws_answers import STORED, Reply, Request, s3_error
from tests.support.scripted_server import FakeAws

KEY = "emails/2024/12/10/john.doe/m_143022.json"
DOCUMENT = b'{"message_id":"m","metadata":{"processor_version":"2"}}'
OF_ANOTHER_VERSION = b'{"message_id":"m","metadata":{"processor_version":"1.0.0"}}'
OF_ANOTHER_MESSAGE = b'{"message_id":"n","metadata":{"processor_version":"2"}}'
CHECKSUM = {"x-amz-checksum-sha256": b64encode(hashlib.sha256(DOCUMENT).digest()).decode()}
ABSENT = Reply(404)
DENIED = s3_error("AccessDenied", 403)


class AStore:
    """It refuses every conditional PUT."""

    def __init__(self, head: Reply, get: Reply) -> None:
        self.answers = {"HEAD": head, "GET": get, "PUT": STORED}
        self.requests: list[str] = []

    def __call__(self, asked: Request) -> Reply:
        """Answer a request."""
        self.requests.append(asked.method)
        if "if-none-match" in asked.headers:
            return s3_error("PreconditionFailed", 412)
        return self.answers[asked.method]


def of(document: bytes, **headers: str) -> Reply:
    """What HEAD says of an object; its body is never sent."""
    return Reply(headers=headers, length=len(document))


LOST = {
    "not there": (ABSENT, ABSENT),
    "gone when it is read": (of(DOCUMENT), s3_error("NoSuchKey", 404)),
    "cut off": (of(DOCUMENT[:20]), Reply(200, DOCUMENT[:20])),
    "empty": (of(b""), Reply(200, b"")),
    "of another message": (of(OF_ANOTHER_MESSAGE), Reply(200, OF_ANOTHER_MESSAGE)),
    "much larger": (Reply(length=3_000_000), Reply(500)),
}


@pytest.mark.parametrize(("head", "get"), LOST.values(), ids=LOST)
async def test_an_object_that_only_has_its_name_left_is_stored_again(
    aws: Aws, fake: FakeAws, head: Reply, get: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the condition, which would be refused for ever; one warning says so."""
    fake.rule = store = AStore(head, get)
    assert Stored.CREATED is await aws.archive.put(KEY, DOCUMENT)
    assert ("PUT", "PUT") == (store.requests[0], store.requests[-1])
    assert DOCUMENT == fake.requests[-1].body
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert ("object_stored_again", KEY) == (record.message, record.__dict__["key"])


async def test_an_object_that_may_not_be_written_over_is_refused_alone(aws: Aws, fake: FakeAws) -> None:
    """By a bucket policy that demands the condition: all others are stored, so it is no outage."""
    fake.rule = store = AStore(of(OF_ANOTHER_MESSAGE), Reply(200, OF_ANOTHER_MESSAGE))
    store.answers["PUT"] = DENIED
    with pytest.raises(ObjectRefusedError, match="not of this message"):
        await aws.archive.put(KEY, DOCUMENT)
    store.answers["PUT"] = s3_error("InternalError", 500)
    with pytest.raises(StoreFaultError):
        await aws.archive.put(KEY, DOCUMENT)


THERE = {
    "with its checksum": (of(DOCUMENT, **CHECKSUM), Reply(500), ["PUT", "HEAD"]),
    "without a checksum": (of(DOCUMENT), Reply(200, DOCUMENT), ["PUT", "HEAD", "GET"]),
    "of a store that tells no size": (Reply(in_chunks=True), Reply(200, DOCUMENT), ["PUT", "HEAD", "GET"]),
    "by another version": (of(OF_ANOTHER_VERSION), Reply(200, OF_ANOTHER_VERSION), ["PUT", "HEAD", "GET"]),
    "not ours to see": (Reply(403), Reply(500), ["PUT", "HEAD"]),
    "not ours to read": (of(DOCUMENT), DENIED, ["PUT", "HEAD", "GET"]),
    "of a store without this question": (Reply(405), Reply(500), ["PUT", "HEAD"]),
    "of a store that has not implemented it": (Reply(501), Reply(500), ["PUT", "HEAD"]),
}


@pytest.mark.parametrize(("head", "get", "asked"), THERE.values(), ids=THERE)
async def test_an_object_that_is_there_stays_as_it_is(
    aws: Aws, fake: FakeAws, head: Reply, get: Reply, asked: list[str]
) -> None:
    """Seen by its checksum, or read; and where nobody may look, the store is believed."""
    fake.rule = store = AStore(head, get)
    assert Stored.ALREADY_THERE is await aws.archive.put(KEY, DOCUMENT)
    assert asked == store.requests


@pytest.mark.parametrize("get", [Reply(503), s3_error("SlowDown", 503)])
async def test_while_nobody_can_say_nothing_is_known(aws: Aws, fake: FakeAws, get: Reply) -> None:
    """The try has failed, and another one follows."""
    fake.rule = AStore(of(DOCUMENT), get)
    with pytest.raises(StoreFaultError) as caught:
        await aws.archive.put(KEY, DOCUMENT)
    assert caught.value.cause in {Cause.SERVER, Cause.THROTTLED}


UNSEEN = {
    "throttled": (429, Cause.THROTTLED),
    "too late": (408, Cause.TIMEOUT),
    "not signed": (401, Cause.CREDENTIALS),
    "with an expired token, perhaps": (400, Cause.CONFIGURATION),
}


@pytest.mark.parametrize(("status", "cause"), UNSEEN.values(), ids=UNSEEN)
async def test_a_look_that_failed_is_not_one_that_is_not_permitted(
    aws: Aws, fake: FakeAws, status: int, cause: Cause
) -> None:
    """It says nothing of the object, so the store is not believed: the message would be deleted for it."""
    fake.rule = AStore(Reply(status), Reply(500))
    with pytest.raises(StoreFaultError) as caught:
        await aws.archive.put(KEY, DOCUMENT)
    assert cause is caught.value.cause


async def test_a_head_that_is_told_to_slow_down_is_throttled(aws: Aws, fake: FakeAws) -> None:
    """S3 says SlowDown with 503, and an answer to HEAD has no body: five of them would pass for an outage."""
    fake.rule = AStore(s3_error("SlowDown", 503), Reply(500))
    with pytest.raises(StoreFaultError) as caught:
        await aws.archive.put(KEY, DOCUMENT)
    assert Cause.THROTTLED is caught.value.cause


async def test_a_server_that_fails_at_head_is_a_fault_of_the_store(aws: Aws, fake: FakeAws) -> None:
    """Any other error of its own is no throttle."""
    fake.rule = AStore(Reply(500), Reply(500))
    with pytest.raises(StoreFaultError) as caught:
        await aws.archive.put(KEY, DOCUMENT)
    assert Cause.SERVER is caught.value.cause


async def test_an_object_that_is_stored_is_not_looked_at(aws: Aws, fake: FakeAws) -> None:
    """Ordinary work costs one request."""
    fake.rule = STORED
    assert Stored.CREATED is await aws.archive.put(KEY, DOCUMENT)
    assert ["PUT"] == [asked.method for asked in fake.requests]
