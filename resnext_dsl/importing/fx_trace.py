"""Reads a torch module by torch.fx: its calls for any number of samples and one size of image.

Modules of torch.nn are read by their class, all other modules by running their `forward` on proxies. A proxy knows its
sizes: they are computed on the meta device if the code of a model asks for them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.fx_calls import PATH, FxCalls
from resnext_dsl.importing.layer_calls import reader_of
from resnext_dsl.importing.meta_values import MetaValues
from resnext_dsl.importing.mode_flag import ModeFlag
from resnext_dsl.importing.place_lines import line_of_error
from resnext_dsl.importing.shared_memory import PartChangedError
from resnext_dsl.importing.trace import Trace
from resnext_dsl.importing.traced_sizes import traced_sizes
from resnext_dsl.operators.base import Shape

KNOWN_BY_VALUE = frozenset({"ndim", "dtype", "device", "is_cuda", "requires_grad", "layout", "is_quantized"})
"""Attributes of a tensor that tracing knows."""


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
        return iter([self[index] for index in range(len(value))])  # type: ignore[index]


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
            trace = FxCalls(module, tracer.values, tracer.tensors, tracer.stored).trace(graph, shape, name, origin)
            trace = trace._replace(notes=_notes(tracer, shape))
        except Exception as problem:  # the code of a model may raise anything
            path, kind = next(reversed(tracer.module_stack.values()), ("", type(module)))
            raise untraceable(problem, path, kind.__name__, origin) from None
    return Traced(trace, frozenset(flag.conditions))


def _notes(tracer: ModuleTracer, shape: Shape) -> tuple[str, ...]:
    """The lines of the model that compare a size of the example."""
    example = "x".join(map(str, shape))
    return tuple(
        f"The code of the model compares a size ({place}); the import has the operators for {example}."
        for place in sorted(tracer.conditions)
    )


def untraceable(problem: Exception, path: str, kind: str, origin: str) -> ArchError:
    """The error for a module that cannot be traced: the module, its class, the line and the reason."""
    lines = str(problem).strip().splitlines() or [""]
    reason = f"{type(problem).__name__}: {lines[0]}" if lines[0] else type(problem).__name__
    hint = ""
    if isinstance(problem, fx.proxy.TraceError):
        reason = "a condition or a number in Python depends on the values of the input"
        hint = "compute with tensors instead, or import the parts of the model that do not branch"
    elif isinstance(problem, PartChangedError):
        reason, hint = str(problem), "use the operation that is not in place"
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
