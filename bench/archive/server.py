"""S3's LIST, GET, PUT and DELETE on a loopback port, each after so many seconds; what was asked is told at the end."""

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from urllib.parse import parse_qs, unquote

import uvloop

from bench.archive.bucket import ComputedBucket
from bench.http_requests import RawRequest, ServerConnection

NEWS = 100  # requests between two lines that say how many there were
REASONS = {200: b"OK", 204: b"No Content", 404: b"Not Found", 412: b"Precondition Failed"}


class Asked(ServerConnection):
    """One client connection. What was sent takes effect, whether or not its client is still there."""

    def __init__(self, bucket: ComputedBucket, requests: Counter[str], latency: float) -> None:
        """Answer from `bucket`, `latency` seconds after each request, and count in `requests`."""
        super().__init__()
        self._bucket = bucket
        self._requests = requests
        self._latency = latency

    def data_received(self, data: bytes) -> None:
        """Carry out every request that is complete."""
        self._reader.feed(data)
        while (request := self._reader.next()) is not None:
            asyncio.get_running_loop().call_later(self._latency, self._answer, request)

    def _answer(self, request: RawRequest) -> None:
        status, headers, body = self._carry_out(request)
        if not self._requests.total() % NEWS:
            _tell("asked", self._requests)
        if self._transport is not None:
            head = b"HTTP/1.1 %d %b\r\n%bcontent-length: %d\r\n\r\n" % (status, REASONS[status], headers, len(body))
            self._transport.write(head + body)

    def _carry_out(self, request: RawRequest) -> tuple[int, bytes, bytes]:
        path, _, query = request.path.decode().partition("?")
        key = unquote(path).removeprefix("/emails").removeprefix("/")
        if query.startswith("lifecycle"):
            return 404, b"", b"<Error><Code>NoSuchLifecycleConfiguration</Code></Error>"
        if query:
            self._requests["LIST"] += 1
            asked = parse_qs(query)
            return 200, b"", _listing(self._bucket, asked["prefix"][0], asked.get("start-after", [""])[0])
        self._requests[request.method.decode()] += 1
        if request.method == b"PUT":
            stored = self._bucket.put(key, request.body)
            return (
                (200, b'etag: "x"\r\n', b"")
                if stored
                else (412, b"", b"<Error><Code>PreconditionFailed</Code></Error>")
            )
        if request.method == b"DELETE":
            self._bucket.deleted.add(key)
            return 204, b"", b""
        found = self._bucket.get(key)
        return (404, b"", b"<Error><Code>NoSuchKey</Code></Error>") if found is None else (200, b"", found)


def _listing(bucket: ComputedBucket, prefix: str, after: str) -> bytes:
    keys, is_last = bucket.page(prefix, after)
    objects = "".join(f"<Contents><Key>{key}</Key><Size>4300</Size></Contents>" for key in keys)
    truncated = "false" if is_last else "true"
    return (
        f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>{objects}"
        "</ListBucketResult>"
    ).encode()


async def _serve(arguments: argparse.Namespace) -> None:
    bucket = ComputedBucket(arguments.mails, arguments.days, arguments.quarantined)
    requests: Counter[str] = Counter()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: Asked(bucket, requests, arguments.latency), "127.0.0.1", 0, backlog=1024)

    def report() -> None:
        _tell("report", {**requests, **bucket.report()})

    # When what was under way has been carried out as well.
    loop.add_signal_handler(signal.SIGUSR1, loop.call_later, 5 * arguments.latency, report)
    _tell("port", server.sockets[0].getsockname()[1])
    await stop.wait()
    report()


def _tell(name: str, value: object) -> None:
    print(json.dumps({name: value}), flush=True)


def main() -> int:
    """Read the command line and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.archive.server", description=__doc__)
    parser.add_argument("--mails", type=int, default=0, help="on all days together")
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--quarantined", type=int, default=0, help="on the first day")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds of a request")
    uvloop.run(_serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
