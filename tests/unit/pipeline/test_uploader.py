"""Uploaders: what becomes of a message, and of a store that fails."""

import asyncio
import gc
import gzip
import json
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from unittest import mock

import pytest

from email_processor.domain.email import Pointer
from email_processor.domain.errors import Cause, PayloadTooLargeError
from email_processor.domain.message import MESSAGE_MAX_BYTES, Attribute, KeyTime, Message
from email_processor.pipeline.circuit import Allowance
from email_processor.pipeline.fetching import Fetching, FetchRules
from email_processor.pipeline.jobs import Jobs
from email_processor.pipeline.leases import LeaseKeeper, LeaseRules
from email_processor.pipeline.ledger import Delivery, Job
from email_processor.pipeline.prober import Prober
from email_processor.pipeline.receipts import Receipts
from email_processor.pipeline.storing import StoreRules, Storing
from email_processor.pipeline.uploader import Uploader, UploadRules
from tests.simulation.connection import FETCH, PUT, Fate, hung, lost, refused, slow
from tests.simulation.world import SimBucket, SimPayload
from tests.unit.pipeline.kit import EMAIL, PROBE, VISIBILITY_TIMEOUT, Kit, later, store_fault
from tests.unit.pipeline.virtual_aws import VirtualAws

FIRST_RECEIVED = {"ApproximateFirstReceiveTimestamp": "1733841022000", "SentTimestamp": "1733841020000"}
KEY = "emails/2024/12/10/ann/m_143022.json"
QUARANTINED = "quarantine/2024/12/10/m.json"
POINTER = b'["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"big","s3Key":"k"}]'


