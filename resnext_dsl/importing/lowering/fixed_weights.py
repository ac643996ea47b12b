"""Convolutions by kernels that are not learned: `fixed_conv` and `blur_pool`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resnext_dsl.importing.lowering.state import Lowering, unreadable
from resnext_dsl.importing.lowering.stored_values import Weight
from resnext_dsl.operators.rules import resolved_padding

TOLERANCE = 1e-6
"""The largest relative difference between a float32 number and the number that it stands for."""


WITHOUT_VALUES = "the module on the meta device does not have its values"
"""The end of the message for a kernel that decides the operator and has no values."""


def shaped(tensor: Any, weight: Weight) -> Any:
    """A tensor of torch after the steps of a weight."""
    for name, numbers in weight.steps:
        tensor = tensor.narrow(*numbers) if name == "narrow" else getattr(tensor, name)(numbers)
    return tensor


def as_fixed_kernel(state: Lowering, attributes: Mapping[str, Any], weight: Weight, node: int) -> int:
    """The node of a convolution whose weight is not learned.

    Raises:
        RuleError: E610 if channels have different kernels, or the convolution mixes channels.
    """
    channels = state.shape(node)[0]
    if attributes["groups"] != channels or attributes["channels"] != channels or len(attributes["kernel"]) != 2:
        raise unreadable("its weight is not a parameter, and it mixes channels")
    if attributes["bias"] or max(attributes["dilation"]) > 1:
        raise unreadable("its weight is not a parameter, and it has a bias or a dilation")
    if getattr(state.trace.value(weight.key), "is_meta", False):
        raise unreadable(f"its weight is not a parameter, and {WITHOUT_VALUES}")
    kernels = shaped(state.trace.value(weight.key), weight).tolist()
    if any(kernel != kernels[0] for kernel in kernels):
        raise unreadable("its weight is not a parameter and differs between channels")
    rows = kernels[0][0]
    node, padding, mode = _padding(state, attributes, node)
    chosen = {"stride": attributes["stride"], "padding": padding, "mode": mode}
    if _is_binomial(rows):
        return state.add("blur_pool", {"kernel": attributes["kernel"], **chosen}, [node], state.call.path)
    return state.add("fixed_conv", {"kernel": rows, **chosen}, [node], state.call.path)


def _padding(state: Lowering, attributes: Mapping[str, Any], node: int) -> tuple[int, Any, str]:
    """The node before a `pad`, its padding and mode, if the convolution has no padding of its own."""
    draft, kernel = state.nodes[node], attributes["kernel"]
    pad: Any = draft.attributes
    own = resolved_padding(attributes["padding"], kernel)
    if draft.operator == "pad" and not any(own) and not pad.value and (pad.top, pad.left) == (pad.bottom, pad.right):
        sides = (pad.top, pad.left)
        return draft.inputs[0], "same" if sides == resolved_padding("same", kernel) else sides, pad.mode
    return node, attributes["padding"], "constant"


def _is_binomial(rows: list[list[float]]) -> bool:
    """Whether a kernel is the product of two rows of Pascal's triangle, with sum 1."""
    height, width = len(rows), len(rows[0])
    total = 2 ** (height + width - 2)
    return all(
        math.isclose(value, math.comb(height - 1, y) * math.comb(width - 1, x) / total, rel_tol=TOLERANCE)
        for y, row in enumerate(rows)
        for x, value in enumerate(row)
    )
