"""What a result was measured on and with."""

import json
import os
import platform
import subprocess
import sysconfig
from importlib.metadata import version
from pathlib import Path

from bench.subjects import NODE_MODULES

PACKAGES = ("email-processor", "aioboto3", "aiobotocore", "aiohttp", "boto3", "obstore", "orjson", "uvloop")
NODE_PACKAGES = ("sqs-consumer", "@aws-sdk/client-sqs", "@aws-sdk/client-s3")


def machine() -> dict[str, object]:
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
    }


def versions() -> dict[str, str]:
    """Of the Python, how it was built (a tenth to a third of its speed), and of everybody's libraries."""
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    found = {"python": f"{platform.python_version()} ({'optimised' if optimised else 'not optimised'} build)"}
    found |= {name: version(name) for name in PACKAGES}
    if NODE_MODULES.is_dir():
        for name in NODE_PACKAGES:
            found[name] = json.loads((NODE_MODULES / name / "package.json").read_text())["version"]
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)  # noqa: S607 - from PATH, as the peer is
        found["node"] = node.stdout.strip().removeprefix("v")
    return found