class UploaderStage(VirtualAws):
    """Uploaders at work."""

    def __init__(
        self,
        *,
        workers: int = 4,
        quarantine: bool = True,
        max_receive_count: int | None = None,
        key_time: KeyTime = "first_receive",
    ) -> None:
        super().__init__()
        self.kit = Kit.new()
        self.jobs = Jobs(1000, self.kit.context.clock, self.kit.context.circuit)
        self.receipts = Receipts()
        self.storing = Storing(self.kit.context, self.store, StoreRules(most=64, start=16, probe=PROBE))
        self.kit.context.ledger.expect_redrive(max_receive_count)
        self.workers = workers
        leases = LeaseKeeper(self.kit.context, self.inbox, LeaseRules(VISIBILITY_TIMEOUT))
        self.fetching = Fetching(self.kit.context, self.store, leases, self.jobs, FetchRules())
        self.uploader = Uploader(
            self.kit.context,
            self.storing,
            self.fetching,
            jobs=self.jobs,
            receipts=self.receipts,
            rules=UploadRules("emails", "quarantine", quarantine, version="1.2.3", key_time=key_time),
        )

        self.prober = Prober(self.kit.context.circuit, self.storing, self.uploader, self.jobs)

    def job(self, message_id: str = "m", body: bytes = EMAIL, receives: int = 1, **user: Attribute) -> Delivery:
        """A message taken into the ledger, for the uploaders."""
        attributes = {**FIRST_RECEIVED, "ApproximateReceiveCount": str(receives)}
        message = Message(message_id, "r", body, attributes=attributes, message_attributes=user)
        delivery = self.kit.context.ledger.admit(message)
        assert delivery is not None
        self.jobs.put_nowait(Job(delivery, message))
        return delivery

    def emails(self, *numbers: int) -> None:
        """Messages `m0`, `m1`, ... taken into the ledger."""
        for number in range(*numbers):
            self.job(f"m{number}")

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work during the block."""
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(self.uploader.upload(lambda: True)) for _ in range(self.workers)]
            others = self.fetching.fetch(), self.jobs.recall(), self.prober.probe()
            working += [tasks.create_task(other) for other in others]
            yield
            for task in working:
                task.cancel()

    async def until_done(self, within: float = 10_000) -> None:
        """Work until no job is left."""
        async with self.working(), asyncio.timeout(within):
            await self.uploader.join()

    def released(self, reason: str) -> float:
        """How many messages were left to the queue for this reason."""
        return self.kit.value("messages_released_total", reason=reason)

    @property
    def puts(self) -> list[tuple[float, str]]:
        """Each PUT: when, and which key."""
        return [(round(call.at, 3), *call.subjects) for call in self.calls(PUT)]  # type: ignore[misc]

    @property
    def receipt_ids(self) -> list[str]:
        """The messages that went on to the deleter, in order."""
        return [delivery.message_id for delivery in self.receipts._waiting]


async def test_an_email_is_stored_under_its_key_and_goes_on_to_be_deleted() -> None:
    """The document holds the body byte for byte."""
    stage = UploaderStage()
    stage.job()
    await stage.until_done()
    document = (
        b'{"message_id":"m","processed_at":"2024-12-10T14:30:22Z","email_data":' + EMAIL + b","
        b'"metadata":{"processor_version":"1.2.3","source":"email-validation-service"}}'
    )
    assert {KEY: document} == stage.stored
    assert ["m"] == stage.receipt_ids
    assert 1 == stage.kit.value("messages_archived_total")
    assert 1 == stage.kit.value("sent_to_stored_seconds_count")


async def test_an_email_is_dated_by_its_sending_where_that_is_asked_for() -> None:
    """Key and document alike, and in quarantine too: copies that tell of different first receives are one object."""
    stage = UploaderStage(key_time="sent")
    stage.job()
    stage.job("broken", b"no email")
    await stage.until_done()
    assert {"emails/2024/12/10/ann/m_143020.json", "quarantine/2024/12/10/broken.json"} == set(stage.bucket.objects)
    for document in stage.bucket.objects.values():
        assert b'"processed_at":"2024-12-10T14:30:20Z"' in document


async def test_an_email_of_which_the_queue_tells_no_time_is_stored_under_that_of_the_clock() -> None:
    """It is not known how long it took, either."""
    stage = UploaderStage()
    stage.jobs.put_nowait(Job(stage.kit.in_flight(), Message("m", "r", EMAIL)))
    await stage.until_done()
    assert ["emails/2001/09/09/ann/m_014640.json"] == list(stage.stored)
    assert 0 == stage.kit.value("sent_to_stored_seconds_count")


async def test_it_is_measured_how_long_an_email_waited_and_how_long_its_puts_took() -> None:
    """A failed try counts as one that is stored does; the wait is from the receive to the first try.

    The third PUT is that of the probe object, since there is nothing else to try.
    """
    stage = UploaderStage()
    stage.job()
    await asyncio.sleep(7)
    stage.script.always(PUT, slow(2))
    stage.script.next(PUT, refused(Cause.SERVER))
    await stage.until_done()
    assert 1 == stage.kit.value("queued_seconds_count")
    assert 7 == stage.kit.value("queued_seconds_sum")
    assert 3 == stage.kit.value("upload_seconds_count")
    assert 4 == stage.kit.value("upload_seconds_sum")


async def test_an_idle_worker_keeps_no_body() -> None:
    """A hundred and more of them would keep a hundred and more: nobody holds the message when its work is done."""
    stage = UploaderStage(workers=1)
    message = Message("m", "r", EMAIL, attributes=FIRST_RECEIVED)
    delivery = stage.kit.context.ledger.admit(message)
    assert delivery is not None
    before = sys.getrefcount(message)
    stage.jobs.put_nowait(Job(delivery, message))
    async with stage.working():
        await stage.uploader.join()
        after = sys.getrefcount(message)
    assert before == after


async def test_attributes_count_against_the_bytes_under_way() -> None:
    """A message's 1 MiB may be all attributes, of emails and of broken ones; at most 8 MiB are uploaded at once."""
    stage = UploaderStage(workers=16)
    stage.script.always(PUT, slow(1))
    for number in range(20):
        body = EMAIL if number % 2 else b"broken"
        stage.job(f"m{number}", body, thumbnail=Attribute("Binary", b"x" * (MESSAGE_MAX_BYTES - 1000)))
    await stage.until_done()
    assert 8 == stage.most_at_once(PUT)
    assert 20 == len(stage.stored)


