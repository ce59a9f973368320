"""The bucket for who reads it: directly or, where requests have to go through a proxy, by the SDK, which knows it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from email_processor.aws.shelf import open_shelf
from email_processor.domain.errors import Cause, EmailProcessorError, StoreFaultError
from email_processor.ports import Shelf
from tests.integration.opening import STORE, point_at
from tests.support.aws_answers import CallFault, Reply, Rule, s3_error
from tests.support.scripted_server import FakeAws

KEY = "emails/2024/12/10/john.doe/m_143022.json"
LARGEST = 1000

CALLS: dict[str, Callable[[Shelf], Awaitable[object]]] = {
    "ListObjectsV2": lambda shelf: shelf.page("emails/", ""),
    "GetObject": lambda shelf: shelf.get(KEY),
    "PutObject": lambda shelf: shelf.put(KEY, b"{}"),
    "DeleteObject": lambda shelf: shelf.delete(KEY),
}
FAULTS: dict[str, tuple[Rule, Cause]] = {
    "throttled": (s3_error("SlowDown", 503), Cause.THROTTLED),
    "denied": (s3_error("AccessDenied", 403), Cause.DENIED),
    "no bucket": (s3_error("NoSuchBucket", 404), Cause.MISSING),
    "a balancer's page": (Reply(502, b"<html>Bad Gateway</html>"), Cause.SERVER),
    "cut": (CallFault.CUT, Cause.NETWORK),
}


@pytest.fixture(params=["directly", "through a proxy"])
async def shelf(request: pytest.FixtureRequest, fake: FakeAws, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shelf]:
    """A bucket whose requests come to the fake, which is S3 or the proxy before it."""
    point_at(fake.url if request.param == "directly" else "http://s3.example", monkeypatch)
    if request.param == "through a proxy":
        monkeypatch.setenv("HTTP_PROXY", fake.url)
    async with open_shelf(STORE, LARGEST) as (opened, _):
        assert [] == fake.requests
        yield opened
    whole = "http://s3.example/archive" if request.param == "through a proxy" else "/archive"
    assert {True} == {it.target.startswith(whole) for it in fake.requests}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_what_fails_is_the_stores_fault(shelf: Shelf, fake: FakeAws, call: str, fault: str) -> None:
    """With its cause, and with the operation that failed."""
    fake.rule, cause = FAULTS[fault]
    with pytest.raises(StoreFaultError) as caught:
        await CALLS[call](shelf)
    assert cause is caught.value.cause
    assert f"{call} s3://archive/" in caught.value.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<html>Log in to this network</html>",
    ],
)
async def test_an_answer_that_is_no_listing_is_the_stores_fault(shelf: Shelf, fake: FakeAws, body: bytes) -> None:
    """Nobody takes it for an empty bucket, nor asks for ever for what is behind it."""
    fake.rule = Reply(200, body)
    with pytest.raises(StoreFaultError):
        await shelf.page("emails/", "")


async def test_an_object_that_is_too_large_is_not_read(shelf: Shelf, fake: FakeAws) -> None:
    """It would be as large in memory."""
    fake.rule = Reply(200, length=1 << 40, share=0.0)
    with pytest.raises(EmailProcessorError):
        await shelf.get(KEY)
