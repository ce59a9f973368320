"""Uploaders: what becomes of a message, and of a store that fails."""

import asyncio
import json
import sys
from collections.abc import Sequence

import pytest

from email_processor.domain.errors import (
    Cause,
    ObjectRefusedError,
    PayloadMissingError,
    PayloadTooLargeError,
    StoreFaultError,
)
from email_processor.domain.message import Attribute, Message
from email_processor.pipeline.depth import Redrive
from email_processor.pipeline.ledger import MESSAGE_MAX_BYTES, Delivery, Job
from email_processor.pipeline.limiter import Limiter
from email_processor.pipeline.uploader import Uploader, UploadRules
from email_processor.ports import Stored
from tests.simulation.loop import simulate
from tests.unit.pipeline.fakes import FakeStore
from tests.unit.pipeline.kit import EMAIL, Kit, store_fault

FIRST_RECEIVED = {"ApproximateFirstReceiveTimestamp": "1733841022000", "SentTimestamp": "1733841020000"}
KEY = "emails/2024/12/10/ann/m_143022.json"
POINTER = b'["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"big","s3Key":"k"}]'


class Stage:
    """Uploaders at work."""

    def __init__(self, *, workers: int = 4, quarantine: bool = True, max_receive_count: int | None = None) -> None:
        self.kit = Kit.new()
        self.store = FakeStore()
        self.jobs: asyncio.Queue[Job] = asyncio.Queue(1000)
        self.receipts: asyncio.Queue[Delivery] = asyncio.Queue(1000)
        self.limiter = Limiter(
            self.kit.common.clock, self.kit.common.metrics, start=16, most=64, most_bytes=8 * 1024 * 1024
        )
        self.workers = workers
        self.uploader = Uploader(
            self.kit.common,
            self.store,
            self.store,
            jobs=self.jobs,
            receipts=self.receipts,
            limiter=self.limiter,
            redrive=Redrive(max_receive_count),
            rules=UploadRules("emails", "quarantine", quarantine, version="1.2.3", upload_timeout=15),
        )

    def job(self, message_id: str = "m", body: bytes = EMAIL, receives: int = 1, **user: Attribute) -> Delivery:
        """A message taken in hand, for the uploaders."""
        attributes = {**FIRST_RECEIVED, "ApproximateReceiveCount": str(receives)}
        message = Message(message_id, "r", body, attributes=attributes, message_attributes=user)
        delivery = self.kit.common.ledger.admit(message)
        assert delivery is not None
        self.jobs.put_nowait(Job(delivery, message))
        return delivery

    async def until_done(self, within: float = 10_000) -> float:
        """Work until no job is left; when that was."""
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(self.uploader.upload()) for _ in range(self.workers)]
            working.append(tasks.create_task(self.uploader.upload_offloaded()))
            async with asyncio.timeout(within):
                await self.uploader.join()
            for task in working:
                task.cancel()
        return asyncio.get_running_loop().time()

    @property
    def puts(self) -> list[tuple[float, str]]:
        """Each PUT: when, and which key."""
        return [(round(call.began, 3), str(call.about[0])) for call in self.store.puts.calls]

    @property
    def receipt_ids(self) -> list[str]:
        """The messages that went on to the deleter, in order."""
        return [self.receipts.get_nowait().message_id for _ in range(self.receipts.qsize())]


def test_an_email_is_stored_under_its_key_and_goes_on_to_be_deleted() -> None:
    """The document holds the body byte for byte."""

    async def story() -> tuple[dict[str, bytes], list[str], float, float]:
        stage = Stage()
        stage.job()
        await stage.until_done()
        value = stage.kit.value
        return (
            stage.store.objects,
            stage.receipt_ids,
            value("messages_archived_total"),
            value("sent_to_stored_seconds_count"),
        )

    document = (
        b'{"message_id":"m","processed_at":"2024-12-10T14:30:22Z","email_data":' + EMAIL + b","
        b'"metadata":{"processor_version":"1.2.3","source":"email-validation-service"}}'
    )
    assert ({KEY: document}, ["m"], 1, 1) == simulate(story())


