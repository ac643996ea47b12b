"""The calls of a graph of torch.fx by the names of ATen: functions, methods, operators of Python and indices."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn

from resnext_dsl.importing.call_schemas import bound, operation_of
from resnext_dsl.importing.layer_calls import reader_of
from resnext_dsl.importing.lowering.axis_views import SAMPLES
from resnext_dsl.importing.meta_values import MetaValues
from resnext_dsl.importing.mode_flag import ModeFlag
from resnext_dsl.importing.place_lines import model_line
from resnext_dsl.importing.shared_memory import VIEWS, SharedMemory
from resnext_dsl.importing.trace import BATCH, INPUT, Call, Ref, Stored, Trace, TracedTensor
from resnext_dsl.importing.traced_sizes import TracedSize, sides_of_one
from resnext_dsl.operators.base import Shape

PATH = "path"
"""The key of a node's path among its facts."""

SEVERAL = frozenset({"chunk", "split", "unbind", "tensor_split", "split_with_sizes", "max", "min", "var_mean"})
"""Operations with several results."""


class FxCalls:
    """The calls of a module that torch.fx has traced.

    Attributes:
        values: The values of nodes on the meta device.
        tensors: The parameters and buffers of the module under all of their names, with their kinds.
        constants: The tensors that the calls read, with those that no module holds.
    """

    def __init__(
        self,
        module: nn.Module,
        values: MetaValues,
        tensors: Mapping[str, tuple[torch.Tensor, str]],
        constants: Mapping[str, torch.Tensor],
    ) -> None:
        self.values, self.tensors, self.constants = values, tensors, constants
        self.calls: list[Call] = []
        self.results: dict[fx.Node, Any] = {}
        self.outputs: dict[str, Ref] = {}
        self.modules = dict(module.named_modules(remove_duplicate=False))
        self.inputs = 0
        self.memory = SharedMemory()

    def trace(self, graph: fx.Graph, shape: Shape, name: str, origin: str) -> Trace:
        """The calls of the graph of a module with an input of this shape."""
        for node in graph.nodes:
            self._read(node)
        stored = {**{key: tensor for key, (tensor, _) in self.tensors.items()}, **self.constants}
        kinds = {key: kind for key, (_, kind) in self.tensors.items()}
        tensors = {
            key: TracedTensor(tuple(tensor.shape), kinds.get(key, "constant"), tensor.is_floating_point())
            for key, tensor in stored.items()
        }
        classes = {path: type(each).__name__ for path, each in self.modules.items()}
        return Trace(name, origin, shape, tuple(self.calls), self.outputs, classes, tensors, stored.__getitem__)

    def _read(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.results[node] = INPUT if self.inputs == 0 else None
            self.inputs += 1
        elif node.op == "get_attr":
            self.results[node] = Stored(str(node.target))
        elif node.op == "output":
            self.outputs = dict(_named_outputs(self._argument(node.args[0])))
        elif node.op == "call_module":
            self._read_layer(node)
        else:
            self._read_call(node)

    def _read_layer(self, node: fx.Node) -> None:
        path = str(node.target)
        module = self.modules[path]
        reader = reader_of(module)
        assert reader is not None
        source = [*node.args, *node.kwargs.values()][0]
        value = self._argument(source)
        calls = reader(module, path)
        for operation, arguments in calls:
            value = self._added(node, operation, {_value_name(operation): value, **arguments}, path)
        self.results[node] = value
        if all(operation in VIEWS for operation, _ in calls):
            self.memory.add(node, source)
        elif getattr(module, "inplace", False):
            self._replaced(node)

    def _replaced(self, node: fx.Node) -> None:
        """Later calls that read the argument of an in-place call read its result."""
        changed = node.args[0]
        if isinstance(changed, fx.Node):
            self.results[changed] = self.results[node]
            self.memory.change(changed)

    def _read_call(self, node: fx.Node) -> None:
        target = node.target
        if isinstance(target, type):
            self.results[node] = _fields_of(target, self._argument(list(node.args)), self._argument(dict(node.kwargs)))
            return
        name = target if isinstance(target, str) else _function_name(target)
        operation, in_place = operation_of(name)
        arguments = bound(operation, node.args, node.kwargs)
        in_place = in_place or arguments.pop("inplace", False) is True
        if operation in VIEWS and node.args and isinstance(node.args[0], fx.Node):
            self.memory.add(node, node.args[0])
        if operation == "getitem":
            self.results[node] = self._indexed(node)
            return
        if operation == "interpolate" and (like := sides_of_one(arguments.get("size"))):
            arguments["like"] = like
        if operation == "getattr":
            self.results[node] = None
            return
        converted = {key: self._argument(value) for key, value in arguments.items()}
        self.results[node] = self._added(node, operation, converted, _path_of(node))
        if in_place:
            self._replaced(node)

    def _added(self, node: fx.Node, operation: str, arguments: Mapping[str, Any], path: str) -> Ref:
        if operation == "interpolate":
            operation, arguments = _resizing(arguments, len(self.values.input_shape) - 1)
        self.calls.append(Call(operation, arguments, None, path, model_line(node.stack_trace or "")))
        return Ref(len(self.calls) - 1)

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            self.memory.check(argument)
            return self.results[argument]
        if isinstance(argument, list | tuple):
            return [self._argument(each) for each in argument]
        if isinstance(argument, dict):
            return {key: self._argument(each) for key, each in argument.items()}
        if isinstance(argument, ModeFlag):
            return False
        if isinstance(argument, TracedSize):
            argument = int(argument)
        if isinstance(argument, int) and not isinstance(argument, bool) and argument == SAMPLES:
            return BATCH
        return argument

    def _indexed(self, node: fx.Node) -> Any:
        """An element of several results, or a part of a tensor."""
        source, index = node.args
        value = self._argument(source)
        if isinstance(value, list | tuple) and not isinstance(value, Ref | Stored):
            return value[index]  # type: ignore[index]
        assert isinstance(source, fx.Node)
        if isinstance(index, int) and _gives_several(source):
            return self._added(node, "getitem", {"self": value, "index": index}, _path_of(node))
        rank = len(self.values.of(source).shape)
        for operation, arguments in _index_calls(index, rank):
            converted = {key: self._argument(each) for key, each in arguments.items()}
            value = self._added(node, operation, {"self": value, **converted}, _path_of(node))
        return value


def _fields_of(kind: type, values: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """The results of a model that returns a named tuple or a data class."""
    names = getattr(kind, "_fields", ())
    return {**dict(zip(names, values, strict=False)), **keywords}


def _gives_several(node: fx.Node) -> bool:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_method", "call_function") and operation_of(name)[0] in SEVERAL


def _index_calls(index: Any, rank: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calls of ATen that an index makes, one for each of its parts."""
    parts = list(index) if isinstance(index, tuple | list) else [index]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if Ellipsis in [part for part in parts if not isinstance(part, fx.Node)]:
        place = next(number for number, part in enumerate(parts) if part is Ellipsis)
        parts[place : place + 1] = [slice(None)] * (rank - used)
    dim = 0
    for part in parts:
        if part is None:
            yield "unsqueeze", {"dim": dim}
            dim += 1
        elif isinstance(part, slice):
            if (part.start, part.stop, part.step) != (None, None, None):
                yield "slice", {"dim": dim, "start": part.start, "end": part.stop, "step": part.step or 1}
            dim += 1
        elif isinstance(part, int):
            yield "select", {"dim": dim, "index": part}
        else:
            yield "index", {"dim": dim, "indices": part}
            dim += 1


def _resizing(arguments: Mapping[str, Any], rank: int) -> tuple[str, dict[str, Any]]:
    """The ATen call of `interpolate`."""
    size, factor = arguments.get("size"), arguments.get("scale_factor")
    mode = str(arguments.get("mode", "nearest"))
    name = {"nearest-exact": "_upsample_nearest_exact"}.get(mode, f"upsample_{mode}")
    like = {"like": arguments["like"]} if "like" in arguments else {}
    sides = {**like, "output_size": _every_side(size, rank), "scale_factors": _every_side(factor, rank)}
    more = {key: arguments[key] for key in ("align_corners", "antialias") if arguments.get(key)}
    if arguments.get("recompute_scale_factor"):
        more["recompute_scale_factor"] = True
    return f"{name}{rank}d", {"self": arguments["self"], **sides, **more}


def _every_side(number: Any, rank: int) -> list[Any] | None:
    if number is None:
        return None
    return list(number) if isinstance(number, list | tuple) else [number] * rank


def _value_name(operation: str) -> str:
    return next(iter(bound(operation, (0,), {})))


def _named_outputs(value: Any) -> Iterator[tuple[str, Any]]:
    """The results of a module by name; the first is `main`."""
    if isinstance(value, dict):
        present = {key: each for key, each in value.items() if each is not None}
        for place, (key, each) in enumerate(present.items()):
            yield ("main" if place == 0 else str(key)), each
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield ("main" if place == 0 else f"output{place + 1}"), each
    else:
        yield "main", value


def _path_of(node: fx.Node) -> str:
    return str(node.meta[PATH])


def _function_name(function: Callable[..., Any]) -> str:
    return _NAMES.get(id(function)) or str(getattr(function, "__name__", function))


_NAMES = {
    id(each): name
    for library in (torch, nn.functional, operator)
    for name, each in vars(library).items()
    if callable(each) and not name.startswith("__")
}
"""The public names of functions; torch gives some functions another `__name__`."""
