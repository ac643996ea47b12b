"""Arithmetic, activations, reductions and matrix products of ONNX as ATen operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from resnext_dsl.importing.onnx_builder import Value
from resnext_dsl.importing.onnx_node import OnnxNode, counted
from resnext_dsl.importing.onnx_values import Known, RefusedError
from resnext_dsl.importing.trace import Stored

UNARY: Mapping[str, str] = {
    "Abs": "abs",
    "Ceil": "ceil",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "HardSwish": "hardswish",
    "Log": "log",
    "Mish": "mish",
    "Neg": "neg",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Round": "round",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Tanh": "tanh",
}
"""Operators of one input without attributes -> the ATen operators."""


def unary(operation: str) -> Callable[[OnnxNode], Any]:
    """The translation of an operator of one input."""
    return lambda node: node.build.emit(operation, self=node.tensor())


def _operand(node: OnnxNode, index: int) -> Any:
    """An input, or its number if it is a constant of a formula."""
    value = node.value(index)
    if isinstance(value, Known) or (isinstance(value, Stored) and not node.build.tensors[value.key].named):
        numbers = node.build.numbers(value, most=1)
        if numbers is not None and len(numbers) == 1 and isinstance(numbers[0], int | float):
            other = node.value(1 - index) if node.count == 2 else None
            if other is None or node.build.rank(value) <= node.build.rank(other):
                return float(numbers[0]) if not isinstance(value, Known) else numbers[0]
    return node.tensor(index)


def _operands(node: OnnxNode) -> tuple[Any, Any]:
    first, second = _operand(node, 0), _operand(node, 1)
    if _is_number(first) and _is_number(second):
        first = node.tensor(0)
    return first, second


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _changed(node: OnnxNode, operation: str, value: Any, other: Any, nothing: float) -> Any:
    """A value after an operation; a sum with 0 or a product with 1 is the value itself."""
    if _is_number(other) and other == nothing:
        return value
    return node.build.emit(operation, self=value, other=other)


def add(node: OnnxNode) -> Any:
    """A sum of two values."""
    first, second = _operands(node)
    first, second = (second, first) if _is_number(first) else (first, second)
    return _changed(node, "add", first, second, nothing=0)


def subtract(node: OnnxNode) -> Any:
    """A difference of two values."""
    first, second = _operands(node)
    if _is_number(first):
        return node.build.emit("rsub", self=second, other=first)
    return _changed(node, "sub", first, second, nothing=0)


def multiply(node: OnnxNode) -> Any:
    """A product of two values."""
    first, second = _operands(node)
    first, second = (second, first) if _is_number(first) else (first, second)
    return _changed(node, "mul", first, second, nothing=1)


def divide(node: OnnxNode) -> Any:
    """A quotient of two values."""
    first, second = _operands(node)
    if not _is_number(first):
        return _changed(node, "div", first, second, nothing=1)
    inverse = node.build.emit("reciprocal", self=second)
    return inverse if first == 1 else node.build.emit("mul", self=inverse, other=first)


def power(node: OnnxNode) -> Any:
    """A power of two values."""
    first, second = _operands(node)
    return node.build.emit("pow", self=first, exponent=second)


def folded(operation: str, bound: str) -> Callable[[OnnxNode], Any]:
    """The translation of a minimum or maximum of several values."""

    def translate(node: OnnxNode) -> Any:
        if node.count == 2:
            first, second = _operands(node)
            first, second = (second, first) if _is_number(first) else (first, second)
            if _is_number(second):
                return node.build.emit(f"clamp_{bound}", self=first, **{bound: second})
            return node.build.emit(operation, self=first, other=second)
        return _chained(node, operation)

    return translate


def _chained(node: OnnxNode, operation: str) -> Any:
    result: Any = node.tensor(0)
    for index in range(1, node.count):
        result = node.build.emit(operation, self=result, other=node.tensor(index))
    return result


def total(node: OnnxNode) -> Any:
    """A sum of any number of values."""
    return _chained(node, "add")


def clip(node: OnnxNode) -> Any:
    """Values between two bounds."""
    x = node.tensor()
    if node.opset < 11:
        low, high = node.number("min", -3.4028234663852886e38), node.number("max", 3.4028234663852886e38)
    else:
        low, high = (_bound(node, 1, -math.inf), _bound(node, 2, math.inf))
    largest = 3.4e38
    if low <= -largest and high >= largest:
        return x
    if high >= largest:
        return node.build.emit("clamp_min", self=x, min=low)
    if low <= -largest:
        return node.build.emit("clamp_max", self=x, max=high)
    return node.build.emit("hardtanh", self=x, min_val=low, max_val=high)


def _bound(node: OnnxNode, index: int, default: float) -> float:
    numbers = node.floats(index)
    if numbers is None:
        return default
    if len(numbers) != 1:
        raise RefusedError("has several bounds")
    return float(numbers[0])


def leaky_relu(node: OnnxNode) -> Any:
    """A rectifier with a slope for negative values."""
    return node.build.emit("leaky_relu", self=node.tensor(), negative_slope=node.number("alpha", 0.01))


def elu(node: OnnxNode) -> Any:
    """An exponential linear unit."""
    return node.build.emit("elu", self=node.tensor(), alpha=node.number("alpha", 1.0))


def celu(node: OnnxNode) -> Any:
    """A continuously differentiable exponential linear unit."""
    return node.build.emit("celu", self=node.tensor(), alpha=node.number("alpha", 1.0))


def selu(node: OnnxNode) -> Any:
    """A scaled exponential linear unit with the constants of its paper, the only ones of torch."""
    for name, value in (("alpha", 1.6732632), ("gamma", 1.050701)):
        if abs(node.number(name, value) - value) > 1e-6:
            raise RefusedError(f"has another `{name}` than {value}")
    return node.build.emit("selu", self=node.tensor())


def prelu(node: OnnxNode) -> Any:
    """A rectifier with learnable slopes, one for each channel or one for all."""
    x, slope = node.tensor(0), node.stored(1)
    assert slope is not None
    sizes = node.build.dims(slope)
    channels = node.build.dims(x)[1]
    large = [axis - len(sizes) for axis, size in enumerate(sizes) if size != 1]
    if large not in ([], [1 - node.build.rank(x)]) or (large and sizes[large[0]] != channels):
        raise RefusedError(f"has slopes of shape {sizes}, and torch has one for each channel or one for all")
    weight = slope if len(sizes) == 1 else node.build.emit("reshape", self=slope, shape=[-1])
    return node.build.emit("prelu", self=x, weight=weight)


def hard_sigmoid(node: OnnxNode) -> Any:
    """max(0, min(1, alpha * x + beta)), which is torch's for alpha = 1/6 and beta = 1/2."""
    x, alpha, beta = node.tensor(), node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return node.build.emit("hardsigmoid", self=x)
    line = node.build.emit("add", self=node.build.emit("mul", self=x, other=alpha), other=beta)
    return node.build.emit("hardtanh", self=line, min_val=0.0, max_val=1.0)


