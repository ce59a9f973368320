"""The switch in front of the demo's AWS."""

import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from email_processor.tools.demo.cloud import FaultSwitch, running_cloud


class Cloud:
    """Answers everything with 200 and remembers the bodies."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.bodies: list[bytes] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, and keep its body."""
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b"from the cloud"]


def ask(switch: FaultSwitch, body: bytes = b"", target: str = "") -> tuple[str, bytes]:
    """Status and body of an answer."""
    statuses: list[str] = []
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "HTTP_X_AMZ_TARGET": target}

    def start_response(status: str, _headers: object, _error: object = None) -> Any:  # noqa: ANN401 - WSGI's write
        statuses.append(status)

    answer = b"".join(switch(environ, start_response))
    return statuses[0], answer


def delete_of(*handles: str) -> bytes:
    """The body of a DeleteMessageBatch."""
    return json.dumps({"Entries": [{"Id": f"id-{it}", "ReceiptHandle": it} for it in handles]}).encode()


@pytest.fixture
def cloud() -> Cloud:
    """What is behind the switch."""
    return Cloud()


@pytest.fixture
def switch(cloud: Cloud) -> FaultSwitch:
    """A switch in front of that cloud."""
    return FaultSwitch(cloud)


def test_all_goes_through_as_it_came(switch: FaultSwitch, cloud: Cloud) -> None:
    """Requests to either service, deletes included."""
    bodies = [b"an object", b'{"QueueUrl": "q"}', delete_of("a", "b")]
    targets = ["", "AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch"]
    answers = [ask(switch, body, target) for body, target in zip(bodies, targets, strict=True)]
    assert [("200 OK", b"from the cloud")] * 3 == answers
    assert cloud.bodies == bodies
    assert [] == switch.forgotten


def test_in_an_outage_s3_answers_503_and_sqs_goes_on(switch: FaultSwitch, cloud: Cloud) -> None:
    """Nothing of it reaches the bucket, and it ends."""
    switch.s3_is_down = True
    status, answer = ask(switch, b"an object")
    assert "503 Service Unavailable" == status
    assert b"<Code>ServiceUnavailable</Code>" in answer
    assert "200 OK" == ask(switch, b"{}", "AmazonSQS.ReceiveMessage")[0]
    switch.s3_is_down = False
    assert "200 OK" == ask(switch, b"an object")[0]
    assert [b"{}", b"an object"] == cloud.bodies


def test_forgotten_deletes_are_answered_but_not_made(switch: FaultSwitch, cloud: Cloud) -> None:
    """Whole batches, until there are enough; the next one is made."""
    switch.forget_deletes(3)
    delete = "AmazonSQS.DeleteMessageBatch"
    answers = [ask(switch, delete_of(*handles), delete)[1] for handles in (("a", "b"), ("c", "d"), ("e",))]
    assert [
        {"Successful": [{"Id": "id-a"}, {"Id": "id-b"}]},
        {"Successful": [{"Id": "id-c"}, {"Id": "id-d"}]},
    ] == [json.loads(answer) for answer in answers[:2]]
    assert b"from the cloud" == answers[2]
    assert ["a", "b", "c", "d"] == switch.forgotten
    assert cloud.bodies == [delete_of("e")]


def test_it_serves_on_loopback_and_is_gone_afterwards() -> None:
    """SQS and S3 at one address."""
    with running_cloud() as (_, url):
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - a URL of ours
            assert b"ListAllMyBucketsResult" in answer.read()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)  # noqa: S310 - as above
