"""Processes that are killed, stopped and frozen in the middle of their work."""

import random
import signal
import threading
import time

import pytest

from tests.support.aws_answers import Reply, Request, refusing
from tests.support.fault_proxy import after_a_good_start, fault_proxy, held_until, only
from tests.support.mail import emails
from tests.support.site import Site
from tests.support.truth import expected, leave_to_the_queue, sent, stored
from tests.support.waiting import eventually

LIVES = 5
STORED = 3  # emails that the sleeper has stored, and not deleted, when it falls asleep
START = 2  # PUTs of a good start


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_it_loses_and_doubles_nothing(one_site: Site, seed: int) -> None:
    """At random moments, with messages flowing: a last life finishes what the others had begun."""
    rng = random.Random(seed)
    messages: dict[str, str] = {}
    with fault_proxy(one_site.emulator.url) as proxy:
        proxy.rule = only("PUT", lambda _: time.sleep(rng.uniform(0, 0.05)))
        for _ in range(LIVES):
            messages |= sent(one_site.queue, emails(30))
            uploads = proxy.count("PUT") + rng.randint(1, 30)
            with one_site.service(AWS_ENDPOINT_URL=proxy.url, LOG_LEVEL="INFO") as service:
                proxy.wait_for("PUT", count=uploads)
                time.sleep(rng.uniform(0, 0.05))
                assert service.stop(signal.SIGKILL) == -signal.SIGKILL
            leave_to_the_queue(one_site.queue, proxy)
        finished = len(one_site.bucket.listing())
        with one_site.service(AWS_ENDPOINT_URL=proxy.url) as service:
            service.wait_until_ready()
            one_site.queue.wait_until_empty()
            assert 0 == service.stop()
    most = max(proxy.receive_counts().values())
    print(f"{LIVES} kills, {len(messages)} emails, {finished} stored before the last life; received up to {most} times")
    assert stored(one_site.bucket) == expected(messages)


def test_a_stop_under_load_gives_back_what_it_cannot_finish(one_site: Site) -> None:
    """With more in flight than the grace period allows: exit 0 in time, each message stored or visible at once."""
    with fault_proxy(one_site.emulator.url) as s3:
        s3.rule = only("PUT", lambda _: time.sleep(0.5))
        messages = sent(one_site.queue, emails(200))
        with one_site.service(AWS_ENDPOINT_URL_S3=s3.url, SHUTDOWN_GRACE_SECONDS="2") as service:
            s3.wait_for("PUT", count=20)
            began = time.monotonic()
            assert 0 == service.stop()
            took = time.monotonic() - began
        visible, in_flight = one_site.queue.visible, one_site.queue.in_flight
        last = service.wait_for("stopped")
        s3.wait_until_answered()
    done = stored(one_site.bucket)
    print(
        f"{len(messages)} emails, {last['received']} received, {len(done)} stored, {visible} visible after {took:.1f} s"
    )
    assert took < 9  # the grace period, and what a busy machine takes to end a process; all of it would take 12 s
    assert last["released"] > 0
    assert 0 == in_flight
    assert visible == len(messages) - last["archived"]
    assert done == sorted(set(done))
    assert set(done) <= set(expected(messages))


def test_a_frozen_process_wakes_up_to_lost_leases_and_does_no_harm(one_site: Site) -> None:
    """Another replica has taken over and finished: the sleeper finds objects and leases gone, and counts the losses."""
    woken = threading.Event()
    with fault_proxy(one_site.emulator.url) as proxy:
        hold, fail = held_until(woken), refusing(500, "InternalError")

        def rule(request: Request) -> Reply | None:
            if request.operation == "DeleteMessageBatch" and not woken.is_set():
                return fail(request)
            uploads = [each for each in proxy.requests if each.operation == "PUT"]
            return hold(request) if request in uploads[START + STORED :] else None

        proxy.rule = after_a_good_start(proxy, rule)
        messages = sent(one_site.queue, emails(9))
        asleep = len(messages) - 1
        with one_site.service(AWS_ENDPOINT_URL=proxy.url, S3_TIMEOUT_SECONDS="15") as sleeper:
            proxy.wait_for("PUT", count=START + asleep)
            proxy.wait_for("DeleteMessageBatch", count=2)
            eventually(lambda: len(one_site.bucket.listing()) == 1 + STORED, "the first uploads stored")
            sleeper.send(signal.SIGSTOP)
            began = time.monotonic()
            eventually(lambda: one_site.queue.visible == asleep, "every lease at its end", within=40)
            with one_site.service() as other:
                one_site.queue.wait_until_empty()
                assert 0 == other.metric("message_receive_count_bucket", le="1.0")
                assert other.metric("messages_archived_total") == asleep - STORED
                assert STORED == other.metric("messages_duplicate_total", kind="stored")
                assert 0 == other.stop()
            woken.set()
            sleeper.send(signal.SIGCONT)
            eventually(lambda: sleeper.metric("in_flight_messages") == 0, "the sleeper with nothing in flight")
            lost = sleeper.metric("leases_lost_total")
            print(f"asleep for {time.monotonic() - began:.0f} s: {lost:.0f} leases of {asleep} lost")
            assert lost == asleep
            sleeper.wait_until_ready()
            assert 0 == sleeper.stop()
            assert not any("Traceback" in line for line in sleeper.lines)
    assert stored(one_site.bucket) == expected(messages)
    assert one_site.queue.is_empty()
