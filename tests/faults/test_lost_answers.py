"""A request that was obeyed, and whose answer never came: done again, and it makes no difference."""

from tests.support.aws_answers import CallFault, Request
from tests.support.fault_proxy import after_a_good_start, fault_proxy, only, pass_all
from tests.support.mail import emails
from tests.support.site import Site
from tests.support.truth import expected, sent, stored
from tests.support.waiting import eventually


def test_a_put_whose_answer_is_lost_is_a_duplicate(site: Site) -> None:
    """It is tried again and S3 says that the object is there: one object, written once, counted as a duplicate."""
    messages = sent(site.queue, emails(5))
    with fault_proxy(site.emulator.url) as s3:
        seen: set[str] = set()

        def lose_the_first(request: Request) -> CallFault | None:
            if request.path in seen:
                return None
            seen.add(request.path)
            return CallFault.LOSE

        s3.rule = only("PUT", lose_the_first)
        with site.service(AWS_ENDPOINT_URL_S3=s3.url) as service:
            service.wait_until("messages_duplicate_total", len(messages), kind="stored")
            site.queue.wait_until_empty()
            service.wait_until_ready()
            print(f"{site.emulator.name}: {len(seen)} answers lost, {s3.count('PUT')} PUTs for {len(messages)} emails")
            assert 0 == service.metric("messages_archived_total")
            assert 0 == service.stop()
    assert stored(site.bucket) == expected(messages)


def test_a_delete_whose_answer_is_lost_changes_nothing(site: Site) -> None:
    """It is tried again until there is an answer: the queue is empty, nothing is put twice or stays in flight."""
    messages = sent(site.queue, emails(6))
    with fault_proxy(site.emulator.url) as proxy, site.service(AWS_ENDPOINT_URL=proxy.url) as service:
        proxy.rule = after_a_good_start(proxy, only("DeleteMessageBatch", CallFault.LOSE))
        proxy.wait_for("DeleteMessageBatch", count=4)
        site.queue.wait_until_empty()
        assert 1 == service.metric("deletes_total", outcome="deleted")
        proxy.rule = pass_all
        eventually(lambda: service.metric("in_flight_messages") == 0, "nothing in flight")
        service.wait_until_ready()
        settled = {outcome: service.metric("deletes_total", outcome=outcome) for outcome in ("deleted", "gone")}
        print(
            f"{site.emulator.name}: {proxy.count('DeleteMessageBatch')} requests for {len(messages)} emails, {settled}"
        )
        assert sum(settled.values()) == len(messages)
        assert proxy.count("PUT") == len(messages) + 1  # the probe object
        assert 0 == service.stop()
    assert stored(site.bucket) == expected(messages)
    assert site.queue.is_empty()
