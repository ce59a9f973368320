"""The partitions of AWS: the same as the SDK's, and what is told by them."""

import re

import pytest
from botocore.loaders import Loader

from email_processor.partitions import PARTITIONS, REGION, Partition, is_aws_host, partition_of

OF_THE_SDK = Loader().load_data("partitions")["partitions"]
REGIONS = {region: each["id"] for each in OF_THE_SDK for region in each["regions"] if not region.endswith("-global")}


def test_the_partitions_are_those_of_the_sdk() -> None:
    """A new one of AWS's is in the SDK's next release."""
    assert PARTITIONS == tuple(
        Partition(
            each["id"],
            each["regionRegex"].removeprefix("^").removesuffix("$"),
            each["outputs"]["dnsSuffix"],
            each["outputs"]["dualStackDnsSuffix"],
        )
        for each in OF_THE_SDK
    )


def test_every_region_is_in_its_partition() -> None:
    """And looks like a region."""
    assert REGIONS == {region: partition_of(region) for region in REGIONS}
    assert [] == [region for region in REGIONS if not re.fullmatch(REGION, region)]


def test_a_region_that_is_not_known_is_in_the_partition_of_most() -> None:
    """As in the SDK."""
    assert "aws" == partition_of("xx-north-1")


@pytest.mark.parametrize(
    ("host", "is_aws"),
    [
        *((f"sqs.region.{each.domain}", True) for each in PARTITIONS),
        *((f"sqs.region.{each.dual_stack}", True) for each in PARTITIONS),
        ("amazonaws.com.example", False),
        ("myamazonaws.com", False),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_a_host_is_awss_by_the_end_of_its_name(host: str, *, is_aws: bool) -> None:
    """Whole labels of it."""
    assert is_aws == is_aws_host(host)
