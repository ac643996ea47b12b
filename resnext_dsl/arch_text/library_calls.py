"""Calls of the library that ships with the tool, in the place of statements that its templates stand for."""

from __future__ import annotations

from typing import Any

from resnext_dsl.arch_text.argument_text import is_default
from resnext_dsl.arch_text.step_tree import (
    ActivationStep,
    Body,
    CallStep,
    OperatorStep,
    Spelled,
    SplitStep,
    Step,
    Turns,
    bodies,
    with_bodies,
)
from resnext_dsl.foundation.records import NamedTuple


class LibraryTemplate(NamedTuple):
    """A template of the library: its file, its parameters, and the defaults of those that have one."""

    file: str
    parameters: tuple[str, ...]
    defaults: dict[str, Any]


LIBRARY = {
    "conv_bn_act": LibraryTemplate(
        "std.blocks",
        ("channels", "kernel", "stride", "groups", "padding", "act"),
        {"stride": 1, "groups": 1, "padding": "same", "act": Spelled("relu")},
    ),
    "squeeze_excite": LibraryTemplate(
        "std.blocks", ("reduced", "act", "gate"), {"act": Spelled("relu"), "gate": Spelled("sigmoid")}
    ),
}


def library_parameters(template: str) -> tuple[str, ...]:
    """The names of the parameters of a template of the library."""
    return LIBRARY[template].parameters


def with_library(body: Body) -> Body:
    """The body with calls of the library."""
    result: list[Step] = []
    place = 0
    while place < len(body):
        call = _conv_bn_act(body[place : place + 3])
        if call is not None:
            result.append(call)
            place += 3
            continue
        step = body[place]
        inner = bodies(step)
        if inner:
            step = _squeeze_excite(step) or with_bodies(step, tuple([with_library(one) for one in inner]))
        result.append(step)
        place += 1
    return tuple(result)


def _conv_bn_act(steps: Body) -> CallStep | None:
    if len(steps) < 3:
        return None
    conv, norm, act = steps
    if not (isinstance(conv, OperatorStep) and isinstance(norm, OperatorStep) and isinstance(act, ActivationStep)):
        return None
    if conv.operator != "conv" or norm.operator != "bn" or conv.names or norm.names or norm.arguments != _BN:
        return None
    if any(type(value) is Turns for value in conv.arguments) or type(act.operator) is Turns:
        return None
    channels, kernel, stride, padding, dilation, groups, bias, standardize = conv.arguments[:8]
    if bias or standardize or not is_default((1, 1), dilation):
        return None
    arguments = (channels, kernel, stride, groups, padding, act.operator)
    return CallStep("conv_bn_act", arguments, (), act.names, conv.here)


_BN = (1e-5, 0.1, True)


def _squeeze_excite(step: Step) -> CallStep | None:
    """The call for a split of a value and its gate."""
    if not isinstance(step, SplitStep) or step.merge != "mul" or step.sliced is not None or len(step.paths) != 2:
        return None
    gate = step.paths[1] if not step.paths[0] else step.paths[0]
    if (step.paths[0] and step.paths[1]) or len(gate) != 5:
        return None
    pool, reduce, act, expand, last = gate
    if not (isinstance(pool, OperatorStep) and pool.operator == "avgpool" and pool.arguments[0] == "global"):
        return None
    if not (isinstance(act, ActivationStep) and isinstance(last, ActivationStep)):
        return None
    if not (_gate_conv(reduce) and _gate_conv(expand)):
        return None
    assert isinstance(reduce, OperatorStep)
    assert isinstance(expand, OperatorStep)
    if expand.arguments[0] != step.here or pool.arguments[1:] != (None, "same", False, True):
        return None
    return CallStep("squeeze_excite", (reduce.arguments[0], act.operator, last.operator), (), step.names, step.here)


def is_squeeze_excite(step: Step) -> bool:
    """Whether a step is squeeze-and-excitation as the library has it."""
    return _squeeze_excite(step) is not None


def _gate_conv(step: Step) -> bool:
    if not isinstance(step, OperatorStep) or step.operator != "conv":
        return False
    _, kernel, stride, padding, dilation, groups, bias, standardize = step.arguments[:8]
    one = (1,) * len(kernel)
    return bool(
        kernel == one
        and stride == one
        and padding == "same"
        and dilation == one
        and (groups, bias, standardize) == (1, True, False)
    )
