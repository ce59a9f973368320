"""The command line: its options and its exit codes."""

import asyncio
import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from email_processor import __version__, cli, service, settings
from email_processor.domain.errors import StartError
from tests.support.commands import COMMAND, run_to_end
from tests.support.logging_state import restored_logging

SETTINGS = {
    "SQS_QUEUE_URL": "http://127.0.0.1:1/123456789012/emails",
    "S3_BUCKET_NAME": "my-email-archive",
    "HTTP_HOST": "127.0.0.1",
    "HTTP_PORT": "0",
    "LOG_FORMAT": "json",
}
BUFFERED = {**SETTINGS, "PYTHONUNBUFFERED": ""}  # what is printed is written at the end of a command


def test_the_version_is_told() -> None:
    """By the command and by the module, in the same words."""
    by_module = subprocess.run(
        [sys.executable, "-m", "email_processor", "--version"], capture_output=True, text=True, check=True
    )
    assert f"email-processor, version {__version__}\n" == by_module.stdout
    assert by_module.stdout == CliRunner().invoke(cli.main, ["--version"]).stdout


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command(option: str) -> None:
    """With one whole sentence for each, on one line of the usual width."""
    answer = CliRunner().invoke(cli.main, [option])
    assert 0 == answer.exit_code
    assert "Archive every email from an SQS queue into an S3 bucket, exactly once." in answer.stdout
    commands = answer.stdout.partition("Commands:\n")[2].splitlines()
    assert sorted(cli.main.commands) == [line.split()[0] for line in commands]
    assert all(len(line.split()) > 2 for line in commands)
    assert all(line.endswith(".") for line in commands)
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_the_readme_has_a_line_for_every_command() -> None:
    """Those of a group are named behind it."""
    table = (
        (Path(__file__).parents[2] / "README.md").read_text().partition("| command | does |")[2].partition("\n\n")[0]
    )
    code = " ".join(re.findall(r"`([^`]+)`", " ".join(line.partition(" | ")[0] for line in table.splitlines())))
    named = set(re.findall(r"\b[a-z]+\b", code))
    groups = [command for command in cli.main.commands.values() if isinstance(command, click.Group)]
    assert {*cli.main.commands, *(name for group in groups for name in group.commands)} == named


@pytest.mark.parametrize("arguments", [["fly"], ["--fly"], ["run", "--fly"], ["run", "now"]])
def test_wrong_usage_is_two(arguments: list[str]) -> None:
    """As with wrong settings, and on stderr."""
    answer = CliRunner().invoke(cli.main, arguments)
    assert (2, "") == (answer.exit_code, answer.stdout)
    assert "Try 'main" in answer.stderr


def test_wrong_settings_are_two(tmp_path: Path) -> None:
    """With the report on stderr, nothing on stdout and no stack trace."""
    ended = run_to_end(COMMAND, "run", directory=tmp_path, **{**SETTINGS, "S3_BUCKET_NAME": "", "HTTP_PORT": "http"})
    assert (2, "") == (ended.returncode, ended.stdout)
    assert ended.stderr.startswith("email-processor cannot start. 2 of the settings are wrong:\n  S3_BUCKET_NAME: ")
    assert "Traceback" not in ended.stderr


def test_settings_may_come_from_a_file(tmp_path: Path) -> None:
    """A `.env` file in the working directory counts."""
    (tmp_path / ".env").write_text("HTTP_PORT=http\n")
    ended = run_to_end(COMMAND, "run", directory=tmp_path, **{**SETTINGS, "HTTP_PORT": ""})
    assert 2 == ended.returncode
    assert "HTTP_PORT: must be a whole number from 0 to 65535; it is 'http'" in ended.stderr


@pytest.mark.parametrize("command", ["run", "check --offline"])
def test_a_line_of_the_file_that_cannot_be_read_is_two(command: str, tmp_path: Path) -> None:
    """Whoever wrote it meant it to count; nothing but the report is printed."""
    (tmp_path / ".env").write_text("VISIBILITY_TIMEOUT_SECONDS: 900\n")
    ended = run_to_end(COMMAND, *command.split(), directory=tmp_path, **SETTINGS)
    assert 2 == ended.returncode
    assert "The file .env cannot be read at line 1." in ended.stdout + ended.stderr
    assert "python-dotenv" not in ended.stderr


@pytest.mark.parametrize(
    ("variables", "detail"),
    [
        ({"HTTP_HOST": "192.0.2.1"}, "Cannot listen on 192.0.2.1:0: Cannot assign requested address."),
        (
            {"AWS_PROFILE": "nobody"},
            "The AWS configuration cannot be used: The config profile (nobody) could not be found.",
        ),
    ],
)
def test_what_cannot_start_is_one(variables: Mapping[str, str], detail: str, tmp_path: Path) -> None:
    """With one line of log that says what to do."""
    ended = run_to_end(COMMAND, "run", directory=tmp_path, **{**SETTINGS, **variables})
    assert (1, "") == (ended.returncode, ended.stdout)
    (record,) = (json.loads(line) for line in ended.stderr.splitlines())
    assert ("cannot_start", "error", detail) == (record["event"], record["level"], record["error"])
    assert record["fix"].endswith(".")


