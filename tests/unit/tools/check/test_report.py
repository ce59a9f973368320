"""The report, written down."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from email_processor import __version__
from email_processor.domain.errors import SettingsError
from email_processor.ports import Stored
from email_processor.settings import Problem
from email_processor.tools.check.check import exit_code, judge
from email_processor.tools.check.examine import AwsFacts
from email_processor.tools.check.findings import Finding, Status, failed, ok, skipped, warning
from email_processor.tools.check.inspect.asking import Unasked
from email_processor.tools.check.inspect.bucket import HeadAnswer, PrefixFacts, Written
from email_processor.tools.check.report import (
    CheckReport,
    print_report,
    report_of,
    to_json,
    to_text,
    unreadable,
    wants_colour,
)
from tests.unit.tools.check.known import BUCKET, IDENTITY, NO_WRITE, QUEUE_URL, S3, SQS, bucket, facts, queue, settings

WRITTEN = Written("k", Stored.CREATED, Stored.ALREADY_THERE, b"{}")
EVERYWHERE = dict.fromkeys(BUCKET.prefixes, PrefixFacts(may_put=True, written=WRITTEN))
SHOWN = facts(queue=queue(receive=0).queue, bucket=bucket(prefixes=EVERYWHERE).bucket)
GOOD = ok("EP303", "there")
WARNED = warning("EP312", "1 h", fix="Keep them:\naws sqs ...")
BAD = failed("EP405", "denied", error="AccessDenied: No.", fix="Allow it.")
WRONG = failed("EP101", "is required and not set", fix="For example:\nHTTP_PORT=1", about="HTTP_PORT")


def report(*findings: Finding) -> CheckReport:
    """A report of these findings."""
    return report_of(settings(), [], facts(), findings)


class TerminalStream(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def test_head() -> None:
    """Version, region, account and role come first, then where requests go."""
    assert [
        f"email-processor {__version__} check",
        "  region    us-east-1",
        "  account   123456789012",
        f"  identity  {IDENTITY.arn}",
        f"  queue     {QUEUE_URL}",
        "  bucket    archive",
        f"  SQS at    {SQS}",
        f"  S3 at     {S3}",
    ] == to_text(report(GOOD), colour=False).splitlines()[:8]


def test_head_with_two_addresses() -> None:
    """Where PUTs go elsewhere, that is shown at once."""
    known = bucket(put_endpoint="https://elsewhere")
    text = to_text(report_of(settings(), [], known, [GOOD]), colour=False)
    assert f"  S3 at     {S3} (PUTs: https://elsewhere)" in text.splitlines()


def test_head_with_two_regions() -> None:
    """A queue in another region than the bucket is told at once, and nothing is wrong with it."""
    there = replace(BUCKET, region="eu-west-1", seen=HeadAnswer(403, "eu-west-1"))
    known = facts(settings=settings(aws_region="eu-west-1"), bucket=there)
    two = report_of(known.settings, [], known, judge(known))
    assert "  region    eu-west-1 (the queue's: us-east-1)" in to_text(two, colour=False).splitlines()
    document = json.loads(to_json(two))
    assert ("eu-west-1", "us-east-1") == (document["region"], document["queue_region"])
    assert [] == [finding.code for finding in two.findings if finding.status in {Status.FAILED, Status.WARNING}]


def test_head_of_what_is_not_known() -> None:
    """A value that only stands in for a wrong one is not shown."""
    problems = [Problem((name,), "", "") for name in ("AWS_REGION", "SQS_QUEUE_URL", "S3_BUCKET_NAME")]
    no = Unasked("a valid AWS_REGION")
    known = facts(who=no, queue=no, bucket=no)
    lines = to_text(report_of(settings(), problems, known, [GOOD]), colour=False).splitlines()
    assert [f"  {name:9} unknown" for name in ("region", "account", "identity", "queue", "bucket")] == lines[1:6]
    assert "" == lines[6]


def test_lines() -> None:
    """Lines are aligned; what is not well has its error, its fix and its link below."""
    lines = to_text(report(GOOD, WARNED, BAD), colour=False).splitlines()
    assert [
        "",
        "Queue",
        "ok   EP303 exists        there",
        "WARN EP312 retention     1 h",
        "           fix:   Keep them:",
        "                  aws sqs ...",
        "           docs:  docs/check.md#ep312",
        "",
        "Bucket",
        "FAIL EP405 s3:PutObject  denied",
        "           error: AccessDenied: No.",
        "           fix:   Allow it.",
        "           docs:  docs/check.md#ep405",
        "",
        "1 failed, 1 warning, 1 ok, 0 skipped. The service cannot do its work until what failed is mended.",
    ] == lines[8:]


def test_skipped_lines() -> None:
    """Neighbours that are skipped for the same reason share a line."""
    found = [skipped(code, "needs credentials") for code in ("EP304", "EP305", "EP306")] + [skipped("EP307", "no")]
    lines = to_text(report(GOOD, *found), colour=False).splitlines()
    assert [
        "-    EP304 to EP306                     skipped: needs credentials",
        "-    EP307 sqs:ChangeMessageVisibility  skipped: no",
    ] == lines[11:13]


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([GOOD], "The service can do its work."),
        ([GOOD, WARNED], "The service can do its work."),
        ([GOOD, skipped("EP501", "shows with --write")], "The service can do its work."),
        ([BAD], "The service cannot do its work until what failed is mended."),
        ([BAD, WRONG], "The service does not start with these settings."),
    ],
)
def test_verdict(findings: list[Finding], verdict: str) -> None:
    """The last line says what it comes to, where all of the service's work was shown."""
    shown = report_of(settings(), [], SHOWN, findings)
    assert to_text(shown, colour=False).endswith(f" skipped. {verdict}")


