"""Target `onnx`: ONNX by torch's exporter on torch.export (`dynamo`), read back by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from resnext_dsl.export.interface import Interface, Outputs, Run, sizes, trace
from resnext_dsl.export.targets import without_telemetry

OPSET = 20
"""Version of the operator set that torch's exporter writes without a conversion."""


def write(model: nn.Module, signature: Interface, path: Path) -> None:
    """Traces a module and writes it with its weights, in one file."""
    program = torch.onnx.export(
        trace(model, signature),
        input_names=[signature.input],
        output_names=list(signature.outputs),
        dynamic_shapes=sizes(signature),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(path, external_data=False)


def read(path: Path, signature: Interface, model: nn.Module) -> Run:
    """A session of ONNX Runtime on the CPU."""
    with without_telemetry():
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Outputs:
        arrays = session.run(list(signature.outputs), {signature.input: images.numpy()})
        return tuple(torch.from_numpy(value) for value in arrays)

    return run