async def test_nothing_goes_on_to_be_deleted_before_the_store_has_answered() -> None:
    """A PUT of three seconds, looked at after two."""
    stage = UploaderStage()
    stage.script.always(PUT, slow(3))
    stage.job()
    async with stage.working():
        await asyncio.sleep(2)
        assert [] == stage.receipt_ids
        await stage.uploader.join()
    assert ["m"] == stage.receipt_ids


@pytest.mark.parametrize(("key", "body"), [(KEY, EMAIL), (QUARANTINED, b"oops")])
async def test_an_object_that_is_there_already_is_a_duplicate_and_a_success(key: str, body: bytes) -> None:
    """Its bytes stay as they are, those of a document in quarantine as well."""
    stage = UploaderStage()
    stage.bucket.objects[key] = b"first"
    stage.job(body=body)
    await stage.until_done()
    assert {key: b"first"} == stage.stored
    assert ["m"] == stage.receipt_ids
    assert 1 == stage.kit.value("messages_duplicate_total", kind="stored")
    assert 0 == stage.kit.value("messages_archived_total")
    assert 0 == stage.kit.value("messages_quarantined_total", reason="not_json")


async def test_what_is_not_an_email_is_quarantined_and_deleted() -> None:
    """With the reason, and the raw body."""
    stage = UploaderStage()
    stage.job(body=b"oops", receives=2)
    await stage.until_done()
    document = json.loads(stage.bucket.objects[QUARANTINED])
    assert "not_json" == document["reason"]
    assert "oops" == document["body"]
    assert 2 == document["receive_count"]
    assert ["m"] == stage.receipt_ids
    assert 1 == stage.kit.value("messages_quarantined_total", reason="not_json")


async def test_with_quarantine_off_what_is_not_an_email_is_left_to_the_queue() -> None:
    """Neither stored nor deleted: its lease runs out."""
    stage = UploaderStage(quarantine=False)
    stage.job(body=b"oops")
    await stage.until_done()
    assert {} == stage.stored
    assert [] == stage.receipt_ids
    assert 1 == stage.released("rejected")
    assert 0 == len(stage.kit.context.ledger)


async def test_a_passing_fault_is_tried_again_with_growing_distance() -> None:
    """The message is not to blame."""
    stage = UploaderStage()
    fates = iter([refused()] * 3)
    stage.script.always(PUT, lambda key: next(fates, Fate()) if key == (KEY,) else Fate())
    stage.job()
    await stage.until_done()
    assert [0, 0.1, 0.3, 0.7] == [when for when, _ in stage.puts]
    assert ["m"] == stage.receipt_ids


@pytest.mark.parametrize("cause", [Cause.DENIED, Cause.MISSING, Cause.CREDENTIALS, Cause.ENCRYPTION, Cause.SERVER])
async def test_an_outage_of_any_length_fails_no_message(cause: Cause) -> None:
    """Six hours: the circuit opens, few probes are made, and all is stored when it is over."""
    stage = UploaderStage(workers=30, max_receive_count=1)
    circuit, hours = stage.kit.context.circuit, 6 * 3600
    stage.script.always(PUT, refused(cause))
    stage.emails(30)
    for delivery in stage.kit.context.ledger:
        delivery.lease_until = float("inf")  # somebody renews it
    was_open: list[bool] = []
    later(hours - 1, lambda: was_open.append(circuit.is_open))
    later(hours, stage.script.clear, PUT)
    await stage.until_done(hours + 60)
    assert 30 == len(stage.stored)
    assert [True] == was_open
    assert not circuit.is_open
    assert len(stage.puts) < hours / 3 + 100


async def test_throttling_lowers_the_number_of_uploads_and_fails_nothing() -> None:
    """`503 SlowDown` is no failure of S3: the circuit stays closed and trusted."""
    stage = UploaderStage(workers=16)
    circuit = stage.kit.context.circuit
    stage.script.always(PUT, slow(1))
    stage.script.next(PUT, *[refused(Cause.THROTTLED, after=1)] * 16)
    stage.emails(16)
    async with stage.working():
        await asyncio.sleep(1.05)
        assert 8 == stage.storing._limiter.limit
        assert not circuit.is_open
        assert Allowance.EVERYTHING is circuit.allowance
        await stage.uploader.join()
    assert 16 == len(stage.stored)


