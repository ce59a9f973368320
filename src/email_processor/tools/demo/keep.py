"""After the tour, if asked for: everything stays up, and a key opens and closes an S3 outage."""

import asyncio
import os
import shlex
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from email_processor.tools.demo.cloud import BUCKET
from email_processor.tools.demo.process import for_service
from email_processor.tools.demo.tour import Demo
from email_processor.tools.send.samples.generate import Recipe, samples

MORE = 50


@contextmanager
def keys(pressed: Callable[[str], None]) -> Iterator[bool]:
    """Call `pressed` with every key for as long as the context lasts; the value is whether there is a keyboard."""
    if not _has_keyboard():
        yield False
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    loop = asyncio.get_running_loop()
    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, lambda: pressed(os.read(keyboard, 1).decode(errors="replace").lower()))
    try:
        yield True
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _has_keyboard() -> bool:
    """In the background we would be stopped for touching the terminal."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


class Keeper:
    """Keeps the stage until told otherwise."""

    def __init__(self, stage: Demo, program: str, service_url: str, endpoint: str) -> None:
        """`program` is how the reader can call us."""
        self._stage = stage
        self._screen = stage.screen
        self._program = program
        self._service_url = service_url
        self._endpoint = endpoint
        self._stop = asyncio.Event()
        self._orders: asyncio.Queue[int] = asyncio.Queue()

    def stop(self) -> None:
        """End the keeping: the service is then stopped as after the tour."""
        self._stop.set()

    async def keep(self) -> None:
        """Say what there is to see, and stay until stopped."""
        self._invite()
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send(), name="feeder")
            with keys(self._press) as has_keyboard:
                if has_keyboard:
                    self._screen.say(
                        "  [bold]o[/] S3 outage on or off   [bold]s[/] send 50 more   [bold]q[/] or Ctrl-C quit"
                    )
                else:
                    self._screen.say("  Ctrl-C (SIGINT or SIGTERM) ends it.")
                self._screen.say("")
                with self._screen.progress():
                    await self._stop.wait()
            sending.cancel()

    def _invite(self) -> None:
        environ = for_service(self._endpoint, self._stage.account.queue_url, BUCKET)
        exports = [f"    [bold]export {name}={shlex.quote(value)}[/]" for name, value in environ.items()]
        self._screen.heading("Still running, until you stop it")
        self._screen.say(
            f"  [cyan]{self._service_url}/metrics[/]  [dim]what Prometheus scrapes[/]",
            f"  [cyan]{self._service_url}/healthz[/]  [dim]is every part of it alive?[/]",
            f"  [cyan]{self._service_url}/readyz[/]   [dim]does it receive and store? No, while S3 is down[/]",
            "",
            "  In another terminal, to send to it, check it and look into its bucket:",
            *exports,
            f"    [bold]{self._program} send 100 --broken 5[/]",
            f"    [bold]{self._program} check[/]",
            f"    [bold]aws s3 ls --recursive s3://{BUCKET}/[/]  [dim]if you have the AWS command line[/]",
            "",
        )

    def _press(self, key: str) -> None:
        switch = self._stage.switch
        if key == "o":
            switch.s3_is_down = not switch.s3_is_down
            if switch.s3_is_down:
                self._screen.outage("S3 is down: send some emails (s) and watch them wait", begins=True)
            else:
                self._screen.outage("S3 is back: the next probe closes the circuit", begins=False)
        elif key == "s":
            self._orders.put_nowait(MORE)
            self._screen.event(f"sending {MORE} more")
        elif key == "q":
            self.stop()

    async def _send(self) -> None:
        for seed in count(1000):
            order = await self._orders.get()
            await self._stage.feeder.feed(samples(order, Recipe(seed=seed, broken=4)), order)
