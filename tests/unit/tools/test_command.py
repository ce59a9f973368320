"""How one-off commands get their settings, and how they end."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest
from aiobotocore.config import AioConfig

from email_processor.domain.errors import EmailProcessorError, SettingsError
from email_processor.exit_codes import EXIT_FAILED, EXIT_SETTINGS
from email_processor.settings import Settings
from email_processor.tools.command import open_queue_client, run_command
from tests.support.logging_state import restored_logging

QUEUE_URL = "http://127.0.0.1:1/123456789012/emails"


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No `.env` file is near, a queue is set, and logging is as before when the test is over."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQS_QUEUE_URL", QUEUE_URL)
    with restored_logging():
        yield
    logging.disable(logging.NOTSET)


async def nothing(_settings: Settings) -> None:
    """Do nothing."""


def test_work_that_ends_well_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    """It gets the settings, and nothing is said beside what it says."""
    seen: list[str] = []

    async def work(settings: Settings) -> None:
        seen.append(settings.sqs_queue_url)

    assert 0 == run_command(work, reads=attrgetter("sqs_queue_url"))
    assert [QUEUE_URL] == seen
    assert ("", "") == capsys.readouterr()


def test_wrong_settings_are_two(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the report on stderr, and only of those that are needed."""
    monkeypatch.delenv("SQS_QUEUE_URL")
    monkeypatch.setenv("HTTP_PORT", "many")
    assert EXIT_SETTINGS == run_command(nothing, reads=attrgetter("sqs_queue_url"))
    said = capsys.readouterr()
    assert "" == said.out
    assert "SQS_QUEUE_URL: is required" in said.err
    assert "HTTP_PORT" not in said.err
    assert 0 == run_command(nothing, reads=attrgetter("aws_region"))


def test_a_setting_that_turns_out_to_be_wrong_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    """A region can be judged only when it is known who is asked."""

    async def work(_settings: Settings) -> None:
        raise SettingsError("AWS_REGION must be an AWS region.", fix="Set it.")

    assert EXIT_SETTINGS == run_command(work, reads=attrgetter("aws_region"))
    assert "error: AWS_REGION must be an AWS region.\n  fix: Set it.\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("fix", "so_far", "said"),
    [
        ("", "", "error: No.\n"),
        ("Do this.", "", "error: No.\n  fix: Do this.\n"),
        ("Do this.", "3 of 4.", "error: No.\n  fix: Do this.\nUntil then: 3 of 4.\n"),
    ],
)
def test_an_error_is_one_with_its_fix(fix: str, so_far: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And with what was done before it."""

    async def work(_settings: Settings) -> None:
        raise EmailProcessorError("No.", fix=fix)

    assert EXIT_FAILED == run_command(work, reads=attrgetter("sqs_queue_url"), so_far=lambda: so_far)
    assert ("", said) == capsys.readouterr()


@pytest.mark.parametrize(("so_far", "said"), [("", "nothing."), ("3 of 4.", "3 of 4.")])
def test_an_interrupt_is_one_with_what_was_done(so_far: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends the work where it waits."""

    async def work(_settings: Settings) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    assert EXIT_FAILED == run_command(work, reads=attrgetter("sqs_queue_url"), so_far=lambda: so_far)
    assert ("", f"Interrupted. Until then: {said}\n") == capsys.readouterr()


@pytest.mark.parametrize(
    ("only_prints", "code", "said"),
    [(True, 0, ""), (False, EXIT_FAILED, "Nobody reads what it says. Until then: 3.\n")],
)
def test_a_reader_that_has_seen_enough(
    *, only_prints: bool, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends well what only prints; what does something was ended half-way."""

    async def work(_settings: Settings) -> None:
        raise BrokenPipeError

    assert code == run_command(work, reads=attrgetter("sqs_queue_url"), so_far=lambda: "3.", only_prints=only_prints)
    assert ("", said) == capsys.readouterr()


def test_nothing_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """The libraries' warnings would stand between the lines of the command."""

    async def work(_settings: Settings) -> None:
        logging.getLogger("botocore").error("a warning of a library")

    assert 0 == run_command(work, reads=attrgetter("sqs_queue_url"))
    assert ("", "") == capsys.readouterr()


def test_an_aws_configuration_that_cannot_be_used_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the work with the client begins."""
    monkeypatch.setenv("AWS_PROFILE", "nowhere")

    async def work(settings: Settings) -> None:
        async with open_queue_client(settings.sqs_queue_url, settings.aws_region, AioConfig()):
            raise AssertionError

    assert EXIT_FAILED == run_command(work, reads=attrgetter("sqs_queue_url"))
    said = capsys.readouterr().err
    assert "The AWS configuration cannot be used: The config profile (nowhere) could not be found." in said
    assert "  fix: Correct the AWS_* variables" in said