async def test_what_an_outage_takes_is_no_latency() -> None:
    """An hour of failures and waits for the circuit, then a PUT of two seconds: the limiter hears of those two."""
    stage = UploaderStage()
    stage.script.always(PUT, refused(Cause.DENIED, after=2))
    time, heard = asyncio.get_running_loop().time, list[float]()

    def succeed(started_at: float, size: int) -> None:
        heard.append(time() - started_at)

    stage.storing._limiter.succeed = succeed  # type: ignore[method-assign]
    stage.emails(3)
    later(3600, stage.script.always, PUT, slow(2))
    await stage.until_done()
    assert [2.0, 2.0, 2.0] == heard


async def test_a_throttled_probe_waits_before_it_tries_again() -> None:
    """Open, and the probe is told to slow down: no storm of requests."""
    stage = UploaderStage()
    stage.script.next(PUT, refused(Cause.DENIED))
    stage.script.always(PUT, refused(Cause.THROTTLED))
    stage.job()
    later(10, stage.script.clear, PUT)
    await stage.until_done()
    assert ["m"] == stage.receipt_ids
    assert len(stage.puts) < 15


async def test_a_hung_put_is_given_up_and_tried_again() -> None:
    """Fifteen seconds; that it may have been stored meanwhile does no harm."""
    stage = UploaderStage()
    stage.script.next(PUT, hung())
    stage.job()
    await stage.until_done()
    assert [0, 15.1] == [when for when, _ in stage.puts]
    assert ["m"] == stage.receipt_ids
    assert 1 == stage.kit.value("aws_requests_total", aws_service="s3", operation="PutObject", outcome="timeout")


async def test_a_lost_answer_meets_its_own_object_and_is_a_success() -> None:
    """The retry is answered 412."""
    stage = UploaderStage()
    stage.script.next(PUT, lost())
    stage.job()
    await stage.until_done()
    assert ["m"] == stage.receipt_ids
    assert [KEY] == list(stage.stored)


@pytest.mark.parametrize(("receives", "is_last"), [(1, False), (3, True), (4, True)])
async def test_an_object_that_s3_refuses_is_left_and_on_its_last_receive_quarantined(
    receives: int, is_last: bool
) -> None:
    """Before the dead-letter queue, which nobody reads, has it."""
    stage = UploaderStage(max_receive_count=3)
    stage.bucket.refuses.add("emails/")
    stage.job(receives=receives)
    await stage.until_done()
    assert is_last == stage.kit.value("messages_quarantined_total", reason="undeliverable")
    assert (["m"] if is_last else []) == stage.receipt_ids
    assert (not is_last) == stage.released("refused")


async def test_an_object_that_fails_alone_while_others_are_stored_is_refused() -> None:
    """Five failures of one, none of many others: it cannot be S3. The circuit is closed and trusted afterwards."""
    stage = UploaderStage()
    stage.script.always(PUT, lambda key: refused(after=0.1) if "/bad_" in key[0] else slow(0.1))
    stage.job("bad")
    stage.emails(200)
    await stage.until_done()
    assert 200 == len(stage.stored)
    assert 1 == stage.released("refused")
    assert not stage.kit.context.circuit.is_open
    assert Allowance.EVERYTHING is stage.kit.context.circuit.allowance


async def test_an_outage_is_not_blamed_on_the_upload_that_was_slow_before_it() -> None:
    """Many others were stored while it was under way, and then it is the one that probes: it is stored in the end."""
    stage = UploaderStage()
    stage.script.next(PUT, refused(after=1))
    stage.job("slow")
    stage.emails(200)
    async with stage.working():
        await asyncio.sleep(1)
        assert 200 == len(stage.stored)
        stage.script.always(PUT, refused())
        await asyncio.sleep(200)
        stage.script.clear(PUT)
        await stage.uploader.join()
    assert 201 == len(stage.stored)
    assert 0 == stage.released("refused")


