"""Outages: nothing is lost, no receive is wasted, and everything goes on by itself when the cause is gone."""

import json
import threading
import uuid
from pathlib import Path

import pytest

from tests.support.aws_answers import DENY, THROTTLE, CallFault, Rule, act, refusing
from tests.support.emulators import ACCESS_KEY, SECRET_KEY, Bucket, Emulator, Queue
from tests.support.fault_proxy import after_a_good_start, fault_proxy, held_until, only, pass_all
from tests.support.mail import email, emails, pointer
from tests.support.service import Service
from tests.support.site import Site
from tests.support.waiting import eventually


def received_once(service: Service) -> bool:
    """Whether every message that the service has received came on its first receive."""
    firsts = service.metric("message_receive_count_bucket", le="1.0")
    return firsts == service.metric("message_receive_count_count") > 0


OUTAGES = {
    "connections are cut": ("moto", CallFault.CUT),
    "503 ServiceUnavailable": ("ministack", refusing(503, "ServiceUnavailable")),
    "403 AccessDenied": ("moto", DENY),
}


@pytest.mark.parametrize(("emulator", "outage"), OUTAGES.values(), ids=OUTAGES, indirect=["emulator"])
def test_an_outage_of_s3_stops_receiving_and_ends_by_itself(site: Site, outage: Rule) -> None:
    """The circuit opens, `/readyz` turns red and `/healthz` not, no message is received again, and all are stored."""
    sent = site.queue.send_all(emails(7))
    with fault_proxy(site.emulator.url) as s3:
        s3.rule = after_a_good_start(s3, outage)
        with site.service(AWS_ENDPOINT_URL_S3=s3.url) as service:
            service.wait_until("circuit_open", 1)
            eventually(lambda: not service.under_way("receiving"), "no receive under way")
            sent += site.queue.send_all(emails(4))
            service.wait_until("retries_total", 2)
            answer = service.get("/readyz")
            assert (503, "open") == (answer.status, answer.json["circuit"])
            assert service.is_alive()
            assert 4 == site.queue.visible
            s3.rule = pass_all
            site.queue.wait_until_empty()
            service.wait_until_ready()
            assert 0 == service.metric("circuit_open")
            assert received_once(service)
    assert site.bucket.message_ids() == sorted(sent)


def test_an_s3_that_does_not_answer_is_an_outage(one_site: Site) -> None:
    """Every PUT is bounded in time; those that hang open the circuit like any other failure."""
    sent = one_site.queue.send_all(emails(7))
    opened = threading.Event()
    with fault_proxy(one_site.emulator.url) as s3:
        s3.rule = after_a_good_start(s3, held_until(opened))
        with one_site.service(AWS_ENDPOINT_URL_S3=s3.url, S3_TIMEOUT_SECONDS="1") as service:
            service.wait_until("circuit_open", 1)
            assert service.metric("aws_requests_total", operation="PutObject", outcome="timeout") >= 5
            opened.set()
            one_site.queue.wait_until_empty()
            assert received_once(service)
    assert one_site.bucket.message_ids() == sorted(sent)


def test_a_bucket_of_offloaded_bodies_that_is_denied_stops_no_other_email(ministack: Emulator, tmp_path: Path) -> None:
    """A thousand pointers into it, and behind them two hundred emails: these are stored, and no pointer is lost."""
    dead = ministack.new_queue()
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 3})
    site = Site.at(ministack, tmp_path, RedrivePolicy=policy)
    pointers = [pointer("theirs", f"payloads/{number}") for number in range(1000)]
    site.queue.send_all(pointers)
    sent = site.queue.send_all(emails(200))
    with fault_proxy(ministack.url) as s3:
        s3.rule = only("GET", DENY)
        with site.service(AWS_ENDPOINT_URL_S3=s3.url, S3_TIMEOUT_SECONDS="15") as service:
            service.wait_until("messages_archived_total", 200, within=45)
            answer = service.get("/readyz")
            assert (200, "denied") == (answer.status, answer.json["fetching"]["cause"])
            assert 1 == len(service.logged("failing", part="fetching"))
            assert 1000 > service.metric("in_flight_messages")
            assert received_once(service)
    assert site.bucket.message_ids() == sorted(sent)
    assert dead.is_empty()


