"""Reads a torch module by torch.fx: its calls for any number of samples and one size of image.

Modules of torch.nn are read by their class, all other modules by running their `forward` on proxies. A proxy knows its
sizes: they are computed on the meta device if the code of a model asks for them.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.call_schemas import bound, operation_of
from resnext_dsl.importing.layer_calls import reader_of
from resnext_dsl.importing.lowering.axis_views import SAMPLES
from resnext_dsl.importing.meta_values import MetaValues
from resnext_dsl.importing.mode_flag import ModeFlag
from resnext_dsl.importing.place_lines import line_of_error, model_line
from resnext_dsl.importing.trace import BATCH, INPUT, Call, Ref, Stored, Tensor, Trace
from resnext_dsl.importing.traced_sizes import TracedSize, sides_of_one, traced_sizes
from resnext_dsl.operators.base import Shape

PATH = "path"
"""The key of a node's path among its facts."""

KNOWN_BY_VALUE = frozenset({"ndim", "dtype", "device", "is_cuda", "requires_grad", "layout", "is_quantized"})
"""Attributes of a tensor that tracing knows."""

SEVERAL = frozenset({"chunk", "split", "unbind", "tensor_split", "split_with_sizes", "max", "min", "var_mean"})
"""Operations with several results."""


class Traced(NamedTuple):
    """A trace of a module.

    Attributes:
        trace: The trace.
        conditions: The lines of the model whose conditions depend on the mode.
    """

    trace: Trace
    conditions: frozenset[str]