def test_an_idle_worker_keeps_no_body() -> None:
    """A hundred and more of them would keep a hundred and more: nobody holds the message when its work is done."""

    async def story() -> tuple[int, int]:
        stage = Stage(workers=1)
        message = Message("m", "r", EMAIL, attributes=FIRST_RECEIVED)
        delivery = stage.kit.common.ledger.admit(message)
        assert delivery is not None
        before = sys.getrefcount(message)
        stage.jobs.put_nowait(Job(delivery, message))
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(stage.uploader.upload())
            await stage.uploader.join()
            after = sys.getrefcount(message)
            working.cancel()
        return before, after

    before, after = simulate(story())
    assert before == after


def test_attributes_count_against_the_bytes_under_way() -> None:
    """A message's 1 MiB may be all attributes, of emails and of broken ones; at most 8 MiB are uploaded at once."""

    async def story() -> tuple[int, int]:
        stage = Stage(workers=16)
        stage.store.puts.seconds = 1
        for number in range(20):
            body = EMAIL if number % 2 else b"broken"
            stage.job(f"m{number}", body, thumbnail=Attribute("Binary", b"x" * (MESSAGE_MAX_BYTES - 1000)))
        await stage.until_done()
        return stage.store.puts.high, len(stage.store.objects)

    assert (8, 20) == simulate(story())


def test_nothing_goes_on_to_be_deleted_before_the_store_has_answered() -> None:
    """A PUT of three seconds, looked at after two."""

    async def story() -> tuple[int, int]:
        stage = Stage()
        stage.store.puts.seconds = 3
        stage.job()
        seen: list[int] = []
        asyncio.get_running_loop().call_later(2, lambda: seen.append(stage.receipts.qsize()))
        await stage.until_done()
        return seen[0], stage.receipts.qsize()

    assert (0, 1) == simulate(story())


def test_an_object_that_is_there_already_is_a_duplicate_and_a_success() -> None:
    """Its bytes stay as they are."""

    async def story() -> tuple[bytes, list[str], float, float]:
        stage = Stage()
        stage.store.objects[KEY] = b"first"
        stage.job()
        await stage.until_done()
        value = stage.kit.value
        return (
            stage.store.objects[KEY],
            stage.receipt_ids,
            value("messages_duplicate_total", kind="stored"),
            value("messages_archived_total"),
        )

    assert (b"first", ["m"], 1, 0) == simulate(story())


def test_what_is_not_an_email_is_quarantined_and_deleted() -> None:
    """With the reason, and the raw body."""

    async def story() -> tuple[dict[str, object], list[str], float]:
        stage = Stage()
        stage.job(body=b"oops", receives=2)
        await stage.until_done()
        document = json.loads(stage.store.objects["quarantine/2024/12/10/m.json"])
        return document, stage.receipt_ids, stage.kit.value("messages_quarantined_total", reason="not_json")

    document, receipts, count = simulate(story())
    assert ("not_json", "oops", 2) == (document["reason"], document["body"], document["receive_count"])
    assert (["m"], 1) == (receipts, count)


def test_with_quarantine_off_what_is_not_an_email_is_left_to_the_queue() -> None:
    """Neither stored nor deleted: its lease runs out."""

    async def story() -> tuple[int, list[str], float, int]:
        stage = Stage(quarantine=False)
        stage.job(body=b"oops")
        await stage.until_done()
        released = stage.kit.value("messages_released_total", reason="rejected")
        return len(stage.store.objects), stage.receipt_ids, released, len(stage.kit.common.ledger)

    assert (0, [], 1, 0) == simulate(story())


def test_a_passing_fault_is_tried_again_with_growing_distance() -> None:
    """The message is not to blame."""

    async def story() -> tuple[list[float], list[str]]:
        stage = Stage()
        stage.store.puts.answers.extend(store_fault() for _ in range(3))
        stage.job()
        await stage.until_done()
        return [when for when, _ in stage.puts], stage.receipt_ids

    assert ([0, 0.1, 0.3, 0.7], ["m"]) == simulate(story())


