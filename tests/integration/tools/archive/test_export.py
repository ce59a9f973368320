"""`export` as it is typed: what it takes, what it says of it, and how it ends."""

import json
import os
import signal
import subprocess
import threading
import zipfile
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from email_processor.tools.archive.days import MovingDay
from email_processor.tools.archive.reader import OBJECTS_AT_ONCE
from email_processor.tools.archive.selection import days_said
from tests.integration.tools.archive.conftest import Place
from tests.support.emulators import BIN
from tests.support.fault_proxy import fault_proxy, held_until
from tests.support.mail import email
from tests.support.waiting import eventually
from tests.unit.tools.archive.kit import made

OBJECTS = dict(
    made(f"m{number:03}", email(f"ann.{number % 7}@example.com", content=str(number))) for number in range(30)
)
ON_THE_DAY = ("--day", "2024-12-10")
TO_A_FILE = ("--format", "jsonl", "--to", "day.jsonl")


def test_a_day_is_exported_with_a_record_of_it(place: Place) -> None:
    """In key order, with a manifest; who did it and why is a line on stderr, and an object."""
    place.add(OBJECTS)
    ended = place.run("export", *ON_THE_DAY, *TO_A_FILE, "--because", "audit", "--record")
    assert (0, "") == (ended.exit_code, ended.stdout)
    keys = sorted(OBJECTS)
    assert b"".join(OBJECTS[key] + b"\n" for key in keys) == Path("day.jsonl").read_bytes()
    _, *lines, _ = map(json.loads, Path("day.jsonl.manifest.jsonl").read_text().splitlines())
    assert [(key, sha256(OBJECTS[key]).hexdigest()) for key in keys] == [(it["key"], it["sha256"]) for it in lines]
    record, summary = ended.stderr.splitlines()
    assert {"event": "archive_accessed", "command": "export", "why": "audit"}.items() <= json.loads(record).items()
    assert summary.startswith("30 mails exported to day.jsonl; listed 1 page, read 31 objects, wrote 1 object, $0.00")
    (key,) = place.site.bucket.listing("access-records/")
    assert json.loads(record).items() <= place.site.bucket.document(key).items()


def test_a_reason_in_another_encoding_is_recorded(place: Place) -> None:
    """A terminal that is not UTF-8 passes bytes that are none, in words that are looked for as well."""
    place.add(OBJECTS)
    words = ("--because", "f\udcfcr Ann", "--record", "--text", "f\udcfcr|1", "--max-requests")
    assert 2 == place.run("export", *ON_THE_DAY, *TO_A_FILE, *words, "20").exit_code
    ended = place.run("export", *ON_THE_DAY, *TO_A_FILE, *words, "1000", "--resume")
    assert 0 == ended.exit_code, ended.stderr
    assert "f\udcfcr Ann" == json.loads(ended.stderr.splitlines()[0])["why"]
    assert "f\udcfcr|1" in json.loads(Path("day.jsonl.manifest.jsonl").read_text().splitlines()[0])["selection"]


def test_mails_are_exported_for_mail_programs(place: Place) -> None:
    """In a zip archive; one that cannot be read is said, and is a failure."""
    place.add({**OBJECTS, "emails/2024/12/10/ann/odd_000000.json": b"{"})
    ended = place.run("export", *ON_THE_DAY, "--format", "eml", "--to", "mails.zip")
    assert 1 == ended.exit_code
    assert "emails/2024/12/10/ann/odd_000000.json cannot be read as an email" in ended.stderr
    with zipfile.ZipFile("mails.zip") as archive:
        assert sorted(key.replace(".json", ".eml") for key in OBJECTS) == sorted(archive.namelist())


def test_an_export_that_was_killed_reads_nothing_twice(place: Place) -> None:
    """What its manifest has is complete: the rest is read, and the whole is as if nothing had been."""
    place.add(OBJECTS)
    command = [str(BIN / "email-processor"), "export", *ON_THE_DAY, *TO_A_FILE]
    journal = Path("day.jsonl.manifest.jsonl.part")
    is_killed = threading.Event()
    hold, late = held_until(is_killed), sorted(OBJECTS)[10:]
    with fault_proxy(place.site.emulator.url) as proxy:
        proxy.rule = lambda request: hold(request) if request.target.endswith(tuple(late)) else None
        environment = {**os.environ, "AWS_ENDPOINT_URL": proxy.url}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            eventually(lambda: journal.exists() and len(_whole_lines(journal)) == 1 + 10, "ten mails", within=30)
            process.send_signal(signal.SIGKILL)
        is_killed.set()
    assert not Path("day.jsonl").exists()
    ended = place.run(*command[1:], "--resume")
    assert 0 == ended.exit_code, ended.stderr
    assert b"".join(OBJECTS[key] + b"\n" for key in sorted(OBJECTS)) == Path("day.jsonl").read_bytes()
    assert "read 20 objects" in ended.stderr


