"""Independent servers of SQS and S3, and how the service fares with them: `make servers` writes it to docs/servers.md.

No part of a build or of CI: each server comes from its package registry and is built here, which takes its toolchain
and some minutes. What is not at hand is left out with a word. They are kept in $EMAIL_PROCESSOR_SERVERS.
"""

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import socket
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from email_processor import __version__
from email_processor.domain.sender import sender_folder
from tests.support.certificates import Authority, new_authority
from tests.support.commands import COMMAND, run_to_end
from tests.support.emulators import ACCESS_KEY, REGION, SECRET_KEY, Bucket, Emulator, Queue, free_port
from tests.support.mail import AS_SENT, AS_STORED, email
from tests.support.service import Service
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "servers.md"
SERVERS = ROOT / "scripts" / "servers.toml"
KEPT = Path(os.environ.get("EMAIL_PROCESSOR_SERVERS", "~/.cache/email-processor-servers")).expanduser()
BEGIN, END = "<!-- written by `make servers` -->\n", "<!-- end -->"

ODD_SENDERS = (
    "राजेश@example.com",
    "../../etc/passwd",
    "=?UTF-8?B?QW5uYQ==?= <>",
    "\u202ehidden@example.com",
    "…",
    "𒀀" * 80,
)
FEW = 1000  # mails, where it is not their number that is looked at
SENT_AT_ONCE = 500
WRONG_SECRET = {"AWS_SECRET_ACCESS_KEY": "wrong"}
START_SECONDS = 180.0
FEW_SECONDS = 300.0
DRAIN_SECONDS = 3600.0
# The timeouts of calls are the defaults again, which the tests shorten; what was in flight is to come back soon.
TIMEOUTS = {"S3_TIMEOUT_SECONDS": "15", "SQS_TIMEOUT_SECONDS": "8", "VISIBILITY_TIMEOUT_SECONDS": "45"}


