"""Delivered twice, by anyone, at any time: one object, one key, unchanged bytes."""

from tests.support.aws_answers import Reply
from tests.support.fault_proxy import fault_proxy, only, pass_all
from tests.support.mail import email, emails
from tests.support.site import Site
from tests.support.waiting import eventually

BROKEN = Reply(500, b"{}", {"Content-Type": "application/x-amz-json-1.0"})


def test_an_object_that_is_there_is_never_written_again(site: Site) -> None:
    """A message whose object exists is deleted as a duplicate, and the object keeps its bytes, whoever wrote them."""
    message_id = site.queue.send(email())
    moment = site.queue.hand_out_once()
    key = f"emails/{moment:%Y/%m/%d}/john.doe/{message_id}_{moment:%H%M%S}.json"
    as_it_was = f'{{"message_id":"{message_id}","written":"by an earlier version"}}'.encode()
    site.bucket.write(key, as_it_was)
    with site.service() as service:
        service.wait_until("messages_duplicate_total", 1, kind="stored")
        site.queue.wait_until_empty()
        assert 0 == service.metric("messages_archived_total")
    assert [key] == site.bucket.listing()
    assert as_it_was == site.bucket.read(key)


def test_half_an_object_is_written_again(site: Site) -> None:
    """What a store has left of a PUT that ended halfway is no copy of the email; one warning says so."""
    message_id = site.queue.send(email())
    moment = site.queue.hand_out_once()
    key = f"emails/{moment:%Y/%m/%d}/john.doe/{message_id}_{moment:%H%M%S}.json"
    site.bucket.write(key, b'{"message_id":"half of an upl')
    with site.service() as service:
        service.wait_until("messages_archived_total", 1)
        site.queue.wait_until_empty()
        assert 1 == len(service.logged("object_stored_again", key=key))
    assert [key] == site.bucket.listing()
    assert message_id == site.bucket.document(key)["message_id"]


def test_without_conditional_writes_the_same_key_is_written_again(site: Site) -> None:
    """A store that lacks conditional writes still ends with one object of the message."""
    message_id = site.queue.send(email())
    moment = site.queue.hand_out_once()
    key = f"emails/{moment:%Y/%m/%d}/john.doe/{message_id}_{moment:%H%M%S}.json"
    site.bucket.write(key, b"half of an upl")
    with site.service(S3_CONDITIONAL_WRITES="false") as service:
        service.wait_until("messages_archived_total", 1)
        site.queue.wait_until_empty()
    assert site.bucket.listing() == [key]
    assert site.bucket.document(key)["message_id"] == message_id


def test_a_message_that_comes_back_before_its_delete_is_put_once(site: Site) -> None:
    """While deletes fail, a redelivery makes no second PUT, and it is deleted with the newest receipt handle."""
    site.queue.send(email())
    with fault_proxy(site.emulator.url) as sqs, site.service(AWS_ENDPOINT_URL_SQS=sqs.url) as service:
        site.queue.wait_until_empty()  # a start receives no second message before a delete is answered
        puts = service.metric("aws_requests_total", operation="PutObject")
        sqs.rule = only("DeleteMessageBatch", lambda _: BROKEN)
        site.queue.send(email())
        service.wait_until("messages_archived_total", 2)
        sqs.wait_for("DeleteMessageBatch", count=2)
        site.queue.release_all(sqs.receipt_handles().values())
        service.wait_until("messages_duplicate_total", 1, kind="in_flight")
        sqs.rule = pass_all
        site.queue.wait_until_empty()
        assert puts + 1 == service.metric("aws_requests_total", operation="PutObject")
    assert 2 == len(site.bucket.listing())


def test_two_services_on_one_queue_share_its_messages(one_site: Site) -> None:
    """Two replicas both archive, and every message is there once."""
    sent: list[str] = []
    with one_site.service() as one, one_site.service() as other:
        one.wait_until_ready()
        other.wait_until_ready()

        def both_have_worked() -> bool:
            sent.extend(one_site.queue.send_all(emails(20)))
            return all(service.metric("messages_archived_total") > 0 for service in (one, other))

        eventually(both_have_worked, "messages archived by both")
        one_site.queue.wait_until_empty()
        assert [0, 0] == [service.stop() for service in (one, other)]
        archived = [service.wait_for("stopped")["archived"] for service in (one, other)]
    assert one_site.bucket.message_ids() == sorted(sent)
    assert sum(archived) == len(sent)


def test_a_message_handed_to_two_services_at_once_is_one_object(site: Site) -> None:
    """Two replicas that hold the same message store it once; both are content."""
    with (
        fault_proxy(site.emulator.url) as sqs,
        site.service(AWS_ENDPOINT_URL_SQS=sqs.url) as one,
        site.service(AWS_ENDPOINT_URL_SQS=sqs.url) as other,
    ):
        for service in (one, other):
            service.wait_until_ready()
        sqs.rule = only("DeleteMessageBatch", lambda _: BROKEN)
        message_id = site.queue.send(email())

        def both_hold_it() -> bool:
            site.queue.release_all(sqs.receipt_handles().values())
            return all(service.metric("messages_received_total") > 0 for service in (one, other))

        eventually(both_hold_it, "the message in both hands", every=0.3)
        sqs.rule = pass_all
        site.queue.wait_until_empty()
        assert 1 == sum(service.metric("messages_archived_total") for service in (one, other))
    assert site.bucket.message_ids() == [message_id]