@pytest.mark.parametrize("cause", [Cause.DENIED, Cause.MISSING, Cause.CREDENTIALS, Cause.ENCRYPTION, Cause.SERVER])
def test_an_outage_of_any_length_fails_no_message(cause: Cause) -> None:
    """Six hours: the circuit opens, few probes are made, and all is stored when it is over."""

    async def story() -> tuple[int, bool, int, bool]:
        stage = Stage(workers=30, max_receive_count=1)
        stage.store.puts.otherwise = lambda *_: store_fault(cause)
        for number in range(30):
            stage.job(f"m{number}")

        def recover() -> None:
            stage.store.puts.otherwise = stage.store._put

        loop, seen = asyncio.get_running_loop(), []
        loop.call_later(6 * 3600 - 1, lambda: seen.append(stage.kit.common.circuit.is_open))
        loop.call_later(6 * 3600, recover)
        await stage.until_done(6 * 3600 + 60)
        return len(stage.store.objects), seen[0], len(stage.puts), stage.kit.common.circuit.is_open

    stored, was_open, puts, is_open = simulate(story())
    assert (30, True, False) == (stored, was_open, is_open)
    assert puts < 6 * 3600 / 3 + 100


def test_throttling_lowers_the_number_of_uploads_and_fails_nothing() -> None:
    """`503 SlowDown` is no failure of S3: the circuit stays closed and trusted."""

    async def story() -> tuple[int, bool, bool, int]:
        stage = Stage(workers=16)
        stage.store.puts.seconds = 1
        stage.store.puts.answers.extend(store_fault(Cause.THROTTLED) for _ in range(16))
        for number in range(16):
            stage.job(f"m{number}")
        seen: list[tuple[int, bool, bool]] = []
        circuit = stage.kit.common.circuit
        asyncio.get_running_loop().call_later(
            1.05, lambda: seen.append((stage.limiter.limit, circuit.is_open, circuit.is_trusted))
        )
        await stage.until_done()
        return (*seen[0], len(stage.store.objects))

    assert (8, False, True, 16) == simulate(story())


def test_what_an_outage_takes_is_no_latency() -> None:
    """An hour of failures and waits for the circuit, then a PUT of two seconds: the limiter hears of those two."""

    async def story() -> list[float]:
        stage = Stage()
        stage.store.puts.seconds = 2
        stage.store.puts.otherwise = lambda *_: store_fault(Cause.DENIED)
        loop, heard = asyncio.get_running_loop(), list[float]()

        def succeed(started_at: float, size: int) -> None:
            heard.append(loop.time() - started_at)

        stage.limiter.succeed = succeed  # type: ignore[method-assign]
        for number in range(3):
            stage.job(f"m{number}")
        loop.call_later(3600, lambda: setattr(stage.store.puts, "otherwise", stage.store._put))
        await stage.until_done()
        return heard

    assert [2.0, 2.0, 2.0] == simulate(story())


def test_a_throttled_probe_waits_before_it_tries_again() -> None:
    """Open, and the probe is told to slow down: no storm of requests."""

    async def story() -> tuple[int, list[str]]:
        stage = Stage()
        stage.store.puts.answers.append(store_fault(Cause.DENIED))
        stage.store.puts.otherwise = lambda *_: store_fault(Cause.THROTTLED)
        stage.job()

        def recover() -> None:
            stage.store.puts.otherwise = stage.store._put

        asyncio.get_running_loop().call_later(10, recover)
        await stage.until_done()
        return len(stage.puts), stage.receipt_ids

    puts, receipts = simulate(story())
    assert ["m"] == receipts
    assert puts < 15


def test_a_hung_put_is_given_up_and_tried_again() -> None:
    """Fifteen seconds; that it may have been stored meanwhile does no harm."""

    async def story() -> tuple[list[float], list[str], float]:
        stage = Stage()
        stage.store.puts.answers.append(asyncio.Event())
        stage.job()
        await stage.until_done()
        timeouts = stage.kit.value("aws_requests_total", service="s3", operation="PutObject", outcome="timeout")
        return [when for when, _ in stage.puts], stage.receipt_ids, timeouts

    assert ([0, 15.1], ["m"], 1) == simulate(story())


