"""The demo, as somebody sees it who has just installed the package."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from email_processor.domain.sender import sender_folder
from email_processor.tools.demo.process import DemoError, for_service, running_service
from email_processor.tools.send.samples.generate import Recipe, samples
from tests.support.commands import COMMAND, run_to_end
from tests.support.environment import clean_environment
from tests.support.waiting import eventually

URL = re.compile(r"http://127\.0\.0\.1:\d+")
COLOUR = re.compile("\x1b\\[[0-9;]*m")
SHORT = ("--messages", "40", "--outage", "0.5")

# A terminal of its own for the command: keys come from our pipe, what it prints goes to our pipe.
IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"

# What must not matter: a real account's credentials, queue and proxy.
ELSEWHERE = {
    "AWS_PROFILE": "production",
    "AWS_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_CA_BUNDLE": "/nonexistent",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/production",
    "S3_BUCKET_NAME": "production",
    "HTTP_PORT": "not a port",
    "LOG_LEVEL": "ERROR",
    "S3_SSE": "aws:kms",
}


class Kept:
    """A demo that goes on: what it has printed so far, and its keyboard."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Read what `process` prints."""
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._keyboard: IO[bytes] = process.stdin
        self._output: IO[bytes] = process.stdout
        self._lock = threading.Lock()
        self._bytes = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> str:
        """All that it has printed, without its colours."""
        return COLOUR.sub("", self.printed)

    @property
    def printed(self) -> str:
        """The same with them."""
        with self._lock:
            return self._bytes.decode(errors="replace")

    def wait_for(self, text: str, *, count: int = 1) -> None:
        """Return when it has printed `text` so many times."""
        eventually(lambda: self.shown.count(text) >= count, f"{text!r} in the output", within=60)

    def press(self, key: str) -> None:
        """Press a key."""
        self._keyboard.write(key.encode())
        self._keyboard.flush()

    def exit_code(self) -> int:
        """Wait for its end."""
        code = self.process.wait(30)
        self._reader.join()
        return code

    def _read(self) -> None:
        while chunk := os.read(self._output.fileno(), 65536):
            with self._lock:
                self._bytes += chunk


