"""Every call to AWS, and everything that can go wrong with it, on services that live through all of it."""

import threading
import time

import pytest

from tests.faults.faults import FAULTS, WireFault
from tests.support.aws_answers import Act, CallFault, Request, act, refusing
from tests.support.fault_proxy import FaultProxy, after_a_good_start, fault_proxy, held_until, only, pass_all
from tests.support.mail import emails
from tests.support.site import Site
from tests.support.truth import expected, sent, stored
from tests.support.waiting import eventually

TWICE_IN_A_ROW = 2
FIRST_LEASES_END = 32.0  # seconds after the first of them began; they last 30


@pytest.mark.parametrize("operation", ["PUT", "ReceiveMessage", "DeleteMessageBatch"])
def test_no_fault_of_a_call_loses_or_doubles_a_message(one_site: Site, operation: str) -> None:
    """One service meets every fault in turn and heals from each: every email once as it was sent, an empty queue."""
    messages: dict[str, str] = {}
    spoiled: set[str] = set()
    with (
        fault_proxy(one_site.emulator.url) as proxy,
        one_site.service(
            AWS_ENDPOINT_URL=proxy.url,
            POLL_INTERVAL_SECONDS="0.1",
            S3_TIMEOUT_SECONDS="1",
            SQS_TIMEOUT_SECONDS="1",
            SQS_WAIT_TIME_SECONDS="0",
        ) as service,
    ):
        service.wait_until_ready()
        for name, fault in FAULTS.items():
            began = time.monotonic()
            struck = strike(one_site, proxy, operation, fault)
            print(f"{operation}, {name}: {len(struck)} emails after {time.monotonic() - began:.1f} s")
            messages |= struck
            if fault.is_delivered and operation == "ReceiveMessage":
                spoiled |= struck.keys()
        service.wait_until_ready()
        assert 0 == service.stop()
        assert not any("Traceback" in line for line in service.lines)
    assert stored(one_site.bucket) == expected(messages)
    assert one_site.queue.is_empty()
    assert proxy.receive_counts() == {message: 2 if message in spoiled else 1 for message in messages}


def strike(site: Site, proxy: FaultProxy, operation: str, fault: WireFault) -> dict[str, str]:
    """Let a few messages meet the fault, twice in a row, and heal it; what was sent, when the queue is empty."""
    proxy.rule = only(operation, fault.rule(proxy))
    if operation == "ReceiveMessage":
        proxy.wait_for(operation, count=proxy.count(operation) + 1)  # the poll before it would bring the messages
    before = proxy.count(operation)
    messages = sent(site.queue, emails(3))
    proxy.wait_for(operation, count=before + TWICE_IN_A_ROW)
    if operation == "ReceiveMessage" and fault.is_delivered:
        eventually(lambda: messages.keys() <= proxy.receive_counts().keys(), "the messages handed out to nobody")
        proxy.rule = only(operation, refusing(500, "InternalError"))
        proxy.wait_until_answered()
        site.queue.release_all(proxy.receipt_handles().values())  # or it would take their visibility timeout
    proxy.rule = pass_all
    site.queue.wait_until_empty()
    return messages


def test_refused_connections_are_waited_out(one_site: Site) -> None:
    """S3 is gone, then SQS as well, then only SQS: what was in flight is stored, then deleted, each once."""
    messages = sent(one_site.queue, emails(9))
    with (
        fault_proxy(one_site.emulator.url) as s3,
        fault_proxy(one_site.emulator.url) as sqs,
        one_site.service(AWS_ENDPOINT_URL_S3=s3.url, AWS_ENDPOINT_URL_SQS=sqs.url) as service,
    ):
        s3.rule = after_a_good_start(s3, CallFault.CUT)
        service.wait_until("circuit_open", 1)
        s3.refuse()
        s3.rule = pass_all
        sqs.refuse()
        service.wait_until("retries_total", 2)
        s3.accept()
        service.wait_until("aws_requests_total", 2, operation="DeleteMessageBatch", outcome="network")
        eventually(lambda: stored(one_site.bucket) == expected(messages), "every email stored")
        service.wait_until("aws_requests_total", 1, operation="ChangeMessageVisibilityBatch", outcome="network")
        assert one_site.queue.in_flight == len(messages) - 1
        sqs.accept()
        one_site.queue.wait_until_empty()
        service.wait_until_ready()
        print(f"S3, both, SQS refused: {len(messages)} emails, {s3.count('PUT')} PUTs came through")
        assert 0 == service.stop()
    assert stored(one_site.bucket) == expected(messages)
    assert sqs.receive_counts() == dict.fromkeys(messages, 1)


def test_no_fault_of_a_renewal_loses_a_lease(one_site: Site) -> None:
    """Each of many batches of renewals meets another fault; every lease outlives its first end all the same."""
    healed = threading.Event()
    with fault_proxy(one_site.emulator.url) as proxy:
        faults = [fault.rule(proxy) for fault in FAULTS.values()]
        struck: list[Request] = []
        hold = held_until(healed)

        def rule(request: Request) -> Act:
            if request.operation == "ChangeMessageVisibilityBatch" and len(struck) < len(faults):
                struck.append(request)
                return act(faults[len(struck) - 1], request)
            return hold(request) if request.operation == "PUT" else None

        proxy.rule = after_a_good_start(proxy, rule)
        leases = 9 * len(faults)  # about as many as are received ahead of the uploads
        messages = sent(one_site.queue, emails(1 + leases))
        began = time.monotonic()
        with one_site.service(AWS_ENDPOINT_URL=proxy.url, S3_TIMEOUT_SECONDS="15", SQS_TIMEOUT_SECONDS="1") as service:
            service.wait_until("messages_received_total", len(messages))
            received = time.monotonic()
            service.wait_until("lease_extensions_total", leases, within=30)
            print(f"{leases} leases renewed after {time.monotonic() - received:.1f} s, past {len(struck)} faults")
            time.sleep(began + FIRST_LEASES_END - time.monotonic())
            assert [] == one_site.queue.receive()
            assert one_site.queue.in_flight == leases
            healed.set()
            one_site.queue.wait_until_empty()
            assert 0 == service.metric("leases_lost_total")
            assert 0 == service.stop()
    assert len(struck) == len(faults)
    assert stored(one_site.bucket) == expected(messages)
    assert proxy.receive_counts() == dict.fromkeys(messages, 1)
