"""Translates the operators of an ONNX graph one after the other, and collects those that have no translation."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import torch

from resnext_dsl.importing import (
    onnx_arithmetic,
    onnx_normalization,
    onnx_resizing,
    onnx_shaping,
    onnx_windows,
)
from resnext_dsl.importing.model_file import Untranslated, clean, unreadable
from resnext_dsl.importing.onnx_builder import CallBuilder, StoredTensor, Value
from resnext_dsl.importing.onnx_file import MAX_NODES, STANDARD, OnnxFile
from resnext_dsl.importing.onnx_folding import folded, folds
from resnext_dsl.importing.onnx_grids import IndexGrid, grid, makes_grid
from resnext_dsl.importing.onnx_modules import is_parameter_name, origin_of
from resnext_dsl.importing.onnx_node import OnnxNode
from resnext_dsl.importing.onnx_tensors import MAX_RANK, FileTensor, checked_tensor
from resnext_dsl.importing.onnx_values import MAX_KNOWN, Known, RefusedError, known
from resnext_dsl.importing.trace import INPUT

TRANSLATIONS: Mapping[str, Any] = {
    **onnx_arithmetic.TRANSLATIONS,
    **onnx_normalization.TRANSLATIONS,
    **onnx_resizing.TRANSLATIONS,
    **onnx_shaping.TRANSLATIONS,
    **onnx_windows.TRANSLATIONS,
}
"""Operator of ONNX -> its translation."""

SPECIAL = {"Constant", "ConstantOfShape", "If"}
"""Operators whose attributes hold their result."""

MAX_DEPTH = 16
"""The most functions that call each other."""

Names = MutableMapping[str, Value | IndexGrid | None]
"""Name -> its value; None for the result of an operator that was refused."""


class OnnxReader:
    """Reads one graph.

    Attributes:
        build: The calls and tensors.
        modules: Path of each module -> the name of its class.
        problems: The operators that were refused.
    """

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self._count = 0
        self._reads: set[str] = set()
        self.build = CallBuilder(file.input)
        self.modules: dict[str, str] = {"": "Module"}
        self.problems: list[Untranslated] = []
        self.names: Names = {file.input.name: INPUT}

    def read(self) -> None:
        """Reads the stored tensors and the operators.

        Raises:
            ArchError: E621 if the file is damaged, E623 if a tensor lies outside its folder.
        """
        graph = self._file.model.graph
        for proto in graph.initializer:
            if proto.name in self.names:
                raise self._unreadable(f"it has the tensor `{proto.name}` twice")
            named = is_parameter_name(proto.name) and (bool(proto.dims) or "." in proto.name)
            self.names[proto.name] = self._value(
                checked_tensor(self._file.path, proto), proto.name, named, learned=True
            )
        self._run(graph.node, self.names, self._file.opset, [output.name for output in graph.output], 0)

    def _run(self, nodes: Sequence[Any], names: Names, opset: int, outputs: Iterable[str], depth: int) -> None:
        """Reads operators in their order."""
        self._reads = {*outputs, *(name for proto in nodes for name in proto.input)}
        for proto in nodes:
            self._count += 1
            if self._count > MAX_NODES:
                raise self._unreadable(f"its functions give more than {MAX_NODES} operators")
            missing = [name for name in proto.input if name and name not in names]
            if missing:
                raise self._unreadable(f"an operator reads `{missing[0]}`, which no operator before it gives")
            results = self._results(proto, names, opset, depth)
            for name, result in zip(proto.output, results, strict=False):
                if name in names:
                    raise self._unreadable(f"two operators give `{name}`")
                names[name] = result
            names.pop("", None)
            for name in proto.output:
                names.setdefault(name, None)
            names.pop("", None)

    def _results(self, proto: Any, names: Names, opset: int, depth: int) -> list[Any]:
        """The results of an operator; none if it is refused."""
        origin = origin_of(proto)
        self.modules.update(
            (path, name) for path, name in origin.classes if self.modules.get(path, "Module") == "Module"
        )
        self.build.path, self.build.place = origin.path, origin.place
        place = origin.path or str(proto.name)
        function = self._file.functions.get((proto.domain, proto.op_type))
        if function is not None:
            return self._called(function, proto, names, depth)
        if proto.domain not in STANDARD:
            title, reason = f"{proto.domain}.{proto.op_type}", "is not one of the standard operators of ONNX"
            self.problems.append(Untranslated(title, reason, place))
            return []
        lost = any(name and names[name] is None for name in proto.input)
        if proto.op_type not in TRANSLATIONS and proto.op_type not in SPECIAL and not self._folds(proto, names, opset):
            self.problems.append(Untranslated(proto.op_type, "has no translation", place))
            return []
        if lost:
            return []
        try:
            return self._translated(proto, names, opset)
        except RefusedError as reason:
            self.problems.append(Untranslated(proto.op_type, str(reason), place))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            self.problems.append(Untranslated(proto.op_type, "has inputs or attributes that do not fit it", place))
        return []

    def _folds(self, proto: Any, names: Names, opset: int) -> bool:
        node, inputs = self._node(proto, names, opset)
        return makes_grid(node, inputs) or folds(node, inputs)

    def _node(self, proto: Any, names: Names, opset: int) -> tuple[OnnxNode, list[Any]]:
        """An operator with its inputs; a result that nothing reads has no name."""
        inputs: list[Any] = [names[name] if name else None for name in proto.input]
        outputs = [str(name) if name in self._reads else "" for name in proto.output]
        return OnnxNode(proto, inputs, opset, self.build, outputs), inputs

    def _translated(self, proto: Any, names: Names, opset: int) -> list[Any]:
        node, inputs = self._node(proto, names, opset)
        if proto.op_type == "If":
            return self._chosen(node, names, opset)
        if proto.op_type == "Constant":
            result: Any = self._constant(node)
        elif proto.op_type == "ConstantOfShape":
            result = self._filled(node)
        elif makes_grid(node, inputs):
            result = grid(node, inputs)
        elif folds(node, inputs):
            result = folded(node, inputs)
        else:
            result = TRANSLATIONS[proto.op_type](node)
        node.check_all_taken()
        return result if isinstance(result, list) else [result]

    def _constant(self, node: OnnxNode) -> Value:
        """The value of a constant."""
        proto = node.tensor_attribute("value")
        if proto is not None:
            return self._value(checked_tensor(self._file.path, proto), node.outputs[0], named=False, learned=False)
        for name, shape in (("value_int", ()), ("value_ints", None)):
            integers = node.integer_list(name) if shape is None else None
            if shape is not None and node.has(name):
                integers = [node.integer(name)]
            if integers is not None:
                return known(integers, shape)
        if node.has("value_float"):
            return node.build.constant(torch.tensor(node.number("value_float", 0.0)))
        numbers = node.number_list("value_floats")
        if numbers is None:
            raise RefusedError("has no value that is a tensor or a number")
        return node.build.constant(torch.tensor(numbers))

    def _chosen(self, node: OnnxNode, names: Names, opset: int) -> list[Any]:
        """The results of the branch of a condition on shapes."""
        condition = node.value()
        branches = [node.graph_attribute(name) for name in ("else_branch", "then_branch")]
        if not isinstance(condition, Known) or len(condition.flat()) != 1 or None in branches:
            raise RefusedError("decides by the data")
        node.check_all_taken()
        branch = branches[bool(condition.flat()[0])]
        if branch.initializer:
            raise RefusedError("has a branch with tensors of its own")
        inner: Names = ChainMap({}, names)
        outputs, reads = [output.name for output in branch.output], self._reads
        self._run(branch.node, inner, opset, outputs, 1)
        self._reads = reads
        return [inner.get(name) for name in outputs]

    def _filled(self, node: OnnxNode) -> Value:
        """A tensor of one number."""
        shape = node.value()
        proto = node.tensor_attribute("value")
        if not isinstance(shape, Known):
            raise RefusedError("computes its shape from the data")
        filled = torch.zeros(1) if proto is None else checked_tensor(self._file.path, proto).read().reshape(-1)
        sizes = shape.integers()
        small = all(0 <= size <= MAX_KNOWN for size in sizes) and math.prod(sizes) <= MAX_KNOWN
        if len(filled) != 1 or len(sizes) > MAX_RANK or not small:
            raise RefusedError(f"gives the shape {sizes[:8]} of {len(filled)} numbers")
        tensor = filled.expand(sizes)
        if tensor.is_floating_point():
            return node.build.constant(tensor.clone())
        return known(tensor.flatten().tolist(), tuple(sizes))

    def _value(self, tensor: FileTensor, name: str, named: bool, learned: bool) -> Value:
        """Integers of shapes are known numbers; other tensors stay in the file until they are asked for."""
        count = torch.Size(tensor.shape).numel()
        if "float" not in tensor.type.name and count <= MAX_KNOWN:
            return known(tensor.read().flatten().tolist(), tensor.shape)
        self.build.held += count
        meta = torch.empty(tensor.shape, dtype=getattr(torch, tensor.type.name), device="meta")
        return self.build.store(name, StoredTensor(meta, tensor.read, named, learned))

    def _called(self, function: Any, proto: Any, names: Names, depth: int) -> list[Any]:
        """The results of a function that the file defines: its operators in the place of the call."""
        title = clean(f"{function.domain}.{function.name}")
        if depth >= MAX_DEPTH:
            raise self._unreadable(f"its functions call each other more than {MAX_DEPTH} deep (`{title}`)")
        versions = {entry.domain: entry.version for entry in function.opset_import}
        inner: Names = dict.fromkeys(function.input)
        inner.update((name, names[value]) for name, value in zip(function.input, proto.input, strict=False) if value)
        attributes = {attribute.name: attribute for attribute in function.attribute_proto}
        attributes.update((attribute.name, attribute) for attribute in proto.attribute)
        nodes = [_with_attributes(node, attributes) for node in function.node]
        opset, reads = versions.get("", versions.get("ai.onnx", self._file.opset)), self._reads
        self._run(nodes, inner, opset, function.output, depth + 1)
        self._reads = reads
        return [inner.get(name) for name in function.output]

    def _unreadable(self, reason: str) -> Exception:
        return unreadable(self._file.path, reason)


def _with_attributes(node: Any, attributes: Mapping[str, Any]) -> Any:
    """An operator of a function with the attributes of the call."""
    if not any(attribute.ref_attr_name for attribute in node.attribute):
        return node
    filled = type(node)()
    filled.CopyFrom(node)
    del filled.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            filled.attribute.append(attribute)
        elif attribute.ref_attr_name in attributes:
            filled.attribute.append(attributes[attribute.ref_attr_name])
            filled.attribute[-1].name = attribute.name
    return filled
