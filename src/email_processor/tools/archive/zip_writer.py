"""A zip archive that can be continued after a kill, and whose directory is never in memory.

`zipfile` keeps every entry in memory until the end and cannot go on with a file that has no end yet. Mails are stored
as they are: APPNOTE.TXT 6.3.10 of PKWARE, with the fields of ZIP64 where numbers need them.
"""

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

VERSION = 45  # of ZIP64
UTF8_NAMES = 0x0800
MIDNIGHT_1980 = 0x21 << 16  # the earliest time that the format knows
UNIX_FILE = 0o100644 << 16
FULL = 0xFFFF_FFFF
MANY = 0xFFFF


class ZipEntry(NamedTuple):
    """A file of the archive: where its header begins, its size and its CRC-32."""

    name: str
    start: int
    size: int
    crc: int


def add_entry(file: BinaryIO, start: int, name: str, data: bytes) -> ZipEntry:
    """Append a file of less than 4 GiB."""
    entry = ZipEntry(name, start, len(data), zlib.crc32(data))
    encoded = name.encode()
    head = struct.pack(
        "<IHHHIIIIHH", 0x0403_4B50, VERSION, UTF8_NAMES, 0, MIDNIGHT_1980, *_facts(entry), len(encoded), 0
    )
    file.write(head + encoded + data)
    return entry


def end_archive(file: BinaryIO, start: int, entries: Iterable[ZipEntry]) -> None:
    """Append the directory, which begins at `start`."""
    count = size = 0
    for entry in entries:
        encoded = entry.name.encode()
        far = struct.pack("<HHQ", 1, 8, entry.start) if entry.start >= FULL else b""
        numbers = (len(encoded), len(far), 0, 0, 0, UNIX_FILE, min(entry.start, FULL))
        head = struct.pack(
            "<IHHHHIIIIHHHHHII",
            0x0201_4B50,
            3 << 8 | VERSION,
            VERSION,
            UTF8_NAMES,
            0,
            MIDNIGHT_1980,
            *_facts(entry),
            *numbers,
        )
        file.write(head + encoded + far)
        count += 1
        size += len(head) + len(encoded) + len(far)
    if count >= MANY or start >= FULL or size >= FULL:
        file.write(
            struct.pack("<IQHHIIQQQQ", 0x0606_4B50, 44, 3 << 8 | VERSION, VERSION, 0, 0, count, count, size, start)
        )
        file.write(struct.pack("<IIQI", 0x0706_4B50, 0, start + size, 1))
    few = min(count, MANY)
    file.write(struct.pack("<IHHHHIIH", 0x0605_4B50, 0, 0, few, few, min(size, FULL), min(start, FULL), 0))


def _facts(entry: ZipEntry) -> tuple[int, int, int]:
    return entry.crc, entry.size, entry.size
