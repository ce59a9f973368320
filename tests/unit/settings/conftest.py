"""An environment that starts a service: the two settings without a default, and no `.env` near."""

from pathlib import Path

import pytest

from tests.unit.settings.environment import REQUIRED


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what a test sets is set."""
    monkeypatch.chdir(tmp_path)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
