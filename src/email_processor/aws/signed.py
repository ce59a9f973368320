"""Requests to one endpoint of AWS without the SDK's machinery for each: signed and sent here.

The SDK's client spends most of the CPU of a call on serialising, walking its event handlers, signing and parsing. Where
requests go, with which credentials, and what errors are called is still the SDK's.
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from botocore.awsrequest import HeadersDict
from botocore.exceptions import ClientError
from botocore.parsers import create_parser

from email_processor.aws.credentials import REFUSED, Credentials
from email_processor.aws.http_client import Answer, HttpClient
from email_processor.aws.sigv4 import Signer
from email_processor.ports import Admission

REFUSALS = 300  # HTTP statuses from here on
REFUSING = frozenset({400, 401, 403})  # the HTTP statuses under which AWS refuses credentials
_KEYS_REFUSED = re.compile(rb"\b(?:%s)\b" % "|".join(sorted(REFUSED)).encode())  # of a code in JSON or XML
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Endpoint:
    """Where requests to a service go, and how they are signed."""

    def __init__(self, url: str, signer: Signer, credentials: Credentials, http: HttpClient, user_agent: str) -> None:
        """`url` is that of the service; of it only the host is looked at."""
        parts = urlsplit(url)
        self._host = parts.netloc.lower().removesuffix(DEFAULT_PORTS[parts.scheme])
        self._signer = signer
        self._credentials = credentials
        self._http = http
        self._user_agent = user_agent

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        body_hash: str,
        admit: Admission | None = None,
    ) -> Answer:
        """Sign and send a request; `headers` have names in lower case. A large answer is read when `admit` returns."""
        credentials = await self._credentials.get_frozen_credentials()
        signed = self._signer.sign(method, target, {"host": self._host, **headers}, body_hash, credentials, time.time())
        signed["user-agent"] = self._user_agent  # not under the signature: proxies change it
        answer = await self._http.send(method, target, signed, body, admit)
        if answer.status in REFUSING and _KEYS_REFUSED.search(answer.body):
            self._credentials.refused(credentials)
        elif self._credentials.is_refused and answer.status < REFUSALS:
            self._credentials.taken(credentials)
        return answer


class SignedSqs:
    """The calls of an SQS client that `SqsInbox` makes, with their arguments, answers and errors."""

    def __init__(self, endpoint: Endpoint, target: str) -> None:
        """`target` is the path of the service, in most places `/`."""
        self._endpoint = endpoint
        self._target = target
        self._headers = {
            "content-type": "application/x-amz-json-1.0",
            "x-amzn-query-mode": "true",  # errors then carry the code of the older protocol too
        }
        self._errors = create_parser("json")

    async def receive_message(self, admit: Admission | None = None, **request: Any) -> Any:  # noqa: ANN401 - as the SDK's
        """ReceiveMessage; a large answer is read when `admit` returns."""
        return await self._call("ReceiveMessage", request, admit)

    async def delete_message_batch(self, **request: Any) -> Any:  # noqa: ANN401 - as the SDK's
        """DeleteMessageBatch."""
        return await self._call("DeleteMessageBatch", request)

    async def change_message_visibility_batch(self, **request: Any) -> Any:  # noqa: ANN401 - as the SDK's
        """ChangeMessageVisibilityBatch."""
        return await self._call("ChangeMessageVisibilityBatch", request)

    async def get_queue_attributes(self, **request: Any) -> Any:  # noqa: ANN401 - as the SDK's
        """GetQueueAttributes."""
        return await self._call("GetQueueAttributes", request)

    async def _call(self, operation: str, request: Mapping[str, Any], admit: Admission | None = None) -> Any:  # noqa: ANN401 - any answer
        body = orjson.dumps(request)
        headers = {**self._headers, "x-amz-target": f"AmazonSQS.{operation}"}
        body_hash = hashlib.sha256(body).hexdigest()
        answer = await self._endpoint.send("POST", self._target, headers, body, body_hash, admit)
        if answer.status >= REFUSALS:
            facts = {
                "status_code": answer.status,
                "headers": HeadersDict(answer.headers),
                "body": answer.body.decode(errors="replace").encode(),  # a page of a gateway may be in any encoding
            }
            raise ClientError(self._errors.parse(facts, None), operation)  # type: ignore[arg-type]
        if not answer.body:
            return {}  # of servers that have nothing to say
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return json.loads(answer.body)  # which takes lone surrogates: one odd message must not hold up its batch
