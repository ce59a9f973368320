"""Signals: a clean stop, a stop at once, and a kill."""

import signal
import threading
from itertools import count

import pytest

from tests.support.aws_answers import CallFault, Request
from tests.support.fault_proxy import after_a_good_start, fault_proxy, held_until, only, pass_all
from tests.support.mail import emails
from tests.support.site import Site
from tests.support.waiting import eventually

STOPS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_finishes_what_is_in_flight_and_accounts_for_it(site: Site, stop: signal.Signals) -> None:
    """The exit code is 0, the last log line counts every class, and every message is in the bucket or the queue."""
    good = site.queue.send_all(emails(30))
    site.queue.send_all(["not an email"] * 3)
    with site.service(measured=True) as service:
        service.wait_until("messages_received_total", 1)
        assert 0 == service.stop(stop)
        last = service.events[-1]
    assert service.logged("signal")[0]["signal"] == stop.name
    assert "stopped" == last["event"]
    assert 0 == last["left_in_flight"]
    assert last["received"] == last["archived"] + last["quarantined"] + last["duplicates"] + last["released"]
    stored = site.bucket.message_ids()
    assert last["archived"] == len(stored)
    assert last["quarantined"] == len(site.bucket.listing("quarantine/"))
    assert site.queue.visible == len(good) + 3 - last["archived"] - last["quarantined"]
    assert set(stored) <= set(good)


def test_while_it_drains_it_is_alive_but_not_ready(one_site: Site) -> None:
    """From the signal on `/readyz` is red and says why, `/healthz` stays green, and the work in flight is finished."""
    sent = one_site.queue.send_all(emails(6))
    opened = threading.Event()
    with fault_proxy(one_site.emulator.url) as s3:
        s3.rule = after_a_good_start(s3, held_until(opened))
        with one_site.service(AWS_ENDPOINT_URL_S3=s3.url, S3_TIMEOUT_SECONDS="15") as service:
            s3.wait_for("PUT", count=7)
            service.wait_until("deletes_total", 1)
            service.send(signal.SIGTERM)
            service.wait_for("stopping", in_flight=5)
            answer = service.get("/readyz")
            assert (503, True) == (answer.status, answer.json["draining"])
            assert service.is_alive()
            opened.set()
            assert 0 == service.exit_code()
    assert one_site.bucket.message_ids() == sorted(sent)
    assert one_site.queue.is_empty()


def test_what_cannot_be_stored_in_time_is_given_back_at_once(site: Site) -> None:
    """With S3 hanging, the grace period ends with every message visible to other consumers again."""
    sent = site.queue.send_all(emails(9))
    opened = threading.Event()
    with fault_proxy(site.emulator.url) as s3:
        s3.rule = after_a_good_start(s3, held_until(opened))
        with site.service(AWS_ENDPOINT_URL_S3=s3.url, S3_TIMEOUT_SECONDS="15", SHUTDOWN_GRACE_SECONDS="2") as service:
            s3.wait_for("PUT", count=10)
            assert 0 == service.stop(within=10)
            assert 8 == service.wait_for("stopped")["released"]
        visible = site.queue.visible
        opened.set()
    assert visible == len(sent) - 1


def test_a_stop_waits_for_the_long_poll(site: Site) -> None:
    """An idle service is gone when its poll comes back, and never closes a connection on which messages may come."""
    with (
        fault_proxy(site.emulator.url) as sqs,
        site.service(AWS_ENDPOINT_URL_SQS=sqs.url, SQS_WAIT_TIME_SECONDS="4") as service,
    ):
        sqs.wait_for("ReceiveMessage")
        assert 0 == service.stop(within=10)
        assert 1 == service.wait_for("stopping")["receives"]
        assert not service.logged("receive_cut_short")


