"""Which blocks of memory the C library maps one by one, and which it puts on its heap."""

import ctypes
import sys

READ_BUFFER_BYTES = 256 * 1024  # of each TLS connection: uvloop's, of which a page or two are used
HEAP_BLOCK_BYTES = 32 * 1024 * 1024  # the bound up to which glibc goes by itself
KEPT_BYTES = 16 * 1024 * 1024  # free at the end of the heap, which are not given back: they will be wanted again

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3

_mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None


def map_read_buffers() -> None:
    """From here on a block of the size of a read buffer is a mapping of its own, until `use_the_heap`.

    Left alone, glibc takes the largest block that was ever freed for the bound. Then read buffers lie on pages of the
    heap that others have used, and each of them holds a quarter of a MiB: when emails grew from 4 KiB to 1 MiB after
    some seconds of a full queue, a pod of 256 MiB was killed for it. Where the C library is not glibc, nothing changes.
    """
    if _mallopt is not None:
        _mallopt(_MMAP_THRESHOLD, READ_BUFFER_BYTES)


def use_the_heap() -> None:
    """From here on bodies, too, are on the heap: it costs far less than to have pages mapped and cleared for each."""
    if _mallopt is not None:
        _mallopt(_MMAP_THRESHOLD, HEAP_BLOCK_BYTES)
        _mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
