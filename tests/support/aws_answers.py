"""What all doubles of AWS speak: a request, a reply, the errors of S3 and SQS, and what can go wrong with a call."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

SQS_JSON = "application/x-amz-json-1.0"
XML = "application/xml"


class CallFault(StrEnum):
    """What can go wrong with one call, by the one name that it has in every double of AWS."""

    REFUSE = "refuse"  # nothing is done, and an error is answered
    LOSE = "lose"  # it is done, and its answer is lost: the caller hears of a broken connection, or of an error
    HANG = "hang"  # nothing is done, and nothing is answered
    MUTE = "mute"  # it is done, and nothing is answered
    RESET = "reset"  # nothing is done, and the connection is reset
    CUT = "cut"  # nothing is done, and the connection is closed without an answer
    DELAY_REQUEST = "delay the request"  # it is done late
    DELAY_ANSWER = "delay the answer"  # it is done in time and answered late


@dataclass(frozen=True)
class Request:
    """A request that came; `target` is as it was sent, and names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path, decoded as S3 decodes it."""
        return unquote(urlsplit(self.target).path)

    @property
    def is_for_sqs(self) -> bool:
        """Whether it is for SQS, or a service that speaks like it; S3 is asked by method and path."""
        return "x-amz-target" in self.headers

    @property
    def operation(self) -> str:
        """The operation of SQS, or the method of a request to S3."""
        return self.headers.get("x-amz-target", self.method).rpartition(".")[2]

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body, as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer.

    `length` is what the header says of the body, where it lies; of one in chunks it says nothing. Of the bytes on the
    wire the first `share` is sent, with `pause` one by one and so many seconds apart.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    share: float = 1.0
    pause: float = 0.0
    in_chunks: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the connection is of any use after it."""
        return self.length is None and self.share == 1

    def encode(self, *, with_body: bool = True) -> bytes:
        """The bytes on the wire."""
        length = str(len(self.body) if self.length is None else self.length)
        framing = {"Transfer-Encoding": "chunked"} if self.in_chunks else {"Content-Length": length}
        headers = {**framing, **self.headers}
        lines = [f"HTTP/1.1 {self.status} -", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.body), self.body) if self.in_chunks else self.body
        answer = "\r\n".join(lines).encode("latin-1") + (body if with_body else b"")
        return answer[: int(len(answer) * self.share)]


# What a double does with a request. None lets it through to what stands behind the double, if anything does.
Act = Reply | CallFault | None
Rule = Reply | CallFault | Callable[[Request], Act]

STORED = Reply(headers={"ETag": '"0123456789abcdef"'})


def act(rule: Rule, request: Request) -> Act:
    """What a rule says of a request."""
    return rule(request) if callable(rule) else rule


def sqs(answer: object, status: int = 200, **headers: str) -> Reply:
    """An answer of SQS."""
    return Reply(status, json.dumps(answer).encode(), {"Content-Type": SQS_JSON, **headers})


def sqs_error(code: str, status: int = 400, *, query_code: str = "", message: str = "No.") -> Reply:
    """An error of SQS, with the code that older clients know in a header."""
    headers = {"x-amzn-query-error": f"{query_code};Sender"} if query_code else {}
    return sqs({"__type": f"com.amazonaws.sqs#{code}", "message": message}, status, **headers)


def s3_error(code: str, status: int, *, message: str = "No.") -> Reply:
    """An error of S3."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Reply(status, body.encode(), {"Content-Type": XML})


def refusing(status: int, code: str) -> Callable[[Request], Reply]:
    """Answer everything with an error, in the words of the service that is asked."""
    of_s3, of_sqs = s3_error(code, status), sqs_error(code, status)
    return lambda request: of_sqs if request.is_for_sqs else of_s3


THROTTLE = refusing(503, "SlowDown")
DENY = refusing(403, "AccessDenied")


def an_aws(asked: Request) -> Reply:
    """All is well, of SQS as of S3: an empty receive, a delete of one message, an object that is stored."""
    if "x-amz-target" not in asked.headers:
        return STORED
    return sqs({"Successful": [{"Id": "0"}]} if asked.operation == "DeleteMessageBatch" else {})
