"""What the container allows: how much memory, by its cgroup, and how many open files."""

import resource
from collections.abc import Iterator
from pathlib import Path

from email_processor.ports import Limits

UNLIMITED_BYTES = 256 * 1024 * 1024  # reckoned with where nothing limits the memory: the limit that the chart sets
BOUNDLESS_BYTES = 1 << 60  # what cgroup v1 says of no limit is above


def limits(membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> Limits:
    """Read the limits that are in force now: a container can be resized while it runs."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Limits(memory_bytes=min(_memory_limits(membership, mount), default=UNLIMITED_BYTES), descriptors=descriptors)


def _memory_limits(membership: Path, mount: Path) -> Iterator[int]:
    """Those of the process's own cgroup and of all above it, as far as they can be seen from within the container."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "memory"}:
            continue
        root, name = (mount, "memory.max") if not controllers else (mount / "memory", "memory.limit_in_bytes")
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            try:
                allowed = int((folder / name).read_text())
            except (OSError, ValueError):  # it is not there, or says `max`
                continue
            if allowed < BOUNDLESS_BYTES:
                yield allowed
