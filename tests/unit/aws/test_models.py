"""What the SDK knows of services: the same as its own loader reads, from the same folders."""

import gzip
import json
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader

from email_processor.aws.models import ServiceModels


@pytest.mark.parametrize("service", ["s3", "sqs", "sts"])
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "paginators-1"])
def test_a_model_is_what_botocore_reads(service: str, kind: str) -> None:
    """With its additions, in plain files and in compressed ones."""
    assert Loader().load_service_model(service, kind) == ServiceModels(Loader()).load_service_model(service, kind)


@pytest.mark.parametrize("name", ["endpoints", "partitions", "_retry"])
def test_what_belongs_to_no_service_is_what_botocore_reads(name: str) -> None:
    """Where services are, and when their requests are repeated."""
    assert Loader().load_data(name) == ServiceModels(Loader()).load_data(name)


def test_a_folder_of_ones_own_is_searched_first(tmp_path: Path) -> None:
    """AWS_DATA_PATH, whose models may be compressed or not."""
    folder = tmp_path / "s3" / "2099-01-01"
    folder.mkdir(parents=True)
    (folder / "service-2.json.gz").write_bytes(gzip.compress(json.dumps({"metadata": "ours"}).encode()))

    models = ServiceModels(Loader([str(tmp_path)]))

    assert {"metadata": "ours"} == models.load_service_model("s3", "service-2")
    assert "sqs" in models.list_available_services("service-2")


@pytest.mark.parametrize("service", ["none", "cloudsearchdomain"])
def test_a_model_that_is_missing_is_an_error_of_botocore(service: str) -> None:
    """Of a service that there is none of, and of a kind that it does not have."""
    with pytest.raises(BotoCoreError):
        ServiceModels(Loader()).load_service_model(service, "nothing-1")