def test_a_region_that_is_none_of_awss_is_two(tmp_path: Path) -> None:
    """A wrong setting, though it is found out only when the AWS configuration has been read."""
    ended = run_to_end(COMMAND, "run", directory=tmp_path, **{**SETTINGS, "AWS_REGION": "fr-par"})
    assert 2 == ended.returncode
    (record,) = (json.loads(line) for line in ended.stderr.splitlines())
    assert ("cannot_start", "AWS_REGION must be an AWS region; it is 'fr-par'.") == (record["event"], record["error"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_start_is_zero(number: signal.Signals, tmp_path: Path) -> None:
    """Nothing is in flight while settings are still being read, here from a pipe that nobody fills."""
    pipe = tmp_path / ".env"
    os.mkfifo(pipe)
    with (
        subprocess.Popen([COMMAND, "run"], cwd=tmp_path, env={**os.environ, **SETTINGS}) as process,
        pipe.open("w"),  # returns when the command has opened the other end
    ):
        process.send_signal(number)
        assert 0 == process.wait(30)


@pytest.mark.parametrize("arguments", ["check --offline", "send --dry-run 1"])
def test_a_command_works_though_its_output_is_closed(arguments: str, tmp_path: Path) -> None:
    """Otherwise a socket would get its number, or there would be nothing to write to."""
    ended = run_to_end("/bin/sh", "-c", f'"{COMMAND}" {arguments} >&-', directory=tmp_path, **BUFFERED)
    assert (0, "") == (ended.returncode, ended.stderr.partition("Nothing was sent.")[0])


def test_a_report_that_cannot_be_written_is_one(tmp_path: Path) -> None:
    """Nobody takes it for a good one; who has read enough of it, as `head` has, changes nothing."""
    ended = run_to_end("/bin/sh", "-c", f'"{COMMAND}" check --offline >/dev/full', directory=tmp_path, **BUFFERED)
    assert 1 == ended.returncode
    assert "error: What there was to say could not be written: No space left on device.\n" == ended.stderr
    ended = run_to_end(
        "/bin/sh", "-c", f'("{COMMAND}" check --offline; echo $? >&2) | true', directory=tmp_path, **BUFFERED
    )
    assert "0\n" == ended.stderr


@pytest.fixture
def _this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Make `run` end with SystemExit, and take back what it does to the process."""

    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with restored_logging():
        yield
    gc.enable()


@pytest.mark.usefixtures("_this_process")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_heard_before_settings_are_read(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first line on: the first process of a container hears only signals that it has a handler for."""
    monkeypatch.setattr(settings, "load", lambda: signal.raise_signal(number))
    assert 0 == CliRunner().invoke(cli.main, ["run"]).exit_code


@pytest.mark.usefixtures("_this_process")
@pytest.mark.parametrize("code", [0, 1])
def test_the_services_own_exit_code_is_passed_on(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 after a clean drain, 1 if something was left in flight."""

    async def serve(_settings: object) -> int:
        return code

    monkeypatch.setattr(service, "serve", serve)
    assert CliRunner().invoke(cli.main, ["run"]).exit_code == code


@pytest.mark.usefixtures("_this_process")
@pytest.mark.parametrize(
    ("error", "event"),
    [(RuntimeError("a bug"), "crashed"), (StartError("No."), "cannot_start"), (KeyboardInterrupt(), "crashed")],
)
def test_whatever_ends_the_service_is_logged_and_one(
    error: BaseException, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug with its stack trace; nothing ends silently."""

    async def serve(_settings: object) -> int:
        raise error

    monkeypatch.setattr(service, "serve", serve)
    answer = CliRunner().invoke(cli.main, ["run"])
    assert (1, event) == (answer.exit_code, json.loads(answer.stderr.splitlines()[-1])["event"])


@pytest.mark.usefixtures("_this_process")
def test_it_runs_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where uvloop does not install, on the standard loop."""
    loops: list[type] = []

    async def serve(_settings: object) -> int:
        loops.append(type(asyncio.get_running_loop()))
        return 0

    monkeypatch.setattr(service, "serve", serve)
    CliRunner().invoke(cli.main, ["run"])
    monkeypatch.setitem(sys.modules, "uvloop", None)
    CliRunner().invoke(cli.main, ["run"])
    assert ["uvloop", "asyncio.unix_events"] == [loop.__module__ for loop in loops]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell: str) -> None:
    """By a script that asks the command itself."""
    assert "_EMAIL_PROCESSOR_COMPLETE" in CliRunner().invoke(cli.main, ["completion", shell]).stdout
    words = {"bash": "email-processor qua", "zsh": "email-processor qua", "fish": "email-processor qua"}[shell]
    asked = {"_EMAIL_PROCESSOR_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": "1"}
    if shell == "fish":
        asked["COMP_CWORD"] = "qua"
    ended = subprocess.run([COMMAND], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert "quarantine" in ended.stdout
