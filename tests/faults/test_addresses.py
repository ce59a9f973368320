"""Addresses that cannot be reached safely, or at all: certificates that are no good, and names that do not resolve."""

from pathlib import Path

import pytest

from tests.support.certificates import FLAWED, Authority, new_authority
from tests.support.fault_proxy import fault_proxy
from tests.support.mail import emails
from tests.support.service import Service
from tests.support.site import Site
from tests.support.truth import expected, sent, stored

NOWHERE = "http://no-such-host.invalid"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority that the service is told to trust."""
    return new_authority(tmp_path)


@pytest.mark.parametrize("certificate", FLAWED)
def test_a_bad_certificate_is_named_and_heals(one_site: Site, authority: Authority, certificate: str) -> None:
    """Nothing is sent to such a server; log and `/readyz` say what to do; with a good one the work goes on."""
    messages = sent(one_site.queue, emails(3))
    bad, aws = FLAWED[certificate](authority), one_site.emulator.url
    with (
        fault_proxy(aws, host="localhost", tls=bad) as sqs,
        fault_proxy(aws, host="localhost", tls=bad) as s3,
        one_site.service(
            AWS_ENDPOINT_URL_SQS=sqs.url, AWS_ENDPOINT_URL_S3=s3.url, AWS_CA_BUNDLE=str(authority.pem)
        ) as service,
    ):
        assert_told(service, "storing", certificate)
        assert [] == s3.requests
        s3.tls = authority.server
        assert_told(service, "receiving", certificate)
        assert [] == sqs.requests
        assert one_site.queue.visible == len(messages)
        sqs.tls = authority.server
        one_site.queue.wait_until_empty()
        service.wait_until_ready()
        assert 0 == service.stop()
    assert stored(one_site.bucket) == expected(messages)
    assert sqs.receive_counts() == dict.fromkeys(messages, 1)


def assert_told(service: Service, part: str, certificate: str) -> None:
    """See that the service says what is wrong with the certificate and what to do, and is alive but not ready."""
    record = service.wait_for("failing", part=part)
    print(f"{certificate}, {part}: {record['error']} {record['fix']}")
    assert ("error", "configuration") == (record["level"], record["cause"])
    assert "certificate" in record["error"]
    assert "AWS_CA_BUNDLE" in record["fix"]
    answer = service.get("/readyz")
    assert 503 == answer.status
    assert answer.json[part] == {"status": "failing", "cause": "configuration", "fix": record["fix"]}
    assert service.is_alive()


def test_a_name_of_sqs_that_does_not_resolve_is_waited_for(one_site: Site) -> None:
    """From the start on: not ready but alive, the log says where to look, and it stops like any other."""
    messages = sent(one_site.queue, emails(3))
    with one_site.service(AWS_ENDPOINT_URL_SQS=NOWHERE) as service:
        assert_nowhere(service, "receiving")
        assert 0 == service.stop()
    assert one_site.queue.visible == len(messages)


def test_a_name_of_s3_that_does_not_resolve_costs_no_receive(one_site: Site) -> None:
    """The messages stay on the queue, and a service with the right address stores them."""
    messages = sent(one_site.queue, emails(3))
    with one_site.service(AWS_ENDPOINT_URL_S3=NOWHERE) as service:
        assert_nowhere(service, "storing")
        assert one_site.queue.visible == len(messages)
        assert 0 == service.stop()
    assert one_site.queue.visible == len(messages)
    with fault_proxy(one_site.emulator.url) as sqs, one_site.service(AWS_ENDPOINT_URL_SQS=sqs.url) as service:
        one_site.queue.wait_until_empty()
    assert stored(one_site.bucket) == expected(messages)
    assert sqs.receive_counts() == dict.fromkeys(messages, 1)


def assert_nowhere(service: Service, part: str) -> None:
    """See that the service says which address it cannot find and where to look, and is alive but not ready."""
    record = service.wait_for("failing", part=part)
    print(f"{part}: {record['error']} {record['fix']}")
    assert ("error", "network") == (record["level"], record["cause"])
    assert "DNS" in record["fix"]
    assert (False, True) == (service.is_ready(), service.is_alive())
