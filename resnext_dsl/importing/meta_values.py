"""The sizes of traced values, computed on the meta device when the code of a model asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from resnext_dsl.importing.call_schemas import operation_of
from resnext_dsl.importing.layer_calls import reader_of
from resnext_dsl.importing.lowering.axis_views import SAMPLES
from resnext_dsl.importing.mode_flag import ModeFlag
from resnext_dsl.importing.trace import Stored
from resnext_dsl.importing.traced_sizes import TracedSize
from resnext_dsl.operators.base import Shape

META = torch.device("meta")

NORMS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "dropout", "feature_dropout", "drop_path"}
ACTIVATIONS = {"relu", "relu6", "silu", "gelu", "sigmoid", "tanh", "mish", "hardswish", "hardsigmoid", "hardtanh"}
KEEPS_SHAPE = frozenset(
    NORMS | ACTIVATIONS | {"leaky_relu", "elu", "prelu", "softmax", "implicit_softmax", "contiguous"}
)
"""Operations whose result has the sizes of their value."""

ARITHMETIC = frozenset({"add", "sub", "mul", "div"})


class MetaValues:
    """Values of nodes on the meta device, for a batch of `SAMPLES`.

    Attributes:
        input_shape: The shape of the input, without the batch.
    """

    def __init__(self, module: nn.Module, input_shape: Shape, stored: Callable[[str], torch.Tensor]) -> None:
        self.input_shape = input_shape
        self._module = module
        self._stored = stored
        self._values: dict[fx.Node, Any] = {}

    def of(self, node: fx.Node) -> Any:
        """The value of a node."""
        pending = [node]
        while pending:
            current = pending[-1]
            missing = [each for each in current.all_input_nodes if each not in self._values]
            if current in self._values or not missing:
                pending.pop()
                if current not in self._values:
                    self._values[current] = self._computed(current)
            else:
                pending += missing
        return self._values[node]

    def _computed(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return torch.empty((SAMPLES, *self.input_shape), device=META)
        if node.op == "get_attr":
            return torch.empty_like(self._stored(str(node.target)), device=META)
        arguments = [self._argument(each) for each in node.args]
        keywords = {name: self._argument(each) for name, each in node.kwargs.items()}
        if node.op == "call_module":
            return self._layer(str(node.target), [*arguments, *keywords.values()][0])
        known = _without_torch(node, arguments)
        if known is not None:
            return known
        with torch.no_grad():
            if node.op == "call_method":
                receiver, *others = arguments
                return getattr(receiver, str(node.target))(*others, **keywords)
            return node.target(*arguments, **keywords)  # type: ignore[operator]

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return self._values[argument]
        if isinstance(argument, list | tuple):
            return type(argument)([self._argument(each) for each in argument])
        if isinstance(argument, slice):
            return slice(*[self._argument(each) for each in (argument.start, argument.stop, argument.step)])
        if isinstance(argument, TracedSize):
            return int(argument)
        return False if isinstance(argument, ModeFlag) else argument

    def _layer(self, path: str, value: torch.Tensor) -> torch.Tensor:
        """The value of a module that is read by its class."""
        module = self._module.get_submodule(path)
        reader = reader_of(module)
        assert reader is not None
        for operation, arguments in reader(module, path):
            if operation not in KEEPS_SHAPE:
                value = _called(self, operation, value, dict(arguments))
        return value

    def tensor(self, argument: Any) -> Any:
        """An argument with an empty tensor for a stored one."""
        if not isinstance(argument, Stored):
            return argument
        path, _, name = argument.key.rpartition(".")
        owner = self._module.get_submodule(path)
        tensors = {**owner._parameters, **owner._buffers}
        stored = tensors[name]
        assert stored is not None
        return torch.empty_like(stored, device=META)


def _without_torch(node: fx.Node, arguments: list[Any]) -> torch.Tensor | None:
    """The value of an operation that keeps sizes; torch computes these in Python on the meta device, which is slow."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    operation = operation_of(name)[0]
    value = arguments[0] if arguments else None
    if not isinstance(value, torch.Tensor):
        return None
    if operation in KEEPS_SHAPE:
        return value
    if operation in ARITHMETIC and len(arguments) == 2:
        other = arguments[1]
        same = isinstance(other, int | float) or (isinstance(other, torch.Tensor) and other.shape == value.shape)
        return value if same and value.is_floating_point() else None
    return None


def _called(values: MetaValues, operation: str, value: torch.Tensor, arguments: dict[str, Any]) -> torch.Tensor:
    keywords = {name: values.tensor(each) for name, each in arguments.items()}
    function: Any = getattr(functional, operation, None) or getattr(torch, operation, None)
    if function is None:
        return getattr(value, operation)(**keywords)  # type: ignore[no-any-return]
    return function(value, **keywords)  # type: ignore[no-any-return]