async def test_an_outage_is_not_blamed_on_an_upload_that_probes_and_was_unlucky_before() -> None:
    """It failed once, hundreds were stored while it backed off, and now it takes turns to ask a store that is down."""
    stage = UploaderStage(workers=8)
    stage.script.next(PUT, refused())
    stage.job("unlucky")
    stage.emails(400)
    async with stage.working():
        await asyncio.sleep(0.05)
        stage.script.always(PUT, refused())
        stage.emails(400, 404)
        await asyncio.sleep(5000)
        assert len([key for _, key in stage.puts if "unlucky" in key]) > 5
        stage.script.clear(PUT)
        await stage.uploader.join()
    assert 405 == len(stage.stored)
    assert 0 == stage.released("refused")


async def test_a_flaky_store_is_never_blamed_on_a_message() -> None:
    """Two thirds of all PUTs fail: all is stored, nothing is refused."""
    stage = UploaderStage(workers=8, max_receive_count=1)
    chance = Random(0)
    stage.script.always(PUT, lambda _: refused() if chance.random() < 2 / 3 else Fate())
    stage.emails(100)
    await stage.until_done()
    assert 100 == len(stage.stored)
    assert 0 == stage.released("refused")


async def test_what_failed_is_let_go_of_once_its_lease_is_lost() -> None:
    """Somebody else may have it; it would be tried here for ever, since a receive that is over is never the last."""
    stage = UploaderStage()
    stage.script.always(PUT, refused())
    stage.job()
    delivery = next(iter(stage.kit.context.ledger))
    later(10, stage.kit.context.ledger.lose, delivery, delivery.receipt_handle)
    await stage.until_done(60)
    assert stage.puts[-1][0] <= 10
    assert 1 == stage.released("lease_expired")


async def test_work_whose_lease_has_run_out_is_not_started() -> None:
    """Somebody else has the message by now."""
    stage = UploaderStage()
    stage.job()
    await asyncio.sleep(301)
    await stage.until_done()
    assert [] == stage.puts
    assert 1 == stage.released("lease_expired")
    assert 0 == len(stage.kit.context.ledger)


async def test_a_message_archived_before_goes_straight_to_the_deleter() -> None:
    """No second PUT."""
    stage = UploaderStage()
    first = stage.kit.in_flight()
    stage.kit.context.ledger.archived(first)
    stage.kit.context.ledger.close(first)
    stage.job()
    await stage.until_done()
    assert [] == stage.puts
    assert ["m"] == stage.receipt_ids


async def test_an_offloaded_body_is_fetched_and_archived_as_if_it_had_been_the_body() -> None:
    """Byte for byte."""
    stage = UploaderStage()
    stage.bucket.payloads["big", "k"] = EMAIL
    for number in range(3):
        stage.job(f"m{number}", body=POINTER)
    await stage.until_done()
    assert [f"emails/2024/12/10/ann/m{number}_143022.json" for number in range(3)] == sorted(stage.bucket.objects)
    assert all(EMAIL in document for document in stage.bucket.objects.values())


async def test_an_offloaded_body_that_does_not_exist_is_quarantined() -> None:
    """Nothing will bring it back."""
    stage = UploaderStage()
    stage.job(body=POINTER)
    await stage.until_done()
    assert [QUARANTINED] == list(stage.stored)
    assert ["m"] == stage.receipt_ids
    assert 1 == stage.kit.value("messages_quarantined_total", reason="payload_missing")


async def test_an_offloaded_body_in_an_outage_waits_for_its_end() -> None:
    """An hour of failing reads: it is tried again and again, and is archived in the end."""
    stage = UploaderStage(max_receive_count=1)
    stage.bucket.payloads["big", "k"] = EMAIL
    stage.script.always(FETCH, refused(Cause.NETWORK))
    stage.job(body=POINTER)
    later(3600, stage.script.clear, FETCH)
    await stage.until_done()
    assert [KEY] == list(stage.stored)
    assert 0 == stage.released("refused")


