"""Cuts botocore's data down to the services that are called here; run while the image is built.

It is most of botocore's size, and the endpoints of all services would be read at every start for the few that are
called (docs/performance.md says what that would cost). Argument: the folder `botocore/data`.
"""

import gzip
import json
import shutil
import sys
from pathlib import Path

# What is called, and what credentials may come from: roles, web identity, single sign-on, `aws login`.
KEPT = frozenset({"kms", "s3", "signin", "sqs", "sso", "sso-oidc", "sts"})


def trim(data: Path) -> None:
    """Remove the folders of all other services from `data`, and their endpoints."""
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in KEPT:
            shutil.rmtree(folder)
    prefixes = {endpoint_prefix(model) for model in data.glob("*/*/service-2.json*")}
    endpoints = data / "endpoints.json"
    known = json.loads(endpoints.read_bytes())
    for partition in known["partitions"]:
        partition["services"] = {name: it for name, it in partition["services"].items() if name in prefixes}
    endpoints.write_text(json.dumps(known, separators=(",", ":")))


def endpoint_prefix(model: Path) -> str:
    """The name of a service in `endpoints.json`, from its model."""
    text = gzip.decompress(model.read_bytes()) if model.suffix == ".gz" else model.read_bytes()
    return str(json.loads(text)["metadata"]["endpointPrefix"])


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
