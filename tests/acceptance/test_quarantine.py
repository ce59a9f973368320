"""Messages that are not emails: kept under the quarantine prefix, and never in the way of the others."""

import gzip
import json
from base64 import b64decode
from pathlib import Path

import pytest

from email_processor import __version__
from tests.support.aws_answers import DENY
from tests.support.emulators import Emulator
from tests.support.fault_proxy import changing_once, fault_proxy, only
from tests.support.mail import CONFIDENTIAL, email, pointer
from tests.support.site import Site
from tests.support.waiting import eventually

BAD = {
    "not_json": f"Dear all, {CONFIDENTIAL}",
    "not_an_object": "[1, 2, 3]",
    "missing_field": '{"email_subject": "s", "email_sender": "a@x.com", "email_timestream": "1"}',
    "wrong_type": email(email_subject=["not", "a", "string"]),
    "too_deep": "[" * 2000 + "]" * 2000,
}


def quarantine_key(site: Site) -> str:
    """The key of the one quarantined message."""
    (key,) = site.bucket.listing("quarantine/")
    return key


def test_what_is_not_an_email_is_quarantined_and_deleted(site: Site) -> None:
    """Every kind of bad message is kept with its reason, the good one beside it is archived, the queue is empty."""
    bad = dict(zip(BAD, site.queue.send_all(list(BAD.values())), strict=True))
    good = site.queue.send(email())
    with site.service() as service:
        service.wait_until("messages_quarantined_total", len(BAD))
        site.queue.wait_until_empty()
        warned = {record["message_id"]: record["reason"] for record in service.logged("quarantined")}
    documents = [site.bucket.document(key) for key in site.bucket.listing("quarantine/")]
    assert {document["reason"]: document["message_id"] for document in documents} == bad
    assert BAD == {document["reason"]: document["body"] for document in documents}
    assert warned == {message_id: reason for reason, message_id in bad.items()}
    assert site.bucket.message_ids() == [good]


def test_the_quarantine_document_holds_everything_that_arrived(site: Site) -> None:
    """Body, attributes, receive count and reason are in it, under the day of the first receive."""
    message_id = site.queue.send("oops", MessageAttributes={"tenant": {"DataType": "String", "StringValue": "acme"}})
    moment = site.queue.hand_out_once()
    with site.service() as service:
        service.wait_until("messages_quarantined_total", 1)
    key = f"quarantine/{moment:%Y/%m/%d}/{message_id}.json"
    assert site.bucket.listing() == [key]
    document = site.bucket.document(key)
    attributes = document.pop("attributes")
    assert document == {
        "message_id": message_id,
        "processed_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "reason": "not_json",
        "detail": "Expecting value: line 1 column 1 (char 0)".partition(":")[0] + " at character 0",
        "receive_count": 2,
        "body": "oops",
        "message_attributes": {"tenant": {"data_type": "String", "value": "acme"}},
        "metadata": {"processor_version": __version__, "source": "email-validation-service"},
    }
    assert "2" == attributes["ApproximateReceiveCount"]
    assert int(attributes["ApproximateFirstReceiveTimestamp"]) // 1000 == moment.timestamp()


def test_with_quarantine_off_bad_messages_go_to_the_dead_letter_queue(emulator: Emulator, tmp_path: Path) -> None:
    """They are left to the queue's own policy; nothing of them is in the bucket."""
    dead = emulator.new_queue()
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
    site = Site.at(emulator, tmp_path, RedrivePolicy=policy)
    good, bad = site.queue.send_all([email(), "oops"])
    with (
        fault_proxy(emulator.url) as sqs,
        site.service(AWS_ENDPOINT_URL_SQS=sqs.url, QUARANTINE_ENABLED="false") as service,
    ):
        service.wait_until("messages_released_total", 1, reason="rejected")
        service.wait_until("deletes_total", 1, outcome="deleted")
        site.queue.release(sqs.receipt_handles()[bad])
        eventually(lambda: dead.visible == 1, "the bad message on the dead-letter queue")
    assert ["oops"] == [message["Body"] for message in dead.receive()]
    assert site.bucket.message_ids("") == [good]