@pytest.mark.parametrize("refusal", [DENY, refusing(500, "InternalError")])
def test_an_object_that_is_refused_alone_does_not_stop_the_service(one_site: Site, refusal: Rule) -> None:
    """A quiet queue, one email whose PUT is always refused, then fifty: they are stored, and the service is ready."""
    with fault_proxy(one_site.emulator.url) as s3:
        s3.rule = lambda request: act(refusal, request) if "/unlucky/" in request.path else None
        with one_site.service(AWS_ENDPOINT_URL_S3=s3.url) as service:
            one_site.queue.send(email(sender="unlucky@example.com"))
            service.wait_until("retries_total", 2)
            sent = one_site.queue.send_all(emails(50))
            service.wait_until("messages_archived_total", 50)
            service.wait_until_ready()
            assert 0 == service.metric("circuit_open")
            assert received_once(service)
    assert one_site.bucket.message_ids() == sorted(sent)


def test_throttling_is_not_an_outage(one_site: Site) -> None:
    """`503 SlowDown` lowers the number of uploads at once; the circuit stays closed and nothing is lost."""
    sent = one_site.queue.send_all(emails(15))
    with fault_proxy(one_site.emulator.url) as s3:
        s3.rule = lambda request: THROTTLE(request) if s3.count("PUT") % 2 else None
        with one_site.service(AWS_ENDPOINT_URL_S3=s3.url) as service:
            one_site.queue.wait_until_empty()
            assert service.metric("retries_total", cause="throttled") >= 1
            assert service.metric("upload_concurrency_limit") < 8
            assert 0 == service.metric("retries_total", cause="server")
            assert not service.logged("failing")
    assert one_site.bucket.message_ids() == sorted(sent)


def test_an_outage_of_sqs_is_survived(site: Site) -> None:
    """With SQS down at the start and again later, the service stays alive, says so, and goes on."""
    sent = site.queue.send_all(emails(3))
    with fault_proxy(site.emulator.url) as sqs:
        sqs.rule = CallFault.CUT
        with site.service(AWS_ENDPOINT_URL_SQS=sqs.url) as service:
            assert "network" == service.wait_for("failing", part="receiving")["cause"]
            assert (False, True) == (service.is_ready(), service.is_alive())
            sqs.rule = pass_all
            service.wait_until("messages_archived_total", 3)
            service.wait_until_ready()
            sqs.rule = CallFault.CUT
            eventually(lambda: service.get("/readyz").json["receiving"]["status"] == "failing", "receiving to fail")
            sent += site.queue.send_all(emails(3))
            sqs.rule = pass_all
            service.wait_until("messages_archived_total", 6)
            service.wait_until_ready()
            # the second outage may be too near to be news
            assert len(service.logged("recovered", part="receiving")) in {1, 2}
    assert site.bucket.message_ids() == sorted(sent)


def test_a_missing_queue_is_an_error_with_a_fix_that_heals(site: Site) -> None:
    """The service starts, its HTTP port answers not-ready, the log says what to do; a queue that is made is used."""
    name = f"late-{uuid.uuid4().hex}"
    url = site.queue.url.rpartition("/")[0] + "/" + name
    with site.service(SQS_QUEUE_URL=url) as service:
        record = service.wait_for("failing", part="receiving")
        assert ("error", "missing") == (record["level"], record["cause"])
        assert "SQS_QUEUE_URL" in record["fix"]
        assert (False, True) == (service.is_ready(), service.is_alive())
        queue = Queue(site.emulator, site.emulator.sqs.create_queue(QueueName=name)["QueueUrl"])
        sent = queue.send(email())
        service.wait_until("messages_archived_total", 1, within=40)
        service.wait_until_ready()
    assert site.bucket.message_ids() == [sent]


