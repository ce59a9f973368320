"""botocore as the image has it: smaller, and for what is called here the same."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.exceptions import EndpointVariantError
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from tests.deploy.chart import ROOT

DATA = Path(botocore.__file__).parent / "data"
CALLED = {"kms": "kms", "oidc": "sso-oidc", "portal.sso": "sso", "s3": "s3", "sqs": "sqs", "sts": "sts"}


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of botocore's data, cut as the image's build cuts it."""
    data = tmp_path_factory.mktemp("botocore") / "data"
    shutil.copytree(DATA, data)
    subprocess.run([sys.executable, ROOT / "scripts" / "trim_botocore.py", data], check=True)
    return data


def loader(data: Path) -> Loader:
    """A loader of nothing but `data`."""
    return Loader(extra_search_paths=[str(data)], include_default_search_paths=False)


def endpoints(data: Path) -> Iterator[Any]:
    """Every endpoint of what is called, in every region of every partition, in every variant."""
    known = loader(data).load_data("endpoints")
    resolver = EndpointResolver(known)
    for partition, prefix, dual, fips in product(known["partitions"], CALLED, (False, True), (False, True)):
        for region in partition["regions"]:
            try:
                yield resolver.construct_endpoint(
                    prefix, region, partition["partition"], use_dualstack_endpoint=dual, use_fips_endpoint=fips
                )
            except EndpointVariantError as error:  # not every partition has every variant
                yield str(error)


def test_every_endpoint_is_as_it_was(trimmed: Path) -> None:
    """Of the services that are called, in all regions, with FIPS and dual stack."""
    expected = list(endpoints(DATA))
    assert expected == list(endpoints(trimmed))
    assert len(expected) > len(CALLED) * 100


def test_every_model_is_as_it_was(trimmed: Path) -> None:
    """And there are no others: what is left is for the services that are called."""
    ours, theirs = loader(trimmed), loader(DATA)
    assert set(ours.list_available_services("service-2")) == set(CALLED.values())
    for service, kind in product(CALLED.values(), ("service-2", "endpoint-rule-set-1", "paginators-1")):
        assert theirs.load_service_model(service, kind) == ours.load_service_model(service, kind)
    for name in ("partitions", "_retry", "sdk-default-configuration"):
        assert theirs.load_data(name) == ours.load_data(name)
