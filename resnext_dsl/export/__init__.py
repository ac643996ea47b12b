"""Networks as files that other programs run: source, archives of torch, ONNX, OpenVINO's representation.

targets     the table: what each format is called, ends in, needs and can hold; imports nothing heavy
signature   what a module takes and gives: names, shape, type, batch
source, pt2, aoti, onnx, openvino      one room a format: `write` a module to a path, `read` it back as a function
agreement   runs what was read back beside the module
write       all of it in order, into place in one step
"""

from resnext_dsl.export.targets import TARGETS, Target

__all__ = ["TARGETS", "Target"]
