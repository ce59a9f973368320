"""The report of everything that is wrong, and the `.env` file."""

import os
from operator import attrgetter
from pathlib import Path

import pytest

from email_processor.domain.errors import SettingsError
from email_processor.settings import examine, load
from tests.unit.settings.environment import QUEUE_URL, named, report


def test_a_report_says_everything_at_once() -> None:
    """What is wrong, what the setting is for, and a value that would do, for each; then where to set them."""
    assert (
        "email-processor cannot start. 3 of the settings are wrong:\n"
        "  SQS_QUEUE_URL: is required and not set\n"
        "    URL of the queue to read from.\n"
        "    for example: SQS_QUEUE_URL=https://sqs.us-east-1.amazonaws.com/123456789012/emails\n"
        "  MAX_MESSAGES_PER_POLL: must be a whole number from 1 to 10; it is '11'\n"
        "    Messages asked for in one receive; SQS allows 1 to 10.\n"
        "    for example: MAX_MESSAGES_PER_POLL=10\n"
        "  LOG_LEVEL: must be one of DEBUG, INFO, WARNING, ERROR; it is 'LOUD'\n"
        "    Least severe level that is logged.\n"
        "    for example: LOG_LEVEL=INFO\n"
        "Set them in the environment or in a .env file; the README explains each."
    ) == report(SQS_QUEUE_URL="", MAX_MESSAGES_PER_POLL="11", LOG_LEVEL="LOUD")


def test_a_report_of_one_says_is() -> None:
    """Numbers agree with their verbs."""
    assert report(HTTP_PORT="http").startswith("email-processor cannot start. 1 of the settings is wrong:\n")


def test_a_long_value_is_cut() -> None:
    """A value pasted into the wrong variable does not fill the screen."""
    text = report(S3_KEY_PREFIX="x y" * 1_000)
    assert max(map(len, text.splitlines())) < 200


def test_settings_can_be_examined_without_raising() -> None:
    """`check` goes on with a wrong value's example in its place."""
    os.environ["VISIBILITY_TIMEOUT_SECONDS"] = "1"
    settings, problems = examine()
    assert 300 == settings.visibility_timeout_seconds
    assert [("VISIBILITY_TIMEOUT_SECONDS",)] == [problem.names for problem in problems]


of_queue = attrgetter("sqs_queue_url", "sqs_region", "aws_region")


def test_a_command_may_need_only_some_settings() -> None:
    """What is wrong with the others is not its business: `send` needs no bucket."""
    os.environ.update(S3_BUCKET_NAME="", MAX_MESSAGES_PER_POLL="many", S3_QUARANTINE_PREFIX="emails")
    settings = load(reads=of_queue)
    assert (QUEUE_URL, 10) == (settings.sqs_queue_url, settings.max_messages_per_poll)


@pytest.mark.parametrize(
    ("variables", "name"), [({"SQS_QUEUE_URL": "emails"}, "SQS_QUEUE_URL"), ({"SQS_REGION": "eu-west-1"}, "SQS_REGION")]
)
def test_what_a_command_needs_must_be_right(variables: dict[str, str], name: str) -> None:
    """Each needed setting by itself, and the rules between them."""
    os.environ.update(S3_BUCKET_NAME="", **variables)
    with pytest.raises(SettingsError) as caught:
        load(reads=of_queue)
    assert [name] == named(str(caught.value))


def test_the_env_file_fills_what_the_environment_leaves_open(tmp_path: Path) -> None:
    """The environment wins; what it leaves out or empty comes from the file."""
    file = tmp_path / ".env"
    file.write_text("S3_BUCKET_NAME=from-the-file\nMAX_MESSAGES_PER_POLL=7\nSQS_WAIT_TIME_SECONDS=9\nHTTP_PORT=\n")
    os.environ["SQS_WAIT_TIME_SECONDS"] = ""
    settings = load()
    assert ("my-email-archive", 7, 9, 8080) == (
        settings.s3_bucket_name,
        settings.max_messages_per_poll,
        settings.sqs_wait_time_seconds,
        settings.http_port,
    )


def test_a_lower_case_variable_beats_the_env_file_too(tmp_path: Path) -> None:
    """Settings are read in any case, and the environment wins in any case."""
    (tmp_path / ".env").write_text("MAX_MESSAGES_PER_POLL=7\n")
    os.environ["max_messages_per_poll"] = "3"  # noqa: SIM112 - that is the point
    assert 3 == load().max_messages_per_poll


