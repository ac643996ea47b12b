"""Writes networks to files that other programs run: source, archives of torch, ONNX, OpenVINO's representation.

- `targets`: the table of formats: name, suffix, needed modules, types and devices; imports no torch
- `interface`: the inputs and outputs of a module: names, shape, type, batch
- `python`, `pt2`, `aoti`, `onnx`, `openvino`: one module a format: `write` a module, `read` it back as a function
- `agreement`: compares the outputs of the file with those of the module
- `write`: the whole export, and the move into place
"""

from resnext_dsl.export.targets import TARGETS, Target

__all__ = ["TARGETS", "Target"]
