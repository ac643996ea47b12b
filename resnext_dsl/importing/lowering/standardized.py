"""Weights that are standardized before a convolution uses them (Qiao et al., 2019; Brock et al., ICLR 2021).

reshape(batch_norm(reshape(weight, [1, channels, -1]), training=True), weight.shape)  ->  standardize=true
"""

from __future__ import annotations

import math
from typing import Any

from resnext_dsl.importing.lowering.state import Lowering, unreadable
from resnext_dsl.importing.lowering.stored_values import Formula, Weight

SHAPE_CALLS = frozenset({"view", "reshape", "reshape_as", "view_as"})


def standardized(state: Lowering, formula: Formula) -> tuple[Weight, Weight | None, dict[str, Any]]:
    """The weight of a formula, its gain if it has one, and the attributes of `conv` that stand for the formula.

    Raises:
        RuleError: E610 if the formula is another one.
    """
    norm = formula.arguments.get("self", formula.arguments.get("input")) if formula.operation in SHAPE_CALLS else None
    if not isinstance(norm, Formula) or norm.operation != "batch_norm":
        raise unreadable(f"its weight is computed by `{formula.operation}` before each use")
    arguments = norm.arguments
    weight = arguments["input"]
    unused = ("running_mean", "running_var", "bias")
    if not isinstance(weight, Weight) or arguments.get("training") is not True or any(map(arguments.get, unused)):
        raise unreadable("its weight is computed by `batch_norm` with other arguments than for standardization")
    weight = _unshaped(state, weight)
    attributes: dict[str, Any] = {"standardize": True, "eps": arguments.get("eps", 1e-5)}
    factor = arguments.get("weight")
    if factor is None:
        return weight, None, attributes
    gain, constant = _gain(factor)
    fan_in = math.prod(weight.shape[1:])
    attributes |= {"standardize": "scaled", "gamma": _constant_of(constant, fan_in)}
    return weight, gain, attributes


def _unshaped(state: Lowering, weight: Weight) -> Weight:
    """The stored weight, whose filters are the rows of the argument."""
    shape = state.trace.tensors[weight.key].shape
    (name, sizes), *others = weight.steps or (("", ()),)
    if others or name != "reshape" or sizes != (1, shape[0], math.prod(shape[1:])):
        raise unreadable("its weight is standardized over something else than the weights of an output channel")
    return Weight(weight.key, shape)


def _gain(factor: Any) -> tuple[Weight, float]:
    """The learned gain and the constant of a factor: gain, or gain * constant."""
    while isinstance(factor, Formula) and factor.operation in SHAPE_CALLS:
        factor = factor.arguments.get("self", factor.arguments.get("input"))
    if isinstance(factor, Weight):
        return factor, 1.0
    if isinstance(factor, Formula) and factor.operation == "mul":
        gain, constant = factor.arguments["self"], factor.arguments["other"]
        if isinstance(constant, Weight):
            gain, constant = constant, gain
        if isinstance(gain, Weight) and isinstance(constant, int | float):
            return gain, float(constant)
    raise unreadable("the factor of its standardized weight is not a learned gain times a constant")


def _constant_of(factor: float, fan_in: int) -> float:
    """The shortest number that gives the factor if it is divided by the square root of the fan-in."""
    exact = factor * math.sqrt(fan_in)
    for digits in range(1, 17):
        constant = float(f"{exact:.{digits}g}")
        if constant * fan_in**-0.5 == factor:
            return constant
    return exact
