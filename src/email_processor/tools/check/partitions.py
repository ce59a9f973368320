"""The parts that AWS is divided into: which of them a host or a region is in, by what botocore knows of them."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from botocore.loaders import create_loader


def partition_of(place: str) -> str | None:
    """The partition of a host or a region, as ARNs name it; None if it is not AWS's.

    A region may be a pseudo-region, as fips-us-east-1. Hosts of GovCloud are in the domain of `aws`: its regions tell.
    """
    region = place.removeprefix("fips-").removesuffix("-fips")
    for each in _known():
        named = each["outputs"]
        is_region = region in each["regions"] or re.fullmatch(each["regionRegex"], region)
        if is_region or place.endswith((f".{named['dnsSuffix']}", f".{named['dualStackDnsSuffix']}")):
            return str(named["name"])
    return None


@cache
def _known() -> Sequence[Any]:
    partitions: Sequence[Any] = create_loader().load_data("partitions")["partitions"]
    return partitions
