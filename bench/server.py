"""SQS and S3 on one loopback port, for one run: fast, stateful, honest.

As a program it speaks of itself on its standard output, in JSON lines: where it listens, when the first receive came,
at SIGUSR1 how many messages are archived so far, and, when it is told to end, what happened.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from bench.faults import RequestFault
from bench.http_requests import RawRequest, ServerConnection
from bench.operations import RawReply, answer, latency, operation_of, refusal
from bench.world import BenchWorld, Scenario
from tests.support.aws_answers import CallFault

TICK_SECONDS = 0.002
_REASONS = {200: b"OK", 400: b"Bad RawRequest", 403: b"Forbidden", 404: b"Not Found", 412: b"Precondition Failed"} | {
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Slow Down",
}


class Connection(ServerConnection):
    """One client connection: requests in, answers of the world out, in order; without the client, no effect."""

    def __init__(self, world: BenchWorld) -> None:
        """RawReply from `world`, as soon as a connection is made."""
        super().__init__()
        self._world = world
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Carry out every request that is complete."""
        self._reader.feed(data)
        while True:
            if self._reader.wants_continue() and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request = self._reader.next()
            if request is None:
                return
            faults = self._world.faults
            if faults is not None:
                trouble = faults.strikes("sqs" if request.method == b"POST" else "s3", time.monotonic())
                if trouble is not None:
                    self._suffer(request, trouble)
                    continue
            # RawReply and effect come together, after the latency: nothing is stored before it is said to be.
            if seconds := latency(self._world, request):
                name = operation_of(request)
                self._world.under_way[name] += 1
                self._loop.call_later(seconds, self._carry_out_late, name, request)
            else:
                self._carry_out(request)

    def _suffer(self, request: RawRequest, trouble: RequestFault) -> None:
        if trouble.kind in {CallFault.LOSE, CallFault.MUTE}:
            found = answer(self._world, request)
            if not isinstance(found, RawReply):
                found()  # what there was to receive is in flight now, and nobody knows
        if trouble.kind in {CallFault.RESET, CallFault.LOSE} and self._transport is not None:
            self._transport.abort()
            self._transport = None
        elif trouble.kind is CallFault.REFUSE:
            self._send(refusal(request, trouble.status, trouble.code))
        elif trouble.kind is CallFault.DELAY_ANSWER:
            self._loop.call_later(trouble.seconds, self._carry_out, request)

    def _carry_out_late(self, name: str, request: RawRequest) -> None:
        self._world.under_way[name] -= 1
        self._carry_out(request)

    def _carry_out(self, request: RawRequest) -> None:
        if self._transport is None:
            return
        found = answer(self._world, request)
        if isinstance(found, RawReply):
            self._send(found)
            return

        def answered() -> bool:
            if self._transport is None:
                return True
            later = found()
            if later is not None:
                self._send(later)
            return later is not None

        if not answered():
            self._world.waiting.append(answered)

    def _send(self, found: RawReply) -> None:
        if self._transport is None:
            return
        head = b"HTTP/1.1 %d %b\r\nx-amz-request-id: 0A1B2C3D4E5F6789\r\n%bcontent-length: %d\r\n\r\n" % (
            found.status,
            _REASONS[found.status],
            found.headers,
            len(found.body),
        )
        self._transport.write(head if found.is_head else head + found.body)


@contextlib.asynccontextmanager
async def serving(world: BenchWorld, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a free loopback port for as long as the context lasts; the value is the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world), "127.0.0.1", 0, ssl=tls, backlog=1024)
    async with server, asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(_tick(world))
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            ticking.cancel()


async def _tick(world: BenchWorld) -> None:
    while True:
        world.tick()
        await asyncio.sleep(TICK_SECONDS if world.scenario.feed else 100 * TICK_SECONDS)


def _say(name: str, value: object) -> None:
    print(json.dumps({name: value}), flush=True)


async def _run(scenario: Scenario, certificate: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    world = BenchWorld(scenario, _say)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, world.tell_progress)
    async with serving(world, tls) as port:
        _say("port", port)
        await stop.wait()
    _say("report", world.report())


def main() -> int:
    """Read the command line and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description=__doc__)
    parser.add_argument("--size", type=int, default=4096, help="bytes of an email")
    parser.add_argument("--queue-latency", type=float, default=0.0, help="seconds of a request to SQS")
    parser.add_argument("--store-latency", type=float, default=0.0, help="seconds of a request to S3")
    parser.add_argument("--store-tail", type=float, default=0.0, help="the 99th percentile of it; 0: it is always that")
    parser.add_argument("--later-size", type=int, default=0, help="bytes of an email after some thousands of them")
    parser.add_argument("--put-rate", type=float, help="PUTs a second; more are throttled")
    parser.add_argument("--feed", type=float, help="messages sent a second; without it the queue is never empty")
    parser.add_argument("--messages", type=int, default=0, help="an endurance run of so many messages, with faults")
    parser.add_argument("--stages", type=int, default=1, help="of the endurance run, with a rest after each")
    parser.add_argument("--certificate", type=Path, help="PEM file of certificate and key: serve TLS")
    arguments = parser.parse_args()
    scenario = Scenario(
        size=arguments.size,
        queue_latency=arguments.queue_latency,
        store_latency=arguments.store_latency,
        store_tail=arguments.store_tail,
        later_size=arguments.later_size,
        put_rate=arguments.put_rate,
        feed=arguments.feed,
        messages=arguments.messages,
        stages=arguments.stages,
    )
    uvloop.run(_run(scenario, arguments.certificate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
