"""What the demo prints: plain where nobody can redraw lines, in colour and with a bar on a terminal."""

import io
import json
import re

import pytest
from rich.console import Console

from email_processor.tools.demo.cloud import Version
from email_processor.tools.demo.figures import Figures
from email_processor.tools.demo.proof import Claim
from email_processor.tools.demo.screen import Screen

ESCAPE = "\x1b"


def without_colour(output: io.StringIO) -> str:
    """What a terminal would show, roughly."""
    return re.sub(f"{ESCAPE}\\[[0-9;]*m", "", output.getvalue())


def version(key: str, size: int = 100) -> Version:
    """One version of an object, written at no particular time."""
    return Version(key, size, "tag", "now")


@pytest.fixture
def output() -> io.StringIO:
    """Where it is printed to."""
    return io.StringIO()


@pytest.fixture
def plain(output: io.StringIO) -> Screen:
    """A screen that is a file."""
    return Screen(Console(file=output, width=160, highlight=False))


@pytest.fixture
def live(output: io.StringIO) -> Screen:
    """A screen that is a terminal of the usual width."""
    return Screen(Console(file=output, width=80, highlight=False, force_terminal=True, _environ={"TERM": "xterm"}))


def test_a_file_gets_whole_lines_without_colour(plain: Screen, output: io.StringIO) -> None:
    """However long they are, and without blanks at their ends."""
    plain.event(f"[cyan]{'long ' * 100}[/]end")
    plain.tree([version("emails/2024/12/10/john/id_143022.json")], {})
    plain.counters(Figures(received=1234))
    lines = output.getvalue().splitlines()
    assert lines[0].endswith("long end")
    assert [] == [line for line in lines if line != line.rstrip()]
    assert ESCAPE not in output.getvalue()
    assert "  1,234  received" in output.getvalue()


def test_a_terminal_gets_lines_that_fit(live: Screen, output: io.StringIO) -> None:
    """A long event goes on beside its time, not under it."""
    live.event("word " * 30)
    lines = without_colour(output).splitlines()
    assert len(lines) > 2
    assert re.match(r" +\d+\.\d s word", lines[0])
    assert {" " * 8} == {line[:8] for line in lines[1:]}
    assert max(map(len, lines)) <= 80


def test_a_bar_is_for_terminals_only(plain: Screen, live: Screen, output: io.StringIO) -> None:
    """In a file it would be noise."""
    figures = Figures(archived=3, quarantined=1, in_flight=2)
    with plain.progress(8):
        plain.show(figures)
    assert "" == output.getvalue()
    with live.progress(8):
        live.show(figures)
        live.show(Figures(archived=4, circuit_open=True))
    assert "archived 4  quarantined 0  in flight 0  circuit open" in without_colour(output)
    assert "━━━━━━" in output.getvalue()


