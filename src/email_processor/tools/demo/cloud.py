"""SQS and S3 in this process (moto), on loopback, with a switch in front that makes them fail as AWS may."""

import io
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

LOOPBACK = "127.0.0.1"

_UNAVAILABLE = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>ServiceUnavailable</Code><Message>Please reduce your request rate.</Message></Error>"
)


class FaultSwitch:
    """Hands requests on to `cloud`, except those that are to fail. Called from many threads."""

    def __init__(self, cloud: WSGIApplication) -> None:
        """All is well at first."""
        self._cloud = cloud
        self._lock = threading.Lock()
        self._to_forget = 0
        self._forgotten: list[str] = []
        self.s3_is_down = False

    def forget_deletes(self, count: int) -> None:
        """Answer the next `count` deletes with success, but do not make them: SQS does not promise more."""
        with self._lock:
            self._to_forget = count

    @property
    def forgotten(self) -> list[str]:
        """The receipt handles of the deletes that were not made."""
        with self._lock:
            return list(self._forgotten)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if self.s3_is_down and not target:
            _body(environ)  # or the client sees a reset connection in place of the answer
            start_response("503 Service Unavailable", [("Content-Type", "application/xml")])
            return [_UNAVAILABLE]
        if target == "AmazonSQS.DeleteMessageBatch":
            body = _body(environ)
            entries = json.loads(body)["Entries"]
            if self._is_to_forget(entries):
                start_response("200 OK", [("Content-Type", "application/x-amz-json-1.0")])
                return [json.dumps({"Successful": [{"Id": entry["Id"]} for entry in entries]}).encode()]
            environ["wsgi.input"] = io.BytesIO(body)
        return self._cloud(environ, start_response)

    def _is_to_forget(self, entries: list[dict[str, str]]) -> bool:
        with self._lock:
            if self._to_forget <= 0:
                return False
            self._to_forget -= len(entries)
            self._forgotten += [entry["ReceiptHandle"] for entry in entries]
            return True


@contextmanager
def running_cloud() -> Iterator[tuple[FaultSwitch, str]]:
    """Serve SQS and S3 for as long as the context lasts; the value is the switch, and the URL of both."""
    switch = FaultSwitch(DomainDispatcherApplication(create_backend_app))
    server = make_server(LOOPBACK, 0, switch, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="cloud", daemon=True)
    thread.start()
    try:
        yield switch, f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(WSGIRequestHandler):
    """Keeps connections open from one request to the next."""

    protocol_version = "HTTP/1.1"


def _body(environ: WSGIEnvironment) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body
