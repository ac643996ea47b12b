"""Joins the operators that exporters write for one operator of torch: GELU, SiLU, hard swish, norms, linear layers.

Each rule has the form before -> after. A rule applies to the last call of a pattern and replaces it; calls whose
results nothing reads are removed at the end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.needed_calls import needed_calls, references
from resnext_dsl.importing.onnx_builder import CallBuilder
from resnext_dsl.importing.trace import BATCH, Call, Ref, Stored

TOLERANCE = 1e-5
"""The relative difference of two constants that are taken as equal: exporters write them as float32."""


class Product(NamedTuple):
    """A product of values and a number.

    Attributes:
        number: The product of the numbers.
        values: The other factors.
    """

    number: float
    values: tuple[Any, ...]


class CallPatterns:
    """The calls of a trace while the rules are applied."""

    def __init__(self, build: CallBuilder) -> None:
        self.build = build
        self.calls = list(build.calls)
        self._uses = Counter(ref.call for call in self.calls for ref in references(call.arguments))

    def call(self, value: Any, operation: str, *, alone: bool = True) -> Mapping[str, Any] | None:
        """The arguments of the call that gives a value, if it is of an operation and, if `alone`, read only once."""
        if not isinstance(value, Ref) or value.call < 0:
            return None
        call = self.calls[value.call]
        if call.operation != operation or (alone and self._uses[value.call] != 1):
            return None
        return call.arguments

    def product(self, value: Any) -> Product:
        """A value as the product that its calls compute; calls that are read elsewhere are factors."""
        arguments = self.call(value, "mul")
        if arguments is not None:
            first, second = self.product(arguments["self"]), self.product(arguments["other"])
            return Product(first.number * second.number, first.values + second.values)
        arguments = self.call(value, "div")
        if arguments is not None and _is_number(arguments["other"]) and arguments["other"]:
            inner = self.product(arguments["self"])
            return Product(inner.number / arguments["other"], inner.values)
        return Product(float(value), ()) if _is_number(value) else Product(1.0, (value,))

    def factors(self, call: Call) -> Product:
        """The factors of a product or quotient, its own call included."""
        if call.operation == "mul":
            first, second = self.product(call.arguments["self"]), self.product(call.arguments["other"])
            return Product(first.number * second.number, first.values + second.values)
        divisor = call.arguments.get("other")
        if call.operation == "div" and _is_number(divisor) and divisor:
            inner = self.product(call.arguments["self"])
            return Product(inner.number / divisor, inner.values)
        return Product(1.0, ())

    def sum(self, value: Any, number: float) -> Any:
        """The value x of a call x + number; None if it is no such sum."""
        arguments = self.call(value, "add")
        return arguments["self"] if arguments and near(arguments["other"], number) else None

    def constant(self, value: Any) -> torch.Tensor | None:
        """The numbers of a stored tensor."""
        return self.build.tensors[value.key].load() if isinstance(value, Stored) else None

    def sizes(self, value: Any) -> list[Any]:
        """The shape of a value."""
        return self.build.dims(value)


def joined(build: CallBuilder, outputs: Mapping[str, Ref]) -> tuple[list[Call], dict[str, Ref]]:
    """The calls after all rules, without those whose results nothing reads, and the outputs among them."""
    patterns = CallPatterns(build)
    for rule in RULES:
        for index, call in enumerate(patterns.calls):
            after = rule(patterns, call)
            if after is not None:
                patterns.calls[index] = after
    return needed_calls(patterns.calls, outputs)


def near(value: Any, number: float) -> bool:
    """Whether a value is a number, as near as float32 is."""
    return _is_number(value) and math.isclose(value, number, rel_tol=TOLERANCE)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_bias(patterns: CallPatterns, call: Call) -> Call | None:
    """`linear(x, w) + b -> linear(x, w, b)`, where b has one number for each output."""
    if call.operation != "add":
        return None
    for value, other in (("self", "other"), ("other", "self")):
        bias = call.arguments[other]
        linear = patterns.call(call.arguments[value], "linear")
        if linear is None or linear.get("bias") is not None or not isinstance(bias, Stored):
            continue
        if patterns.sizes(bias) == patterns.sizes(linear["weight"])[:1]:
            return call._replace(operation="linear", arguments={**linear, "bias": bias})
    return None


def _gelu(patterns: CallPatterns, call: Call) -> Call | None:
    """`0.5 * x * (1 + erf(x / sqrt(2))) -> gelu(x)`, and the same with tanh."""
    product = patterns.factors(call)
    if not near(product.number, 0.5) or len(product.values) != 2:
        return None
    for x, gate in (product.values, product.values[::-1]):
        inner = patterns.sum(gate, 1)
        erf, tanh = patterns.call(inner, "erf"), patterns.call(inner, "tanh")
        scaled = patterns.product(erf["self"]) if erf else Product(0.0, ())
        if scaled.values == (x,) and near(scaled.number, math.sqrt(0.5)):
            return call._replace(operation="gelu", arguments={"self": x, "approximate": "none"})
        if tanh is not None and _is_cubic(patterns, tanh["self"], x):
            return call._replace(operation="gelu", arguments={"self": x, "approximate": "tanh"})
    return None


def _is_cubic(patterns: CallPatterns, value: Any, x: Any) -> bool:
    """Whether a value is sqrt(2 / pi) * (x + 0.044715 * x ** 3)."""
    product = patterns.product(value)
    total = patterns.call(product.values[0], "add") if len(product.values) == 1 else None
    if total is None or not near(product.number, math.sqrt(2 / math.pi)):
        return False
    for first, second in ((total["self"], total["other"]), (total["other"], total["self"])):
        cubic = patterns.product(second)
        power = patterns.call(cubic.values[0], "pow") if len(cubic.values) == 1 else None
        cubed = cubic.values == (x, x, x) or (power is not None and power["self"] == x and near(power["exponent"], 3))
        if first == x and cubed and near(cubic.number, 0.044715):
            return True
    return False


def _hard(patterns: CallPatterns, call: Call) -> Call | None:
    """`clamp(x + 3, 0, 6) / 6 -> hardsigmoid(x)`, `x * hardsigmoid(x) -> hardswish(x)`."""
    product = patterns.factors(call)
    if near(product.number, 1) and len(product.values) == 2:
        for x, gate in (product.values, product.values[::-1]):
            arguments = patterns.call(gate, "hardsigmoid")
            if arguments is not None and arguments["self"] == x:
                return call._replace(operation="hardswish", arguments={"self": x})
    if near(product.number, 1 / 6):
        for gate in product.values:
            limits = patterns.call(gate, "hardtanh")
            if limits is None or limits["min_val"] != 0 or limits["max_val"] != 6:
                continue
            x = patterns.sum(limits["self"], 3)
            if x is not None and product.values in ((x, gate), (gate, x)):
                return call._replace(operation="hardswish", arguments={"self": x})
            if x is not None and product.values == (gate,):
                return call._replace(operation="hardsigmoid", arguments={"self": x})
    return None


def _gated(patterns: CallPatterns, call: Call) -> Call | None:
    """`x * sigmoid(x) -> silu(x)`, `x * tanh(softplus(x)) -> mish(x)`."""
    product = patterns.factors(call)
    if not near(product.number, 1) or len(product.values) != 2:
        return None
    for x, gate in (product.values, product.values[::-1]):
        sigmoid, tanh = patterns.call(gate, "sigmoid"), patterns.call(gate, "tanh")
        softplus = patterns.call(tanh["self"], "softplus") if tanh else None
        if sigmoid is not None and sigmoid["self"] == x:
            return call._replace(operation="silu", arguments={"self": x})
        if softplus is not None and softplus["self"] == x:
            return call._replace(operation="mish", arguments={"self": x})
    return None


def _standardized(patterns: CallPatterns, call: Call) -> Call | None:
    """`(x - mean(x)) / sqrt(mean((x - mean(x)) ** 2) + eps) -> layer_norm(x)`, over the last axes."""
    if call.operation != "div":
        return None
    centered = patterns.call(call.arguments["self"], "sub", alone=False)
    root = patterns.call(call.arguments["other"], "sqrt")
    variance = patterns.call(root["self"], "add") if root else None
    spread = patterns.call(variance["self"], "mean") if variance else None
    square = patterns.call(spread["self"], "pow") if spread else None
    middle = patterns.call(centered["other"], "mean", alone=False) if centered else None
    if not (centered and variance and spread and square and middle and _is_number(variance["other"])):
        return None
    x, dims = centered["self"], middle["dim"]
    sizes = patterns.sizes(x)
    if (
        middle["self"] != x
        or patterns.sizes(square["self"]) != sizes
        or not _same_difference(patterns, square["self"], call.arguments["self"])
        or not near(square["exponent"], 2)
        or not (spread["dim"] == dims == list(range(dims[0], len(sizes))) and dims[0] > 0)
        or not (spread["keepdim"] and middle["keepdim"])
    ):
        return None
    arguments = {
        "input": x,
        "normalized_shape": [size for size in sizes[dims[0] :] if isinstance(size, int)],
        "weight": None,
        "bias": None,
        "eps": variance["other"],
        "cudnn_enable": True,
    }
    return call._replace(operation="layer_norm", arguments=arguments)


def _same_difference(patterns: CallPatterns, first: Any, second: Any) -> bool:
    """Whether two values are one, or two calls of the same difference."""
    calls = [patterns.call(value, "sub", alone=False) for value in (first, second)]
    return first == second or (calls[0] is not None and calls[0] == calls[1])


def _grouped(patterns: CallPatterns, call: Call) -> Call | None:
    """`reshape(instance_norm(reshape(x, [batch, g, -1])), shape of x) -> group_norm(x, g)`, with scales of one."""
    if call.operation != "reshape" or call.sizes is None:
        return None
    norm = patterns.call(call.arguments["self"], "instance_norm")
    apart = patterns.call(norm["input"], "reshape") if norm else None
    if norm is None or apart is None or norm["weight"] is None:
        return None
    x = apart["self"]
    sizes, groups = patterns.sizes(x), patterns.sizes(norm["input"])
    whole = [BATCH if axis == 0 else size for axis, size in enumerate(sizes)]
    scale, shift = patterns.constant(norm["weight"]), patterns.constant(norm["bias"])
    if list(call.sizes) != whole or len(groups) != 3 or sizes[0] != groups[0] or scale is None or shift is None:
        return None
    if not isinstance(groups[1], int) or sizes[1] % groups[1] or bool((scale != 1).any()) or bool((shift != 0).any()):
        return None
    arguments = {
        "input": x,
        "num_groups": groups[1],
        "weight": None,
        "bias": None,
        "eps": norm["eps"],
        "cudnn_enabled": True,
    }
    return call._replace(operation="group_norm", arguments=arguments)


def _affine(patterns: CallPatterns, call: Call) -> Call | None:
    """`norm(x) * w -> norm(x, w)`, `norm(x, w) + b -> norm(x, w, b)`, for stored tensors of the normalized shape."""
    role = {"mul": "weight", "add": "bias"}.get(call.operation)
    if role is None:
        return None
    for value, other in (("self", "other"), ("other", "self")):
        stored = call.arguments[other]
        for operation in ("layer_norm", "group_norm"):
            norm = patterns.call(call.arguments[value], operation)
            if norm is None or norm["bias"] is not None or not isinstance(stored, Stored):
                continue
            if norm[role] is not None or (role == "bias" and norm["weight"] is None):
                continue
            tensor = _of_shape(patterns, operation, norm, stored)
            if tensor is not None:
                return call._replace(operation=operation, arguments={**norm, role: tensor})
    return None


def _of_shape(patterns: CallPatterns, operation: str, norm: Mapping[str, Any], stored: Stored) -> Stored | None:
    """A scale or bias in the shape that a norm takes; None if it has another number for each position."""
    sizes = patterns.sizes(stored)
    if operation == "layer_norm":
        return stored if sizes == norm["normalized_shape"] else None
    whole = patterns.sizes(norm["input"])
    if sizes in ([whole[1]] + [1] * (len(whole) - 2), [1, whole[1]] + [1] * (len(whole) - 2)):
        flat = patterns.build.emit("reshape", self=stored, shape=[-1])
        assert isinstance(flat, Stored)
        return flat
    return None


def _stacked(patterns: CallPatterns, call: Call) -> Call | None:
    """`cat([unsqueeze(x, dim), unsqueeze(y, dim)], dim) -> stack([x, y], dim)`."""
    if call.operation != "cat":
        return None
    parts = [patterns.call(value, "unsqueeze") for value in call.arguments["tensors"]]
    tensors = [part["self"] for part in parts if part is not None and part["dim"] == call.arguments["dim"]]
    if len(tensors) < len(parts):
        return None
    return call._replace(operation="stack", arguments={"tensors": tensors, "dim": call.arguments["dim"]})


def _broadcast(patterns: CallPatterns, call: Call) -> Call | None:
    """`x * expand(y) -> x * y`, where x has the shape of the result."""
    if call.operation not in {"add", "sub", "mul", "div"}:
        return None
    for value, other in (("self", "other"), ("other", "self")):
        expanded = patterns.call(call.arguments[value], "expand")
        full = call.arguments[other]
        if expanded is None or not isinstance(full, Ref) or not isinstance(expanded["self"], Ref):
            continue
        if patterns.sizes(full) == patterns.sizes(call.arguments[value]):
            return call._replace(arguments={**call.arguments, value: expanded["self"]})
    return None


RULES: Sequence[Callable[[CallPatterns, Call], Call | None]] = (
    _with_bias,
    _gelu,
    _hard,
    _gated,
    _standardized,
    _grouped,
    _affine,
    _stacked,
    _broadcast,
)
"""The rules in the order in which they are applied."""