def test_a_missing_bucket_is_an_error_with_a_fix_that_heals(site: Site) -> None:
    """Messages wait on the queue until the bucket is made: a start looks at the store before it receives any."""
    name = f"late-{uuid.uuid4().hex}"
    sent = site.queue.send_all(emails(3))
    with site.service(S3_BUCKET_NAME=name) as service:
        record = service.wait_for("failing", part="storing")
        assert ("error", "missing") == (record["level"], record["cause"])
        assert "S3_BUCKET_NAME" in record["fix"]
        assert (False, True) == (service.is_ready(), service.is_alive())
        assert 3 == site.queue.visible
        site.emulator.s3.create_bucket(Bucket=name)
        service.wait_until("messages_archived_total", 3)
        service.wait_until_ready()
        assert received_once(service)
    assert Bucket(site.emulator, name).message_ids() == sorted(sent)


def test_without_credentials_it_waits_until_there_are_some(one_site: Site, tmp_path: Path) -> None:
    """Not ready, with a fix in the log; credentials that appear in the shared file are used without a restart.

    The store is what a start looks at first: it does not receive before it has answered.
    """
    file = tmp_path / "credentials"
    sent = one_site.queue.send(email())
    with one_site.service(
        AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_SHARED_CREDENTIALS_FILE=str(file)
    ) as service:
        record = service.wait_for("failing", part="storing")
        assert ("error", "credentials") == (record["level"], record["cause"])
        assert "AWS_ACCESS_KEY_ID" in record["fix"]
        assert "credentials" == service.get("/readyz").json["storing"]["cause"]
        assert (False, True) == (service.is_ready(), service.is_alive())
        file.write_text(f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
        service.wait_until("messages_archived_total", 1)
        service.wait_until_ready()
    assert one_site.bucket.message_ids() == [sent]


def test_leases_are_renewed_for_as_long_as_the_outage_lasts(one_site: Site) -> None:
    """Half a visibility timeout into an outage every lease is renewed, so that nobody else gets the messages."""
    one_site.queue.send_all(emails(13))
    with fault_proxy(one_site.emulator.url) as s3:
        s3.rule = after_a_good_start(s3, CallFault.CUT)
        with one_site.service(AWS_ENDPOINT_URL_S3=s3.url) as service:
            service.wait_until("messages_received_total", 13)
            service.wait_until("lease_extensions_total", 12, within=30)
            assert 0 == service.metric("leases_lost_total")
            assert 12 == one_site.queue.in_flight
            assert received_once(service)


def test_a_role_that_is_refused_is_told_once_and_heals(one_site: Site, tmp_path: Path) -> None:
    """Web identity as on EKS: while STS denies the role there is one error with a fix, no stack trace."""
    token = tmp_path / "token"
    token.write_text("a-token-of-the-cluster")
    sent = one_site.queue.send(email())
    with fault_proxy(one_site.emulator.url) as sts:
        sts.rule = DENY
        with one_site.service(
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            AWS_ROLE_ARN="arn:aws:iam::123456789012:role/email-processor",
            AWS_WEB_IDENTITY_TOKEN_FILE=str(token),
            AWS_ENDPOINT_URL_STS=sts.url,
        ) as service:
            record = service.wait_for("failing", part="storing")
            assert ("error", "credentials") == (record["level"], record["cause"])
            sts.wait_for("POST", count=3, within=60)  # each probe looks for them, soon half a minute apart
            sts.rule = pass_all
            service.wait_until("messages_archived_total", 1, within=60)  # a probe waits for half a minute at most
            assert 1 == len(service.logged("failing", part="storing"))
            assert not any("Traceback" in line for line in service.lines)
    assert one_site.bucket.message_ids() == [sent]
