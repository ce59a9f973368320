"""The AWS of the cluster check, as a pod: ministack, which can be told to refuse SQS or S3 to the service.

The service asks one port, and who checks it another one, where nothing is refused. There `PUT /_refuse/SQS` refuses SQS
on the first port, until `PUT /_refuse/` refuses nothing any more. A long poll whose client has gone is given messages
all the same, which is the worst that SQS may do. What serves `app` is in the Dockerfile.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any

from ministack.app import app as ministack

from tests.support.aws_answers import DENY, Reply, Request

FOR_SERVICE, FOR_CHECK = 4566, 4567  # ports

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class SwitchedAws:
    """Hands requests on to ministack, except those to a service that is refused."""

    def __init__(self) -> None:
        """All is well at first."""
        self._refused = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as ASGI has it."""
        if scope["type"] != "http":
            await ministack(scope, receive, send)
            return
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], headers, b"")
        is_for_service = scope["server"][1] == FOR_SERVICE
        _, is_switch, refused = request.path.partition("/_refuse/")
        if is_switch:
            self._refused = refused
            await _answer(send, Reply())
        elif is_for_service and self._refused == ("SQS" if request.is_for_sqs else "S3"):
            while (await receive()).get("more_body"):  # or the client sees a reset connection in place of the answer
                pass
            reply = DENY(request)
            await _answer(send, reply if request.method != "HEAD" else replace(reply, body=b""))
        else:
            await ministack(scope, receive, send)


async def _answer(send: Send, reply: Reply) -> None:
    headers = {**reply.headers, "Content-Length": str(len(reply.body))}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    await send({"type": "http.response.body", "body": reply.body})


app = SwitchedAws()