@pytest.mark.parametrize("cause", [Cause.DENIED, Cause.CREDENTIALS, Cause.THROTTLED])
async def test_a_failed_read_of_an_offloaded_body_is_followed_by_another(cause: Cause) -> None:
    """Five of them; nothing is known of the others in its bucket, so it is not to blame."""
    stage = UploaderStage()
    stage.bucket.payloads["big", "k"] = EMAIL
    stage.script.next(FETCH, *[refused(cause)] * 5)
    stage.job(body=POINTER)
    await stage.until_done()
    assert 5 == stage.kit.value("retries_total", cause=cause)
    assert [KEY] == list(stage.bucket.objects)


def too_large(_: tuple[str, ...]) -> Fate:
    """What the client says of a body that it will not read."""
    raise PayloadTooLargeError("s3://big/k has 99999999 bytes.", fix="Raise PAYLOAD_MAX_BYTES.")


@pytest.mark.parametrize(("receives", "keys"), [(1, []), (3, [QUARANTINED])])
async def test_an_offloaded_body_that_is_too_large_is_left_and_at_last_quarantined(
    receives: int, keys: list[str]
) -> None:
    """It is the message's own size: it must not hold up the others."""
    stage = UploaderStage(max_receive_count=3)
    stage.script.always(FETCH, too_large)
    stage.job(body=POINTER, receives=receives)
    await stage.until_done()
    assert keys == list(stage.stored)


async def test_a_pointer_in_an_offloaded_body_is_not_followed() -> None:
    """It would be a chain without an end."""
    stage = UploaderStage()
    stage.bucket.payloads["big", "k"] = POINTER
    stage.job(body=POINTER)
    await stage.until_done()
    assert [QUARANTINED] == list(stage.stored)
    assert POINTER.decode() == json.loads(stage.bucket.objects[QUARANTINED])["payload"]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xef\xbb\xbf" + EMAIL, "not_json"),
        (gzip.compress(EMAIL), "not_json"),
        (EMAIL.decode().encode("utf-16"), "not_json"),
        (b"Subject: hello\r\n\r\nhello\r\n", "not_json"),
        (b'{"email_subject":"hello"}', "missing_field"),
        (b"x" * 16 * 1024 * 1024, "not_json"),
    ],
    ids=["byte order mark", "gzip", "UTF-16", ".eml", "field missing", "16 MiB"],
)
async def test_an_offloaded_body_that_is_no_email_is_in_quarantine_beside_its_pointer(
    payload: bytes, reason: str
) -> None:
    """The message is deleted, and the payload's own bucket may not keep it: so every byte of it is kept here."""
    stage = UploaderStage()
    stage.bucket.payloads["big", "k"] = payload
    stage.job(body=POINTER)
    await stage.until_done()
    document = json.loads(stage.bucket.objects[QUARANTINED])
    assert ["m"] == stage.receipt_ids
    assert (reason, POINTER.decode()) == (document["reason"], document["body"])
    as_text = document.get("payload")
    assert payload == (b64decode(document["payload_base64"]) if as_text is None else as_text.encode())
    assert 1 == stage.kit.value("messages_quarantined_total", reason=reason)


async def test_an_offloaded_email_whose_object_is_refused_is_at_last_in_quarantine_beside_its_pointer() -> None:
    """On its last receive; until then it is left to the queue."""
    stage = UploaderStage(max_receive_count=3)
    stage.bucket.payloads["big", "k"] = EMAIL
    stage.bucket.refuses.add("emails/")
    stage.job(body=POINTER, receives=3)
    await stage.until_done()
    document = json.loads(stage.bucket.objects[QUARANTINED])
    assert ["m"] == stage.receipt_ids
    assert ("undeliverable", EMAIL.decode()) == (document["reason"], document["payload"])


async def test_an_offloaded_email_that_meets_a_bug_is_at_last_in_quarantine_beside_its_pointer() -> None:
    """Whatever goes wrong after the fetch, the payload is kept."""
    stage = UploaderStage(max_receive_count=3)

    def bug(key: tuple[str, ...]) -> Fate:
        if key[0].startswith("emails/"):
            raise ZeroDivisionError
        return Fate()

    stage.script.always(PUT, bug)
    stage.bucket.payloads["big", "k"] = EMAIL
    stage.job(body=POINTER, receives=3)
    await stage.until_done()
    assert EMAIL.decode() == json.loads(stage.bucket.objects[QUARANTINED])["payload"]