def test_a_file_gets_a_line_after_some_silence(
    plain: Screen, output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever watches it sees that something is going on, and what is waited for."""
    monkeypatch.setattr("email_processor.tools.demo.screen.QUIET_SECONDS", 0)
    with plain.progress(8):
        plain.show(Figures(archived=3, circuit_open=True))
        plain.waiting_for("S3 is back in 3 s")
    with plain.progress():
        plain.show(Figures(archived=4))
    plain.show(Figures(archived=5))
    figures = "archived 3  quarantined 0  in flight 0  circuit open"
    lines = [re.sub(r"^ +[\d.]+ s ", "", line) for line in output.getvalue().splitlines()]
    assert [figures, f"{figures}  S3 is back in 3 s"] == lines


def test_what_is_waited_for_is_below_the_figures(live: Screen, output: io.StringIO) -> None:
    """For as long as it is."""
    with live.progress(8):
        live.show(Figures(archived=3))
        live.waiting_for("S3 is back in 3 s")
    assert "S3 is back in 3 s" in without_colour(output)


def test_only_a_terminal_shows_what_is_being_done(plain: Screen, live: Screen, output: io.StringIO) -> None:
    """It comes and goes."""
    with plain.busy("Reading"):
        pass
    assert "" == output.getvalue()
    with live.busy("Reading"):
        pass
    assert "Reading" in output.getvalue()


@pytest.mark.parametrize(("outage", "through"), [(3.0, "3 seconds without S3 and a second"), (0.0, "a second")])
def test_it_says_at_once_what_will_happen(plain: Screen, output: io.StringIO, outage: float, through: str) -> None:
    """How many messages, how long without S3, and what the numbers on the left are."""
    plain.title("1.0.0", 300, 15, outage)
    said = " ".join(output.getvalue().split())
    assert f"It gets 300 messages, 15 of them broken on purpose, and has to bring them through {through}" in said
    assert "On the left are the seconds since the start." in said


def test_figures_may_come_while_nothing_is_shown(plain: Screen, live: Screen, output: io.StringIO) -> None:
    """The service is followed from before the bar to after it."""
    for screen in (plain, live):
        screen.show(Figures(archived=3))
    assert "" == output.getvalue()


def test_figures_are_shown_without_a_total(live: Screen, output: io.StringIO) -> None:
    """When it is kept, nobody knows how many will come."""
    live.show(Figures(archived=3))
    with live.progress():
        pass
    assert "archived 3  quarantined 0  in flight 0  circuit closed" in without_colour(output)
    assert "━" not in output.getvalue()


def test_the_tree_shows_some_senders_of_every_script_and_counts_the_rest(plain: Screen, output: io.StringIO) -> None:
    """One object of each, and of a sender with several how many more there are."""
    names = [f"sender.{number:02}" for number in range(40)] + ["γιώργος", "王丽华"]
    versions = [version(f"emails/2024/12/10/{name}/{number}_143022.json") for number in range(2) for name in names]
    plain.tree(sorted(versions, key=lambda it: it.key), {})
    shown = output.getvalue()
    assert "s3://email-archive" in shown
    assert "emails/2024/12/10/  84 objects" in shown
    assert 8 == shown.count("... 1 more of this sender")
    assert "γιώργος/" in shown
    assert "王丽华/" in shown
    assert "... 34 more senders" in shown


def test_the_tree_shows_every_reason_of_quarantine(plain: Screen, output: io.StringIO) -> None:
    """Beside the object that has it."""
    versions = [version(f"quarantine/2024/12/10/{number:02}.json", 20_000) for number in range(12)]
    notes = {f"{number:02}": "not_json" for number in range(11)} | {"11": "too_deep"}
    plain.tree(versions, notes)
    lines = [line.strip("│├└─ ") for line in output.getvalue().splitlines()]
    assert ["00.json  20 KiB  not_json", "11.json  20 KiB  too_deep", "... 10 more"] == lines[2:]


def test_a_document_is_pretty_printed_with_its_long_texts_cut(plain: Screen, output: io.StringIO) -> None:
    """Other values are as they are stored."""
    plain.document("emails/x.json", json.dumps({"a": "x" * 1000, "b": [1.5, None, "短い"], "[bold]": True}).encode())
    assert output.getvalue().splitlines() == [
        "  s3://email-archive/emails/x.json",
        "  {",
        f'    "a": "{"x" * 96}... (1,000 characters)",',
        '    "b": [',
        "      1.5,",
        "      null,",
        '      "短い"',
        "    ],",
        '    "[bold]": true',
        "  }",
    ]


def test_of_the_log_only_what_an_outage_brings_is_shown(plain: Screen, output: io.StringIO) -> None:
    """The first line that says that S3 fails, and after its end the first that says that it works."""
    failing = {"event": "failing", "level": "error", "part": "storing", "error": "503", "seconds": 0.0}
    recovered = {"event": "recovered", "level": "info", "part": "storing", "seconds": 3.2}
    for entry in ({"event": "started", "level": "info"}, failing, recovered):
        plain.log_line(entry)
    for _ in range(2):
        plain.outage("down", begins=True)
        for entry in (recovered, failing, recovered, failing):
            plain.log_line(entry)
        plain.outage("back", begins=False)
        for entry in (failing, recovered, failing, recovered):
            plain.log_line(entry)
    shown = [re.sub(r"^ +[\d.]+ s ", "", line) for line in output.getvalue().splitlines()]
    first = "    log ERROR failing part=storing error=503 seconds=0.0"
    last = "    log INFO recovered part=storing seconds=3.2"
    assert shown == ["down", first, "back", last] * 2


def test_a_line_of_the_log_is_cut_on_a_terminal(live: Screen, output: io.StringIO) -> None:
    """One line is enough there."""
    live.outage("down", begins=True)
    live.log_line({"event": "failing", "level": "error", "error": "x" * 500})
    _, line = without_colour(output).splitlines()
    assert len(line.rstrip()) <= 80


def test_verdicts_are_marked(plain: Screen, output: io.StringIO) -> None:
    """So that a failed one cannot be missed."""
    plain.claims([Claim("this holds", is_good=True), Claim("this does not", is_good=False)])
    assert ["  ✓ this holds", "  ✗ this does not"] == output.getvalue().splitlines()


def test_a_problem_comes_with_its_fix_if_it_has_one(plain: Screen, output: io.StringIO) -> None:
    """As the other commands print it."""
    plain.problem("it broke", "mend it")
    plain.problem("it [broke] again")
    assert ["error: it broke", "  fix: mend it", "error: it [broke] again"] == output.getvalue().splitlines()


@pytest.mark.parametrize("is_kept", [False, True])
def test_it_ends_with_the_next_command(plain: Screen, output: io.StringIO, *, is_kept: bool) -> None:
    """Keeping it running is suggested to those who did not."""
    plain.farewell("bin/email-processor", is_kept=is_kept)
    shown = output.getvalue()
    assert ("bin/email-processor demo --keep" in shown) is not is_kept
    for command in ("check", "run", "send 100"):
        assert f"bin/email-processor {command}" in shown