def test_what_was_left_out_before_an_export_was_stopped_is_said_at_its_end(place: Place) -> None:
    """By its name, in the exit code and in the manifest, as if it had never been stopped; it is not read again."""
    odd = "emails/2024/12/10/ann.0/000_120000.json"
    place.add({**OBJECTS, odd: b"{"})
    place.add(dict(made(f"n{number:03}", email("bob@example.com")) for number in range(100)))
    stopped = place.run("export", *ON_THE_DAY, *TO_A_FILE, "--max-requests", str(OBJECTS_AT_ONCE + 20))
    assert 2 == stopped.exit_code, stopped.stderr
    assert odd in Path("day.jsonl.manifest.jsonl.part").read_text()
    ended = place.run("export", *ON_THE_DAY, *TO_A_FILE, "--resume")
    assert 1 == ended.exit_code
    assert f"{odd} cannot be read as an email" in ended.stderr
    assert "130 mails exported to day.jsonl (" in ended.stderr
    assert "), 1 object left out; " in ended.stderr
    lines = list(map(json.loads, Path("day.jsonl.manifest.jsonl").read_text().splitlines()))
    assert [odd] == [line["left_out"] for line in lines if "left_out" in line]
    assert {"complete": True, "mails": 130, "unreadable": 1}.items() <= lines[-1].items()


@pytest.mark.parametrize(
    ("days", "moved"),
    [
        ("--since {named}", {1}),
        ("--day today", {0, 1}),
        ("--since yesterday", {0, 1}),
        ("--since {named} --until today", {1}),
    ],
)
def test_an_export_goes_on_after_midnight_with_the_days_that_it_was_begun_with(
    place: Place, days: str, moved: set[int]
) -> None:
    """What `today` and an end that is not given mean has changed meanwhile, and nobody can say it as it was."""
    today = MovingDay.now()
    for day in (today - timedelta(1), today):
        place.add({key.replace("2024/12/10", f"{day:%Y/%m/%d}"): OBJECTS[key] for key in OBJECTS})
    command = ("export", *days.format(named=today - timedelta(3)).split(), *TO_A_FILE)
    assert 2 == place.run(*command, "--max-requests", "20").exit_code
    journal = Path("day.jsonl.manifest.jsonl.part")
    head = json.loads(journal.read_text().splitlines()[0])
    begun = [date.fromisoformat(day) - timedelta(number in moved) for number, day in enumerate(head["days"])]
    journal.write_text(json.dumps({**head, "days": list(map(str, begun)), "selection": days_said(*begun)}) + "\n")
    ended = place.run(*command, "--resume")
    assert 0 == ended.exit_code, ended.stderr
    assert f"It goes on with the days that it was begun with: {days_said(*begun)}.\n" in ended.stderr
    assert "30 mails exported" in ended.stderr
    assert list(map(str, begun)) == json.loads(Path("day.jsonl.manifest.jsonl").read_text().splitlines()[0])["days"]


@pytest.mark.parametrize("days", ["--day 2024-12-11", "--since 2024-12-10 --until 2024-12-12", "--since 2024-12-09"])
def test_an_export_does_not_go_on_with_days_that_were_not_meant(place: Place, days: str) -> None:
    """A day that is named is that one."""
    place.add(OBJECTS)
    assert 2 == place.run("export", *ON_THE_DAY, *TO_A_FILE, "--max-requests", "20").exit_code
    ended = place.run("export", *days.split(), *TO_A_FILE, "--resume")
    assert 2 == ended.exit_code
    assert "is an export of something else" in ended.stderr


def _whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


MISUSED = {
    "a quarantine for mail programs": ("--quarantine --format eml --to a", "is no email"),
    "a zip archive of one file": ("--format mbox --to a.zip", "name it otherwise"),
    "an option without effect": ("--format raw --to a --plan --resume", "would do nothing"),
    "nothing to go on with": ("--format raw --to a --resume", "no unfinished export"),
    "no folder": ("--format raw --to nowhere/a", "is no folder"),
    "a destination that exists": ("--format raw --to .", "is there already"),
    "too many requests": ("--format raw --to a --max-requests 5", "more than 5 requests"),
}


@pytest.mark.parametrize(("arguments", "said"), MISUSED.values(), ids=MISUSED)
def test_wrong_use_is_two_and_says_what_to_do(place: Place, arguments: str, said: str) -> None:
    """And nothing is there that looks whole."""
    place.add(OBJECTS)
    ended = place.run("export", *ON_THE_DAY, *arguments.split())
    assert (2, "") == (ended.exit_code, ended.stdout)
    assert said in ended.stderr
    assert not Path("a").exists()
