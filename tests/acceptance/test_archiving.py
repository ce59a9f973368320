"""Emails in, objects out."""

import json
from base64 import b64encode
from pathlib import Path

from email_processor import __version__
from tests.support.emulators import Emulator
from tests.support.mail import AS_SENT, AS_STORED, CONFIDENTIAL, email, emails
from tests.support.site import Site

LARGEST = {"moto": 1024 * 1024, "ministack": 256 * 1024}  # bytes of a message; SQS's own limit is moto's


def test_every_email_becomes_one_object_and_leaves_the_queue(site: Site) -> None:
    """Each email is in the bucket once, under its sender's name, and the queue is empty."""
    sent = site.queue.send_all(emails(25))
    with site.service() as service:
        service.wait_until("messages_archived_total", 25)
        site.queue.wait_until_empty()
    keys = site.bucket.listing()
    assert site.bucket.message_ids() == sorted(sent)
    assert {key.split("/")[4] for key in keys} == {f"sender.{number}" for number in range(25)}


def test_an_object_is_what_the_contract_says(site: Site) -> None:
    """Key, document and content type are those of the contract, dated by the first receive."""
    message_id = site.queue.send(AS_SENT)
    moment = site.queue.hand_out_once()
    with site.service() as service:
        service.wait_until("messages_archived_total", 1)
    key = f"emails/{moment:%Y/%m/%d}/john.doe/{message_id}_{moment:%H%M%S}.json"
    head = site.emulator.s3.head_object(Bucket=site.bucket.name, Key=key)
    assert [key] == site.bucket.listing()
    assert "application/json" == head["ContentType"]
    assert (
        site.bucket.read(key)
        == (
            f'{{"message_id":"{message_id}","processed_at":"{moment:%Y-%m-%dT%H:%M:%SZ}","email_data":{AS_STORED},'
            f'"metadata":{{"processor_version":"{__version__}","source":"email-validation-service"}}}}'
        ).encode()
    )


def test_user_message_attributes_are_kept(site: Site) -> None:
    """String, number and binary attributes are in the metadata, binary as base64."""
    site.queue.send(
        email(),
        MessageAttributes={
            "tenant": {"DataType": "String", "StringValue": "Grüße"},
            "attempt": {"DataType": "Number", "StringValue": "3"},
            "digest": {"DataType": "Binary", "BinaryValue": b"\x00\xff\x10"},
        },
    )
    with site.service() as service:
        service.wait_until("messages_archived_total", 1)
    (key,) = site.bucket.listing()
    assert site.bucket.document(key)["metadata"]["attributes"] == {
        "attempt": "3",
        "digest": b64encode(b"\x00\xff\x10").decode(),
        "tenant": "Grüße",
    }


def test_an_sns_envelope_is_unwrapped(site: Site) -> None:
    """A message that came through SNS is archived as what was published, with its attributes."""
    envelope = {
        "Type": "Notification",
        "MessageId": "9a1c",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:emails",
        "Message": AS_SENT,
        "MessageAttributes": {"tenant": {"Type": "String", "Value": "acme"}},
    }
    message_id = site.queue.send(json.dumps(envelope))
    with site.service() as service:
        service.wait_until("messages_archived_total", 1)
    (key,) = site.bucket.listing()
    assert f"/john.doe/{message_id}_" in key
    assert f'"email_data":{AS_STORED},'.encode() in site.bucket.read(key)
    assert {"tenant": "acme"} == site.bucket.document(key)["metadata"]["attributes"]


def test_no_sender_can_escape_the_prefix(site: Site) -> None:
    """Path tricks, control and bidi characters end as one harmless key segment; any script stays."""
    senders = [
        "../../etc/passwd",
        "a/../b@x.com",
        "日本語@例え.jp",
        "\x00\u202ehidden@x.com",
        '"Doe, John" <j@x.com>',
        "…",
    ]
    site.queue.send_all([email(sender) for sender in senders])
    with site.service() as service:
        service.wait_until("messages_archived_total", len(senders))
    assert {"etc_passwd", "a_.._b", "日本語", "hidden", "j", "unknown"} == {
        key.split("/")[4] for key in site.bucket.listing("emails/")
    }
    assert {5} == {key.count("/") for key in site.bucket.listing()}


def test_the_largest_messages_go_through(site: Site) -> None:
    """Ten messages of the largest size, the most that one receive can bring, are archived whole."""
    room = LARGEST[site.emulator.name] - len(email(content=""))
    bodies = [email(content=str(number) * room) for number in range(10)]
    for body in bodies:
        site.queue.send(body)
    with site.service() as service:
        service.wait_until("messages_archived_total", 10, within=40)
        site.queue.wait_until_empty()
    contents = [site.bucket.document(key)["email_data"]["email_content"] for key in site.bucket.listing()]
    assert sorted(contents) == [str(number) * room for number in range(10)]


def test_every_group_of_a_fifo_queue_is_archived(emulator: Emulator, tmp_path: Path) -> None:
    """All messages of all groups are archived, and no group is left blocked."""
    site = Site.at(emulator, tmp_path, fifo=True)
    sent = [
        site.queue.send(email(content=f"{group} {number} {CONFIDENTIAL}"), MessageGroupId=f"group-{group}")
        for number in range(4)
        for group in range(5)
    ]
    with site.service() as service:
        service.wait_until("messages_archived_total", 20, within=30)
        site.queue.wait_until_empty()
    assert site.bucket.message_ids() == sorted(sent)


def test_prefixes_are_settings(one_site: Site) -> None:
    """Emails and quarantine go under the prefixes that are set."""
    one_site.queue.send_all([email(), "not an email"])
    with one_site.service(S3_KEY_PREFIX="mail/in", S3_QUARANTINE_PREFIX="mail/bad") as service:
        service.wait_until("messages_archived_total", 1)
        service.wait_until("messages_quarantined_total", 1)
    assert [["mail", "bad"], ["mail", "in"]] == [key.split("/")[:2] for key in one_site.bucket.listing()]


def test_the_clients_of_the_sdk_do_the_same(one_site: Site) -> None:
    """With the SDK's own clients emails are archived all the same, and the end is as clean."""
    sent = one_site.queue.send_all(emails(15))
    with one_site.service(AWS_CLIENT="sdk") as service:
        service.wait_until("messages_archived_total", 15)
        one_site.queue.wait_until_empty()
        assert 0 == service.stop()
    assert one_site.bucket.message_ids() == sorted(sent)