def test_messages_that_come_with_the_last_poll_are_kept(one_site: Site) -> None:
    """A receive that was under way at the signal is waited for, and what it brings is archived."""
    opened = threading.Event()
    with fault_proxy(one_site.emulator.url) as sqs:
        sqs.rule = only("ReceiveMessage", held_until(opened))
        sent = one_site.queue.send_all(emails(1))  # a start asks for no more
        with one_site.service(AWS_ENDPOINT_URL_SQS=sqs.url) as service:
            sqs.wait_for("ReceiveMessage")
            service.send(signal.SIGTERM)
            service.wait_for("stopping")
            opened.set()
            assert 0 == service.exit_code()
    assert one_site.bucket.message_ids() == sorted(sent)
    assert one_site.queue.is_empty()


@pytest.mark.parametrize(("first", "second"), [STOPS, STOPS[::-1]])
def test_a_second_signal_ends_it_at_once(one_site: Site, first: signal.Signals, second: signal.Signals) -> None:
    """It does not wait for what is in flight, and exits as a shell says of that signal; the messages come back."""
    one_site.queue.send_all(emails(3))
    opened = threading.Event()
    with fault_proxy(one_site.emulator.url) as s3:
        s3.rule = after_a_good_start(s3, held_until(opened))
        with one_site.service(measured=True, AWS_ENDPOINT_URL_S3=s3.url, S3_TIMEOUT_SECONDS="15") as service:
            s3.wait_for("PUT", count=4)
            service.wait_until("deletes_total", 1)
            service.send(first)
            service.wait_for("stopping")
            assert service.stop(second, within=10) == 128 + second
        opened.set()
    assert 2 == one_site.queue.in_flight


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_before_the_start_is_done_is_clean(one_site: Site, stop: signal.Signals) -> None:
    """A signal that comes while it is still starting ends it with 0: nothing is in flight."""
    with one_site.service(measured=True) as service:
        service.wait_until_signals_are_caught()
        assert 0 == service.stop(stop)


def test_after_a_kill_nothing_is_lost_and_nothing_is_there_twice(site: Site) -> None:
    """A second process finishes what a killed one had stored, was storing, and had not begun."""
    sent = site.queue.send_all(emails(40))
    opened = threading.Event()
    with fault_proxy(site.emulator.url) as aws:
        hold, puts = held_until(opened), count(1)

        def rule(request: Request) -> CallFault | None:
            if request.operation == "DeleteMessageBatch" and aws.count("DeleteMessageBatch") > 1:
                return CallFault.CUT
            if request.operation == "PUT" and next(puts) > 13:  # the probe object among them
                hold(request)
            return None

        aws.rule = rule
        with site.service(AWS_ENDPOINT_URL=aws.url, S3_TIMEOUT_SECONDS="15") as service:
            aws.wait_for("PUT", count=15)
            eventually(lambda: len(site.bucket.listing()) == 12, "twelve objects")
            assert service.stop(signal.SIGKILL) == -signal.SIGKILL
        before = {key: site.bucket.read(key) for key in site.bucket.listing()}
        opened.set()
        aws.wait_until_answered()
        site.queue.release_all(aws.receipt_handles().values())
        aws.rule = pass_all
        with site.service() as service:
            site.queue.wait_until_empty()
    assert site.bucket.message_ids() == sorted(sent)
    assert {key: site.bucket.read(key) for key in before} == before


A_SILENT_DNS_SERVER = """
import socket, sys, time
ask = socket.getaddrinfo
def silence(host, *rest, **more):
    if host == "silent.test":
        print("looking up", file=sys.stderr, flush=True)
        time.sleep(600)
    return ask(host, *rest, **more)
socket.getaddrinfo = silence
"""


def test_a_stop_does_not_wait_for_a_dns_server_that_is_silent(one_site: Site) -> None:
    """A lookup cannot be interrupted; the process leaves all the same, with its last line logged."""
    (one_site.directory / "sitecustomize.py").write_text(A_SILENT_DNS_SERVER)
    where = str(one_site.directory)
    with one_site.service(AWS_ENDPOINT_URL_SQS="http://silent.test", PYTHONPATH=where) as service:
        service.wait_for_line("looking up")
        assert 0 == service.stop()
        assert "stopped" == service.events[-1]["event"]
