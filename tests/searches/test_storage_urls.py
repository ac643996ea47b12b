"""The address of a database as other programs get it: without passwords, and the same from every working folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from resnext_dsl.searches import storage
from resnext_dsl.searches.storage import absolute


def test_the_file_of_a_database_has_an_address_that_does_not_depend_on_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path.resolve()
    assert absolute("sqlite:///runs/one.db") == f"sqlite:///{folder}/runs/one.db"
    assert absolute("sqlite:///../one.db") == f"sqlite:///{folder.parent}/one.db"
    assert absolute(f"sqlite:///{folder}/one.db") == f"sqlite:///{folder}/one.db"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://host/study", "postgresql://host/study"),
        ("postgresql://me@host:5432/study", "postgresql://me@host:5432/study"),
        ("postgresql://me:secret@host/study", "postgresql://me:***@host/study"),
    ],
)
def test_the_address_of_a_server_has_no_password(url: str, shown: str) -> None:
    assert absolute(url) == shown


def test_a_busy_file_is_given_up_after_two_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect, waits = sqlite3.connect, []

    def noted(path: str, **options: Any) -> sqlite3.Connection:
        waits.append(options.get("timeout"))
        return connect(path, **options)

    monkeypatch.setattr(sqlite3, "connect", noted)
    storage.close(storage.open_storage(f"sqlite:///{tmp_path}/n.db", 20, 60))
    assert set(waits) == {2}
