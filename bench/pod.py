"""A pod's limits, as the chart sets them: cgroups that a subject is started in."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PERIOD_MICROSECONDS = 100_000
QUOTA_MICROSECONDS = 20_000  # of every period: 200 millicores
MEMORY_BYTES = 256 * 1024 * 1024
CGROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def pod() -> Iterator[list[str]]:
    """Make cgroups for as long as the context lasts; the value is what a command begins with to run in them.

    Raises:
        OSError: this machine lets us make none.
    """
    groups = _groups(f"email-processor-bench-{os.getpid()}")
    try:
        for folder, limits in groups.items():
            folder.mkdir()
            for name, value in limits.items():
                (folder / name).write_text(value)
        enter = "; ".join(f'echo $$ >"{folder}/cgroup.procs"' for folder in groups)
        yield ["/bin/sh", "-c", f'set -e; {enter}; exec "$@"', "sh"]
    finally:
        for folder in groups:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _groups(name: str) -> dict[Path, dict[str, str]]:
    """The folders to make, and what to write into them: one for both limits, or, with version 1, one for each."""
    memory = str(MEMORY_BYTES)
    if (CGROUPS / "cgroup.controllers").exists():
        return {CGROUPS / name: {"cpu.max": f"{QUOTA_MICROSECONDS} {PERIOD_MICROSECONDS}", "memory.max": memory}}
    quota = {"cpu.cfs_period_us": str(PERIOD_MICROSECONDS), "cpu.cfs_quota_us": str(QUOTA_MICROSECONDS)}
    return {CGROUPS / "cpu" / name: quota, CGROUPS / "memory" / name: {"memory.limit_in_bytes": memory}}
