"""Where an export goes: beside its place until it is whole, with a manifest that says how far it has come.

The data is written before its line of the manifest. So whatever ends the export, what the manifest names is there, and
what is behind it is written again.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from email_processor.tools.archive.files import PART, file_error, refuse_existing
from email_processor.tools.archive.json_text import json_bytes, json_value
from email_processor.tools.archive.mime import eml, mbox
from email_processor.tools.archive.search import SCHEMA, FoundMail
from email_processor.tools.archive.sharing import order
from email_processor.tools.archive.zip_writer import ZipEntry, add_entry, end_archive
from email_processor.tools.command import WrongUseError

MANIFEST = ".manifest.jsonl"


class Destination(AbstractContextManager["Destination"], ABC):
    """An export under way: `count` mails are there, and `left_out` are the keys of what cannot be read.

    `last_key` is that of the last one of both, in key order. What came meanwhile stands behind all that is in order.
    """

    def __init__(self, path: Path, head: Mapping[str, Any], *, resume: bool) -> None:
        """`head` says what is exported: only an export of the same is continued.

        Raises:
            WrongUseError: something is there already, or nothing that could be continued.
        """
        if not path.name:  # `.` or `/`, which have no name to put anything behind
            refuse_existing(path)
        self._path = path
        self._part = path.with_name(f"{path.name}{PART}")
        self._manifest = path.with_name(f"{path.name}{MANIFEST}")
        self._journal = path.with_name(f"{self._manifest.name}{PART}")
        self._head = {"schema": SCHEMA, **head}
        self.count = 0
        self.left_out: list[str] = []
        self.last_key = ""
        self.is_continued = False
        self._is_late = False
        self._late: set[str] = set()  # keys of an earlier run
        self._end = 0  # of the data, in bytes
        self._length = 0  # of the manifest, in bytes
        self._lines: BinaryIO
        is_begun = bool(head_of(path))
        if resume and is_begun:
            self._continue()
            return
        refuse_existing(path)
        refuse_existing(self._manifest)
        if is_begun:
            raise WrongUseError(
                f"{self._part} is an export that was not finished.", fix="Continue it with --resume, or remove it."
            )
        if self._journal.exists():  # of an export that could not even begin, on a full disk: it is begun now
            return
        refuse_existing(self._part)
        if resume:
            raise WrongUseError(f"There is no unfinished export to {path}.", fix="Leave out --resume.")

    def _continue(self) -> None:
        """Find out how far it had come."""
        lines = _whole_lines(self._journal)
        head, length = next(lines, ({}, 0))
        if head != self._head:
            raise WrongUseError(
                f"{self._part} is an export of something else.", fix="Give the same options as before, or another --to."
            )
        self.is_continued = True
        self._length = length
        is_whole = any("complete" in line for line, _ in _whole_lines(self._journal))
        if is_whole and self._path.exists() and not self._part.exists():
            self._path.rename(self._part)  # it ended between its two renames: the end is written once more
        refuse_existing(self._path)
        size = self._part.stat().st_size if self._part.is_file() else None
        for line, length in lines if self._part.exists() else ():
            if "end" not in line or (size is not None and line["end"] > size):
                break  # the machine went down before the data was on its disk
            if "key" in line:
                self.count += 1
            else:
                self.left_out.append(line["left_out"])
            if "late" in line:
                self._late.add(_key_of(line))
            else:
                self.last_key = _key_of(line)
            self._end, self._length = line["end"], length

    def __enter__(self) -> Self:
        try:
            self._lines = self._journal.open("r+b" if self._length else "wb")
            self._lines.truncate(self._length)
            self._lines.seek(self._length)
            if not self._length:
                self._line(self._head)  # before there is data, so that data without a head is nothing of ours
                os.fsync(self._lines.fileno())
            self._open(self._part, self._end)
        except OSError as error:
            raise file_error(self._part, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            try:
                self._close()
            finally:
                self._lines.close()
        except OSError as error:  # what is not written yet cannot be now either
            if kind is None:
                raise file_error(self._part, error) from error

    def add(self, mail: FoundMail) -> None:
        """Write one more mail.

        Raises:
            FileError: it cannot be written; what was written before stays, and can be continued.
        """
        document = mail.document or b""
        try:
            more = self._write(mail, document)
            facts = {"key": mail.listed.key, "sha256": sha256(document).hexdigest(), "size": len(document)}
            self._line_of({**facts, **more})
        except OSError as error:
            raise file_error(self._part, error) from error
        self.count += 1

    def leave_out(self, key: str, why: str) -> None:
        """Remember what cannot be read: the manifest says so, and whoever continues the export does not ask for it.

        Raises:
            FileError: it cannot be written.
        """
        try:
            self._line_of({"left_out": key, "why": why})
        except OSError as error:
            raise file_error(self._part, error) from error
        self.left_out.append(key)

    def look_again(self) -> Callable[[str], bool]:
        """All was listed, and is listed once more: what is added from now on came meanwhile.

        The value says of keys, which it is asked for in their order, whether they are there: none is kept in memory.
        """
        self._is_late = True
        known = self._keys_in_order()
        current = next(known, None)

        def is_known(key: str) -> bool:
            nonlocal current
            while current is not None and order(current) < order(key):
                current = next(known, None)
            return key == current or key in self._late

        return is_known

    def _keys_in_order(self) -> Iterator[str]:
        lines = (line for line, _ in _whole_lines(self._journal) if "end" in line)
        return map(_key_of, takewhile(lambda line: "late" not in line, lines))

    def finish(self, as_of: datetime) -> None:
        """All is there that was stored before `as_of`: give it its name."""
        try:
            self._finish()
            self._sync()
            self._close()
            self._line(
                {
                    "complete": True,
                    "mails": self.count,
                    "unreadable": len(self.left_out),
                    "as_of": f"{as_of:%Y-%m-%dT%H:%M:%SZ}",
                }
            )
            os.fsync(self._lines.fileno())
            self._part.rename(self._path)
            self._journal.rename(self._manifest)
        except OSError as error:
            raise file_error(self._path, error) from error

    def _line_of(self, line: Mapping[str, Any]) -> None:
        """A line about an object."""
        self._line({**line, **({"late": True} if self._is_late else {}), "end": self._end})
        if not self._is_late:
            self.last_key = _key_of(line)

    def _line(self, line: Mapping[str, Any]) -> None:
        self._lines.write(json_bytes(line))
        self._lines.flush()

    def entries(self) -> Iterator[Mapping[str, Any]]:
        """What the manifest says of every mail that is there."""
        return (line for line, _ in _whole_lines(self._journal) if "key" in line)

    @abstractmethod
    def _open(self, part: Path, end: int) -> None: ...

    @abstractmethod
    def _write(self, mail: FoundMail, document: bytes) -> Mapping[str, Any]:
        """Write a mail; what the manifest should say beside the rest."""

    @abstractmethod
    def _sync(self) -> None:
        """See that all data is on the disk: the last line of the manifest says that it is."""

    @abstractmethod
    def _close(self) -> None: ...

    def _finish(self) -> None:
        """Write what stands at the end."""


class OneFile(Destination):
    """All mails in one file: JSON lines, or an mbox."""

    _file: BinaryIO

    def _open(self, part: Path, end: int) -> None:
        self._file = part.open("r+b" if end else "wb")
        self._file.truncate(end)
        self._file.seek(end)

    def _write(self, mail: FoundMail, document: bytes) -> Mapping[str, Any]:
        self._append(self._render(mail, document))
        return {}

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        self._end += len(data)

    def _render(self, mail: FoundMail, document: bytes) -> bytes:
        if self._head["format"] == "mbox" and mail.stored is not None:
            return mbox(mail.listed.key, document, mail.stored)
        return document.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"  # in JSON they only stand between tokens

    def _sync(self) -> None:
        os.fsync(self._file.fileno())

    def _close(self) -> None:
        self._file.close()


class ZipFileOfMails(OneFile):
    """A zip archive with a file for each mail."""

    def _write(self, mail: FoundMail, document: bytes) -> Mapping[str, Any]:
        entry = add_entry(self._file, self._end, *_file_of(mail, document, self._head["format"]))
        self._file.flush()
        self._end = self._file.tell()
        return {"path": entry.name, "start": entry.start, "bytes": entry.size, "crc32": entry.crc}

    def _finish(self) -> None:
        entries = (ZipEntry(it["path"], it["start"], it["bytes"], it["crc32"]) for it in self.entries())
        end_archive(self._file, self._end, entries)


class Folder(Destination):
    """A file for each mail, in folders as its key has them."""

    def _open(self, part: Path, end: int) -> None:  # noqa: ARG002 - a folder has no end
        part.mkdir(exist_ok=True)

    def _write(self, mail: FoundMail, document: bytes) -> Mapping[str, Any]:
        name, data = _file_of(mail, document, self._head["format"])
        path = self._part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"path": name}

    def _sync(self) -> None:
        os.sync()  # one call for all of its files

    def _close(self) -> None:
        """Nothing is open."""


def head_of(path: Path) -> Mapping[str, Any]:
    """What an export that was begun and not finished is of; empty if there is none."""
    journal = path.with_name(f"{path.name}{MANIFEST}{PART}") if path.name else None
    return next(_whole_lines(journal), ({}, 0))[0] if journal is not None and journal.exists() else {}


def destination(path: Path, head: Mapping[str, Any], *, resume: bool) -> Destination:
    """Where the mails go, by their format (of `head`) and by the name of what they go to."""
    if path.suffix.lower() == ".zip":
        return ZipFileOfMails(path, head, resume=resume)
    return (OneFile if head["format"] in {"jsonl", "mbox"} else Folder)(path, head, resume=resume)


def _file_of(mail: FoundMail, document: bytes, form: str) -> tuple[str, bytes]:
    """The name and the content of a mail's own file. No part of a key of ours leads out of its folder."""
    if form == "eml" and mail.stored is not None:
        return f"{mail.listed.key.removesuffix('.json')}.eml", eml(mail.listed.key, document, mail.stored)
    return mail.listed.key, document


def _key_of(line: Mapping[str, Any]) -> str:
    """The key of the object that a line is about."""
    key: str = line["key"] if "key" in line else line["left_out"]
    return key


def _whole_lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """The lines of a manifest that are whole, and where in the file each of them ends."""
    length = 0
    with path.open("rb") as lines:
        for line in lines:
            length += len(line)
            if not line.endswith(b"\n"):
                return
            try:
                value = json_value(line)
            except ValueError:  # the machine went down before it was on its disk
                return
            yield value, length
