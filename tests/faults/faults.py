"""What can happen to a call on its way: each fault as a rule of the gate."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.support.fault_proxy import Cut, Gate, Reply, Request, Reset, Rule, cut_all, replying

SQS_JSON = "application/x-amz-json-1.0"
LONGER_THAN_ANY_TIMEOUT = 5.0  # of the services here


@dataclass(frozen=True)
class Fault:
    """A fault. With `is_delivered` the request has reached the emulator, and only its answer has not come back."""

    rule: Callable[[Gate], Rule]
    is_delivered: bool = False


def reset_all(_request: Request) -> None:
    """Reset every connection instead of an answer."""
    raise Reset


def hang_all(_request: Request) -> None:
    """Say nothing for longer than anybody waits, and deliver nothing."""
    time.sleep(LONGER_THAN_ANY_TIMEOUT)
    raise Cut


def failing(status: int, code: str) -> Rule:
    """Answer everything with an error, as S3 or SQS says it."""
    s3 = replying(status, code)
    sqs = Reply(status, json.dumps({"__type": f"com.amazonaws.sqs#{code}"}).encode(), {"Content-Type": SQS_JSON})
    return lambda request: sqs if "x-amz-target" in request.headers else s3(request)


def lost(gate: Gate) -> Rule:
    """Deliver the request, and close the connection without the answer."""

    def lose(request: Request) -> Reply:
        gate.forward(request)
        raise Cut

    return lose


def spoiled(gate: Gate, *, share: float = 1.0, pause: float = 0.0) -> Rule:
    """Deliver the request, and of the answer only a share, or all of it but byte by byte."""
    return lambda request: replace(gate.forward(request), share=share, pause=pause)


FAULTS = {
    "connection closed": Fault(lambda _: cut_all),
    "connection reset": Fault(lambda _: reset_all),
    "no answer": Fault(lambda _: hang_all),
    "500": Fault(lambda _: failing(500, "InternalError")),
    "503 SlowDown": Fault(lambda _: failing(503, "SlowDown")),
    "403": Fault(lambda _: failing(403, "AccessDenied")),
    "404": Fault(lambda _: failing(404, "NoSuchBucket")),
    "answer lost": Fault(lost, is_delivered=True),
    "answer cut in its head": Fault(lambda gate: spoiled(gate, share=0.1), is_delivered=True),
    "answer cut short": Fault(lambda gate: spoiled(gate, share=0.9), is_delivered=True),
    "answer byte by byte": Fault(lambda gate: spoiled(gate, pause=0.1), is_delivered=True),
}
