"""A working folder with a small spec."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_spec import SMALL


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are run in; `small.arch` is in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.arch").write_text(SMALL)
    return tmp_path
