"""What the demo shows: a timeline while things happen, then what came of them; plain lines without a terminal."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from email_processor.metrics import PREFIX
from email_processor.tools.amounts import counted
from email_processor.tools.demo.cloud import BUCKET, Version
from email_processor.tools.demo.figures import Figures
from email_processor.tools.demo.proof import Claim

SENDERS_SHOWN = 8
TEXT_SHOWN = 96  # characters of a long text in a document
BAR_WIDTH = 12  # so that all of the line fits into 80 columns
QUIET_SECONDS = 5.0  # after which a line says how things stand, where there is no terminal to show it all the time


class Screen:
    """Everything that is printed goes through here."""

    def __init__(self, console: Console) -> None:
        """Time on the timeline starts now."""
        self.console = console
        self._began = time.monotonic()
        self._said = self._began
        self._progress: Progress | None = None
        self._total: int | None = None
        self._task = TaskID(0)
        self._figures = ""
        self._settled = 0
        self._waiting_for = ""
        self._expected = ""

    @property
    def is_live(self) -> bool:
        """Whether there is a terminal that can redraw lines."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began, as they stand on the left."""
        return time.monotonic() - self._began

    def say(self, *lines: str, style: str = "") -> None:
        """Print lines of rich markup that are not broken up, so that they can be copied."""
        for line in lines:
            self.console.print(line, style=style, soft_wrap=True)

    def event(self, text: str, style: str = "") -> None:
        """Put something that just happened on the timeline."""
        self._line(Text(f"{self.elapsed:5.1f} s", style="dim"), Text.from_markup(text, style=style))

    def outage(self, text: str, *, begins: bool) -> None:
        """Put the beginning or the end of an outage on the timeline; what the service logs about it will follow."""
        self._expected = "failing" if begins else "recovered"
        self.event(text, style="bold red" if begins else "bold green")

    def log_line(self, entry: Mapping[str, Any]) -> None:
        """Show the one line of the service's log that tells of what was done to it last."""
        if entry.get("event") != self._expected:
            return
        self._expected = ""
        fields = " ".join(f"{name}={entry[name]}" for name in ("part", "cause", "error", "seconds") if name in entry)
        text = Text(f"{str(entry['level']).upper()} {entry['event']} {fields}", style="dim")
        if self.is_live:
            text.truncate(self.console.width - 8, overflow="ellipsis")
        self._line(Text("    log", style="dim"), text)

    def _line(self, margin: Text, text: Text) -> None:
        """Print text beside a margin; on a terminal where it needs more than one line, it stays beside it."""
        self._said = time.monotonic()
        if self.is_live:
            table = Table.grid(padding=(0, 1))
            table.add_column(min_width=len(margin))
            table.add_column(overflow="fold")
            table.add_row(margin, text)
            self.console.print(table)
        else:
            self.console.print(margin, text, soft_wrap=True)

    def _block(self, renderable: RenderableType) -> None:
        """Print something of several lines, two characters in; without blanks at their ends where it may be kept."""
        padded = Padding(renderable, (0, 0, 0, 2), expand=False)
        if self.is_live:
            self.console.print(padded)
        else:
            with self.console.capture() as captured:
                self.console.print(padded)
            self.console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())

    @contextmanager
    def progress(self, total: int | None = None) -> Iterator[None]:
        """Show how things stand for as long as the context lasts: on a terminal always, elsewhere after some silence.

        There is a bar if there is a `total`. Without one nobody knows how long it will be, and only a terminal is told.
        """
        self._total = total
        columns = [TextColumn(" " * 6), *([BarColumn(BAR_WIDTH)] if total else []), TextColumn("{task.description}")]
        with Progress(*columns, console=self.console, transient=True, disable=not self.is_live) as self._progress:
            self._task = self._progress.add_task(self._figures, total=total)
            yield
        self._progress = self._total = None

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Say on a terminal what is being done, for as long as the context lasts."""
        if not self.is_live:
            yield
            return
        with self.console.status(Text(text, style="dim")):
            yield

    def waiting_for(self, text: str) -> None:
        """Say what is waited for beside how things stand; nothing if `text` is empty."""
        self._waiting_for = f"\n[dim]{text}[/]" if text else ""
        self._refresh()

    def show(self, figures: Figures) -> None:
        """Show how things stand now."""
        circuit = "[bold red]circuit open[/]" if figures.circuit_open else "[green]circuit closed[/]"
        self._figures = (
            f"archived [bold]{figures.archived}[/]  quarantined [bold]{figures.quarantined}[/]  "
            f"in flight [bold]{figures.in_flight}[/]  {circuit}"
        )
        self._settled = figures.settled
        self._refresh()

    def _refresh(self) -> None:
        if self._progress is not None:
            description = f"{self._figures}{self._waiting_for}"
            self._progress.update(self._task, completed=self._settled, description=description)
        if self._total is not None and not self.is_live and time.monotonic() - self._said >= QUIET_SECONDS:
            self.event(f"{self._figures}{self._waiting_for.replace(chr(10), '  ')}")

    def heading(self, text: str) -> None:
        """Begin a new part of what is shown, after an empty line."""
        self.console.print()
        self.console.print(Text(text, style="bold"))

    def tree(self, versions: Sequence[Version], notes: Mapping[str, str]) -> None:
        """Show what is in the bucket: every folder, some senders, one object of each; `notes` are by message id."""
        root = Tree(Text(f"s3://{BUCKET}", style="bold cyan"), guide_style="dim")
        days: dict[str, dict[str, list[Version]]] = {}
        for version in versions:
            parts = version.key.split("/")
            sender = parts[4] if len(parts) > 5 else ""  # noqa: PLR2004 - emails/YYYY/MM/DD/<sender>/<object>
            days.setdefault("/".join(parts[:4]), {}).setdefault(sender, []).append(version)
        for day, senders in days.items():
            objects = [version for group in senders.values() for version in group]
            folder = root.add(Text.assemble((f"{day}/", "cyan"), (f"  {counted(len(objects), 'object')}", "dim")))
            if "" in senders:
                _add_objects(folder, _every_kind(senders[""], notes), len(set(notes.values())), "more", notes)
                continue
            for sender in _varied(sorted(senders)):
                _add_objects(
                    folder.add(Text(f"{sender}/", style="cyan")), senders[sender], 1, "more of this sender", notes
                )
            if len(senders) > SENDERS_SHOWN:
                folder.add(Text(f"... {len(senders) - SENDERS_SHOWN} more senders", style="dim"))
        self._block(root)

    def document(self, key: str, content: bytes) -> None:
        """Show one object, pretty-printed and shortened."""
        self.console.print(Text(f"  s3://{BUCKET}/{key}", style="cyan"), soft_wrap=True)
        pretty = json.dumps(_shortened(json.loads(content)), indent=2, ensure_ascii=False)
        self._block(JSONHighlighter()(pretty))

    def counters(self, figures: Figures) -> None:
        """Show what the service counted, and under which name Prometheus finds it."""
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bold")
        table.add_column()
        table.add_column(style="dim")
        for value, text, metric in (
            (figures.received, "received", "messages_received_total"),
            (figures.archived, "archived", "messages_archived_total"),
            (figures.quarantined, "quarantined", "messages_quarantined_total"),
            (figures.duplicates, "duplicates", "messages_duplicate_total"),
            (figures.uploads_failed, "uploads failed, tried again", "aws_requests_total"),
            (figures.leases_lost, "leases lost", "leases_lost_total"),
        ):
            table.add_row(f"{value:,}", text, f"{PREFIX}_{metric}")
        self.heading("What the service counted")
        self._block(table)

    def claims(self, claims: Sequence[Claim]) -> None:
        """Show what was checked, and whether it holds."""
        for claim in claims:
            mark = Text("  ✓", style="bold green") if claim.is_good else Text("  ✗", style="bold red")
            self._line(mark, Text(claim.text))

    def title(self, version: str, messages: int, broken: int, outage: float) -> None:
        """Say what this is, and what will happen."""
        through = f"{outage:g} seconds without S3 and " if outage else ""
        self.say(
            f"[bold]email-processor {version}, the demo[/]",
            "[dim]The real service, with an SQS and an S3 in memory. No account is touched.[/]",
            f"[dim]It gets {messages} messages, {broken} of them broken on purpose, and has to bring them through[/]",
            f"[dim]{through}a second delivery. On the left are the seconds since the start.[/]",
            "",
        )

    def farewell(self, program: str, *, is_kept: bool) -> None:
        """Say that nothing is left, and what to do next."""
        self.say("", "Everything was in memory and is gone.")
        self.heading("Next")
        if not is_kept:
            self.say(
                "  Leave it running, look around, and turn S3 off and on with a key:",
                f"    [bold]{program} demo --keep[/]",
            )
        self.say(
            "  Use your own queue and bucket:",
            "    [bold]export SQS_QUEUE_URL=https://sqs.us-east-1.amazonaws.com/123456789012/emails[/]",
            "    [bold]export S3_BUCKET_NAME=my-email-archive AWS_REGION=us-east-1[/]",
            f"    [bold]{program} check[/]     [dim]what is wrong, and its fix[/]",
            f"    [bold]{program} run[/]       [dim]the service[/]",
            f"    [bold]{program} send 100[/]  [dim]in another terminal[/]",
        )

    def problem(self, detail: str, fix: str = "") -> None:
        """Say what went wrong, and what to do about it, as the other commands do."""
        self.console.print(Text.assemble(("error: ", "bold red"), detail), soft_wrap=True)
        if fix:
            self.console.print(Text(f"  fix: {fix}"), soft_wrap=True)


def _every_kind(versions: Sequence[Version], notes: Mapping[str, str]) -> Sequence[Version]:
    """The same, but one with each note first."""
    first = {notes.get(version.message_id, ""): version for version in reversed(versions)}
    return [
        *sorted(first.values(), key=lambda version: version.key),
        *(it for it in versions if it not in first.values()),
    ]


def _add_objects(folder: Tree, versions: Sequence[Version], shown: int, rest: str, notes: Mapping[str, str]) -> None:
    for version in versions[:shown]:
        name = version.key.rpartition("/")[2]
        note = notes.get(version.message_id, "")
        folder.add(Text.assemble(name, (f"  {_size(version.size)}", "dim"), (f"  {note}", "yellow")))
    if len(versions) > shown:
        folder.add(Text(f"... {len(versions) - shown} {rest}", style="dim"))


def _varied(names: Sequence[str]) -> Sequence[str]:
    """Some of the names, from all over their order, other scripts than ours first among them."""
    ours = [name for name in names if name.isascii()]
    others = [name for name in names if not name.isascii()]
    shown = _spread(others, SENDERS_SHOWN - min(len(ours), SENDERS_SHOWN // 2))
    return _spread(ours, SENDERS_SHOWN - len(shown)) + shown


def _spread(names: Sequence[str], most: int) -> list[str]:
    shown = min(most, len(names))
    return [names[index * len(names) // shown] for index in range(shown)]


def _shortened(value: Any) -> Any:  # noqa: ANN401 - JSON is any of six types
    match value:
        case str() if len(value) > TEXT_SHOWN:
            return f"{value[:TEXT_SHOWN]}... ({len(value):,} characters)"
        case dict():
            return {name: _shortened(part) for name, part in value.items()}
        case list():
            return [_shortened(part) for part in value]
        case _:
            return value


def _size(size: int) -> str:
    return f"{size:,} B" if size < 10_000 else f"{size / 1024:,.0f} KiB"  # noqa: PLR2004 - four digits read well
