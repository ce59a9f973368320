"""Makes a virtual environment from pins, and says how far it is: `python -m scripts.pinned ENVIRONMENT PINS`.

pip says nothing while it installs, and on a slow machine that takes minutes.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

PROGRESS_SECONDS = 10
# The pins are complete: pip must not look for what an extra (`coverage[toml]`) could be by now.
OPTIONS = ("--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary=:all:")
LOG = "pip.log"  # in the environment


def make(environment: Path, pins: Path) -> None:
    """Make `environment` anew, with exactly what is pinned.

    Raises:
        subprocess.CalledProcessError: venv or pip failed, and has said why.
    """
    print(
        f"Installing {pinned(pins)} pinned packages into {environment.name}, once: "
        "a minute on a fast machine, several on a slow one.",
        flush=True,
    )
    subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
    install(environment, pins)


def install(environment: Path, pins: Path) -> None:
    """Install what is pinned, and print every few seconds how far it is.

    Raises:
        subprocess.CalledProcessError: pip failed, and has said why.
    """
    began, total = time.monotonic(), pinned(pins)
    command: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "install", *OPTIONS, "-r", pins]
    with (environment / LOG).open("w") as log, subprocess.Popen(command, stdout=log) as pip:
        while pip.returncode is None:
            try:
                pip.wait(PROGRESS_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"  {time.monotonic() - began:3.0f} s: {progress(environment, total)}", flush=True)
    if pip.returncode:
        raise subprocess.CalledProcessError(pip.returncode, command)
    print(f"  {time.monotonic() - began:3.0f} s: done", flush=True)


def pinned(pins: Path) -> int:
    """How many packages a file pins."""
    return len(re.findall(r"^[\w.-]+==", pins.read_text(), re.MULTILINE))


def progress(environment: Path, total: int) -> str:
    """How many packages are there, of how many; some are pinned for other platforms, so it may end below the total."""
    log = (environment / LOG).read_text()
    if "Installing collected packages" in log:
        here = sum(1 for _ in environment.glob("lib/python*/site-packages/*.dist-info"))
        return f"installed {min(here, total)} of {total}"
    return f"fetched {len(re.findall('^Collecting ', log, re.MULTILINE))} of {total}"


def main() -> int:
    """Make the environment that the arguments name."""
    environment, pins = (Path(argument).resolve() for argument in sys.argv[1:])
    try:
        make(environment, pins)
    except subprocess.CalledProcessError as failure:
        print(f"error: could not make {environment.name} (exit code {failure.returncode})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
