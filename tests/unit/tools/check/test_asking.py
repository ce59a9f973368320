"""Asking AWS, and what is seen on the way."""

from typing import Any

import pytest
from botocore.hooks import HierarchicalEmitter

from email_processor.tools.check.inspect.asking import Tap, is_aws, origin_of


class Client:
    """A client as far as a tap is concerned."""

    def __init__(self) -> None:
        """Nothing has been sent or received yet."""
        self.meta = self
        self.events = HierarchicalEmitter()

    def receive(self, response: Any) -> None:  # noqa: ANN401 - as botocore passes it on
        """An answer, or None."""
        self.events.emit("response-received.s3.HeadBucket", response_dict=response)


@pytest.mark.parametrize(
    "response", [None, {"headers": {}}, {"headers": {"date": "yesterday"}}, {"headers": {"date": ""}}]
)
def test_no_time(response: Any) -> None:  # noqa: ANN401 - as botocore passes it on
    """An answer without a date, with a senseless one, or none at all says nothing of the clock."""
    client = Client()
    tap = Tap(client)
    client.receive(response)
    assert tap.skew is None


def test_best_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer that was quickest on its way counts; a date stands for the middle of its second."""
    monkeypatch.setattr("time.time", lambda: 1_700_000_010.0)
    client = Client()
    tap = Tap(client)
    client.receive({"headers": {"date": "Tue, 14 Nov 2023 22:13:20 GMT"}})
    client.receive({"headers": {"date": "Tue, 14 Nov 2023 22:13:27 GMT"}})
    assert 2.5 == tap.skew


@pytest.mark.parametrize(
    ("url", "origin"),
    [("https://jo:hunter2@host:8443/path?query", "https://host:8443"), ("http://[::1]:4566/", "http://[::1]:4566")],
)
def test_origin(url: str, origin: str) -> None:
    """Scheme, host and port, without a password."""
    assert origin == origin_of(url)


@pytest.mark.parametrize(
    ("url", "at_aws"),
    [
        ("https://sqs.us-east-1.amazonaws.com/1/q", True),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", True),
        ("https://sqs.us-east-1.api.aws/1/q", True),
        ("https://sqs.eusc-de-east-1.amazonaws.eu/1/q", True),
        ("https://vpce-0a1b.sqs.eusc-de-east-1.vpce.amazonaws.eu/1/q", True),
        ("https://archive.s3.us-iso-east-1.c2s.ic.gov/k", True),
        ("https://amazonaws.eu.example.org/1/q", False),
        ("https://amazonaws.com.example.org/1/q", False),
        ("http://127.0.0.1:4566/1/q", False),
    ],
)
def test_is_aws(url: str, at_aws: bool) -> None:
    """AWS's own domains, and no others."""
    assert at_aws is is_aws(url)