def test_a_lost_answer_meets_its_own_object_and_is_a_success() -> None:
    """The retry is answered 412."""

    async def story() -> tuple[list[str], int]:
        stage = Stage()

        def store_and_lose(key: str, document: bytes) -> StoreFaultError:
            stage.store.objects[key] = document
            stage.store.puts.otherwise = stage.store._put
            return store_fault(Cause.NETWORK)

        stage.store.puts.otherwise = store_and_lose
        stage.job()
        await stage.until_done()
        return stage.receipt_ids, len(stage.store.objects)

    assert (["m"], 1) == simulate(story())


@pytest.mark.parametrize(
    ("receives", "expected"),
    [(1, (0, [], 1.0)), (3, (1, ["m"], 0.0)), (4, (1, ["m"], 0.0))],
)
def test_an_object_that_s3_refuses_is_left_and_on_its_last_receive_quarantined(
    receives: int, expected: tuple[int, list[str], float]
) -> None:
    """Before the dead-letter queue, which nobody reads, has it."""

    async def story() -> tuple[int, list[str], float]:
        stage = Stage(max_receive_count=3)
        stage.store.puts.answers.append(ObjectRefusedError("KeyTooLongError"))
        stage.job(receives=receives)
        await stage.until_done()
        undeliverable = stage.kit.value("messages_quarantined_total", reason="undeliverable")
        return int(undeliverable), stage.receipt_ids, stage.kit.value("messages_released_total", reason="refused")

    assert expected == simulate(story())


def test_an_object_that_fails_alone_while_others_are_stored_is_refused() -> None:
    """Five failures of one, none of many others: it cannot be S3. The circuit is closed and trusted afterwards."""

    async def story() -> tuple[int, float, bool, bool]:
        stage = Stage(workers=4)
        bad = store_fault(Cause.SERVER)
        stage.store.puts.seconds = 0.1

        def put(key: str, document: bytes) -> Stored | StoreFaultError:
            return bad if "/bad_" in key else stage.store._put(key, document)

        stage.store.puts.otherwise = put
        stage.job("bad")
        for number in range(200):
            stage.job(f"m{number}")
        await stage.until_done()
        circuit = stage.kit.common.circuit
        return (
            len(stage.store.objects),
            stage.kit.value("messages_released_total", reason="refused"),
            circuit.is_open,
            circuit.is_trusted,
        )

    assert (200, 1, False, True) == simulate(story())


def test_an_outage_is_not_blamed_on_the_upload_that_was_slow_before_it() -> None:
    """Many others were stored while it was under way, and then it is the one that probes: it is stored in the end."""

    async def story() -> tuple[int, float]:
        stage = Stage(workers=4)
        others_are_stored, is_down = asyncio.Event(), False

        def put(key: str, document: bytes) -> Stored | StoreFaultError:
            if is_down:
                return store_fault()
            stored = stage.store._put(key, document)
            if len(stage.store.objects) == 200:
                others_are_stored.set()
            return stored

        slow = asyncio.Event()
        stage.store.puts.answers.append(slow)
        stage.store.puts.otherwise = put
        stage.job("slow")
        for number in range(200):
            stage.job(f"m{number}")
        working = asyncio.create_task(stage.until_done())
        await others_are_stored.wait()
        is_down = True
        slow.set()
        await asyncio.sleep(200)
        is_down = False
        await working
        return len(stage.store.objects), stage.kit.value("messages_released_total", reason="refused")

    assert (201, 0) == simulate(story())