async def test_what_is_set_aside_is_tried_again_with_its_payload() -> None:
    """It is fetched once more: what only points to it would be no email that is kept."""
    stage = UploaderStage(max_receive_count=3)
    is_refused = iter([True])

    def refuse_once(key: tuple[str, ...]) -> Fate:
        return refused() if key[0].startswith("quarantine/") and next(is_refused, False) else Fate()

    stage.script.always(PUT, refuse_once)
    stage.bucket.payloads["big", "k"] = EMAIL
    stage.bucket.refuses.add("emails/")
    stage.job(body=POINTER, receives=3)
    await stage.until_done()
    document = json.loads(stage.bucket.objects[QUARANTINED])
    assert ("undeliverable", EMAIL.decode()) == (document["reason"], document["payload"])
    assert 2 == len(stage.calls(FETCH))


@pytest.mark.parametrize("body", [b"no email", POINTER], ids=["no email", "payload missing"])
@pytest.mark.parametrize("receives", [1, 3])
async def test_what_quarantine_refuses_is_tried_once_and_left_to_the_queue(
    body: bytes, receives: int, caplog: pytest.LogCaptureFixture
) -> None:
    """On its last receive, too."""
    stage = UploaderStage(max_receive_count=3)
    stage.bucket.refuses.add("quarantine/")
    stage.job(body=body, receives=receives)
    await stage.until_done()
    assert [QUARANTINED] == [key for _, key in stage.puts]
    assert ["quarantine_refused"] == caplog.messages
    assert 1 == stage.released("refused")


@pytest.mark.parametrize("receives", [1, 3])
async def test_a_bug_that_is_met_in_quarantine_costs_that_message_alone(
    receives: int, caplog: pytest.LogCaptureFixture
) -> None:
    """On its last receive, too: it is left to the queue, and the worker goes on."""
    stage = UploaderStage(workers=1, max_receive_count=3)

    def bug(key: tuple[str, ...]) -> Fate:
        if key[0].startswith("quarantine/"):
            raise ZeroDivisionError
        return Fate()

    stage.script.always(PUT, bug)
    stage.job("broken", b"no email", receives=receives)
    stage.job()
    await stage.until_done()
    assert ["unexpected_error", "quarantine_refused"] == caplog.messages
    assert ["m"] == stage.receipt_ids
    assert 1 == stage.released("refused")


async def test_a_payload_in_quarantine_counts_against_the_bytes_under_way() -> None:
    """It is most of its document."""
    stage = UploaderStage()
    stage.bucket.payloads["big", "k"] = b"x" * (8 * 1024 * 1024 - len(POINTER))
    stage.script.always(PUT, slow(1))
    stage.job(body=POINTER)
    async with stage.working():
        await asyncio.sleep(0.5)
        stage.job("late")
        await stage.uploader.join()
    assert 1 == stage.most_at_once(PUT)
    assert [QUARANTINED, "emails/2024/12/10/ann/late_143022.json"] == list(stage.stored)


async def test_an_idle_worker_keeps_no_offloaded_body() -> None:
    """What is stored is let go of: the next one may be as large."""
    stage = UploaderStage()
    payload = b"x" * 1024
    stage.bucket.payloads["big", "k"] = payload
    before = sys.getrefcount(payload)
    stage.job(body=POINTER)
    async with stage.working():
        await stage.uploader.join()
        after = sys.getrefcount(payload)
    assert before == after


def a_copy_of(body: bytes) -> bytes:
    """The same bytes, in memory of their own."""
    return bytes(bytearray(body))


@pytest.fixture
def _without_collector() -> Iterator[None]:
    """The garbage collector finds nothing to do here: what nobody holds is gone at once."""
    gc.disable()
    yield
    gc.enable()


