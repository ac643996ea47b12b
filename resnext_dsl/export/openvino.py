"""Target `openvino`: OpenVINO's intermediate representation, a `.xml` with the graph and a `.bin` with the weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from resnext_dsl.export.interface import Interface, Outputs, Run, trace
from resnext_dsl.export.targets import without_telemetry


def write(model: nn.Module, signature: Interface, path: Path) -> None:
    """Traces a module and writes both files. Weights in float16 are widened by the runtime."""
    with without_telemetry():
        import openvino

        converted = openvino.convert_model(trace(model, signature))
    converted.reshape(openvino.PartialShape([signature.batch or -1, *signature.shape]))
    converted.inputs[0].set_names({signature.input})
    for output, name in zip(converted.outputs, signature.outputs, strict=True):
        output.set_names({name})
    openvino.save_model(converted, path, compress_to_fp16=signature.stored == torch.float16)


def read(path: Path, signature: Interface, model: nn.Module) -> Run:
    """Compiles the model for the CPU in float32, also if the processor prefers another type."""
    with without_telemetry():
        import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(path, "CPU", exact)

    def run(images: Tensor) -> Outputs:
        arrays = compiled(images.numpy())
        return tuple(torch.from_numpy(arrays[index]) for index in range(len(signature.outputs)))

    return run