def test_the_env_files_aws_variables_reach_the_sdk(tmp_path: Path) -> None:
    """Credentials and endpoints of the file are put into the environment, where every AWS SDK looks; empty ones not."""
    file = tmp_path / "local.env"
    file.write_text(
        'AWS_ENDPOINT_URL="http://127.0.0.1:4566"\nexport AWS_ACCESS_KEY_ID=test # a comment\nAWS_PROFILE=\n'
        "AWS_SESSION_TOKEN=file\n"
    )
    os.environ["AWS_SESSION_TOKEN"] = "environment"
    load(file)
    assert ("http://127.0.0.1:4566", "test", None, "environment") == tuple(
        os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SESSION_TOKEN")
    )


def test_a_wrong_value_in_the_file_is_reported_like_any_other(tmp_path: Path) -> None:
    """Where a value comes from makes no difference."""
    (tmp_path / ".env").write_text("MAX_MESSAGES_PER_POLL=0\n")
    assert ["MAX_MESSAGES_PER_POLL"] == named(report())


def test_secrets_of_the_file_are_not_in_the_report(tmp_path: Path) -> None:
    """The file may hold credentials; the report is printed and logged."""
    (tmp_path / ".env").write_text("AWS_SECRET_ACCESS_KEY=hunter2\nSQS_QUEUE_URL=https://user:hunter2@host/1/q\n")
    assert "hunter2" not in report(SQS_QUEUE_URL="")


def test_a_file_that_is_not_there_is_no_file(tmp_path: Path) -> None:
    """Nobody needs one; a directory of that name, as some call their virtual environment, is none either."""
    (tmp_path / ".env").mkdir()
    assert (QUEUE_URL, QUEUE_URL) == (load().sqs_queue_url, load(tmp_path / "none").sqs_queue_url)


def test_a_byte_order_mark_does_not_hide_the_first_variable(tmp_path: Path) -> None:
    """Some editors begin files with one."""
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfMAX_MESSAGES_PER_POLL=7\n")
    assert 7 == load().max_messages_per_poll


@pytest.mark.parametrize("content", [b"S3_KMS_KEY_ID=\xff\xfe\n", b"S3_KMS_KEY_ID=a\0b\n"])
def test_a_file_that_is_no_text_is_reported(content: bytes, tmp_path: Path) -> None:
    """With what to do about it, and without a stack trace."""
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(SettingsError, match=r"The file \.env cannot be read: .* Make it a UTF-8 text file"):
        load()


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("MAX_MESSAGES_PER_POLL: hunter2\n", "line 1"),
        ("MAX_MESSAGES_PER_POLL:hunter2\n", "line 1"),
        ("HTTP_PORT=1\n\n  \nAWS_SESSION_TOKEN hunter2\nHTTP_PORT=2\n", "line 4"),
        ("# all of it\n\nS3_KMS_KEY_ID='hunter2\nHTTP_PORT=2\nhunter2 is the password\n", "lines 3, 5"),
    ],
    ids=["a colon", "a colon without a space", "no equals sign", "a quote that is not closed"],
)
def test_a_line_that_cannot_be_read_is_reported(content: str, where: str, tmp_path: Path) -> None:
    """Passed over, a default would count in its place; its text may be a password."""
    (tmp_path / ".env").write_text(content)
    with pytest.raises(SettingsError) as caught:
        load()
    assert f"The file .env cannot be read at {where}." == caught.value.detail
    assert "NAME=value" in caught.value.fix
    assert "HTTP_PORT" not in os.environ


def test_a_line_may_be_empty_a_comment_or_a_name_alone(tmp_path: Path) -> None:
    """As other readers of such files have it; a value in quotes may have more than one line, and name another."""
    (tmp_path / ".env").write_text(
        "\n# a comment\n  # another\nexport LOG_LEVEL\nHTTP_PORT\n"
        "HTTP_HOST = 'one\ntwo'\nS3_KEY_PREFIX=x/${LOG_FORMAT:-y}\n\n"
    )
    settings = load()
    assert ("INFO", 8080, "one\ntwo", "x/y") == (
        settings.log_level,
        settings.http_port,
        settings.http_host,
        settings.s3_key_prefix,
    )


def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user is in the way: whoever made it meant it to count."""
    file = tmp_path / ".env"
    file.touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(SettingsError, match=r"Permission denied.*that this user may read, or remove it"):
        load(file)
