"""Runs a trace with torch's own ATen operators, which define its names and arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from resnext_dsl.importing.trace import BATCH, Ref, Stored, Trace

ON_SIZES: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
}


def run(trace: Trace, images: Tensor) -> dict[str, Tensor]:
    """The outputs of a trace for a batch of inputs. Each stated shape is compared with that of the result."""
    stored = {key: trace.value(key) for key in trace.tensors}
    for key, tensor in trace.tensors.items():
        assert tuple(stored[key].shape) == tensor.shape, key
        assert stored[key].is_floating_point() == tensor.is_float, key
    results: list[Any] = []

    def value(argument: Any) -> Any:
        if isinstance(argument, Ref):
            return images if argument.call < 0 else results[argument.call]
        if isinstance(argument, Stored):
            return stored[argument.key]
        return [value(item) for item in argument] if isinstance(argument, list | tuple) else argument

    with torch.no_grad():
        for call in trace.calls:
            result = _result(call.operation, {name: value(item) for name, item in call.arguments.items()})
            if call.sizes is not None and isinstance(result, Tensor):
                sizes = tuple(len(images) if size == BATCH else size for size in call.sizes)
                assert tuple(result.shape) == sizes, call
            results.append(result)
    return {name: results[output.call] for name, output in trace.outputs.items()}


def _result(operation: str, arguments: dict[str, Any]) -> Any:
    if operation == "getitem":
        return arguments["self"][arguments["index"]]
    if operation == "size":
        return arguments["self"].shape[arguments["dim"]]
    if operation in ON_SIZES and not any(isinstance(item, Tensor) for item in arguments.values()):
        return ON_SIZES[operation](*arguments.values())
    if isinstance(arguments.get("dtype"), str):
        arguments["dtype"] = getattr(torch, arguments["dtype"])
    if operation == "local_response_norm":
        return torch.nn.functional.local_response_norm(**arguments)
    return getattr(torch.ops.aten, operation)(**arguments)