def gelu(node: OnnxNode) -> Any:
    """A Gaussian error linear unit."""
    return node.build.emit("gelu", self=node.tensor(), approximate=node.text("approximate", "none"))


def swish(node: OnnxNode) -> Any:
    """X * sigmoid(x)."""
    node.require("alpha", node.number("alpha", 1.0), 1.0)
    return node.build.emit("silu", self=node.tensor())


def softmax(operation: str) -> Callable[[OnnxNode], Any]:
    """The translation of a softmax; before version 13 it went over all axes from one on."""

    def translate(node: OnnxNode) -> Any:
        x = node.tensor()
        sizes = node.build.dims(x)
        axis = node.axis("axis", -1 if node.opset >= 13 else 1, len(sizes))
        if node.opset < 13 and any(size != 1 for size in sizes[axis + 1 :]):
            raise RefusedError(f"goes over all axes from {axis} on, as it did before version 13")
        return node.build.emit(operation, self=x, dim=axis)

    return translate


def dropout(node: OnnxNode) -> Any:
    """A dropout, which does nothing in inference."""
    node.single_output()
    if node.opset < 12:
        rate = node.number("ratio", 0.5)
    else:
        node.integer("seed", 0)
        numbers = node.floats(1)
        rate = 0.5 if numbers is None else float(numbers[0])
        training = node.floats(2)
        node.require("training_mode", bool(training and training[0]), False)
    return node.build.emit("dropout", input=node.tensor(), p=rate, train=False)


