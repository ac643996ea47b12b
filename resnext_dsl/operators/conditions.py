"""Conditions on arguments that depend on other arguments, and on the rank of the value.

Some arguments have an effect only beside values of another one. Some operators and arguments take images only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnext_dsl.operators.base import Attributes, Need, RuleError, Shape, value_text
from resnext_dsl.operators.ranks import IMAGE, LAYOUTS, RANKS
from resnext_dsl.operators.row import ImagesOnly
from resnext_dsl.operators.rules import shape_text


def check_needs(model: type[Attributes], values: Mapping[str, Any], rank: int) -> None:
    """Checks that every argument with another value than its default has an effect.

    Args:
        model: The class of the attributes.
        values: The arguments that a call states, checked.
        rank: The number of sides of the value that the operator is applied to.

    Raises:
        RuleError: E205 for an argument that another argument leaves without effect.
    """
    for need in model.needs:
        if need.argument not in values or values[need.argument] == model.fields[need.argument]:
            continue
        value = values.get(need.other, model.fields[need.other])
        if value not in need.values:
            words = " or ".join(f"`{_stated(need.other, one)}`" for one in need.values)
            message = f"`{need.argument}` needs {words}; found `{_stated(need.other, value)}`"
            raise RuleError("E205", message, _hint(need, rank), need.argument)


def _hint(need: Need, rank: int) -> str:
    if rank in RANKS and rank != IMAGE:
        return f"remove `{need.argument}`: `{need.other}` is for images only"
    return f"write `{_stated(need.other, need.values[0])}`, or remove `{need.argument}`"


def effective(model: type[Attributes], settled: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a network that a call takes.

    A call that states an argument sets aside the defaults that have no effect beside it: beside `standardize=false`,
    those are `gain`, `gamma` and `eps`.

    Args:
        model: The class of the attributes.
        settled: The network's defaults for the operator.
        stated: The arguments of the call.
    """
    aside = {need.argument for need in model.needs if need.other in stated and stated[need.other] not in need.values}
    return {name: value for name, value in settled.items() if name not in aside}


def check_images(operator: str, limits: tuple[ImagesOnly, ...], arguments: Mapping[str, Any], shape: Shape) -> None:
    """Checks that an operator with these arguments takes feature maps that are no images.

    Args:
        operator: The name of the operator.
        limits: The limits of its row.
        arguments: Arguments by name, not checked yet.
        shape: The shape of the value, which is that of a signal or a clip.

    Raises:
        RuleError: E301 if it takes images only.
    """
    for limit in limits:
        if limit.applies(arguments):
            subject = _stated(limit.argument, arguments[limit.argument]) if limit.argument else operator
            message = f"`{subject}` takes only feature maps of {LAYOUTS[IMAGE]}; found {shape_text(shape)}"
            raise RuleError("E301", message, limit.hint(arguments), limit.argument or None)


def _stated(argument: str, value: object) -> str:
    """An argument as a spec states it: `padding=same_upper`."""
    return f"{argument}={value_text(value).strip('`')}"