@pytest.mark.parametrize(
    ("known", "what"),
    [
        (facts(), "receive and store; --write receives and stores for real."),
        (None, "receive, store and delete."),
        (facts(queue=Unasked("a valid AWS_CLIENT"), bucket=SHOWN.bucket), "receive and delete."),
        (facts(queue=SHOWN.queue, bucket=Unasked("a valid AWS_CLIENT")), "store."),
        (replace(SHOWN, queue=queue(receive=Unasked("an empty queue")).queue), "receive."),
        (facts(queue=SHOWN.queue), "store; --write receives and stores for real."),
        (
            replace(SHOWN, bucket=bucket(prefixes={**EVERYWHERE, "emails": PrefixFacts(True, NO_WRITE)}).bucket),
            "store; --write receives and stores for real.",
        ),
    ],
)
def test_verdict_where_something_was_not_shown(known: AwsFacts | None, what: str) -> None:
    """It follows from what was asked, never from the words of a finding; --write is named where it would show more."""
    verdict = f"Nothing found that stops the service, but it is not shown that it can {what}"
    found = report_of(settings(), [], known, [GOOD, skipped("EP408", "needs --write")])
    assert to_text(found, colour=False).endswith(f" skipped. {verdict}")


@pytest.mark.parametrize(
    ("findings", "strict", "code"),
    [
        ([GOOD, WARNED], False, 0),
        ([GOOD, WARNED], True, 1),
        ([GOOD], True, 0),
        ([GOOD, BAD], False, 1),
        ([WRONG, BAD], False, 2),
    ],
)
def test_exit_code(findings: list[Finding], strict: bool, code: int) -> None:
    """Warnings count only if asked to; wrong settings come first."""
    assert code == exit_code(report(*findings), strict=strict)


def test_json() -> None:
    """One document, with everything in it."""
    document = json.loads(to_json(report(GOOD, BAD)))
    assert {
        "version": __version__,
        "region": "us-east-1",
        "queue_region": "us-east-1",
        "account": "123456789012",
        "identity": IDENTITY.arn,
        "queue": QUEUE_URL,
        "bucket": "archive",
        "endpoint": {"sqs": SQS, "s3": S3, "s3_put": S3},
        "findings": [
            {
                "code": "EP303",
                "group": "queue",
                "title": "exists",
                "status": "ok",
                "evidence": "there",
                "error": "",
                "fix": "",
                "docs": "docs/check.md#ep303",
            },
            {
                "code": "EP405",
                "group": "bucket",
                "title": "s3:PutObject",
                "status": "failed",
                "evidence": "denied",
                "error": "AccessDenied: No.",
                "fix": "Allow it.",
                "docs": "docs/check.md#ep405",
            },
        ],
        "summary": {"ok": 1, "warning": 0, "failed": 1, "skipped": 0},
    } == document


def test_json_without_aws() -> None:
    """What was not looked at is null."""
    document = json.loads(to_json(report_of(settings(), [], None, [GOOD])))
    assert (None, None) == (document["account"], document["identity"])
    assert {"sqs": None, "s3": None, "s3_put": None} == document["endpoint"]


def test_settings_that_cannot_be_read() -> None:
    """A `.env` file that cannot be read is a failure of the settings."""
    made = unreadable(SettingsError("The file .env cannot be read.", fix="Remove it."))
    assert 2 == exit_code(made, strict=False)
    assert [
        "FAIL EP101 settings  cannot be read",
        "           error: The file .env cannot be read.",
        "           fix:   Remove it.",
    ] == to_text(made, colour=False).splitlines()[8:11]


def test_nothing_foreign_reaches_the_terminal() -> None:
    """Control characters of AWS's words, and passwords in URLs, are taken out of evidence, error and fix."""
    foreign = failed(
        "EP301",
        "no answer\x1b[2J",
        error='connect to "http://jo:hunter2@proxy/"\r\n\u202eok',
        fix="Look at https://jo:hunter2@host:\nrun\x07 this",
    )
    (finding,) = report(foreign).findings
    assert ("no answer [2J", 'connect to "http://proxy/" ok', "Look at https://host:\nrun this") == (
        finding.evidence,
        finding.error,
        finding.fix,
    )


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (TerminalStream(), {"TERM": "xterm"}, True),
        (TerminalStream(), {"TERM": "dumb"}, False),
        (TerminalStream(), {"NO_COLOR": "1"}, False),
        (TerminalStream(), {"NO_COLOR": ""}, True),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (TerminalStream(), {"FORCE_COLOR": "0"}, False),
    ],
)
def test_colour(stream: io.StringIO, environment: Mapping[str, str], expected: bool) -> None:
    """Colour is for terminals, unless the reader says otherwise."""
    assert expected is wants_colour(stream, environment)


def test_coloured_text_is_the_same_text() -> None:
    """Colour adds nothing that is not there without."""
    made = report_of(settings(), [], facts(), list(judge(facts())))
    assert "\x1b[32mok  \x1b[0m EP303" in to_text(made, colour=True)
    assert "\x1b" not in to_text(made, colour=False)


def test_stream_that_holds_only_ascii() -> None:
    """An old terminal gets escapes in place of what it cannot show."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, "ascii") as stream:
        print_report(report(ok("EP303", "Grüße")), stream, as_json=False)
        stream.flush()
        shown = raw.getvalue().decode("ascii")
    assert "exists  Gr\\xfc\\xdfe" in shown
