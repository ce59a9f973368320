"""The options of the commands on the archive. What they do is imported when it is done."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class

from email_processor.domain.errors import Reason
from email_processor.tools.archive.days import MovingDay
from email_processor.tools.loading import loading

if TYPE_CHECKING:
    from email_processor.tools.archive.quarantine import Rejected
    from email_processor.tools.archive.record import Because
    from email_processor.tools.archive.selection import Selection

OUTPUTS = ("table", "keys", "jsonl", "json")
MOST_REQUESTS = 10_000
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class _Day(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A day in UTC: `2026-10-01`, `today` or `yesterday`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:  # noqa: ANN401 - as click has it
        if isinstance(value, date):
            return value
        today = MovingDay.now()
        named = {"today": today, "yesterday": today - timedelta(days=1)}
        try:
            if value in named or _DAY.fullmatch(value):
                return named.get(value) or date.fromisoformat(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}.", param, ctx)
        return self.fail(f"{value!r} is no day; write it as 2026-10-01, in UTC, or say today or yesterday.", param, ctx)


class _MessageId(click.ParamType):  # type: ignore[type-arg]  # as above
    """The id that SQS gave a message: never empty, as an unset variable of a shell is, for that means all."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - as click has it
        if value.strip() and value.isprintable():
            return str(value)
        return self.fail(f"{value!r} is no message id; if it comes from a variable, see that it is set.", param, ctx)


class _KeyOrId(_MessageId):
    """An object's key, in which a slash stands, or a message id."""

    name = "key or id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - as click has it
        return str(value) if "/" in value else super().convert(value, param, ctx)


DAY = _Day()
_MESSAGE_ID = _MessageId()
_PATH = click.Path(path_type=Path)
Command = Callable[..., Any]


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_DAYS = _options(
    click.option(
        "--day", type=DAY, metavar="DAY", help="One day, in UTC, by when the queue first handed the mail out."
    ),
    click.option("--since", type=DAY, metavar="DAY", help="The first day."),
    click.option("--until", type=DAY, metavar="DAY", help="The last day; today if not given."),
)
_ID = click.option("--id", "message_id", type=_MESSAGE_ID, metavar="ID", help="The message id that SQS gave it.")
_MAILS = _options(
    click.option("--from", "sender", metavar="ADDRESS|NAME", help="An address, or what stands before its @."),
    _DAYS,
    _ID,
    click.option("--subject", metavar="REGEX", help="Only if the subject has this, in any case. Reads every mail."),
    click.option("--text", metavar="REGEX", help="Only if the content has this, in any case. Reads every mail."),
)
_MOST_REQUESTS = click.option(
    "--max-requests",
    "most_requests",
    type=click.IntRange(min=1),
    default=MOST_REQUESTS,
    show_default=True,
    help="Stop with exit code 2 when more would be needed.",
)
_NO_LIMIT = click.option(
    "--max-requests",
    "most_requests",
    type=click.IntRange(min=1),
    help="Stop with exit code 2 when more would be needed; what is done by then is whole.  [default: no limit]",
)
_TABLE_OR_JSON = click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="For people or machines."
)
_PLAN = click.option("--plan", "is_plan", is_flag=True, help="Only say what it takes: requests, price, time.")


