"""Joins the calls of torch's `local_response_norm`, which torch.export and ONNX exporters write one by one.

    x / (k + alpha * avg_pool3d(pad(view(x * x)))) ** beta -> local_response_norm(x, size, alpha, beta, k)

Source: `torch.nn.functional.local_response_norm`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnext_dsl.importing.needed_calls import needed_calls
from resnext_dsl.importing.trace import Call, Ref

RESHAPES = ("view", "reshape", "unsqueeze", "squeeze")
"""Calls that only move the numbers of the squares to other axes."""

POOLS = ("avg_pool3d", "avg_pool2d")
"""The mean over neighbouring channels, for values of four and of three axes."""


def with_response_norms(calls: Sequence[Call], outputs: Mapping[str, Ref]) -> tuple[list[Call], dict[str, Ref]]:
    """The calls and outputs of a trace, with one call for each response norm."""
    joined = [_joined(calls, call) or call for call in calls]
    if joined == list(calls):
        return joined, dict(outputs)
    return needed_calls(joined, outputs)


def _joined(calls: Sequence[Call], call: Call) -> Call | None:
    """The response norm that a division ends; None if it ends none."""
    if call.operation != "div" or not isinstance(call.arguments.get("self"), Ref):
        return None
    x = call.arguments["self"]
    power = _arguments(calls, call.arguments.get("other"), "pow")
    shifted = _arguments(calls, power.get("self"), "add")
    scaled = _arguments(calls, shifted.get("self"), "mul")
    means = _behind(calls, scaled.get("self"))
    pool = next((_arguments(calls, means, name) for name in POOLS if _arguments(calls, means, name)), {})
    padded = _arguments(calls, pool.get("self"), "pad", "constant_pad_nd")
    squares = _arguments(calls, _behind(calls, padded.get("self")), "mul")
    numbers = [scaled.get("other"), power.get("exponent"), shifted.get("other")]
    if not squares or squares["self"] != x or squares["other"] != x:
        return None
    if not all(isinstance(number, int | float) for number in numbers) or padded.get("value") not in (None, 0):
        return None
    size, *ones = pool["kernel_size"]
    if padded["pad"] != [0, 0] * len(ones) + [size // 2, (size - 1) // 2] or any(one != 1 for one in ones):
        return None
    if any(step != 1 for step in pool.get("stride") or [1]) or any(pool.get("padding") or [0]):
        return None
    alpha, beta, shift = numbers
    arguments = {"input": x, "size": size, "alpha": alpha, "beta": beta, "k": shift}
    return call._replace(operation="local_response_norm", arguments=arguments)


def _arguments(calls: Sequence[Call], value: Any, *operations: str) -> Mapping[str, Any]:
    """The arguments of the call that gives a value, if it is of one of the operations; none otherwise."""
    if not isinstance(value, Ref) or value.call < 0 or calls[value.call].operation not in operations:
        return {}
    return calls[value.call].arguments


def _behind(calls: Sequence[Call], value: Any) -> Any:
    """The value before its reshapes."""
    while arguments := _arguments(calls, value, *RESHAPES):
        value = arguments["self"]
    return value
