"""The allocator: what read buffers lie on."""

import platform
import subprocess
import sys
from textwrap import dedent

import pytest

from email_processor import allocator
from email_processor.allocator import READ_BUFFER_BYTES, map_read_buffers, use_the_heap

MIB = 1024 * 1024

# In a process of its own, for it cannot be undone. What it prints is by how much its memory has grown.
PROGRAM = """
    import os
    from email_processor import allocator

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    allocator.{told}()
    before = resident()
    buffers, small = [], []
    for _ in range(64):
        buffers.append(b"x" * {size})
        small.append(b"x" * 5000)  # it stays, behind the large one
    del buffers
    print(resident() - before)
"""


def growth(told: str) -> int:
    """How many bytes more a process has when its read buffers are free again, and small blocks between them are not."""
    program = dedent(PROGRAM).format(told=told, size=READ_BUFFER_BYTES)
    return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_a_read_buffer_is_given_back_though_small_blocks_lie_between() -> None:
    """Of 16 MiB next to nothing is left; on the heap all of it is."""
    assert growth(map_read_buffers.__name__) < 4 * MIB
    assert growth(use_the_heap.__name__) > 12 * MIB


def test_an_allocator_that_takes_no_orders_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As musl's, which has no such function."""
    monkeypatch.setattr(allocator, "_mallopt", None)
    map_read_buffers()
    use_the_heap()