@contextmanager
def started(command: list[str], directory: Path, environment: Mapping[str, str] | None = None) -> Iterator[Kept]:
    """Start it; it is killed if it still runs at the end."""
    with subprocess.Popen(
        command,
        env={**clean_environment(), **(environment or {})},
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield Kept(process)
        finally:
            process.kill()


def is_answering(url: str) -> bool:
    """Whether anybody listens there."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - a URL of ours
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError:
        return False


def assert_gone(output: str) -> None:
    """Nobody listens at any of the addresses that it named: neither the service nor its AWS."""
    urls = set(URL.findall(output))
    assert 2 == len(urls)
    assert {url: is_answering(url) for url in urls} == dict.fromkeys(urls, False)


def test_it_shows_the_service_at_work_whatever_the_environment_says(tmp_path: Path) -> None:
    """No account, no setting and no file of the user is touched; nothing is left behind."""
    (tmp_path / ".env").write_text("S3_KEY_PREFIX=theirs\nAWS_PROFILE=production\nS3_CONDITIONAL_WRITES=false\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = run_to_end(COMMAND, "demo", *SHORT, "--broken", "20", directory=tmp_path, TMPDIR=str(temporary), **ELSEWHERE)
    assert (0, "") == (done.returncode, done.stderr)
    shown = done.stdout
    assert "It gets 40 messages, 8 of them broken on purpose" in shown
    assert "the circuit opens" in shown
    assert "S3 stays away for 0.5 s more" in shown
    assert "S3 is back, and the service finds out at its next probe" in shown
    assert "log ERROR failing part=storing cause=server" in shown
    assert "a probe got through" in shown
    assert "SQS delivers" in shown
    assert "s3://email-archive" in shown
    assert "emails/20" in shown
    assert "  32 objects" in shown
    assert "quarantine/20" in shown
    assert '"source": "email-validation-service"' in shown
    assert '"reason": "' in shown
    assert "email_processor_messages_duplicate_total" in shown
    assert 7 == shown.count("✓")
    assert "4 of 4 messages that a fix made readable are archived once" in shown
    assert "✗" not in shown
    assert "40 messages sent, 32 emails archived and 8 in quarantine" in shown
    assert "Byte for byte: 32 of 32 emails that were read back are what was sent, and 8 of 8 broken messages" in shown
    assert "40 messages needed 40 receives" in shown
    assert "Everything was in memory and is gone." in shown
    assert f"{COMMAND} demo --keep" in shown
    assert [] == [line for line in shown.splitlines() if line != line.rstrip()]
    assert "\x1b" not in shown
    assert_gone(shown)
    assert [] == list(temporary.iterdir())


def test_the_first_object_is_there_within_seconds(tmp_path: Path) -> None:
    """And the emails are those of the seed."""
    done = run_to_end(COMMAND, "demo", "--messages", "10", "--outage", "0", "--seed", "3", directory=tmp_path)
    assert 0 == done.returncode
    shown_after = re.search(r"^ *([\d.]+) s the first is in the bucket", done.stdout, re.MULTILINE)
    assert shown_after is not None
    assert float(shown_after[1]) < 20
    assert "circuit" not in done.stdout
    senders = {json.loads(sample.body)["email_sender"] for sample in samples(10, Recipe(seed=3))}
    shown = set(re.findall(r"[├└]── ([^/\s]+)/$", done.stdout, re.MULTILINE))
    assert shown != set()
    assert shown <= {sender_folder(sender) for sender in senders}


def test_kept_it_can_be_used_as_it_says_until_a_signal(tmp_path: Path) -> None:
    """Its URLs answer, its exports lead `send` to it, and SIGINT ends it with a summary and exit code 0."""
    with started([COMMAND, "demo", *SHORT, "--keep"], tmp_path) as demo:
        demo.wait_for("ends it.")
        exports = dict(re.findall(r"export (\w+)=(\S+)", demo.shown))
        pages = re.findall(r"http://\S+/(?:metrics|healthz|readyz)", demo.shown.partition("Still running")[2])
        for page in pages:
            with urllib.request.urlopen(page, timeout=5) as answer:  # noqa: S310 - a URL of ours
                assert 200 == answer.status
        assert 3 == len(pages)
        sent = subprocess.run(
            [COMMAND, "send", "20", "--broken", "10"],
            env={**clean_environment(), **exports},
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert 0 == sent.returncode

        def archived() -> bool:
            with urllib.request.urlopen(pages[0], timeout=5) as answer:  # noqa: S310 - as above
                return b"\nemail_processor_messages_archived_total 56.0\n" in answer.read()

        eventually(archived, "the emails that were sent to it")
        demo.process.send_signal(signal.SIGINT)
        assert 0 == demo.exit_code()
        end = demo.shown.partition("Stopped")[2]
    assert re.search(r" 56  archived", end) is not None
    assert "SIGTERM: stopped after" in end
    assert "Traceback" not in demo.shown
    assert_gone(demo.shown)


def test_kept_on_a_terminal_a_key_turns_s3_off_and_on(tmp_path: Path) -> None:
    """Emails wait while it is off, and are archived when it is back."""
    command = [sys.executable, "-c", IN_A_TERMINAL, COMMAND, "demo", *SHORT, "--keep"]
    with started(command, tmp_path, {"TERM": "xterm-256color", "COLUMNS": "100"}) as demo:
        demo.wait_for("quit")
        demo.press("o")
        demo.wait_for("S3 is down")
        demo.press("s")
        demo.wait_for("sending 50 more")
        demo.wait_for("log ERROR failing", count=2)
        demo.press("x")
        demo.press("o")
        demo.wait_for("log INFO recovered", count=2)
        demo.wait_for("archived 86  quarantined 4  in flight 0  circuit closed")
        demo.press("q")
        assert 0 == demo.exit_code()
    assert COLOUR.search(demo.printed) is not None
    assert "Stopped" in demo.shown
    assert_gone(demo.shown)


@pytest.mark.parametrize(
    "moment", ["SQS and S3 are up", "the first is in the bucket", "the circuit opens", "S3 is back"]
)
def test_a_signal_ends_it_cleanly_at_any_moment(tmp_path: Path, moment: str) -> None:
    """With one line, exit code 0, and nothing left running."""
    with started([COMMAND, "demo", *SHORT], tmp_path) as demo:
        demo.wait_for(moment)
        demo.process.send_signal(signal.SIGINT)
        assert 0 == demo.exit_code()
    assert "Interrupted. Everything was in memory and is gone." == demo.shown.splitlines()[-1]
    assert "Traceback" not in demo.shown
    urls = set(URL.findall(demo.shown))
    assert {url: is_answering(url) for url in urls} == dict.fromkeys(urls, False)


def test_without_moto_it_says_how_to_get_it(tmp_path: Path) -> None:
    """One line, one command, exit code 1."""
    (tmp_path / "moto.py").write_text('raise ModuleNotFoundError("No module named moto")\n')
    done = run_to_end(COMMAND, "demo", directory=tmp_path, PYTHONPATH=str(tmp_path))
    assert (1, "") == (done.returncode, done.stderr)
    assert [
        "error: The demo needs moto, which is not installed (No module named moto).",
        "  fix: pip install 'email-processor[demo]'",
    ] == done.stdout.splitlines()


def test_a_service_that_ends_by_itself_ends_the_demo(tmp_path: Path) -> None:
    """With its last words and exit code 1, at once."""
    (tmp_path / "sitecustomize.py").write_text(
        'import os, sys\nif sys.orig_argv[-1] == "run":\n    os.write(2, b"out of cheese")\n    os._exit(3)\n'
    )
    done = run_to_end(COMMAND, "demo", directory=tmp_path, PYTHONPATH=str(tmp_path))
    assert (1, "") == (done.returncode, done.stderr)
    last_words = '{"level": "error", "event": "out of cheese"}'
    assert f"error: The service ended by itself; its last words: {last_words}" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize("options", [["--messages", "1"], ["--outage", "-1"], ["--broken", "x"], ["now"]])
def test_options_that_make_no_sense_end_with_2(options: list[str], tmp_path: Path) -> None:
    """Before anything is started."""
    done = run_to_end(COMMAND, "demo", *options, directory=tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert "Usage: email-processor demo" in done.stderr


async def test_a_service_that_does_not_start_is_quoted() -> None:
    """The demo fails with its last words, not with a timeout."""
    environ = {**clean_environment(), **for_service("http://127.0.0.1:9", "not a URL", "archive")}
    async with asyncio.TaskGroup() as background, running_service(background, environ, lambda _entry: None) as service:
        with pytest.raises(DemoError, match=r"ended by itself; its last words: .*the README"):
            await service.started()


async def test_a_service_that_does_not_stop_is_killed() -> None:
    """After a moment: the demo ends, whatever the service does."""
    environ = {**clean_environment(), **for_service("http://127.0.0.1:9", "http://127.0.0.1:9/1/q", "archive")}
    environ |= {"HTTP_PORT": "0", "HTTP_HOST": "127.0.0.1", "LOG_FORMAT": "json"}
    async with asyncio.TaskGroup() as background, running_service(background, environ, lambda _entry: None) as service:
        await service.started()
        os.kill(service.pid, signal.SIGSTOP)
        assert -signal.SIGKILL == await service.stop(0.1)
