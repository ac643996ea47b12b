"""The suffix of a file decides its reader; other names and missing files have errors of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_examples import tiny_archive
from onnx_models import saved, single

import resnext_dsl as rx
from resnext_dsl.importing.source_files import read_file


def test_both_formats_are_read(tmp_path: Path) -> None:
    archive = tmp_path / "tiny.PT2"
    archive.write_bytes(tiny_archive())
    assert read_file(archive).modules["stem"] == "Sequential"
    assert read_file(str(saved(single("Relu", (3, 4, 4)), tmp_path))).calls[0].operation == "relu"


@pytest.mark.parametrize(
    ("name", "code", "message", "hint"),
    [
        ("none.onnx", "E621", "the model cannot be read: there is no such file", ""),
        ("none.pt2", "E621", "the model cannot be read: there is no such file", ""),
        ("nul\0.pt2", "E621", "the model cannot be read: there is no such file", ""),
        ("folder.onnx", "E621", "the model cannot be read: it is a folder", ""),
        ("empty.onnx", "E621", "the model cannot be read: it is empty", ""),
        ("empty.pt2", "E621", "the model cannot be read: it is empty", ""),
        ("broken.onnx", "E621", "the model cannot be read: it is not a regular file", ""),
        ("model.tflite", "E622", "the model is not read: no reader knows the suffix `.tflite`", ".onnx and .pt2 files are read"),
        ("model", "E622", "the model is not read: no reader knows the suffix ``", ".onnx and .pt2 files are read"),
        ("model.pth", "E622", "the model is not read: no reader knows the suffix `.pth`",
         ".onnx and .pt2 files are read; this is a checkpoint, which has weights and no network"),
    ],
)  # fmt: skip
def test_a_file_that_is_refused(name: str, code: str, message: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "empty.pt2").touch()
    (tmp_path / "broken.onnx").symlink_to(tmp_path / "nowhere")
    with pytest.raises(rx.ArchError, match=code) as caught:
        read_file(tmp_path / name)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == (code, message, hint)
    assert diagnostic.file == str(tmp_path / name)


def test_a_file_of_more_than_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate((2 << 30) + 1)
    with pytest.raises(rx.ArchError, match="it has 2147483649 bytes, and at most 2147483648 are read"):
        read_file(path)
