"""Files that come into place in one step, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resnext_dsl.foundation.atomic import staged, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_both(path: Path, then: Callable[[], object] = lambda: None) -> None:
    with staged(path) as file:
        file.write_text("new graph")
        file.with_suffix(".bin").write_text("new weights")
        then()


def fail(problem: type[BaseException]) -> None:
    raise problem


def missing(path: Path) -> None:
    assert not path.exists()


def test_all_that_is_written_comes_into_place(tmp_path: Path) -> None:
    write_both(tmp_path / "m.xml", lambda: missing(tmp_path / "m.xml"))
    assert names(tmp_path) == ["m.bin", "m.xml"]


@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_stays_where_the_writing_fails(tmp_path: Path, problem: type[BaseException]) -> None:
    (tmp_path / "m.xml").write_text("old")
    with pytest.raises(problem):
        write_both(tmp_path / "m.xml", lambda: fail(problem))
    assert names(tmp_path) == ["m.xml"]
    assert (tmp_path / "m.xml").read_text() == "old"


def test_the_first_file_moves_back_where_the_last_cannot_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.xml").write_text("old graph")
    (tmp_path / "m.bin").write_text("old weights")
    replace = os.replace

    def fails(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / "m.xml":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="No space left"):
        write_both(tmp_path / "m.xml")
    assert names(tmp_path) == ["m.bin", "m.xml"]
    assert (tmp_path / "m.bin").read_text() == "old weights"
    assert (tmp_path / "m.xml").read_text() == "old graph"


def test_a_new_first_file_goes_where_the_last_cannot_move(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a directory"):
        write_both(tmp_path / "m.xml", (tmp_path / "m.xml").mkdir)
    assert names(tmp_path) == ["m.xml"]


def test_a_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.py"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.py").symlink_to(real)
    write_text(tmp_path / "link.py", "new")
    assert (tmp_path / "link.py").is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_permissions_that_the_user_wants(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "new.py", "text")
    finally:
        os.umask(mask)
    assert (tmp_path / "new.py").stat().st_mode & 0o777 == 0o640


def test_only_files_are_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a directory"):
        write_text(tmp_path, "text")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is not a regular file"):
        write_text(tmp_path / "pipe", "text")
    assert names(tmp_path) == ["pipe"]
