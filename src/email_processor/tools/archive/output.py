"""What commands print: results on stdout for people or machines, and all else on stderr."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from email_processor.tools.amounts import size_of
from email_processor.tools.archive.files import file_error
from email_processor.tools.archive.json_text import json_bytes
from email_processor.tools.archive.search import SCHEMA
from email_processor.tools.archive.text import one_line
from email_processor.tools.loading import loading


def emit(data: bytes) -> None:
    """Write results, which are exact bytes, and let them be read at once.

    Raises:
        BrokenPipeError: nobody reads them.
        FileError: they go to a file that cannot be written.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # the rest would be tried, and would fail, again at the end
        raise file_error("What is printed", error) from error


class Rows:
    """Results in one of the forms, row by row: nothing is kept."""

    def __init__(self, output: str, name: str, line: Callable[[Mapping[str, Any]], str]) -> None:
        """`name` is that of the list in one JSON document, `line` makes a line of the table."""
        self._output = output
        self._name = name
        self._line = line
        self.count = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Print one more row."""
        match self._output:
            case "keys":
                emit(f"{row['key']}\n".encode())
            case "jsonl":
                emit(json_bytes(row))
            case "json":
                start = b",\n" if self.count else b'{"schema":%d,"%b":[\n' % (SCHEMA, self._name.encode())
                emit(start + json_bytes({name: value for name, value in row.items() if name != "schema"}, end=""))
            case _:
                emit(f"{one_line(self._line(row)).rstrip()}\n".encode())
        self.count += 1

    def end(self) -> None:
        """No more will come."""
        if self._output == "json":
            emit(b"\n]}\n" if self.count else b'{"schema":%d,"%b":[]}\n' % (SCHEMA, self._name.encode()))


def mail_line(row: Mapping[str, Any]) -> str:
    """A line of the table of mails."""
    when = str(row.get("processed_at", row.get("day", ""))).replace("T", " ").removesuffix("Z")
    who = row.get("sender", row.get("folder", ""))
    return f"{when:<19}  {who:<24}  {row['message_id']:<36}  {size_of(row['size']):>9}  {row.get('subject', '')}"


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int], None]]:
    """A line that moves on a terminal, nothing elsewhere; call the value with how many more are done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with loading():
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn(doing), TextColumn("{task.completed:,.0f}")
    with Progress(*columns, console=console, transient=True, disable=console.is_dumb_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda count: bar.advance(task, count)