def _which(command: Command) -> Command:
    """Options that say which mails are meant, for a command that takes them as a `selection`."""

    @wraps(command)
    def selected(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        names = ("sender", "day", "since", "until", "message_id", "subject", "text", "quarantine")
        given = {name: options.pop(name, None) for name in names}
        return command(*arguments, selection=_selection(given), **options)

    return _MAILS(selected)


def _recorded(command: Command) -> Command:
    """Options of the access record, for a command that takes them as a `reason`."""

    @wraps(command)
    def recorded(*arguments: Any, because: str, record: bool, **options: Any) -> Any:  # noqa: ANN401 - as above
        with loading():
            from email_processor.tools.archive.record import Because

        return command(*arguments, reason=Because(because, is_stored=record), **options)

    return _options(
        click.option("--because", default="", metavar="TEXT", help="Why: it stands in the access record."),
        click.option("--record", is_flag=True, help="Store the access record as an object, too."),
    )(recorded)


def _selection(options: Mapping[str, Any]) -> "Selection":
    with loading():
        from email_processor.tools.archive.selection import Selection, days_of, pattern_of, sender_of

    given = defaultdict(lambda: None, options)
    sender = given["sender"]
    if given["quarantine"] and (sender or given["subject"] or given["text"]):
        raise click.UsageError(
            "A message in quarantine is no email: it has no sender, subject or text to look for. `quarantine ls` "
            "groups them by reason."
        )
    first, last = days_of(given["day"], given["since"], given["until"])
    folder, address = ("", "") if sender is None else sender_of(sender)
    return Selection(
        first=first,
        last=last,
        folder=folder,
        address=address,
        message_id=given["message_id"] or "",
        subject=pattern_of(given["subject"], "--subject"),
        text=pattern_of(given["text"], "--text"),
        quarantine=bool(given["quarantine"]),
    )


def _examples(*lines: str) -> str:
    """Commands as they are typed, below the options."""
    return "\n".join(["\b", "For example:", *(f"  email-processor {line}" for line in lines)])


def _refuse(context: click.Context, *names: str, because: str) -> None:
    """Refuse those of the options that stand on the command line: they would do nothing, `because` of another one."""
    source = click.core.ParameterSource.COMMANDLINE
    if useless := [name for name in names if context.get_parameter_source(name) is source]:
        raise click.UsageError(f"{because}, so --{' and --'.join(useless)} would do nothing.")


@click.command(
    short_help="Find mails by day, sender, id or words.",
    epilog=_examples(
        "find --from john.doe@example.com --since 2026-10-01 --until 2026-10-31",
        "find --day yesterday --subject invoice --output jsonl",
        "find --id 5fea7756-0ea4-451a-a703-a558b933e274 --day 2026-10-01",
    ),
)
@_which
@click.option("--quarantine", is_flag=True, help="Look in the quarantine instead.")
@click.option(
    "--output",
    type=click.Choice(OUTPUTS),
    default="table",
    show_default=True,
    help="keys: for xargs; jsonl: one JSON object a line; json: one document.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@_MOST_REQUESTS
@_PLAN
@click.pass_context
def find(
    context: click.Context,
    *,
    selection: "Selection",
    output: str,
    limit: int | None,
    most_requests: int,
    is_plan: bool,
) -> int:
    """Find mails by day, sender, id or words, in key order: by day, sender and id.

    A sender and a day are one request. Results are on stdout; what it took and cost is on stderr. Needs s3:ListBucket,
    and s3:GetObject where keys do not tell (a whole address, --subject, --text).
    """
    if is_plan:
        _refuse(context, "output", "limit", because="With --plan nothing is found")
    with loading():
        from email_processor.tools.archive import find as finding

    if is_plan:
        return finding.plan(selection)
    return finding.find(selection, output, limit=limit, most_requests=most_requests)


@click.command(
    short_help="Show one mail, safely.",
    epilog=_examples(
        "show emails/2026/10/01/john.doe/5fea7756-0ea4-451a-a703-a558b933e274_143022.json",
        "show 5fea7756-0ea4-451a-a703-a558b933e274 --day 2026-10-01 --html mail.html",
    ),
)
@click.argument("target", type=_KeyOrId(), metavar="KEY|ID")
@_DAYS
@click.option("--raw", is_flag=True, help="Print the object as it is.")
@click.option("--eml", is_flag=True, help="Print it as mail programs read it (RFC 5322).")
@click.option("--html", "page", type=_PATH, metavar="FILE", help="Write a web page that can do nothing.")
@_MOST_REQUESTS
def show(
    *,
    target: str,
    day: date | None,
    since: date | None,
    until: date | None,
    raw: bool,
    eml: bool,
    page: Path | None,
    most_requests: int,
) -> int:
    """Show one mail, found by its key, or by its message id and its day.

    Nothing that a sender wrote can steer the terminal: control characters are shown as escapes. In the web page the
    mail stands in a frame without any right, and what it wants to load from elsewhere is blocked and counted. Needs
    s3:GetObject, and s3:ListBucket for an id.
    """
    if raw + eml + (page is not None) > 1:
        raise click.UsageError("--raw, --eml and --html are three ways: choose one.")
    form = "raw" if raw else "eml" if eml else "text"
    with loading():
        from email_processor.tools.archive import show as showing

    return showing.show(_target(target, day, since, until), form, page=page, most_requests=most_requests)


def _target(target: str, day: date | None, since: date | None, until: date | None) -> "str | Selection":
    """A key as it is, an id with its days."""
    if "/" in target:
        if day or since or until:
            raise click.UsageError("A key says its day itself: leave out --day, --since and --until.")
        return target
    return _selection({"message_id": target, "day": day, "since": since, "until": until})


@click.command(
    short_help="Take mails out of the archive, with a manifest.",
    epilog=_examples(
        "export --from john.doe@example.com --since 2026-10-01 --format eml --to john.zip",
        "export --day 2026-10-01 --format jsonl --to day.jsonl --because 'case 17'",
        "export --day 2026-10-01 --format jsonl --to day.jsonl --because 'case 17' --resume",
    ),
)
@_which
@click.option("--quarantine", is_flag=True, help="Take what is in quarantine instead; raw or jsonl.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["raw", "jsonl", "eml", "mbox"]),
    required=True,
    help="raw: the objects as they are; jsonl: one object a line; eml, mbox: for mail programs.",
)
@click.option(
    "--to",
    type=_PATH,
    required=True,
    metavar="DIR|FILE",
    help="A file for jsonl and mbox; for raw and eml a folder, or a file that ends in .zip.",
)
@click.option("--resume", is_flag=True, help="Go on with an export that did not end; what it has is not read again.")
@_recorded
@_MOST_REQUESTS
@_PLAN
@click.pass_context
def export(
    context: click.Context,
    *,
    selection: "Selection",
    form: str,
    to: Path,
    resume: bool,
    reason: "Because",
    most_requests: int,
    is_plan: bool,
) -> int:
    """Take mails out of the archive: to a file, a folder or a zip archive, in key order.

    Beside it a manifest has the key, the SHA-256 and the size of each object. Until all is there it has the name of
    its place with .part behind it; whatever ends it, --resume goes on where it was. A line on stderr says who took
    what, when and why. Needs s3:ListBucket and s3:GetObject, and s3:PutObject for --record.
    """
    if selection.quarantine and form in {"eml", "mbox"}:
        raise click.UsageError("What is in quarantine is no email: --format raw or jsonl.")
    if to.suffix.lower() == ".zip" and form in {"jsonl", "mbox"}:
        raise click.UsageError(f"--format {form} makes one file, which is no zip archive: name it otherwise.")
    if is_plan:
        _refuse(context, "resume", "record", "because", because="With --plan nothing is taken")
        with loading():
            from email_processor.tools.archive import find as finding

        return finding.plan(selection, reads=True)
    with loading():
        from email_processor.tools.archive import export as exporting

    return exporting.export(selection, form, to, resume=resume, most_requests=most_requests, reason=reason)


@click.command(
    short_help="Say whether a day is as it should be.",
    epilog=_examples("audit --day yesterday", "audit --day 2026-10-01 --counts sent.txt --output json"),
)
@click.option("--day", type=DAY, required=True, metavar="DAY", help="The day, in UTC.")
@click.option(
    "--counts",
    type=_PATH,
    metavar="FILE",
    help="What the producer wrote down: an id a line, or `14 3021` for each hour, or `total 90210`.",
)
@click.option("--full", is_flag=True, help="Read every object, not only what is suspicious.")
@_TABLE_OR_JSON
@_MOST_REQUESTS
def audit(*, day: date, counts: Path | None, full: bool, output: str, most_requests: int) -> int:
    """Say whether a day is as it should be: exit code 0 if it is, 3 if there are findings.

    Found are: two keys of one id, keys that contradict their content, objects that the service did not make, wrong
    suffixes, empty objects, quarantined mails that are archived too, lifecycle rules that delete, and, with --counts,
    what is missing. Content is read only where a key is suspicious, or with --full.

    A day is not over at midnight: after an outage, and from a dead-letter queue, mails are stored under a day that is
    past. Needs s3:ListBucket and s3:GetObject; s3:GetLifecycleConfiguration for the lifecycle rules.
    """
    with loading():
        from email_processor.tools.archive import audit as auditing

    return auditing.audit(day, output, counts=counts, full=full, most_requests=most_requests)


@click.group(short_help="Look into the quarantine, and end it well.")
def quarantine() -> None:
    """Look into the quarantine, release what is an email after all, and discard the rest on the record."""


def _rejected(command: Command) -> Command:
    """Options that say which messages in quarantine are meant, for a command that takes them as `which`."""

    @wraps(command)
    def selected(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        with loading():
            from email_processor.tools.archive.quarantine import Rejected
            from email_processor.tools.archive.selection import days_of

        given = [options.pop(name) for name in ("day", "since", "until")]
        which = Rejected(
            days=days_of(*given) if any(given) else None,
            reason=options.pop("only", None) or "",
            message_id=options.pop("message_id", None) or "",
        )
        return command(*arguments, which=which, **options)

    return _options(
        click.option(
            "--reason", "only", type=click.Choice([reason.value for reason in Reason]), help="Only with this reason."
        ),
        _DAYS,
        _ID,
    )(selected)


@quarantine.command(
    "ls", short_help="Say what is in quarantine, by reason.", epilog=_examples("quarantine ls --since 2026-10-01")
)
@_rejected
@_TABLE_OR_JSON
@_MOST_REQUESTS
def quarantine_ls(*, which: "Rejected", output: str, most_requests: int) -> int:
    """Say what is in quarantine, by reason: how many, since when, of how many senders, and one example.

    It also says how many of them are emails to today's code. Needs s3:ListBucket and s3:GetObject.
    """
    with loading():
        from email_processor.tools.archive import quarantine as looking

    return looking.ls(which, output, most_requests=most_requests)


@quarantine.command(
    "show",
    short_help="Show one message in quarantine, safely.",
    epilog=_examples("quarantine show 5fea7756-0ea4-451a-a703-a558b933e274 --day 2026-10-01"),
)
@click.argument("message_id", type=_MESSAGE_ID, metavar="ID")
@_DAYS
@click.option("--raw", is_flag=True, help="Print the object as it is.")
@_MOST_REQUESTS
def quarantine_show(
    *, message_id: str, day: date | None, since: date | None, until: date | None, raw: bool, most_requests: int
) -> int:
    """Show one message in quarantine: why it is there, what today's code says of it, and its body.

    Without a day all of the quarantine is listed. Needs s3:ListBucket and s3:GetObject.
    """
    with loading():
        from email_processor.tools.archive import quarantine as looking
        from email_processor.tools.archive.selection import days_of

    days = days_of(day, since, until) if day or since or until else None
    return looking.show(looking.Rejected(days, message_id=message_id), raw=raw, most_requests=most_requests)


@quarantine.command(
    "release",
    short_help="Archive what is an email after all.",
    epilog=_examples(
        "quarantine release --reason missing_field --dry-run",
        "quarantine release --since 2026-10-01 --until 2026-10-07 --because 'parser of 1.3.0'",
    ),
)
@_rejected
@click.option("--dry-run", is_flag=True, help="Only say what would become of them.")
@click.option("--keep", is_flag=True, help="Leave them in quarantine, too.")
@_recorded
@_NO_LIMIT
@click.pass_context
def quarantine_release(
    context: click.Context,
    *,
    which: "Rejected",
    dry_run: bool,
    keep: bool,
    reason: "Because",
    most_requests: int | None,
) -> int:
    """Read messages in quarantine again with today's code, and archive those that are emails.

    Each is stored under the key and with the bytes that it would have got at once, read back, and only then deleted
    from the quarantine. Nothing is sent to SQS. Whatever ends it, run it again. Needs s3:ListBucket, s3:GetObject,
    s3:PutObject, and s3:DeleteObject under the quarantine prefix.
    """
    if dry_run:
        _refuse(context, "keep", "because", "record", because="With --dry-run nothing is done")
    with loading():
        from email_processor.tools.archive import release as releasing

    return releasing.release(which, keep=keep, dry=dry_run, most_requests=most_requests, reason=reason)


@quarantine.command(
    "discard",
    short_help="Throw messages in quarantine away.",
    epilog=_examples("quarantine discard --reason not_json --since 2026-10-01 --because 'a load test'"),
)
@_rejected
@click.option("--because", required=True, metavar="TEXT", help="Why: it stands in the access record.")
@_NO_LIMIT
def quarantine_discard(*, which: "Rejected", because: str, most_requests: int | None) -> int:
    """Throw messages in quarantine away, after a record of each is stored: key, SHA-256, reason, who and why.

    Their content is gone then, unless the bucket keeps versions. Say which are meant: by reason, days or id. Needs
    s3:ListBucket, s3:GetObject, s3:PutObject under access-records/, and s3:DeleteObject under the quarantine prefix.
    """
    if which.is_all:
        raise click.UsageError("Which ones? Add --reason, --day, --since or --id: all of it at once is never meant.")
    if not because.strip():
        raise click.UsageError("--because has no reason in it.")
    with loading():
        from email_processor.tools.archive import release as releasing

    return releasing.discard(which, most_requests=most_requests, because=because)


@click.group(short_help="Look at the dead-letter queue, and archive from it.")
def dead() -> None:
    """Look at the dead-letter queue, and archive what is on it under the ids that it has.

    It is the one that the redrive policy of SQS_QUEUE_URL names, or that of --queue-url.
    """


_QUEUE_URL = click.option("--queue-url", metavar="URL", help="The dead-letter queue itself.")


@dead.command("ls", short_help="Say what is on the dead-letter queue.", epilog=_examples("dead ls"))
@_QUEUE_URL
def dead_ls(*, queue_url: str | None) -> int:
    """Say how many messages are on the dead-letter queue, and what would become of a few of them.

    These are visible again at once. A queue that has a redrive policy itself counts receives: of its messages none is
    looked at. Needs sqs:GetQueueAttributes, sqs:GetQueueUrl without --queue-url, and sqs:ReceiveMessage.
    """
    with loading():
        from email_processor.tools.archive import dead as ending

    return ending.ls(queue_url)


@dead.command("archive", short_help="Archive what is on the dead-letter queue.", epilog=_examples("dead archive"))
@_QUEUE_URL
def dead_archive(*, queue_url: str | None) -> int:
    """Archive what is on the dead-letter queue, as the service would have done, until it is empty.

    A message that SQS moved there has kept its id: it is stored under it, once, and deleted when it is durable. What is
    no email goes into the quarantine. Nothing is sent to SQS. Ctrl-C ends it in good order. Needs what the service
    needs, on that queue.
    """
    with loading():
        from email_processor.tools.archive import dead as ending

    return ending.archive(queue_url)


@click.command(
    short_help="Print what makes a shell complete these commands.",
    epilog=_examples("completion bash > ~/.local/share/bash-completion/completions/email-processor"),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and their values."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"{shell} is not known.")
    script = found(context.find_root().command, {}, "email-processor", "_EMAIL_PROCESSOR_COMPLETE").source()
    click.echo(script)


COMMANDS = (find, show, export, audit, quarantine, dead, completion)
