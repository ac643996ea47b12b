"""Padding before a window: `pad` and a window without padding are one operator if the language has it.

    pad(0, 1, 0, 1), conv(3x3, stride=2, padding=0)  ->  conv(3x3, stride=2, padding=same_upper)

    pad(1, 1, 1, 1, value=-inf), maxpool(3x3, padding=0)  ->  maxpool(3x3)

Other paddings stay a `pad`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnext_dsl.importing.lowering.state import Lowering, unreadable
from resnext_dsl.importing.lowering.stored_values import CallFormula
from resnext_dsl.operators import Operator
from resnext_dsl.operators.ranks import IMAGE, Sides
from resnext_dsl.operators.rules import missing, pads_by_size, reach, resolved_padding, usual_padding

WINDOWS = frozenset({"conv", "avgpool"})
"""The operators whose padding is zeros."""


Added = tuple[tuple[int, int], ...]
"""The elements added before and after each side of a map."""


def absorbed(state: Lowering, row: Operator, attributes: Mapping[str, Any], node: int) -> tuple[Mapping[str, Any], int]:
    """The attributes and the input of a window that also does the padding with zeros before it."""
    draft = state.nodes[node]
    if draft.operator != "pad" or row.name not in WINDOWS or attributes["kernel"] == "global":
        return attributes, node
    pad: Any = draft.attributes
    source = draft.inputs[0]
    sides = state.shape(source)[1:]
    if len(sides) != IMAGE or pad.mode != "constant" or pad.value:
        return attributes, node
    word = _same_word(attributes, sides, ((pad.top, pad.bottom), (pad.left, pad.right)))
    return ({**attributes, "padding": word}, source) if word else (attributes, node)


def with_infinite_padding(attributes: Mapping[str, Any], sides: Sides, added: Added) -> Mapping[str, Any]:
    """The attributes of a max pooling that includes the padding with -inf before it.

    Raises:
        RuleError: E610 if the language has no such padding.
    """
    word = _same_word(attributes, sides, added) if len(sides) == IMAGE else ""
    if word:
        return {**attributes, "padding": word}
    spans = reach(attributes["kernel"], attributes["dilation"])
    if any(before != after for before, after in added) or any(resolved_padding(attributes["padding"], spans)):
        raise unreadable(f"it pads the sides of its value by {added}, and `maxpool` pads opposite sides alike")
    return {**attributes, "padding": usual_padding(tuple([before for before, _ in added]), spans)}


def _same_word(attributes: Mapping[str, Any], sides: Sides, added: Added) -> str:
    """The word for the padding before a window without padding of its own; "" if there is none."""
    kernel = attributes["kernel"]
    spans = reach(kernel, attributes.get("dilation", (1,) * len(kernel)))
    stride = attributes.get("stride", kernel)
    if any(resolved_padding(attributes["padding"], spans)) or attributes.get("ceil"):
        return ""
    extra = [missing(side, span, step) for side, span, step in zip(sides, spans, stride, strict=True)]
    if added != tuple([(number // 2, number - number // 2) for number in extra]):
        return ""
    return "same_upper" if pads_by_size("same_upper", spans, stride) else "same"


def infinite_padding(value: CallFormula) -> tuple[Any, Added]:
    """The value before a padding with -inf, and the elements added to each side.

    Raises:
        RuleError: E610 if the value is another formula.
    """
    if value.operation != "pad":
        raise unreadable(f"`{value.operation}` of its value has no operator in the language")
    numbers = value.arguments["pad"]
    return value.arguments["self"], tuple(zip(numbers[::2], numbers[1::2], strict=True))[::-1]
