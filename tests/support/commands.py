"""The installed command, run to its end."""

import subprocess
from pathlib import Path

from tests.support.emulators import BIN
from tests.support.environment import clean_environment

COMMAND = str(BIN / "email-processor")


def run_to_end(*command: str, directory: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What a command leaves, with these variables on top of a clean environment and nobody at its keyboard."""
    return subprocess.run(
        command,
        env={**clean_environment(), **environment},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
