"""Reads an ONNX file as a trace, without ONNX Runtime and without running anything of the file.

`onnx_file` opens it, `onnx_reader` translates its operators, `onnx_patterns` joins the operators that exporters write
for one of torch, and this module names the tensors as a state_dict does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from resnext_dsl.importing.model_file import (
    MODULE_PATH,
    clean,
    network_name,
    of_another_version,
    unreadable,
    untranslated,
)
from resnext_dsl.importing.onnx_file import OnnxFile, open_onnx
from resnext_dsl.importing.response_norm import with_response_norms
from resnext_dsl.importing.trace import Call, Ref, Stored, Trace, TracedTensor

if TYPE_CHECKING:
    import torch

    from resnext_dsl.importing.onnx_reader import OnnxReader
    from resnext_dsl.operators.base import Shape

ROLES: Mapping[str, str] = {
    "weight": "parameter",
    "bias": "parameter",
    "running_mean": "buffer",
    "running_var": "buffer",
}
"""Arguments that hold the tensors of a module -> the kind of the tensor."""

CLASSES: Mapping[str, str] = {"conv1d": "Conv1d", "conv2d": "Conv2d", "conv3d": "Conv3d", "linear": "Linear"}
"""Operation -> the class of its module, for a layer whose module the file does not name."""


def read_onnx(path: Path, shape: Shape | None = None) -> Trace:
    """The trace of an ONNX file.

    Args:
        path: The file.
        shape: The shape of the input without the batch, for a file that leaves it open.

    Raises:
        ArchError: E605 without the library `onnx`. E621 if the file is damaged. E622 if it is of a version that is not
            read. E623 if tensors lie outside its folder. E624 with every operator that has no translation.
    """
    file = open_onnx(path, shape)
    from resnext_dsl.importing.onnx_patterns import joined
    from resnext_dsl.importing.onnx_reader import OnnxReader

    reader = OnnxReader(file)
    reader.read()
    if reader.problems:
        raise untranslated(path, reader.problems)
    outputs = _outputs(file, reader)
    calls, outputs = with_response_norms(*joined(reader.build, outputs))
    calls, tensors, loads = _with_keys(reader, calls)

    def value(key: str) -> torch.Tensor:
        return loads[key]()

    return Trace(
        network_name(path),
        file.origin,
        file.input.shape,
        tuple(calls),
        outputs,
        dict(sorted(reader.modules.items(), key=lambda entry: entry[0].count(".") + bool(entry[0]))),
        tensors,
        value,
        tuple(reader.build.notes),
    )


def _outputs(file: OnnxFile, reader: OnnxReader) -> dict[str, Ref]:
    outputs: dict[str, Ref] = {}
    for output in file.model.graph.output:
        if output.name not in reader.names:
            raise unreadable(file.path, f"no operator gives the output `{output.name}`")
        value = reader.names[output.name]
        if not isinstance(value, Ref):
            raise of_another_version(file.path, f"the output `{clean(output.name)}` does not depend on the input")
        outputs["main" if not outputs else f"output_{len(outputs)}"] = value
    if not outputs:
        raise of_another_version(file.path, "the network has no output")
    return outputs


def _with_keys(
    reader: OnnxReader, calls: list[Call]
) -> tuple[list[Call], dict[str, TracedTensor], dict[str, Callable[[], torch.Tensor]]]:
    """The calls with keys of a state_dict, and the tensors that they read.

    Exporters number the tensors that they compute, and merge equal tensors of several modules. Such a tensor gets the
    path of its module and the name of its argument.
    """
    calls = [_at_its_weight(reader, call) for call in calls]
    readers = _readers(calls)
    names: dict[tuple[str, str], str] = {}
    tensors: dict[str, TracedTensor] = {}
    loads: dict[str, Callable[[], torch.Tensor]] = {}

    def key_of(key: str, index: int, role: str) -> str:
        stored, call = reader.build.tensors[key], calls[index]
        alone = len(readers[key]) == 1
        wanted = key
        if call.path and (role in ROLES or not alone) and not (alone and stored.named):
            wanted = f"{call.path}.{role if role in ROLES else call.operation}"
        # a layer that is called twice has one weight; formulas that read equal numbers do not share them
        reading = f"{wanted}:{'' if role in ROLES or alone else index}"
        if (key, reading) not in names:
            names[key, reading] = unique = _free(wanted, tensors)
            kind = ROLES.get(role) or ("parameter" if stored.learned else "constant")
            tensors[unique] = reader.build.described(key, kind)
            loads[unique] = stored.load
        return names[key, reading]

    def renamed(argument: object, index: int, role: str) -> object:
        if isinstance(argument, list):
            return [renamed(item, index, role) for item in argument]
        return Stored(key_of(argument.key, index, role)) if isinstance(argument, Stored) else argument

    keyed = [
        call._replace(arguments={role: renamed(item, index, role) for role, item in call.arguments.items()})
        for index, call in enumerate(calls)
    ]
    return keyed, tensors, loads


def _free(wanted: str, taken: Mapping[str, object]) -> str:
    """A key that no tensor has: a path of names, with a number if needed."""
    key = wanted if MODULE_PATH.fullmatch(wanted) else re.sub(r"\W+", "_", wanted)[:80].strip("_") or "tensor"
    unique, number = key, 1
    while unique in taken:
        number += 1
        unique = f"{key}_{number}"
    return unique


def _readers(calls: list[Call]) -> dict[str, set[tuple[object, str]]]:
    """Key -> its readers: a layer by its path, and any other call by its position."""
    readers: dict[str, set[tuple[object, str]]] = {}
    for index, call in enumerate(calls):
        for role, argument in call.arguments.items():
            for item in argument if isinstance(argument, list) else [argument]:
                if isinstance(item, Stored):
                    readers.setdefault(item.key, set()).add((call.path if role in ROLES else index, role))
    return readers


def _at_its_weight(reader: OnnxReader, call: Call) -> Call:
    """A layer with the path of its weight: exporters give a convolution joined with a norm the path of the norm."""
    weight = call.arguments.get("weight")
    if not isinstance(weight, Stored) or not reader.build.tensors[weight.key].named:
        return call
    path, _, name = weight.key.rpartition(".")
    if name != "weight" or path == call.path or not path or (path in reader.modules and call.path):
        return call
    reader.modules[path] = CLASSES.get(call.operation, "Module")
    return call._replace(path=path)
