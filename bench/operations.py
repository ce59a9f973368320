"""The operations of SQS (AWS JSON 1.0) and S3 that are served, as answers to requests."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import orjson

from bench.http_requests import RawRequest
from bench.world import BenchWorld

_JSON = b"content-type: application/x-amz-json-1.0\r\n"
_XML = b"content-type: application/xml\r\n"


class RawReply(NamedTuple):
    """A response without its frame. `headers` are whole lines; a HEAD is answered with the length of a body only."""

    status: int
    headers: bytes = b""
    body: bytes = b""
    is_head: bool = False


def operation_of(request: RawRequest) -> str:
    """What a request is called in the report."""
    if request.method != b"POST":
        return f"{request.method.decode().title()}Object"
    return _OPERATIONS.get(request.header(b"x-amz-target"), ("unknown", None))[0]


def latency(world: BenchWorld, request: RawRequest) -> float:
    """How long a request is to take, in seconds."""
    return world.scenario.queue_latency if request.method == b"POST" else world.store_latency()


def refusal(request: RawRequest, status: int, code: str) -> RawReply:
    """An error, in the words of the service that was asked."""
    if request.method != b"POST":
        return _refusal(status, code, is_head=request.method == b"HEAD")
    return RawReply(status, _JSON, orjson.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": code}))


def answer(world: BenchWorld, request: RawRequest) -> RawReply | Callable[[], RawReply | None]:
    """Carry a request out; what is returned for a long poll is to be called until it gives an answer."""
    if b"aws4-hmac-sha256" not in request.header(b"authorization"):
        world.requests["unsigned"] += 1
        return _refusal(403, "AccessDenied")
    if request.method != b"POST":
        return _object(world, request)
    name, operation = _OPERATIONS.get(request.header(b"x-amz-target"), ("", None))
    arguments = orjson.loads(request.body)
    if name == "ReceiveMessage":
        world.requests[name] += 1
        return _receive(world, arguments)
    if operation is None:
        return RawReply(400, _JSON, b'{"__type":"com.amazonaws.sqs#UnsupportedOperation","message":"not served here"}')
    world.requests[name] += 1
    return operation(world, arguments)


def _object(world: BenchWorld, request: RawRequest) -> RawReply:
    key = unquote_to_bytes(request.path.partition(b"?")[0])
    if request.method == b"PUT":
        world.requests["PutObject"] += 1
        if not world.throttle.admits(time.monotonic()):
            world.tally.throttled += 1
            return _refusal(503, "SlowDown")
        only_new = request.header(b"if-none-match") == b"*"
        etag = world.bucket.put(key, request.body, time.time(), if_none_match=only_new)
        return _refusal(412, "PreconditionFailed") if etag is None else RawReply(200, b"etag: %b\r\n" % etag.encode())
    if request.method not in {b"GET", b"HEAD"}:
        return _refusal(501, "NotImplemented")
    is_head = request.method == b"HEAD"
    world.requests["HeadObject" if is_head else "GetObject"] += 1
    found = world.bucket.get(key)
    if found is None:
        return _refusal(404, "NoSuchKey", is_head=is_head)
    data, etag = found
    return RawReply(200, b"etag: %b\r\n" % etag.encode(), data, is_head=is_head)


def _refusal(status: int, code: str, *, is_head: bool = False) -> RawReply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return RawReply(status, _XML, body.encode(), is_head=is_head)


def _receive(world: BenchWorld, arguments: Mapping[str, Any]) -> Callable[[], RawReply | None]:
    world.begin()
    until = time.monotonic() + arguments.get("WaitTimeSeconds", 0)
    with_attributes = bool(arguments.get("MessageSystemAttributeNames") or arguments.get("AttributeNames"))

    def poll() -> RawReply | None:
        entries = world.queue.receive(
            arguments.get("MaxNumberOfMessages", 1),
            arguments.get("VisibilityTimeout", 30),
            time.time(),
            with_attributes=with_attributes,
        )
        if not entries and time.monotonic() < until:
            return None
        return RawReply(200, _JSON, b'{"Messages":[%b]}' % b",".join(entries) if entries else b"{}")

    return poll


def _delete(world: BenchWorld, arguments: Mapping[str, Any]) -> RawReply:
    return _single(_delete_entry(world, arguments))


def _delete_batch(world: BenchWorld, arguments: Mapping[str, Any]) -> RawReply:
    return _batch(world, arguments, _delete_entry)


def _delete_entry(world: BenchWorld, entry: Mapping[str, Any]) -> bool:
    return world.queue.delete(entry["ReceiptHandle"])


def _change_visibility(world: BenchWorld, arguments: Mapping[str, Any]) -> RawReply:
    return _single(_change_entry(world, arguments))


def _change_visibility_batch(world: BenchWorld, arguments: Mapping[str, Any]) -> RawReply:
    return _batch(world, arguments, _change_entry)


def _change_entry(world: BenchWorld, entry: Mapping[str, Any]) -> bool:
    return world.queue.change_visibility(entry["ReceiptHandle"], entry.get("VisibilityTimeout", 0), time.time())


def _attributes(world: BenchWorld, _arguments: Mapping[str, Any]) -> RawReply:
    visible, in_flight = world.queue.counts(time.time())
    attributes = {
        "ApproximateNumberOfMessages": str(visible),
        "ApproximateNumberOfMessagesNotVisible": str(in_flight),
        "ApproximateNumberOfMessagesDelayed": "0",
    }
    return RawReply(200, _JSON, orjson.dumps({"Attributes": attributes}))


def _single(is_done: bool) -> RawReply:  # noqa: FBT001 - the outcome, handed on
    if is_done:
        return RawReply(200, _JSON, b"{}")
    return RawReply(400, _JSON, b'{"__type":"com.amazonaws.sqs#ReceiptHandleIsInvalid","message":"not a good handle"}')


def _batch(
    world: BenchWorld, arguments: Mapping[str, Any], apply: Callable[[BenchWorld, Mapping[str, Any]], bool]
) -> RawReply:
    successful: list[dict[str, object]] = []
    failed: list[dict[str, object]] = []
    for entry in arguments["Entries"]:
        is_spared = world.faults is None or world.faults.spares_entry()
        if is_spared is None:
            continue
        if not is_spared:
            failed.append({"Id": entry["Id"], "Code": "InternalError", "SenderFault": False})
        elif apply(world, entry):
            successful.append({"Id": entry["Id"]})
        else:
            failed.append({"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": True})
    return RawReply(200, _JSON, orjson.dumps({"Successful": successful, "Failed": failed}))


_OPERATIONS: dict[bytes, tuple[str, Callable[[BenchWorld, Mapping[str, Any]], RawReply] | None]] = {
    f"amazonsqs.{name.lower()}".encode(): (name, operation)
    for name, operation in {
        "ReceiveMessage": None,  # the one that may have to wait
        "DeleteMessage": _delete,
        "DeleteMessageBatch": _delete_batch,
        "ChangeMessageVisibility": _change_visibility,
        "ChangeMessageVisibilityBatch": _change_visibility_batch,
        "GetQueueAttributes": _attributes,
    }.items()
}
