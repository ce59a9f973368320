"""The partitions of AWS: the names of their regions, and of the hosts on which their services are.

As botocore has them in `partitions.json`, which a test compares; the settings need them, and know no AWS library.
"""

import re
from typing import NamedTuple


class Partition(NamedTuple):
    """`name` as ARNs have it; `regions` is a pattern of theirs.

    What the names of hosts end in: `domain`, and `dual_stack` of those that answer on IPv6 as well.
    """

    name: str
    regions: str
    domain: str
    dual_stack: str


PARTITIONS = (
    Partition("aws", r"(us|eu|ap|sa|ca|me|af|il|mx)\-\w+\-\d+", "amazonaws.com", "api.aws"),
    Partition("aws-cn", r"cn\-\w+\-\d+", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    Partition("aws-eusc", r"eusc\-(de)\-\w+\-\d+", "amazonaws.eu", "api.amazonwebservices.eu"),
    Partition("aws-iso", r"us\-iso\-\w+\-\d+", "c2s.ic.gov", "api.aws.ic.gov"),
    Partition("aws-iso-b", r"us\-isob\-\w+\-\d+", "sc2s.sgov.gov", "api.aws.scloud"),
    Partition("aws-iso-e", r"eu\-isoe\-\w+\-\d+", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    Partition("aws-iso-f", r"us\-isof\-\w+\-\d+", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    Partition("aws-us-gov", r"us\-gov\-\w+\-\d+", "amazonaws.com", "api.aws"),
)
# Patterns. A region of AWS may be one of tomorrow, or `fips-us-east-1`, a way to ask for other endpoints.
REGION = r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}"
DOMAIN = "|".join(re.escape(each.domain) for each in PARTITIONS)
ANY_DOMAIN = "|".join([DOMAIN, *(re.escape(each.dual_stack) for each in PARTITIONS)])

_AWS_HOST = re.compile(rf"[a-z0-9.-]+\.(?:{ANY_DOMAIN})")


def is_aws_host(host: str) -> bool:
    """Whether a host of this name is AWS's."""
    return _AWS_HOST.fullmatch(host) is not None


def partition_of(region: str) -> str:
    """The partition that a region is in, as ARNs name it: `aws` where it is in none that is known.

    It may be a pseudo-region, as `fips-us-gov-west-1`.
    """
    region = region.removeprefix("fips-").removesuffix("-fips")
    return next((each.name for each in PARTITIONS if re.fullmatch(each.regions, region)), PARTITIONS[0].name)
