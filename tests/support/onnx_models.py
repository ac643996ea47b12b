"""ONNX models of single operators, and their outputs by ONNX Runtime, which did not write our reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from resnext_dsl.export.targets import without_telemetry

with without_telemetry():
    import onnxruntime

Array = NDArray[Any]


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str | None],
    stored: dict[str, Array] | None = None,
    *,
    opset: int = 18,
    outputs: Sequence[str] = ("y",),
    domains: dict[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model with the input `x` of a shape and tensors that it stores."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (stored or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*entry) for entry in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))


def single(
    operator: str,
    shape: Sequence[int],
    stored: Sequence[Array | None] = (),
    *,
    opset: int = 18,
    outputs: int = 1,
    domain: str = "",
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one operator; its first input is `x` with a batch of any size, the others are stored."""
    tensors = {f"s{index}": value for index, value in enumerate(stored) if value is not None}
    names = ["" if value is None else f"s{index}" for index, value in enumerate(stored)]
    results = ["y", *(f"y{index}" for index in range(1, outputs))]
    node = helper.make_node(operator, ["x", *names], results, domain=domain, **attributes)
    return model([node], ["batch", *shape], tensors, opset=opset, outputs=results)


def saved(proto: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """The file of a model."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def runtime_outputs(path: Path, images: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of a file by ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    arrays = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    return [torch.from_numpy(np.array(array)) for array in arrays]


def noise(*shape: int, seed: int = 0) -> Array:
    """Normal noise."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def positive(*shape: int, seed: int = 0) -> Array:
    """Numbers between 0.5 and 1.5."""
    return (np.random.default_rng(seed).random(shape) + 0.5).astype(np.float32)


def integers(*numbers: int) -> Array:
    """Integers of 64 bits."""
    return np.array(numbers, dtype=np.int64)


def floats(*numbers: float) -> Array:
    """A vector of float32."""
    return np.array(numbers, dtype=np.float32)


def number(value: float) -> Array:
    """A float32 without dimensions."""
    return np.array(value, dtype=np.float32)
