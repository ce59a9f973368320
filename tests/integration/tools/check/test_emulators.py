"""The check against SQS and S3 as others have built them."""

import json

import pytest

from email_processor.tools.check.codes import CHECKS
from tests.integration.tools.check.aws import PROBE_KEYS
from tests.integration.tools.check.looking import bad, look, told
from tests.support.emulators import Bucket, Emulator, Queue, aws_environment, client


@pytest.fixture
def bucket(emulator: Emulator) -> Bucket:
    """A new bucket."""
    return emulator.new_bucket()


@pytest.fixture
def queue(emulator: Emulator) -> Queue:
    """A new queue as operators should make them."""
    dead = emulator.new_queue()
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": "5"})
    return emulator.new_queue(RedrivePolicy=policy, SqsManagedSseEnabled="true")


@pytest.fixture(autouse=True)
def _environment(emulator: Emulator, queue: Queue, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that points at them."""
    settings = {**aws_environment(emulator.url), "SQS_QUEUE_URL": queue.url, "S3_BUCKET_NAME": bucket.name}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


async def test_all_well() -> None:
    """A queue and a bucket that are set up well raise nothing, and every check has its line."""
    report = await look()
    assert {} == bad(report)
    assert [check.code for check in CHECKS] == [finding.code for finding in report.findings]


async def test_nothing_is_changed(queue: Queue, bucket: Bucket) -> None:
    """Without --write no message is received and nothing is stored."""
    queue.send("{}")
    await look()
    (message,) = queue.receive()
    assert "1" == message["Attributes"]["ApproximateReceiveCount"]
    assert [] == bucket.listing(with_probe=True)


async def test_write(bucket: Bucket, emulator: Emulator) -> None:
    """With --write a probe is stored under each prefix and read back; a second run finds them there."""
    first, second = await look(write=True), await look(write=True)
    assert ({}, {}) == (bad(first), bad(second))
    for key in PROBE_KEYS:
        where = f"s3://{bucket.name}/{key}"
        assert f"{where}: stored, and read back" in told(first, "EP408")
        assert f"{where}: was there already, from an earlier check" in told(second, "EP408")
    assert "ok: the second PUT left the first alone" == told(second, "EP409")
    assert "ok: allowed under emails/ and quarantine/ (a real PUT)" == told(first, "EP405")
    assert "ok: allowed (no message was waiting)" == told(first, "EP305")
    assert PROBE_KEYS == bucket.listing(with_probe=True)


async def test_receive(queue: Queue) -> None:
    """With --write a message is received and given back: the next consumer has it at once, received once more."""
    queue.send("{}")
    report = await look(write=True)
    expected = "ok: allowed (one message was received and given back at once, which counts as a receive)"
    assert expected == told(report, "EP305")
    (message,) = queue.receive()
    assert "2" == message["Attributes"]["ApproximateReceiveCount"]


async def test_client_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check asks through the client that the service uses, whichever it is."""
    monkeypatch.setenv("AWS_CLIENT", "sdk")
    assert {} == bad(await look(write=True))


async def test_receive_that_would_do_harm(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """No receive is made where it could be a waiting message's last."""
    policy = json.dumps({"deadLetterTargetArn": emulator.new_queue().arn, "maxReceiveCount": "1"})
    fragile = emulator.new_queue(RedrivePolicy=policy, SqsManagedSseEnabled="true")
    fragile.send("{}")
    monkeypatch.setenv("SQS_QUEUE_URL", fragile.url)
    report = await look(write=True)
    expected = "skipped: needs an empty queue: with a maxReceiveCount of 1 a receive more would do harm"
    assert expected == told(report, "EP305")
    (message,) = fragile.receive()
    assert "1" == message["Attributes"]["ApproximateReceiveCount"]


async def test_fifo(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO queue is checked like any other, and its messages are given back."""
    fifo = emulator.new_queue(fifo=True)
    fifo.send("{}", MessageGroupId="a")
    monkeypatch.setenv("SQS_QUEUE_URL", fifo.url)
    report = await look(write=True)
    assert "ok: FIFO queue (visible 1, in flight 0, delayed 0)" == told(report, "EP304")
    assert told(report, "EP305").startswith("ok: ")
    assert 1 == len(fifo.receive())


async def test_bare_queue(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue as it comes has no dead-letter queue, and short retention is noticed."""
    bare = emulator.new_queue(MessageRetentionPeriod="3600", SqsManagedSseEnabled="true")
    monkeypatch.setenv("SQS_QUEUE_URL", bare.url)
    assert {"EP311": "warning", "EP312": "warning"} == bad(await look())


async def test_missing_queue(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that does not exist is one failure; the bucket is looked at all the same."""
    monkeypatch.setenv("SQS_QUEUE_URL", f"{queue.url}-not")
    report = await look()
    assert {"EP303": "failed"} == bad(report)
    assert "skipped: needs the queue" == told(report, "EP306")
    assert told(report, "EP403").startswith("ok: ")


async def test_missing_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that does not exist is one failure, with --write too; the queue is looked at all the same."""
    monkeypatch.setenv("S3_BUCKET_NAME", "no-such-bucket")
    report = await look(write=True)
    assert {"EP403": "failed"} == bad(report)
    assert "skipped: needs the bucket" == told(report, "EP408")
    assert told(report, "EP306").startswith("ok: ")


async def test_bucket_elsewhere(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket in another region is noticed."""
    emulator.s3.create_bucket(Bucket="elsewhere-bound", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    monkeypatch.setenv("S3_BUCKET_NAME", "elsewhere-bound")
    assert "warning: eu-west-1, but AWS_REGION is us-east-1" == told(await look(), "EP404")


async def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials all is looked at that strangers can see: both services, the bucket, its region, the clock."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    report = await look(write=True)
    assert {"EP202": "failed"} == bad(report)
    for code in ("EP301", "EP401", "EP403", "EP404", "EP601"):
        assert told(report, code).startswith("ok: ")
    for code in ("EP203", "EP303", "EP305", "EP405", "EP408"):
        assert "skipped: needs credentials" == told(report, code)


async def test_locked_bucket(emulator: Emulator, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default retention and lifecycle rules are read as the store tells them."""
    name = f"{bucket.name[:50]}-locked"
    emulator.s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    retention = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}}
    emulator.s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=retention)
    rule = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": "emails/"}, "Expiration": {"Days": 7}}
    emulator.s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    monkeypatch.setenv("S3_BUCKET_NAME", name)
    report = await look()
    assert {"EP414": "warning"} == bad(report)
    assert told(report, "EP413").startswith("ok: on, GOVERNANCE 30 days by default")
    assert "ok: enabled" == told(report, "EP412")


async def test_key(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A KMS key is used once, and the probe says what it was encrypted with."""
    key = client("kms", emulator.url).create_key()["KeyMetadata"]["Arn"]
    monkeypatch.setenv("S3_SSE", "aws:kms")
    monkeypatch.setenv("S3_KMS_KEY_ID", key)
    before, after = await look(), await look(write=True)
    assert ({}, {}) == (bad(before), bad(after))
    assert f"ok: {key}" == told(before, "EP501")
    assert f"ok: S3 encrypted the probe with {key}" == told(after, "EP501")
    assert "ok: the probe was read back" == told(after, "EP502")


async def test_key_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that KMS does not know is a failure before the first email meets it."""
    monkeypatch.setenv("S3_SSE", "aws:kms")
    monkeypatch.setenv("S3_KMS_KEY_ID", "0a1b2c3d-0000-0000-0000-000000000000")
    assert {"EP501": "failed"} == bad(await look())