class ValueProxy(fx.Proxy):  # type: ignore[no-any-unimported, unused-ignore]
    """A proxy that knows its sizes."""

    tracer: ModuleTracer

    def __getattr__(self, name: str) -> Any:
        if name == "shape":
            return self.size()
        if name in KNOWN_BY_VALUE:
            return getattr(self.tracer.values.of(self.node), name)
        return super().__getattr__(name)

    def size(self, dim: int | None = None) -> Any:
        """The sizes, or one of them."""
        shape = self.tracer.values.of(self.node).shape
        sizes = traced_sizes(shape, self.node, self.tracer.conditions)
        return sizes if dim is None else sizes[dim]

    def dim(self) -> int:
        """The number of axes."""
        return len(self.size())

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.tracer.values.of(self.node).shape)

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether its elements lie in order; the sizes of a module do not depend on it."""
        return True

    def is_floating_point(self) -> bool:
        """Whether its type is a floating-point type."""
        return bool(self.tracer.values.of(self.node).is_floating_point())

    def __len__(self) -> int:
        return int(self.size(0))

    def __iter__(self) -> Iterator[Any]:
        value = self.tracer.values.of(self.node)
        return iter([self[index] for index in range(len(value))])


class ModuleTracer(fx.Tracer):
    """Records the calls of a module."""

    proxy_buffer_attributes = True

    def __init__(self, module: nn.Module, shape: Shape, places: bool) -> None:
        super().__init__(autowrap_modules=(math,))
        self.record_stack_traces = places
        self.tensors = dict(_tensors_of(module))
        self.names = {id(tensor): name for name, (tensor, _) in reversed(self.tensors.items())}
        self.stored: dict[str, torch.Tensor] = {}
        self.attributes: dict[str, fx.Proxy] = {}
        self.conditions: set[str] = set()
        self.values = MetaValues(module, shape, self.tensor)

    def tensor(self, key: str) -> torch.Tensor:
        """A parameter, buffer or constant by its key."""
        return self.stored[key]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A proxy that knows its sizes."""
        return ValueProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether the calls of a module follow from its class."""
        return reader_of(m) is not None

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """A proxy for a parameter or buffer."""
        if not isinstance(attr_val, torch.Tensor) or id(attr_val) not in self.names:
            return attr_val
        name = self.names[id(attr_val)]
        if name not in self.attributes:
            self.stored[name] = attr_val
            self.attributes[name] = self.create_proxy("get_attr", name, (), {})
        return self.attributes[name]

    def create_arg(self, a: Any) -> Any:
        """An argument of a call; a tensor is stored under its key."""
        if type(a) is ValueProxy:
            return a.node
        if isinstance(a, torch.Tensor) and not isinstance(a, fx.Proxy):
            name = self.names.setdefault(id(a), f"constant{len(self.stored)}")
            self.stored[name] = a
            return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)

    def create_node(
        self,
        kind: str,
        target: Any,
        args: Any,
        kwargs: Any,
        name: str | None = None,
        type_expr: Any | None = None,
    ) -> fx.Node:
        """A node with the path of the module that makes the call."""
        if self.record_stack_traces:
            node = super().create_node(kind, target, args, kwargs, name, type_expr)
        else:
            node = self.graph.create_node(kind, target, args, kwargs, name, type_expr)
        node.meta[PATH] = next(reversed(self.module_stack.values()))[0] if self.module_stack else ""
        return node

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> Any:
        """The result of a call. Functions that a library keeps as one call are traced into."""
        if kind == "call_function" and not _is_of_torch(target):
            return target(*args, **kwargs)
        return super().create_proxy(kind, target, args, kwargs, *rest, **more)


def _is_of_torch(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module.partition(".")[0] in ("torch", "_operator", "builtins", "operator", "math", "")


def _tensors_of(module: nn.Module) -> Iterator[tuple[str, tuple[torch.Tensor, str]]]:
    """The parameters and buffers under all of their names, and their kinds."""
    for path, each in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for kind, tensors in (("parameter", each._parameters), ("buffer", each._buffers)):
            for name, tensor in tensors.items():
                if tensor is not None:
                    yield prefix + name, (tensor, kind)


@contextmanager
def traced_mode(module: nn.Module, flag: ModeFlag) -> Iterator[None]:
    """Gives all modules a flag for their mode, and restores theirs."""
    modules = list(module.modules())
    flags = [each.training for each in modules]
    hooked = [(each, dict(each.__dict__)) for each in modules if each._forward_pre_hooks]
    try:
        for each in modules:
            each.__dict__["training"] = flag
        yield
    finally:
        for each, attributes in hooked:
            each.__dict__.clear()
            each.__dict__.update(attributes)
        for each, mode in zip(modules, flags, strict=True):
            each.__dict__["training"] = mode


def trace_module(
    module: nn.Module, shape: Shape, name: str, origin: str, *, training: bool = False, places: bool = False
) -> Traced:
    """The calls of a module.

    Args:
        module: A module with one input; its parameters and flags stay as they are.
        shape: The shape of the input, without the batch.
        name: The name of the network.
        origin: The source, for messages.
        training: Whether conditions on the mode are decided as in training.
        places: Whether calls get their lines in the source of the model, which takes more time.

    Raises:
        ArchError: E611 if torch.fx cannot trace the module.
    """
    tracer = ModuleTracer(module, shape, places)
    flag = ModeFlag(training)
    with traced_mode(module, flag):
        try:
            graph = tracer.trace(module, _defaults(module))
            trace = _Reading(module, tracer, graph).trace(shape, name, origin)
        except Exception as problem:  # the code of a model may raise anything
            path, kind = next(reversed(tracer.module_stack.values()), ("", type(module)))
            raise untraceable(problem, path, kind.__name__, origin) from None
    return Traced(trace, frozenset(flag.conditions))


def untraceable(problem: Exception, path: str, kind: str, origin: str) -> ArchError:
    """The error for a module that cannot be traced: the module, its class, the line and the reason."""
    lines = str(problem).strip().splitlines() or [""]
    reason = f"{type(problem).__name__}: {lines[0]}" if lines[0] else type(problem).__name__
    hint = ""
    if isinstance(problem, fx.proxy.TraceError):
        reason = "a condition or a number in Python depends on the values of the input"
        hint = "compute with tensors instead, or import the parts of the model that do not branch"
    where = f"`{path}` ({kind})" if path else f"the model ({kind})"
    message = f"{where} cannot be traced: {reason}"
    return error("E611", message, file=line_of_error(problem.__traceback__) or origin, hint=hint)


def _defaults(module: nn.Module) -> dict[str, Any]:
    """The defaults of the arguments of `forward` after the first."""
    _, *others = inspect.signature(module.forward).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        each.name: each.default for each in others if each.kind in named and each.default is not inspect.Parameter.empty
    }


class _Reading:
    """The calls of a traced graph."""

    def __init__(self, module: nn.Module, tracer: ModuleTracer, graph: fx.Graph) -> None:
        self.module, self.tracer, self.graph = module, tracer, graph
        self.calls: list[Call] = []
        self.results: dict[fx.Node, Any] = {}
        self.outputs: dict[str, Ref] = {}
        self.modules = dict(module.named_modules(remove_duplicate=False))
        self.inputs = 0

    def trace(self, shape: Shape, name: str, origin: str) -> Trace:
        for node in self.graph.nodes:
            self._read(node)
        stored = {**{key: tensor for key, (tensor, _) in self.tracer.tensors.items()}, **self.tracer.stored}
        kinds = {key: kind for key, (_, kind) in self.tracer.tensors.items()}
        tensors = {
            key: Tensor(tuple(tensor.shape), kinds.get(key, "constant"), tensor.is_floating_point())
            for key, tensor in stored.items()
        }
        classes = {path: type(each).__name__ for path, each in self.modules.items()}
        calls, value = tuple(self.calls), stored.__getitem__
        return Trace(name, origin, shape, calls, self.outputs, classes, tensors, value, self._notes(shape))

    def _notes(self, shape: Shape) -> tuple[str, ...]:
        """The lines that compare a size of the example."""
        example = "x".join(map(str, shape))
        return tuple(
            f"The code of the model compares a size ({place}); the import has the operators for {example}."
            for place in sorted(self.tracer.conditions)
        )

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
        value = self._argument([*node.args, *node.kwargs.values()][0])
        for operation, arguments in reader(module, path):
            value = self._added(node, operation, {_value_name(operation): value, **arguments}, path)
        self.results[node] = value
        if getattr(module, "inplace", False):
            self._replaced(node)

    def _replaced(self, node: fx.Node) -> None:
        """Later calls that read the argument of an in-place call read its result."""
        changed = node.args[0]
        if isinstance(changed, fx.Node):
            self.results[changed] = self.results[node]

    def _read_call(self, node: fx.Node) -> None:
        target = node.target
        if isinstance(target, type):
            self.results[node] = _fields_of(target, self._argument(list(node.args)), self._argument(dict(node.kwargs)))
            return
        name = target if isinstance(target, str) else _function_name(target)
        operation, in_place = operation_of(name)
        arguments = bound(operation, node.args, node.kwargs)
        in_place = in_place or arguments.pop("inplace", False) is True
        if operation == "getitem":
            self.results[node] = self._indexed(node)
            return
        if operation == "interpolate" and (like := sides_of_one(arguments.get("size", arguments.get("other")))):
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
            operation, arguments = _resizing(arguments, len(self.tracer.values.input_shape) - 1)
        self.calls.append(Call(operation, arguments, None, path, model_line(node.stack_trace or "")))
        return Ref(len(self.calls) - 1)

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
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
        rank = len(self.tracer.values.of(source).shape)
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
    size, factor = arguments.get("size", arguments.get("other")), arguments.get("scale_factor")
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