def test_on_its_last_receive_what_cannot_be_read_is_quarantined(emulator: Emulator, tmp_path: Path) -> None:
    """A body that is denied, while others of its bucket are read, would go to a dead-letter queue nobody reads."""
    dead = emulator.new_queue()
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
    site = Site.at(emulator, tmp_path, RedrivePolicy=policy)
    site.bucket.write("payloads/good", email().encode())
    site.queue.send(pointer(site.bucket.name, "payloads/bad"))
    with fault_proxy(emulator.url) as s3:
        s3.rule = lambda request: DENY(request) if request.path.endswith("payloads/bad") else None
        with site.service(AWS_ENDPOINT_URL_S3=s3.url) as service:

            def is_quarantined() -> bool:
                site.queue.send(pointer(site.bucket.name, "payloads/good"))
                return service.metric("messages_quarantined_total", reason="undeliverable") == 1

            eventually(is_quarantined, "the bad one in quarantine")
            site.queue.wait_until_empty()
    document = site.bucket.document(quarantine_key(site))
    assert "on its last receive (1 of 1)" in document["detail"]
    assert pointer(site.bucket.name, "payloads/bad") == document["body"]
    assert dead.is_empty()


def test_a_body_that_was_changed_on_its_way_is_left_for_redelivery(one_site: Site) -> None:
    """A receive whose MD5 does not fit is not trusted; the next one is archived."""
    message_id = one_site.queue.send(email())
    with fault_proxy(one_site.emulator.url) as sqs:
        sqs.rule = only("ReceiveMessage", changing_once(sqs, b"addressee", b"adversary"))
        with one_site.service(AWS_ENDPOINT_URL_SQS=sqs.url) as service:
            assert service.wait_for("corrupt_message")["message_id"] == message_id
            assert 1 == one_site.queue.in_flight
            one_site.queue.release(sqs.receipt_handles()[message_id])
            service.wait_until("messages_archived_total", 1)
            assert 1 == service.metric("messages_corrupt_total")
    (key,) = one_site.bucket.listing()
    assert CONFIDENTIAL == one_site.bucket.document(key)["email_data"]["email_content"]


@pytest.mark.parametrize(
    "name", ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"]
)
def test_an_offloaded_payload_is_archived_as_if_it_had_been_the_body(site: Site, name: str) -> None:
    """What the extended client put into a bucket becomes the object of the message that points to it."""
    body = email("big.sender@example.com", content=CONFIDENTIAL * 10_000)
    site.bucket.write("payloads/1", body.encode())
    message_id = site.queue.send(pointer(site.bucket.name, "payloads/1", name))
    with site.service() as service:
        service.wait_until("messages_archived_total", 1)
        site.queue.wait_until_empty()
    (key,) = site.bucket.listing("emails/")
    assert f"/big.sender/{message_id}_" in key
    assert f'"email_data":{body},'.encode() in site.bucket.read(key)


@pytest.mark.parametrize("is_text", [True, False])
def test_a_payload_that_is_no_email_is_kept_in_quarantine(site: Site, is_text: bool) -> None:
    """Beside the pointer, as text or as base64: the bucket it lies in may delete it soon."""
    payload = f"Subject: hello\r\n\r\n{CONFIDENTIAL}\r\n".encode() if is_text else gzip.compress(email().encode())
    site.bucket.write("payloads/1", payload)
    body = pointer(site.bucket.name, "payloads/1")
    site.queue.send(body)
    with site.service() as service:
        service.wait_until("messages_quarantined_total", 1, reason="not_json")
        site.queue.wait_until_empty()
    document = site.bucket.document(quarantine_key(site))
    assert body == document["body"]
    kept = document["payload"].encode() if is_text else b64decode(document["payload_base64"])
    assert kept == payload


def test_a_pointer_to_nothing_is_quarantined(site: Site) -> None:
    """A payload that does not exist can never be archived."""
    body = pointer(site.bucket.name, "payloads/gone")
    site.queue.send(body)
    with site.service() as service:
        service.wait_until("messages_quarantined_total", 1, reason="payload_missing")
        site.queue.wait_until_empty()
    assert "payload_missing" == site.bucket.document(quarantine_key(site))["reason"]
