"""Who runs: email-processor as it is installed, and its peers."""

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
NODE_MODULES = HERE / "node" / "node_modules"
PEERS = HERE / "peers"
BUILT = HERE.parent / ".bench-peers"  # where make puts the peers that have to be built
JAVA_WARM_UP = 75.0  # seconds in which its compiler does most of its work, on the one core that it has with the peer


@dataclass(frozen=True, slots=True)
class Subject:
    """One program. `missing` says why it cannot run here; empty if it can. It is measured after `warm_up` seconds."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    missing: str = ""
    warm_up: float = 0.0


def subjects() -> list[Subject]:
    """All of them, email-processor first."""
    return [
        Subject("email-processor", (str(BIN / "email-processor"), "run")),
        Subject("floor", _module("floor")),
        Subject("boto3-loop", _module("boto3_loop")),
        Subject("boto3-threads", _module("boto3_threads")),
        Subject("aioboto3", _module("aioboto3_pipeline")),
        _built("aws-sdk-go", "go", BUILT / "go"),
        _built("aws-sdk-rust", "cargo", BUILT / "rust" / "release" / "email-processor-bench-peer"),
        _java(),
        # The one that stores without a condition, and would write over an object: see its configuration.
        _built("bento", "go", BUILT / "bento", "-c", str(PEERS / "bento" / "config.yaml")),
        _node(),
    ]


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"bench.peers.{name}")


def _built(name: str, toolchain: str, program: Path, *options: str) -> Subject:
    missing = "" if program.exists() else f"it is not built: {toolchain} is missing or failed"
    return Subject(name, (str(program), *options), missing=missing)


def _java() -> Subject:
    built = BUILT / "java"
    options = (f"@{PEERS / 'java' / 'jvm.options'}", "-cp", f"{built / 'classes'}:{built / 'lib'}/*", "Peer")
    subject = _built("aws-sdk-java", "a JDK 25 or mvn", built / "jdk" / "bin" / "java", *options)
    return replace(subject, warm_up=JAVA_WARM_UP)


def _node() -> Subject:
    node = shutil.which("node")
    missing = "" if node else "Node is not installed"
    if node and not NODE_MODULES.is_dir():
        missing = "bench/node has no node_modules (npm is missing or could not install)"
    return Subject("node-sqs-consumer", (node or "node", str(HERE / "node" / "consumer.mjs")), missing=missing)