def test_an_outage_is_not_blamed_on_an_upload_that_probes_and_was_unlucky_before() -> None:
    """It failed once, hundreds were stored while it backed off, and now it takes turns to ask a store that is down."""

    async def story() -> tuple[int, float, bool]:
        stage = Stage(workers=8)
        is_down = False

        def put(key: str, document: bytes) -> Stored | StoreFaultError:
            return store_fault() if is_down else stage.store._put(key, document)

        stage.store.puts.answers.append(store_fault())
        stage.store.puts.otherwise = put
        stage.job("unlucky")
        for number in range(400):
            stage.job(f"m{number}")
        working = asyncio.create_task(stage.until_done())
        await asyncio.sleep(0.05)
        is_down = True
        for number in range(400, 404):
            stage.job(f"m{number}")
        await asyncio.sleep(1000)
        tries = [key for _, key in stage.puts if "unlucky" in key]
        is_down = False
        await working
        return len(stage.store.objects), stage.kit.value("messages_released_total", reason="refused"), len(tries) > 5

    assert (405, 0, True) == simulate(story())


def test_a_flaky_store_is_never_blamed_on_a_message() -> None:
    """Two thirds of all PUTs fail: all is stored, nothing is refused."""

    async def story() -> tuple[int, float]:
        stage = Stage(workers=8, max_receive_count=1)
        calls = 0

        def put(key: str, document: bytes) -> Stored | StoreFaultError:
            nonlocal calls
            calls += 1
            return stage.store._put(key, document) if calls % 3 == 0 else store_fault()

        stage.store.puts.otherwise = put
        for number in range(100):
            stage.job(f"m{number}")
        await stage.until_done()
        return len(stage.store.objects), stage.kit.value("messages_released_total", reason="refused")

    assert (100, 0) == simulate(story())


def test_work_whose_lease_has_run_out_is_not_started() -> None:
    """Somebody else has the message by now."""

    async def story() -> tuple[list[tuple[float, str]], float, int]:
        stage = Stage()
        stage.job()
        await asyncio.sleep(301)
        await stage.until_done()
        released = stage.kit.value("messages_released_total", reason="lease_expired")
        return stage.puts, released, len(stage.kit.common.ledger)

    assert ([], 1, 0) == simulate(story())


def test_a_message_archived_before_goes_straight_to_the_deleter() -> None:
    """No second PUT."""

    async def story() -> tuple[list[tuple[float, str]], list[str]]:
        stage = Stage()
        first = stage.kit.in_hand()
        stage.kit.common.ledger.archived(first)
        stage.kit.common.ledger.close(first)
        stage.job()
        await stage.until_done()
        return stage.puts, stage.receipt_ids

    assert ([], ["m"]) == simulate(story())


def test_an_offloaded_body_is_fetched_and_archived_as_if_it_had_been_the_body() -> None:
    """One at a time, beside the emails."""

    async def story() -> tuple[list[str], bool, int]:
        stage = Stage()
        stage.store.payloads["k"] = EMAIL
        stage.store.fetches.seconds = 1
        for number in range(3):
            stage.job(f"m{number}", body=POINTER)
        await stage.until_done()
        holds = all(EMAIL in document for document in stage.store.objects.values())
        return sorted(stage.store.objects), holds, stage.store.fetches.high

    keys = [f"emails/2024/12/10/ann/m{number}_143022.json" for number in range(3)]
    assert (keys, True, 1) == simulate(story())


def test_an_offloaded_body_that_does_not_exist_is_quarantined() -> None:
    """Nothing will bring it back."""

    async def story() -> tuple[list[str], list[str], float]:
        stage = Stage()
        stage.store.fetches.answers.append(PayloadMissingError("s3://big/k"))
        stage.job(body=POINTER)
        await stage.until_done()
        count = stage.kit.value("messages_quarantined_total", reason="payload_missing")
        return list(stage.store.objects), stage.receipt_ids, count

    assert (["quarantine/2024/12/10/m.json"], ["m"], 1) == simulate(story())