def held_elsewhere(bodies: list[bytes]) -> list[bytes]:
    """Those that somebody else holds, beside this list."""
    alone = [a_copy_of(EMAIL)]
    return [body for body in bodies if sys.getrefcount(body) > sys.getrefcount(alone[0]) + 1]


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize("is_aside", [False, True], ids=["emails", "quarantine"])
async def test_in_an_outage_no_body_is_held_by_the_fault_that_it_met(is_aside: bool) -> None:
    """Ten payloads wait for another try: as often as each was fetched, no more are in memory than are counted there."""
    stage = UploaderStage(max_receive_count=1)
    if is_aside:
        stage.bucket.refuses.add("emails/")
    stage.script.always(PUT, lambda key: Fate() if key[0].startswith("emails/") and is_aside else refused())
    fetched: list[bytes] = []

    def fetch(_bucket: SimBucket, _pointer: Pointer) -> bytes:
        fetched.append(a_copy_of(EMAIL))
        return fetched[-1]

    with mock.patch.object(SimBucket, "fetch", fetch):
        for number in range(10):
            stage.job(f"m{number}", POINTER)
        async with stage.working():
            await asyncio.sleep(200)
            held = held_elsewhere(fetched)
            assert len(fetched) > len(held)
            assert stage.fetching._memory._bytes == sum(map(len, held))


async def test_unreadable_offloaded_bodies_hold_up_no_email() -> None:
    """A hundred of them, and four workers: the email is stored at once."""
    stage = UploaderStage()
    stage.script.always(FETCH, refused(Cause.TIMEOUT))
    for number in range(100):
        stage.job(f"p{number}", body=POINTER)
    stage.job()
    async with stage.working():
        await asyncio.sleep(1)
    assert [(0, KEY)] == stage.puts


async def test_a_bug_that_one_message_meets_does_not_stop_the_others() -> None:
    """It is said with its traceback, and the message is left to the queue."""
    stage = UploaderStage()

    def bug(key: tuple[str, ...]) -> Fate:
        if "/unlucky_" in key[0]:
            raise ZeroDivisionError
        return Fate()

    stage.script.always(PUT, bug)
    stage.job("unlucky")
    stage.job("m")
    await stage.until_done()
    assert ["m"] == stage.receipt_ids
    assert 1 == stage.released("refused")
    assert Allowance.EVERYTHING is stage.kit.context.circuit.allowance


async def test_a_quarantine_that_is_refused_leaves_the_message_to_the_queue() -> None:
    """Nothing is deleted that is not kept somewhere."""
    stage = UploaderStage()
    stage.bucket.refuses.add("quarantine/")
    stage.job(body=b"oops")
    await stage.until_done()
    assert [] == stage.receipt_ids
    assert 1 == stage.released("refused")


@pytest.mark.usefixtures("_without_collector")
async def test_nothing_is_kept_of_a_payload_that_is_too_large() -> None:
    """What was read of it, until it was known."""
    stage = UploaderStage(max_receive_count=1)
    stage.script.always(PUT, refused())
    read: list[bytes] = []

    async def too_large(_payload: SimPayload) -> bytes:
        part = a_copy_of(EMAIL)
        read.append(part)
        raise PayloadTooLargeError("s3://big/k")

    with mock.patch.object(SimPayload, "read", too_large):
        for number in range(10):
            stage.bucket.payloads["big", "k"] = EMAIL
            stage.job(f"m{number}", POINTER)
        async with stage.working():
            await asyncio.sleep(200)
            assert [] == held_elsewhere(read)
    assert 10 == len(read)


async def test_one_that_was_stored_before_does_not_use_up_the_one_that_is_allowed_in_doubt() -> None:
    """It says nothing of the store: another one may be received."""
    stage = UploaderStage()
    circuit = stage.kit.context.circuit
    stage.emails(1)
    stage.kit.context.ledger.archived(stage.jobs._queue[0].delivery)  # type: ignore[attr-defined]
    circuit.fail(KEY, store_fault())
    circuit.succeed(is_probe_object=True)
    circuit.spend()
    await stage.until_done()
    assert Allowance.ONE_MESSAGE is circuit.allowance
