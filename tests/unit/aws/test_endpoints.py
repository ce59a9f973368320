"""Where a queue is asked: at the host that its URL names, unless that is only another name of AWS's public one."""

import pytest

from email_processor.aws.endpoints import own_endpoint
from email_processor.partitions import PARTITIONS

DOMAINS = sorted({each.domain for each in PARTITIONS})


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_vpc_endpoint_in_a_queues_url_is_used_in_every_partition(domain: str) -> None:
    """And so are others, but not where the SDK was told of an endpoint."""
    public = f"https://sqs.region-1.{domain}"
    for own in (
        f"https://vpce-1-a.sqs.region-1.vpce.{domain}",
        f"https://sqs-fips.region-1.{domain}",
        "http://mq:9324",
    ):
        assert own == own_endpoint(public, f"{own}/1/q")
        assert own_endpoint("https://other.example", f"{own}/1/q") is None


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_public_endpoint_by_any_name_is_no_other_one(domain: str) -> None:
    """Older URLs have older names of it."""
    public = f"https://sqs.region-1.{domain}"
    for name in ("sqs.region-1", "queue", "region-1.queue"):
        assert own_endpoint(public, f"https://{name}.{domain}/1/q") is None
