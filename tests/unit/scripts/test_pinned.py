"""An environment from pins: the one who waits is told how far it is, and a failure is one."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import pinned


def environment(folder: Path, log: str, *installed: str) -> Path:
    """An environment in the making, with what pip has printed and what is in it."""
    packages = folder / "lib" / "python3.13" / "site-packages"
    for name in installed:
        (packages / f"{name}.dist-info").mkdir(parents=True)
    (folder / pinned.LOG).write_text(log)
    return folder


def test_while_packages_are_fetched_it_says_how_many_are(tmp_path: Path) -> None:
    """By pip's own lines."""
    log = "Collecting attrs==25.4.0\n  Downloading attrs.whl\nCollecting click==8.3.0\n"
    assert "fetched 2 of 144" == pinned.progress(environment(tmp_path, log), 144)


def test_while_packages_are_installed_it_says_how_many_are(tmp_path: Path) -> None:
    """By what is in the environment, since pip says nothing before it is done."""
    log = "Collecting attrs==25.4.0\nInstalling collected packages: attrs, click\n"
    assert "installed 1 of 2" == pinned.progress(environment(tmp_path, log, "attrs-25.4.0"), 2)


def test_a_pin_that_cannot_be_had_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With what pip says about it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    pins = tmp_path / "pins.txt"
    pins.write_text(f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(subprocess.CalledProcessError, match="exit status 1"):
        pinned.install(tmp_path, pins)
    assert "No matching distribution found for no-such-package==1.0" in capfd.readouterr().err
