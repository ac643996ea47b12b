"""An operator without a counterpart in ONNX: the error names it."""

from __future__ import annotations

from pathlib import Path

import pytest

import resnext_dsl as rx
from resnext_dsl.export.write import export


def test_the_error_names_the_operator_that_onnx_lacks(tmp_path: Path) -> None:
    network = rx.loads("network n { input image: 3x9x9; stem { conv(4, 1x1); adaptive_maxpool(4x4) }; flatten }")
    with pytest.raises(rx.ArchError, match="cannot be written for `onnx`") as caught:
        export(network, "onnx", tmp_path / "model.onnx")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E705"
    assert diagnostic.message == (
        "the network cannot be written for `onnx` (ONNX): ONNX has no operator for `adaptive_max_pool2d`, "
        "which the network has at `stem.adaptive_maxpool`"
    )
    assert not list(tmp_path.iterdir())
