"""Makes `.venv`: the pinned development tools and this package, editable.

Run by `make`. Safe to run twice at once (the second waits) and to interrupt: the stamp is written last, and it holds
what the environment was made from. Without a stamp, or with other pins, the environment is made from scratch, so that
nothing half installed or no longer pinned stays behind.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

from scripts import pinned

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / ".ci" / "pins" / "dev.txt"
PROJECT = (ROOT / "pyproject.toml", ROOT / "src" / "email_processor" / "__init__.py")
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "stamp"
INSTALL = ("-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check")


def digest(*parts: bytes) -> str:
    """One word for all parts."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def runs() -> bool:
    """Whether `.venv` still runs: the Python that it points to may be gone."""
    try:
        return subprocess.run([PYTHON, "-c", "import pip"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make() -> None:
    """Bring the environment up to date, doing no more than is needed.

    Raises:
        subprocess.CalledProcessError: venv or pip failed, and has said why.
    """
    tools = digest(sys.version.encode(), str(ROOT).encode(), PINS.read_bytes())
    project = digest(*(path.read_bytes() for path in PROJECT))
    found = STAMP.read_text().split() if STAMP.exists() else []
    if found != [tools, project] or not runs():
        STAMP.unlink(missing_ok=True)
        if found[:1] != [tools] or not runs():
            pinned.make(ENVIRONMENT, PINS)
        print("Installing this package into .venv, editable ...", flush=True)
        subprocess.run([PYTHON, *INSTALL, "--no-deps", "--no-build-isolation", "--editable", ROOT], check=True)
    STAMP.write_text(f"{tools}\n{project}\n")


def main() -> int:
    """Make the environment, or say in one line why not."""
    try:
        import ensurepip  # noqa: F401, PLC0415  # Debian ships it apart from Python
    except ImportError:
        print("error: this Python cannot make virtual environments: apt-get install python3-venv", file=sys.stderr)
        return 1
    with (ROOT / ".venv.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another make is installing into .venv: waiting for it ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            make()
        except subprocess.CalledProcessError as failure:
            print(f"error: could not make .venv (exit code {failure.returncode})", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; the next make starts anew", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
