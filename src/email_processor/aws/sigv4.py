"""Signature version 4, with the key kept that is good for a day.

docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. The SDK's own signer makes every
part of a request anew, though most of them never change.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import lru_cache

from botocore.credentials import ReadOnlyCredentials

ALGORITHM = "AWS4-HMAC-SHA256"


@lru_cache(maxsize=4)  # requests come many to a second
def _moment(seconds: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


class Signer:
    """Signs requests to one service in one region."""

    def __init__(self, service: str, region: str) -> None:
        """`service` as signatures name it: `sqs`, `s3`."""
        self._scope = f"{region}/{service}/aws4_request"
        self._steps = (region, service, "aws4_request")
        self._key = b""
        self._key_is_for: tuple[str, ReadOnlyCredentials] | None = None

    def sign(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body_hash: str,
        credentials: ReadOnlyCredentials,
        now: float,
    ) -> dict[str, str]:
        """All headers of a request: `headers`, which must have `host` and names in lower case, and the signature's.

        `target` is an encoded path; a query behind it is encoded too, and sorted by its names. `body_hash` is the
        SHA-256 of the body in hex, `now` epoch seconds. That `credentials` can stand in a header is seen to where they
        are found.
        """
        moment = _moment(int(now))
        signed = {**headers, "x-amz-date": moment}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = sorted(signed)
        lines = "".join([f"{name}:{signed[name]}\n" for name in names])
        list_of_names = ";".join(names)
        path, _, query = target.partition("?")
        request = f"{method}\n{path}\n{query}\n{lines}\n{list_of_names}\n{body_hash}"
        day = moment[:8]
        request_hash = hashlib.sha256(request.encode()).hexdigest()
        text = f"{ALGORITHM}\n{moment}\n{day}/{self._scope}\n{request_hash}"
        signature = hmac.digest(self._key_for(day, credentials), text.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={credentials.access_key}/{day}/{self._scope}, "
            f"SignedHeaders={list_of_names}, Signature={signature}"
        )
        return signed

    def _key_for(self, day: str, credentials: ReadOnlyCredentials) -> bytes:
        if self._key_is_for != (day, credentials):
            key = f"AWS4{credentials.secret_key}".encode()
            for step in (day, *self._steps):
                key = hmac.digest(key, step.encode(), "sha256")
            self._key, self._key_is_for = key, (day, credentials)
        return self._key