def test_an_offloaded_body_in_an_outage_waits_for_its_end() -> None:
    """An hour of failing reads: it goes to the back of the line again and again, and is archived in the end."""

    async def story() -> tuple[list[str], float]:
        stage = Stage(max_receive_count=1)
        stage.store.payloads["k"] = EMAIL
        stage.store.fetches.otherwise = lambda *_: store_fault(Cause.NETWORK)
        stage.job(body=POINTER)

        def recover() -> None:
            stage.store.fetches.otherwise = lambda pointer: stage.store.payloads[pointer.key]

        asyncio.get_running_loop().call_later(3600, recover)
        await stage.until_done()
        return list(stage.store.objects), stage.kit.value("messages_released_total", reason="refused")

    assert ([KEY], 0) == simulate(story())


@pytest.mark.parametrize(
    "answers",
    [
        [store_fault(Cause.DENIED)] * 5,
        [PayloadTooLargeError("s3://big/k has 99999999 bytes.", fix="Raise PAYLOAD_MAX_BYTES.")],
    ],
)
@pytest.mark.parametrize(
    ("receives", "keys"),
    [(1, []), (3, ["quarantine/2024/12/10/m.json"])],
)
def test_an_offloaded_body_that_cannot_be_read_is_left_and_at_last_quarantined(
    answers: Sequence[Exception], receives: int, keys: list[str]
) -> None:
    """It is the message's own bucket, or its own size: it must not hold up the others."""

    async def story() -> list[str]:
        stage = Stage(max_receive_count=3)
        stage.store.fetches.answers.extend(answers)
        stage.job(body=POINTER, receives=receives)
        await stage.until_done()
        return list(stage.store.objects)

    assert keys == simulate(story())


def test_a_pointer_in_an_offloaded_body_is_not_followed() -> None:
    """It would be a chain without an end."""

    async def story() -> list[str]:
        stage = Stage()
        stage.store.payloads["k"] = POINTER
        stage.job(body=POINTER)
        await stage.until_done()
        return list(stage.store.objects)

    assert ["quarantine/2024/12/10/m.json"] == simulate(story())


def test_unreadable_offloaded_bodies_hold_up_no_email() -> None:
    """A hundred of them, and four workers: the email is stored at once."""

    async def story() -> float:
        stage = Stage()
        stage.store.fetches.otherwise = lambda *_: store_fault(Cause.TIMEOUT)
        for number in range(100):
            stage.job(f"p{number}", body=POINTER)
        stage.job()
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(stage.uploader.upload()) for _ in range(4)]
            working.append(tasks.create_task(stage.uploader.upload_offloaded()))
            await asyncio.sleep(1)
            for task in working:
                task.cancel()
        return stage.puts[0][0]

    assert simulate(story()) == 0


def test_a_bug_that_one_message_meets_does_not_stop_the_others() -> None:
    """It is said with its traceback, and the message is left to the queue."""

    async def story() -> tuple[list[str], float, bool]:
        stage = Stage()
        stage.store.puts.answers.append(ZeroDivisionError("a bug"))
        stage.job("unlucky")
        stage.job("m")
        await stage.until_done()
        released = stage.kit.value("messages_released_total", reason="refused")
        return stage.receipt_ids, released, stage.kit.common.circuit.is_trusted

    assert (["m"], 1, True) == simulate(story())


def test_a_quarantine_that_is_refused_leaves_the_message_to_the_queue() -> None:
    """Nothing is deleted that is not kept somewhere."""

    async def story() -> tuple[list[str], float]:
        stage = Stage()
        stage.store.puts.answers.append(ObjectRefusedError("KeyTooLongError"))
        stage.job(body=b"oops")
        await stage.until_done()
        return stage.receipt_ids, stage.kit.value("messages_released_total", reason="refused")

    assert ([], 1) == simulate(story())


def test_a_quarantined_message_that_comes_again_is_a_duplicate() -> None:
    """Its document is there already."""

    async def story() -> tuple[list[str], float, float]:
        stage = Stage()
        stage.store.objects["quarantine/2024/12/10/m.json"] = b"first"
        stage.job(body=b"oops")
        await stage.until_done()
        value = stage.kit.value
        return (
            stage.receipt_ids,
            value("messages_duplicate_total", kind="stored"),
            value("messages_quarantined_total", reason="not_json"),
        )

    assert (["m"], 1, 0) == simulate(story())