@dataclass(frozen=True)
class Product:
    """A server, as `servers.toml` explains it."""

    name: str
    version: str
    tool: str
    fetch: Sequence[str]
    made: str
    start: str
    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    tls: str = ""
    sha256: str = ""

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return KEPT / f"{self.name.split()[0]}-{self.version}"

    def is_here(self) -> bool:
        """Whether it can be started; it is fetched if its tool is at hand."""
        made = self.folder / self.made
        if not made.exists():
            if shutil.which(self.tool) is None:
                print(f"{self.name}: left out, since there is no {self.tool} here", flush=True)
                return False
            print(f"{self.name} {self.version}: fetching and building ...", flush=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in self.files.items():
                (self.folder / name).write_text(text)
            environment = {**os.environ, "GOBIN": str(self.folder), "GOFLAGS": "-buildvcs=false"}
            for command in (shlex.split(it.format(version=self.version)) for it in self.fetch):
                if subprocess.run(command, cwd=self.folder, check=False, env=environment).returncode:
                    print(f"{self.name}: left out, since this failed: {shlex.join(command)}", flush=True)
                    return False
        if self.sha256 and self.sha256 != hashlib.sha256(made.read_bytes()).hexdigest():
            raise SystemExit(f"{made} is not the file that was meant: look at it, and remove it")
        return True


class RealServer:
    """One that runs, and can be killed and started again on the same port with the same data."""

    def __init__(self, product: Product, data: Path, pem: Path | None = None) -> None:
        """Its data will be in `data`; with TLS if it is given a `pem`."""
        data.mkdir(parents=True)
        self.product = product
        self._port = free_port()
        self._log = data.with_suffix(".log")
        given = {"data": data, "port": self._port, "pem": pem, "key": ACCESS_KEY, "secret": SECRET_KEY}
        for name, text in product.settings.items():
            (data / name).write_text(text.format(**given))
        tls = product.tls.format(**given) if pem else ""
        self._command = shlex.split(product.start.format(**given, tls=tls))
        self.emulator = Emulator(product.name, f"{'https' if pem else 'http'}://127.0.0.1:{self._port}")

    def start(self) -> None:
        """Start it, and wait until it takes a connection."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self.product.folder, stdout=log, stderr=log)
        eventually(self._answers, f"an answer of {self.product.name}", within=START_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.product.name} has ended:\n{self._log.read_text()[-2000:]}")
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self._port)) == 0


@contextmanager
def running(product: Product, data: Path, pem: Path | None = None) -> Iterator[RealServer]:
    """A server, killed at the end of the context."""
    server = RealServer(product, data, pem)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@dataclass(frozen=True)
class Pair:
    """A queue and a bucket of two servers, and what is needed to work there."""

    store: RealServer
    queue: Queue
    bucket: Bucket
    authority: Authority
    directory: Path
    mails: int

    def environment(self, **other: str) -> dict[str, str]:
        """Of a service that works there, unless `other` settings say otherwise."""
        return {
            "AWS_ENDPOINT_URL_SQS": self.queue.emulator.url,
            "AWS_ENDPOINT_URL_S3": self.bucket.emulator.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "SQS_QUEUE_URL": self.queue.url,
            "S3_BUCKET_NAME": self.bucket.name,
            **other,
        }

    def service(self, **other: str) -> Service:
        """The service, at work there."""
        return Service({"LOG_LEVEL": "INFO", **TIMEOUTS, **self.environment(**other)}, self.directory)

    def findings(self, **other: str) -> list[dict[str, str]]:
        """Those of `check --write`, with a message that waits."""
        self.queue.send(email())
        done = run_to_end(COMMAND, "check", "--write", "--json", directory=self.directory, **self.environment(**other))
        return list(json.loads(done.stdout)["findings"])

    def send(self, count: int) -> list[str]:
        """Send so many mails of a hundred senders; their ids."""
        bodies = [email(f"sender.{number % 100}@example.com", content=str(number)) for number in range(count)]
        return self.queue.send_all(bodies)

    def stored(self) -> list[str]:
        """The message ids in the keys of what is there."""
        return [key.rpartition("/")[2].rpartition("_")[0] for key in self.bucket.listing("emails/")]

    def wait_until_stored(self, count: int) -> None:
        """Return when so many mails are there, and the queue is empty."""
        eventually(lambda: len(self.stored()) >= count, f"{count} objects", within=FEW_SECONDS, every=2.0)
        self.queue.wait_until_empty(within=FEW_SECONDS)


def archived_exactly(pair: Pair) -> str:
    """Every body is in its object, byte for byte, and in the folder of its sender."""
    bodies = [AS_SENT, *(email(sender, content=f"Grüße {n}") for n in range(20) for sender in ODD_SENDERS)]
    sent = dict(zip(pair.queue.send_all(bodies), bodies, strict=True))
    with pair.service():
        pair.wait_until_stored(len(sent))
    for key in pair.bucket.listing("emails/"):
        raw = pair.bucket.read(key)
        body = sent.pop(json.loads(raw)["message_id"])
        as_stored = AS_STORED if body == AS_SENT else body
        folder = sender_folder(json.loads(body)["email_sender"])
        if f'"email_data":{as_stored},'.encode() not in raw or f"/{folder}/" not in key:
            return f"**no**: {key}"
    return f"**no**: {len(sent)} are missing" if sent else "yes"


def service_killed(pair: Pair) -> str:
    """The service is killed in the middle of its work, and another one goes on."""
    sent = pair.send(FEW)
    with pair.service() as service:
        wait_until_at_work(service)
    with pair.service():
        pair.wait_until_stored(FEW)
    return compared(pair.stored(), sent)


def store_killed(pair: Pair) -> str:
    """The store is killed in the middle of the work, and started again; every object is whole."""
    sent = pair.send(FEW)
    with pair.service() as service:
        wait_until_at_work(service)
        pair.store.kill()
        sent += pair.send(10)
        service.wait_for("failing", within=60, part="storing")
        pair.store.start()
        pair.wait_until_stored(len(sent))
        service.wait_until_ready(within=60)
    return compared(pair.bucket.message_ids(), sent)


def wrong_secret(pair: Pair) -> str:
    """What the service says of it, and that nothing is lost for the one with the right secret."""
    sent = pair.send(10)
    with pair.service(**WRONG_SECRET) as service:
        failing = service.wait_for("failing", within=60)
    with pair.service():
        pair.wait_until_stored(len(sent))
    return f"`{failing['cause']}`; then {compared(pair.stored(), sent)}"


def over_tls(pair: Pair) -> str:
    """With a certificate of an authority that AWS_CA_BUNDLE names, and not without."""
    if not pair.store.product.tls:
        return "the store speaks none"
    with running(pair.store.product, pair.directory / "tls", pair.authority.issue("localhost")) as store:
        secure = replace(pair, store=store, bucket=store.emulator.new_bucket())
        sent = secure.send(10)
        with secure.service() as service:
            failing = service.wait_for("failing", within=60)
        with secure.service(AWS_CA_BUNDLE=str(pair.authority.pem)):
            secure.wait_until_stored(len(sent))
        return f"{compared(secure.stored(), sent)}; without `AWS_CA_BUNDLE`: `{failing['cause']}`"


def many(pair: Pair) -> str:
    """So many mails that wait, each once."""
    sent: list[str] = []
    while len(sent) < pair.mails:
        sent += pair.send(min(SENT_AT_ONCE, pair.mails - len(sent)))
    with pair.service() as service:

        def done() -> bool:
            found = service.metric("messages_archived_total") + service.metric("messages_duplicate_total")
            return found >= pair.mails

        service.wait_for("started", within=START_SECONDS)
        begun = monotonic()
        eventually(done, f"{pair.mails} mails", within=DRAIN_SECONDS, every=1.0)
        seconds, retries = monotonic() - begun, service.metric("retries_total")
    return (
        f"{compared(pair.stored(), sent)}: {seconds:.0f} s, {pair.mails / seconds:.0f} a second, {retries:.0f} retries"
    )


def checked(pair: Pair) -> str:
    """What is not well as it is, if encryption is asked for as well."""
    bad = [it for it in pair.findings(S3_SSE="AES256") if it["status"] in {"failed", "warning"}]
    return "; ".join(f"{it['code']} {it['evidence'].rpartition('.json: ')[2]}" for it in bad) or "all is well"


def checked_wrong(pair: Pair) -> str:
    """What is wrong is found as what it is, and no command that is proposed would go to AWS."""
    wrong = (
        ("EP203", WRONG_SECRET),
        ("EP203", {"AWS_ACCESS_KEY_ID": "AKIANOBODY0000000000"}),
        ("EP403", {"S3_BUCKET_NAME": "no-such-bucket"}),
        ("EP303", {"SQS_QUEUE_URL": f"{pair.queue.url}-not"}),
    )
    missed = []
    for code, settings in wrong:
        found = pair.findings(**settings)
        failed = [it["code"] for it in found if it["status"] == "failed"]
        commands = [line for it in found for line in it["fix"].splitlines() if line.startswith("aws ")]
        if code not in failed or not all("--endpoint-url" in line for line in commands):
            missed.append(f"{', '.join(settings)}: {' '.join(failed)}")
    return f"**no**: {'; '.join(missed)}" if missed else "yes"


SITUATIONS: Mapping[str, Callable[[Pair], str]] = {
    "archived exactly, odd senders": archived_exactly,
    "service killed and started": service_killed,
    "store killed and started": store_killed,
    "wrong secret": wrong_secret,
    "TLS": over_tls,
    "many mails": many,
    "`check --write` says, with `S3_SSE=AES256`": checked,
    "`check` finds a wrong secret, key, bucket, queue": checked_wrong,
}


def wait_until_at_work(service: Service) -> None:
    """Return when it has stored something, however busy this machine is."""
    service.wait_for("started", within=START_SECONDS)
    service.wait_until("messages_archived_total", 10, within=START_SECONDS)


def compared(stored: Sequence[str], sent: Sequence[str]) -> str:
    """Whether each message is there once."""
    twice, lost = len(stored) - len(set(stored)), len(set(sent) - set(stored))
    return f"**{lost} lost, {twice} twice**, of {len(sent)}" if twice or lost else "each once"


def looked_at(queue_product: Product, store_product: Product, mails: int) -> list[str]:
    """The column of a pair: what became of each situation."""
    pair_name = f"{queue_product.name} {queue_product.version}, {store_product.name} {store_product.version}"
    column = [pair_name]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        authority = new_authority(directory)
        os.environ["AWS_CA_BUNDLE"] = str(authority.pem)  # for our own clients: the service does not inherit it
        queues = stack.enter_context(running(queue_product, directory / "queue")).emulator
        store = stack.enter_context(running(store_product, directory / "store"))
        for what, situation in SITUATIONS.items():
            pair = Pair(store, queues.new_queue(), store.emulator.new_bucket(), authority, directory, mails)
            try:
                column.append(situation(pair))
            except AssertionError as error:
                column.append(f"**no**: {str(error).partition(chr(10))[0][:150]}")
            print(f"{pair_name}: {what}: {column[-1]}", flush=True)
    return column


def page(document: str, columns: Sequence[Sequence[str]], mails: int) -> str:
    """The document with another table: a row for each situation, a column for each pair."""
    heads = ("", *(f"{mails:,} mails that wait" if it == "many mails" else it for it in SITUATIONS))
    rows = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in zip(heads, *columns, strict=True)]
    rows.insert(1, f"|{' --- |' * (len(columns) + 1)}")
    made = f"{datetime.now(UTC):%Y-%m-%d}, email-processor {__version__}, Python {platform.python_version()}, "
    made += f"{os.cpu_count()} cores for both servers and the service"
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}{chr(10).join(rows)}\n\n({made}.)\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Fetch what can be had, look at each pair, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=20_000, help="how many are many (default: 20000)")
    mails = parser.parse_args().mails
    known = tomllib.loads(SERVERS.read_text())
    queues, stores = (
        [it for it in (Product(**each) for each in known[kind]) if it.is_here()] for kind in ("queues", "stores")
    )
    if not queues or not stores:
        raise SystemExit("It takes a queue and a store.")
    # Each store with the first queue, each other queue with the first store: the halves know nothing of each other.
    pairs = [*((queues[0], store) for store in stores), *((queue, stores[0]) for queue in queues[1:])]
    columns = [looked_at(*pair, mails) for pair in pairs]
    PAGE.write_text(page(PAGE.read_text(), columns, mails))


if __name__ == "__main__":
    main()
