"""Calls of the library that ships with the tool, in the place of statements that its templates stand for."""

from __future__ import annotations

from typing import Any

from resnext_dsl.arch_text.argument_text import Defaults
from resnext_dsl.arch_text.network_defaults import has_usual
from resnext_dsl.arch_text.step_tree import (
    ActivationStep,
    Body,
    CallStep,
    FirstAndLater,
    OperatorStep,
    Spelled,
    SplitStep,
    Step,
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


def with_library(body: Body, defaults: Defaults) -> Body:
    """The body with calls of the library."""
    result: list[Step] = []
    place = 0
    while place < len(body):
        call = _conv_bn_act(body[place : place + 3], defaults)
        if call is not None:
            result.append(call)
            place += 3
            continue
        step = body[place]
        inner = bodies(step)
        if inner:
            step = _squeeze_excite(step, defaults) or with_bodies(
                step, tuple([with_library(one, defaults) for one in inner])
            )
        result.append(step)
        place += 1
    return tuple(result)


def _conv_bn_act(steps: Body, defaults: Defaults) -> CallStep | None:
    if len(steps) < 3:
        return None
    conv, norm, act = steps
    if not (isinstance(conv, OperatorStep) and isinstance(norm, OperatorStep) and isinstance(act, ActivationStep)):
        return None
    if conv.operator != "conv" or norm.operator != "bn" or conv.names or norm.names:
        return None
    if any(type(value) is FirstAndLater for value in conv.arguments) or type(act.operator) is FirstAndLater:
        return None
    if not has_usual("conv", conv.arguments, _STATED, defaults) or not has_usual("bn", norm.arguments, (), defaults):
        return None
    channels, kernel, stride, padding, _, groups = conv.arguments[:6]
    arguments = (channels, kernel, stride, groups, padding, act.operator)
    return CallStep("conv_bn_act", arguments, (), act.names, conv.here)


_STATED = ("channels", "kernel", "stride", "padding", "groups")


def _squeeze_excite(step: Step, defaults: Defaults) -> CallStep | None:
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
    if not (_gate_conv(reduce, defaults) and _gate_conv(expand, defaults)):
        return None
    assert isinstance(reduce, OperatorStep)
    assert isinstance(expand, OperatorStep)
    if expand.arguments[0] != step.here or not has_usual("avgpool", pool.arguments, ("kernel",), defaults):
        return None
    return CallStep("squeeze_excite", (reduce.arguments[0], act.operator, last.operator), (), step.names, step.here)


def is_squeeze_excite(step: Step, defaults: Defaults) -> bool:
    """Whether a step is squeeze-and-excitation as the library has it."""
    return _squeeze_excite(step, defaults) is not None


def _gate_conv(step: Step, defaults: Defaults) -> bool:
    if not isinstance(step, OperatorStep) or step.operator != "conv":
        return False
    kernel, bias = step.arguments[1], step.arguments[6]
    stated = ("channels", "kernel", "bias")
    return kernel == (1,) * len(kernel) and bias is True and has_usual("conv", step.arguments, stated, defaults)
