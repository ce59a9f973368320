"""What the container allows, read as the kernel tells it."""

import resource
from collections.abc import Mapping
from pathlib import Path

import pytest

from email_processor.container import UNLIMITED_BYTES, limits

MIB = 1024 * 1024
V1 = "memory/memory.limit_in_bytes"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"memory.max": str(512 * MIB)}, 512 * MIB),
        ("0::/\n", {"memory.max": "max"}, UNLIMITED_BYTES),
        ("0::/pods/a\n", {"pods/a/memory.max": "max", "pods/memory.max": str(64 * MIB)}, 64 * MIB),
        ("0::/a\n", {"a/memory.max": str(300 * MIB), "memory.max": str(400 * MIB)}, 300 * MIB),
        ("5:cpu,cpuacct:/a\n4:memory:/a\n", {V1: str(200 * MIB), "memory.max": "1"}, 200 * MIB),
        ("4:memory:/a\n", {V1: "9223372036854771712"}, UNLIMITED_BYTES),
        (None, {}, UNLIMITED_BYTES),
    ],
    ids=["v2", "v2 without a limit", "a parent's", "the smaller one", "v1", "v1 without a limit", "not Linux"],
)
def test_the_memory_limit_is_the_smallest_of_the_cgroup_and_those_above_it(
    tmp_path: Path, membership: str | None, files: Mapping[str, str], expected: int
) -> None:
    """Where there is none, it is what the chart would set."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    if membership is not None:
        (tmp_path / "cgroup").write_text(membership)
    assert expected == limits(tmp_path / "cgroup", tmp_path).memory_bytes


def test_the_limit_of_open_files_is_the_one_in_force() -> None:
    """The soft one."""
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limits().descriptors
