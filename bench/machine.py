"""What a result was measured on and with."""

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.subjects import BUILT, NODE_MODULES, PEERS

PACKAGES = ("email-processor", "aioboto3", "aiobotocore", "aiohttp", "boto3", "orjson", "uvloop")
PINNED = {  # where the versions of the peers that are built stand, and how: name and version
    PEERS / "go" / "go.mod": r"^\tgithub.com/aws/(\S+/service/\w+) v(\S+)$",
    PEERS / "rust" / "Cargo.toml": r'^(aws-sdk-\w+) = \{ version = "=([\d.]+)"',
    PEERS / "java" / "pom.xml": r"<(aws-sdk-java)\.version>([\d.]+)<",
    PEERS / "bento" / "go.mod": r"\bgithub.com/warpstreamlabs/(bento) v(\S+)$",
    BUILT / "java" / "jdk" / "release": r'^(JAVA)_VERSION="([\d.]+)"',
}
NODE_PACKAGES = ("sqs-consumer", "@aws-sdk/client-sqs", "@aws-sdk/client-s3")


def machine() -> dict[str, Any]:
    """Processor, kernel and the load that others put on it."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(each, 2) for each in os.getloadavg()],
        "yardstick_ms": round(min(yardstick() for _ in range(5)), 1),
    }


def yardstick() -> float:
    """CPU milliseconds that this Python takes, here and now, to add up a million squares.

    It tells builds apart (an optimised one, as Debian and the Docker image have it, takes two thirds of the time of a
    plain `configure; make`) and slow hours from quick ones.
    """
    before, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number * number
    return (time.process_time() - before) * 1000


def versions() -> dict[str, str]:
    """Of the Python and of everybody's libraries."""
    found = {"python": f"{platform.python_version()} ({platform.python_compiler()})"}
    found |= {name: version(name) for name in PACKAGES}
    if NODE_MODULES.is_dir():
        for name in NODE_PACKAGES:
            found[name] = json.loads((NODE_MODULES / name / "package.json").read_text())["version"]
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)  # noqa: S607 - from PATH, as the peer is
        found["node"] = node.stdout.strip().removeprefix("v")
    for path, named in PINNED.items():
        pinned = re.findall(named, path.read_text(), re.MULTILINE) if path.exists() else []
        found |= {name.lower(): number for name, number in pinned}
    return found


def measured_on(machine: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Machine and versions in the words of a report."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, load at the start "
        f"{machine['load'][0]}, a million squares in {machine['yardstick_ms']} ms. "
        f"{', '.join(f'{name} {number}' for name, number in versions.items())}."
    )
