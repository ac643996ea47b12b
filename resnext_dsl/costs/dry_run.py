"""Runs an emitted file on values with a size and no elements, to measure the peak memory of live values.

The statements of the file decide when a value dies: its variables, the arguments of its calls, the order of its sums.
Therefore this module runs the file itself, with stand-ins for the few names of torch that it uses. Layers take their
shapes from the graph and their rules from the operator table. The run needs no torch and computes no elements.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from resnext_dsl.emit.text.helper_classes import SUPPORT
from resnext_dsl.graph.ir import Graph, Node
from resnext_dsl.operators import OPERATORS, Attributes, Shape


class Ledger:
    """Counts the bytes of live values.

    Attributes:
        alive: Bytes now.
        most: The peak of bytes so far.
    """

    def __init__(self, width: int, batch: int) -> None:
        self.width = width
        self.batch = batch
        self.alive = 0
        self.most = 0

    def record(self, extra: int = 0) -> None:
        """Records the current bytes, with `extra` temporary bytes beside the values."""
        self.most = max(self.most, self.alive + extra)


class Storage:
    """The memory of a value. It is alive until CPython frees the last value in it."""

    def __init__(self, ledger: Ledger, shape: Shape) -> None:
        self.ledger = ledger
        self.bytes = ledger.batch * ledger.width * math.prod(shape)
        ledger.alive += self.bytes
        ledger.record()

    def __del__(self) -> None:
        self.ledger.alive -= self.bytes


class Value:
    """Stands for a tensor; `shape` is the shape of one sample."""

    def __init__(self, storage: Storage, shape: Shape) -> None:
        self.storage = storage
        self.shape = shape

    def in_new_memory(self, shape: Shape) -> Value:
        """A new value with its own memory."""
        return Value(Storage(self.storage.ledger, shape), shape)

    def _with(self, other: Value | float) -> Value:
        return self.in_new_memory(tuple(map(max, self.shape, other.shape)) if isinstance(other, Value) else self.shape)

    __add__ = __mul__ = __truediv__ = _with

    def __getitem__(self, key: tuple[slice, ...]) -> Value:
        """A view: a range of channels, or rows and columns at a fixed distance."""
        cut = [len(range(side)[part]) for side, part in zip(self.shape, key[1:], strict=False)]
        return Value(self.storage, (*cut, *self.shape[len(cut) :]))

    def chunk(self, count: int, dim: int) -> tuple[Value, ...]:
        """Views of `count` equal parts of the channels."""
        assert dim == 1
        return (Value(self.storage, (self.shape[0] // count, *self.shape[1:])),) * count

    def amax(self, dim: int) -> Value:
        """The maximum of stacked values."""
        assert dim == 0
        return self.in_new_memory(self.shape[1:])


def _cat(values: list[Value], dim: int) -> Value:
    assert dim == 1
    return values[0].in_new_memory((sum(value.shape[0] for value in values), *values[0].shape[1:]))


def _stack(values: list[Value]) -> Value:
    return values[0].in_new_memory((len(values), *values[0].shape))


def _elementwise(first: Value, *others: Value) -> Value:
    shapes = (first.shape, *(other.shape for other in others))
    return first.in_new_memory(tuple(map(max, *shapes)) if others else first.shape)


def _pad(image: Value, around: tuple[int, ...], **_: Any) -> Value:
    """Pairs of numbers for each axis, the last axis first."""
    shape = list(image.shape)
    for number, (before, after) in enumerate(zip(around[::2], around[1::2], strict=True), 1):
        shape[-number] += before + after
    return image.in_new_memory(tuple(shape))


def _interpolate(image: Value, size: tuple[int, int], **_: Any) -> Value:
    return image.in_new_memory((image.shape[0], *size))


class ModuleStandIn:
    """Stands for `nn.Module`: children by name. As in torch, a call holds its arguments until it returns."""

    training = False
    children: dict[str, ModuleStandIn]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.__dict__["children"] = {}

    def __setattr__(self, name: str, value: object) -> None:
        self.__dict__[name] = value
        if isinstance(value, ModuleStandIn):
            self.children[name] = value

    def add_module(self, name: str, module: ModuleStandIn) -> None:
        """Adds a child under a name that need not be an identifier."""
        setattr(self, name, module)

    def named_modules(self, *_: Any, **__: Any) -> Iterator[tuple[str, ModuleStandIn]]:
        """No modules: there are no weights to initialise."""
        return iter(())

    def modules(self) -> Iterator[ModuleStandIn]:
        """No modules: there are no weights to initialise."""
        return iter(())

    def __call__(self, *values: Value) -> Any:
        """The result of `forward`."""
        return self.forward(*values)

    def forward(self, *values: Value) -> Any:
        """The result of the module; every class of the file and every stand-in below overrides it."""
        raise AssertionError(f"`{type(self).__name__}` has no forward")


class ModuleList(ModuleStandIn):
    """Stands for `nn.ModuleList`."""

    def __init__(self, modules: Any = ()) -> None:
        super().__init__()
        for number, module in enumerate(modules):
            self.add_module(str(number), module)

    def __iter__(self) -> Iterator[ModuleStandIn]:
        return iter(self.children.values())

    def __len__(self) -> int:
        return len(self.children)

    def __getitem__(self, key: int | str) -> ModuleStandIn:
        return self.children[str(key)]


class ModuleDict(ModuleList):
    """Stands for `nn.ModuleDict`."""

    def __init__(self, modules: dict[str, ModuleStandIn]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Sequential(ModuleList):
    """Stands for `nn.Sequential`."""

    def __init__(self, *modules: ModuleStandIn) -> None:
        super().__init__(modules)

    def forward(self, *values: Value) -> Any:
        """Applies the modules in turn."""
        (value,) = values
        for module in self:
            value = module(value)
        return value


class Layer(ModuleStandIn):
    """Stands for a layer of torch or of `emit.support`.

    A layer without a node is an `nn.Identity`. It replaces a module that an instance of a template does not have. A
    layer with several nodes is called once for each; a call is of a node with the shape of its input.
    """

    def __init__(self, *_: Any, inplace: bool = False, **__: Any) -> None:
        super().__init__()
        self.inplace = inplace
        self.operator = ""
        self.shapes: dict[Shape, tuple[tuple[Shape, ...], Shape]] = {}

    def bind(self, operator: str, attributes: Attributes | None, inputs: tuple[Shape, ...], shape: Shape) -> None:
        """Sets the operator of the layer and its attributes, and adds the shapes of the inputs and result of a call."""
        self.operator, self.attributes = operator, attributes
        self.shapes[inputs[0]] = inputs, shape

    def forward(self, *values: Value) -> Value:
        """A new value, or a view of the input."""
        value = values[0]
        if not self.operator:
            return value
        rules, ledger = OPERATORS[self.operator].memory, value.storage.ledger
        inputs, shape = self.shapes[value.shape]
        if self.inplace or rules.view(self.attributes, inputs, False):
            return Value(value.storage, shape)
        result = value.in_new_memory(shape)
        ledger.record(rules.scratch(self.attributes, inputs, ledger.batch).bytes(ledger.width))
        return result


class _Layers(SimpleNamespace):
    """Stands for `torch.nn`."""

    def __getattr__(self, name: str) -> type[Layer]:
        return Layer


_NN = _Layers(
    Module=ModuleStandIn,
    ModuleList=ModuleList,
    ModuleDict=ModuleDict,
    Sequential=Sequential,
    functional=SimpleNamespace(pad=_pad, interpolate=_interpolate),
)


class _Functions(SimpleNamespace):
    """Stands for `torch`; a function that is not named here works element by element."""

    def __getattr__(self, name: str) -> Callable[..., Value]:
        if name.startswith("_"):
            raise AttributeError(name)
        return _elementwise


TORCH = _Functions(nn=_NN, Tensor=Value, cat=_cat, stack=_stack)
"""Stands for `torch`."""

_MODULES: dict[str, Any] = {
    "torch": TORCH,
    "torch.nn.functional": TORCH,  # `import a.b.c` gives `a`
    "torch.utils.checkpoint": SimpleNamespace(checkpoint=None),
}


def _import(name: str, *rest: Any) -> Any:
    return _MODULES[name] if name in _MODULES else builtins.__import__(name, *rest)


def peak_bytes(graph: Graph, source: str, width: int, batch: int) -> int:
    """The peak of bytes of live values while the network runs in eval mode, without gradients.

    Args:
        graph: The network.
        source: Its emitted source.
        width: Bytes of a number.
        batch: Number of samples.
    """
    model = _constructed(graph, source)
    ledger = Ledger(width, batch)
    shape = graph.nodes[0].shape
    image = Value(Storage(ledger, shape), shape)
    model(image)
    return ledger.most


def _constructed(graph: Graph, source: str) -> ModuleStandIn:
    """The network of an emitted file, made of stand-ins."""
    names: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": _import}, "__name__": graph.name}
    # `emit` wrote the source itself: it takes from a spec validated names and literals only.
    exec(compile(source, f"<{graph.name}>", "exec"), names)
    for name in SUPPORT:
        if isinstance(helper := names.get(name), type):
            helper.__new__ = lambda cls, *_, **__: Layer()  # type: ignore[assignment]  # defaults of classes refer to it
    # The class of the network is the last one of the file.
    root = [value for value in names.values() if isinstance(value, type) and issubclass(value, ModuleStandIn)][-1]
    model: ModuleStandIn = root()
    nodes: dict[str, list[Node]] = {}
    for node in graph.nodes:
        nodes.setdefault(node.module_name, []).append(node)
    _bind(model, "", nodes, graph)
    return model


def _bind(module: ModuleStandIn, name: str, nodes: dict[str, list[Node]], graph: Graph) -> None:
    """Connects every layer to the nodes that call it."""
    if isinstance(module, Layer):
        for node in nodes.get(name, ()):
            inputs = tuple([graph.nodes[source].shape for source in node.inputs])
            module.bind(node.operator, node.attributes, inputs, node.shape)
    for key, child in module.children.items():
        _bind(child, f"{name}.{key}" if name else key, nodes, graph)