def gemm(node: OnnxNode) -> Any:
    """Alpha * A @ B + beta * C, where B and C are stored: a linear layer."""
    build, x, matrix, bias = node.build, node.tensor(0), node.stored(1), node.stored(2, optional=True)
    node.require("transA", node.integer("transA", 0), 0)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    weight: Any = matrix if node.integer("transB", 0) else build.emit("t", self=matrix)
    if alpha != 1:
        weight = build.emit("mul", self=weight, other=alpha)
    scaled: Any = bias
    if bias is not None and beta != 1:
        scaled = build.emit("mul", self=bias, other=beta)
    if scaled is not None and build.dims(scaled) != [build.dims(weight)[0]]:
        scaled = build.emit("expand", self=build.emit("reshape", self=scaled, shape=[-1]), size=[build.dims(weight)[0]])
    return build.emit("linear", input=x, weight=weight, bias=scaled)


def matmul(node: OnnxNode) -> Any:
    """A product of matrices; a linear layer if the second is one stored matrix."""
    x, matrix = node.tensor(0), node.tensor(1)
    if isinstance(matrix, Stored) and node.build.rank(matrix) == 2:
        return node.build.emit("linear", input=x, weight=node.build.emit("t", self=matrix), bias=None)
    return node.build.emit("matmul", self=x, other=matrix)


def reduction(operation: str, **options: Any) -> Callable[[OnnxNode], Any]:
    """The translation of a reduction over axes."""

    def translate(node: OnnxNode) -> Any:
        x = node.tensor()
        rank = node.build.rank(x)
        by_input = node.opset >= (13 if node.operator == "ReduceSum" else 18)
        axes = node.integers(1) if by_input else node.integer_list("axes")
        keep = bool(node.integer("keepdims", 1))
        nothing = bool(node.integer("noop_with_empty_axes", 0)) if by_input else False
        if not axes and nothing:
            return x
        dims = sorted(counted(axis, rank) for axis in axes) if axes else list(range(rank))
        return node.build.emit(operation, self=x, dim=dims, keepdim=keep, **options)

    return translate


def squared_sum(node: OnnxNode) -> Any:
    """A sum of squares over axes."""
    total_of = reduction("linalg_vector_norm", ord=2)
    return node.build.emit("pow", self=total_of(node), exponent=2)


def cast(node: OnnxNode) -> Any:
    """A change between floating-point types; a change to the same type is none."""
    from resnext_dsl.importing.onnx_tensors import NUMBER_TYPES

    node.integer("saturate", 1)
    x: Value = node.value()
    kind = NUMBER_TYPES.get(node.integer("to"))
    if kind is None or "float" not in kind.name:
        raise RefusedError("changes data to a type that is no floating-point type of torch")
    if isinstance(x, Known):
        x = node.as_tensor(x)
    return x if node.build.dtype(x) == kind.name else node.build.emit("to", self=x, dtype=kind.name)


TRANSLATIONS: Mapping[str, Any] = {
    **{name: unary(operation) for name, operation in UNARY.items()},
    "Add": add,
    "Cast": cast,
    "Celu": celu,
    "Clip": clip,
    "Div": divide,
    "Dropout": dropout,
    "Elu": elu,
    "Gelu": gelu,
    "Gemm": gemm,
    "HardSigmoid": hard_sigmoid,
    "LeakyRelu": leaky_relu,
    "LogSoftmax": softmax("log_softmax"),
    "MatMul": matmul,
    "Max": folded("maximum", "min"),
    "Min": folded("minimum", "max"),
    "Mul": multiply,
    "PRelu": prelu,
    "Pow": power,
    "ReduceL1": reduction("linalg_vector_norm", ord=1),
    "ReduceL2": reduction("linalg_vector_norm", ord=2),
    "ReduceMax": reduction("amax"),
    "ReduceMean": reduction("mean"),
    "ReduceMin": reduction("amin"),
    "ReduceSum": reduction("sum"),
    "ReduceSumSquare": squared_sum,
    "Selu": selu,
    "Softmax": softmax("softmax"),
    "Sub": subtract,
    "Sum": total,
    "Swish": swish,
}
"""Operator of ONNX -> its translation."""
