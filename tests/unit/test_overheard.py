"""The ears of the suite: whatever tells a canary, and however, the test that made it do so fails."""

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.support import overheard
from tests.support.emulators import SECRET_KEY, SESSION_TOKEN
from tests.support.mail import CONFIDENTIAL

ROOT = Path(__file__).parents[2]
TELL = "import sys; print({!r}, file=sys.{})"
IN_TWO = "import os, time; os.write(1, {!r}[:9]); time.sleep(0.2); os.write(1, {!r}[9:])"
NAME = Path(sys.executable).name

# A test file whose tests all pass, while each makes something tell a canary.
LEAKS = """
import logging, subprocess, sys
from tests.support.mail import CONFIDENTIAL
from tests.support.emulators import SECRET_KEY, SESSION_TOKEN

def test_prints():
    print(CONFIDENTIAL)

def test_has_a_child_that_prints():
    subprocess.run([sys.executable, "-c", f"print({CONFIDENTIAL!r})"], check=True)

def test_has_a_child_that_is_read():
    subprocess.run([sys.executable, "-c", f"print({SECRET_KEY!r})"], check=True, capture_output=True)

def test_logs():
    logging.getLogger("x").error("x", extra={"token": SESSION_TOKEN})

def test_tells_nothing():
    print("nothing")
"""


def child(code: str) -> list[str]:
    """The command line of a child that runs this code."""
    return [sys.executable, "-c", code]


def fail() -> None:
    """Raise an error whose cause holds a canary."""
    try:
        int(CONFIDENTIAL)
    except ValueError as error:
        raise RuntimeError("it failed") from error


def test_what_a_child_prints_is_heard_and_arrives() -> None:
    """On stdout as on stderr, as text as in bytes, and read in whichever way."""
    done = subprocess.run(child(TELL.format(SECRET_KEY, "stdout")), capture_output=True, text=True, check=True)
    assert f"{SECRET_KEY}\n" == done.stdout
    assert [f"the secret key in stdout of {NAME}"] == overheard.take()
    with subprocess.Popen(child(TELL.format("é " + CONFIDENTIAL, "stderr")), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert f"é {CONFIDENTIAL}\n".encode() == process.stderr.read()
    assert [f"a body in stderr of {NAME}"] == overheard.take()


def test_what_comes_in_two_pieces_is_heard() -> None:
    """Nothing slips through between two reads."""
    data = SESSION_TOKEN.encode()
    assert data == subprocess.check_output(child(IN_TWO.format(data, data)))
    assert [f"the session token in stdout of {NAME}"] == overheard.take()


def test_a_reader_that_goes_away_is_noticed_by_its_child() -> None:
    """As without our ears: a broken pipe ends it."""
    endless = "while True: print('x' * 1000)"
    with subprocess.Popen(child(endless), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert 1 == process.wait(30)


async def test_a_child_of_asyncio_is_heard() -> None:
    """It is started in another way, and read in another way."""
    process = await asyncio.create_subprocess_exec(
        *child(TELL.format(CONFIDENTIAL, "stdout")), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert f"{CONFIDENTIAL}\n".encode() == output
    assert [f"a body in stdout of {NAME}"] == overheard.take()


@pytest.mark.parametrize(
    "record",
    [
        {"msg": f"said {SECRET_KEY}"},
        {"msg": "%s", "args": (SECRET_KEY,)},
        {"msg": "event", "extra": {"fields": {"deep": [SECRET_KEY]}}},
    ],
)
def test_a_log_record_is_heard(record: dict[str, object]) -> None:
    """Its message, its arguments and its fields."""
    arguments = record.pop("args", ())
    logging.getLogger("some.logger").warning(record.pop("msg"), *arguments, **record)  # type: ignore[misc, arg-type]
    assert ["the secret key in the log of some.logger"] == overheard.take()


def test_a_logged_error_is_heard() -> None:
    """With its stack trace, and what it was made from."""
    try:
        fail()
    except RuntimeError:
        logging.getLogger("some.logger").exception("event")
    assert ["a body in the log of some.logger"] == overheard.take()


def test_what_the_command_prints_in_this_process_is_heard() -> None:
    """On stderr as well."""

    @click.command()
    def tell() -> None:
        click.echo(CONFIDENTIAL, err=True)

    CliRunner().invoke(tell)
    assert ["a body in what the command printed"] == overheard.take()


def test_a_test_that_lets_something_tell_fails(tmp_path: Path) -> None:
    """With our conftest, each of them ends with an error that names what was told and where, and does not repeat it."""
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.conftest",
            "-q",
            "--tb=line",
            "--show-capture=no",
            "-rE",
            "-p",
            "no:cacheprovider",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "5 passed, 4 errors in" in done.stdout
    for note in (
        "a body in Captured stdout call",
        f"the secret key in stdout of {NAME}",
        "the session token in the log of x",
    ):
        assert note in done.stdout
