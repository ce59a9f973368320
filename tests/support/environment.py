"""The environment that tests and their processes may see: nothing of the machine's AWS, proxies or settings."""

import os
from collections.abc import Mapping

from email_processor.settings import Settings

OURS = frozenset(name.upper() for name in Settings.model_fields)
TRUST = frozenset({"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"})
NOWHERE = "/nonexistent"

ISOLATION = {
    "AWS_CONFIG_FILE": f"{NOWHERE}/config",
    "AWS_SHARED_CREDENTIALS_FILE": f"{NOWHERE}/credentials",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def clean_environment() -> dict[str, str]:
    """This process's environment without what could bend a test, and with an AWS configuration that is empty."""
    kept = {name: value for name, value in os.environ.items() if not _is_bending(name.upper())}
    return kept | ISOLATION


def unmeasured(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what makes coverage measure every Python process."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}


def _is_bending(name: str) -> bool:
    return name.startswith("AWS_") or name.endswith("_PROXY") or name in OURS or name in TRUST
