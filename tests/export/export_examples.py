"""Small networks that are hard to export, and the programs of others that read what was written."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch
from torch import Tensor

from resnext_dsl.export.targets import without_telemetry

NETWORKS = {
    "plain": "network plain { input image: 3x16x16; conv(8, 3x3); bn; relu; maxpool(2x2); split 4 { conv(4, 1x1); "
    "conv(8, 3x3) } merge add; bn; relu; avgpool(global); flatten; linear(5) }",
    "outputs": "network outputs { input image: 3x8x8\n conv(4, 3x3) as a\n output side from a { conv(2, 1x1) }\n"
    " output aux when training from a { avgpool(global); flatten; linear(2) }\n relu; flatten; linear(10) }",
    "lists": "network lists { input image: 3x8x8\n split 2 as i { conv(4, 3x3); relu } merge list as xs\n"
    " output p from xs { conv(2, 1x1) }\n output aux when training from xs { flatten; linear(2) }\n use xs + [image] }",
    "windows": "network windows { input image: 3x15x13; conv(8, 3x3, stride=2, padding=same_upper); bn; relu; "
    "maxpool(3x3, stride=2, padding=same_upper); avgpool(2x2, stride=1, padding=same_upper, count_include_pad=false); "
    "conv(8, 3x3, standardize=scaled, gamma=1.5); relu; blur_pool(3x3); fixed_conv([[1, 0, -1]]); flatten; linear(4) }",
    "signal": "network signal { input signal: 2x33; conv(8, 5, stride=2); bn; relu; maxpool(2); split 4 { conv(4, 1); "
    "conv(8, 3) } merge add; upsample(2); bn; relu; avgpool(global); flatten; linear(5) }",
    "clip": "network clip { input clip: 2x5x8x8; conv(8, 3x5x5, stride=1x2x2); bn; relu; maxpool(2); split 4 slice { conv(2, 3) } "
    "merge concat; upsample(2); bn; relu; avgpool(global); flatten; linear(5) }",
    "vector": "network vector { input x: 12; linear(8); relu; linear(2) }",
    "repeated": "network repeated { input x: 3x4x4; relu as a\n output b from a\n output image from a\n output same from x }",
    "nothing": "network nothing { input image: 3x4x4; dropout(0.5) }",
    "aux": "network aux { input image: 3x8x8\n conv(4, 3x3) as a\n"
    " output extra when training from a { avgpool(global); flatten; linear(2) }\n"
    " avgpool(global); flatten; dropout(0.5); linear(10) }",
}

SUFFIX = {"py": ".py", "pt2": ".pt2", "aoti": ".pt2", "onnx": ".onnx", "openvino": ".xml"}


def read_back(target: str, path: Path, images: Tensor) -> dict[str, Tensor]:
    """The outputs of a file by name, or by place where it has no names."""
    return {"pt2": archive, "aoti": package, "onnx": onnx, "openvino": openvino}[target](path, images)


def archive(path: Path, images: Tensor) -> dict[str, Tensor]:
    return _placed(torch.export.load(path).module()(images))


def package(path: Path, images: Tensor) -> dict[str, Tensor]:
    from torch._inductor import aoti_load_package

    return _placed(aoti_load_package(str(path))(images))


def _placed(found: object) -> dict[str, Tensor]:
    values = found if isinstance(found, tuple | list) else (found,)
    return {str(place): value for place, value in enumerate(values)}


def onnx(path: Path, images: Tensor) -> dict[str, Tensor]:
    with without_telemetry():
        import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    values = session.run(None, {taken.name: images.numpy()})
    return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}


def openvino(path: Path, images: Tensor) -> dict[str, Tensor]:
    with without_telemetry():
        import openvino
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = model({model.input(0).any_name: images.numpy()})
    return {output.any_name: torch.from_numpy(numpy.array(found[output])) for output in model.outputs}
