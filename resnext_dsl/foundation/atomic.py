"""Writes files atomically: a reader sees the old file or the new one, and a failure leaves the old one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one step: a new file beside the old one, then a rename.

    Raises:
        OSError: If the folder is missing or cannot be written; the old file does not change.
    """
    with staged(path) as file:
        file.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A temporary path for a file and the files that belong to it; all move into place if the block succeeds.

    The path lies in a new folder beside the target that only this user can read. The folder is always removed. If the
    block ends with an error or an interrupt, the files at the targets do not change.

    Args:
        path: The target; a link is followed, and an existing file keeps its permissions.

    Raises:
        OSError: If the folder is missing or cannot be written, or if a target is not a regular file.
    """
    target = path.resolve() if path.is_symlink() else path
    _refuse_other_than_files(target, path)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:64]}."))
    try:
        yield folder / target.name
        _publish(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, target: Path) -> None:
    """Moves the files of a folder beside the target, the target itself last; a failure undoes the moves before it."""
    beside = sorted(file for file in folder.iterdir() if file.name != target.name)
    for file in (*beside, folder / target.name):
        place = target.with_name(file.name)
        _refuse_other_than_files(place, place)
        if place.exists():
            file.chmod(place.stat().st_mode & 0o777)
    with ExitStack() as undo:
        for file in beside:
            _move(file, target.with_name(file.name), undo)
        os.replace(folder / target.name, target)
        undo.pop_all()


def _move(file: Path, place: Path, undo: ExitStack) -> None:
    if place.exists():
        kept = file.with_name(f"{file.name}.kept")
        os.replace(place, kept)
        undo.callback(os.replace, kept, place)
    else:
        undo.callback(place.unlink, missing_ok=True)
    os.replace(file, place)


def _refuse_other_than_files(target: Path, named: Path) -> None:
    if target.is_dir():
        raise IsADirectoryError(21, "is a directory", str(named))
    if target.exists() and not target.is_file():
        raise OSError(22, "is not a regular file", str(named))
