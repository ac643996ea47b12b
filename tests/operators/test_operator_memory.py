"""The memory rules of each row against what torch holds: saved for a backward, alive in inference, kept as buffers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from memory_oracle import alive_at_once, saved_for_backward
from operator_cases import CASES, build, inputs_of, namespace, source_text

from resnext_dsl.costs.dry_run import TORCH, Layer, Ledger, Storage, Value
from resnext_dsl.operators import OPERATORS, Attributes, ModuleCall, Operator, RuleError, Shape, validate
from resnext_dsl.operators.memory_rules import MemoryRules, TrainingStep

Drawn = tuple[Operator, Attributes, tuple[Shape, ...]]
WIDTH = 4


def drawn(data: st.DataObject, name: str) -> Drawn:
    """An operator with arguments and input shapes that go together."""
    operator = OPERATORS[name]
    arguments, shapes = data.draw(CASES[name])
    attributes = validate(operator, arguments, shapes[0])
    try:
        operator.shape(attributes, shapes)
    except RuleError:
        assume(False)
    return operator, attributes, shapes


def elements(shape: Shape, batch: int) -> int:
    return batch * math.prod(shape)


def expected_saved(case: Drawn, run: TrainingStep) -> int:
    operator, attributes, shapes = case
    rules = operator.memory
    if rules.view(attributes, shapes, True):
        return 0
    if not any(run.gradients) and operator.parameters(attributes, shapes) == 0:
        return 0
    saved = rules.saves(attributes, shapes, run)
    # an operator in place gives back the memory of its input
    whole = {("in", 0) if saved.output and run.inplace else ("out", 0)} if saved.output else set()
    whole |= {("in", place) for place in saved.inputs}
    sizes = [operator.shape(attributes, shapes) if kind == "out" else shapes[place] for kind, place in whole]
    return saved.extra.bytes(WIDTH) + WIDTH * sum(elements(shape, run.batch) for shape in sizes)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_row_has_memory_rules(name: str) -> None:
    assert isinstance(OPERATORS[name].memory, MemoryRules)


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=16)
@given(data=st.data())
def test_a_training_step_keeps_what_the_row_says(name: str, data: st.DataObject) -> None:
    case = operator, attributes, shapes = drawn(data, name)
    batch = data.draw(st.integers(2, 3))
    gradients = tuple(data.draw(st.booleans()) for _ in shapes)
    inplace = operator.inplace and operator.kind == "activation" and all(gradients) and data.draw(st.booleans())
    module = build(name, attributes, shapes)
    values = [x.requires_grad_(flows) for x, flows in zip(inputs_of(shapes, batch), gradients, strict=True)]
    if inplace:
        module.inplace = True
        values = [x * 1.0 for x in values]  # torch writes over no leaf
    run = TrainingStep(batch, inplace, gradients)
    assert saved_for_backward(module, *values) == expected_saved(case, run)


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=16)
@given(data=st.data())
def test_inference_holds_what_the_row_says(name: str, data: st.DataObject) -> None:
    operator, attributes, shapes = drawn(data, name)
    # Torch's CPU kernel for clips resizes a tensor of the input's size, and never gives back the rest of its memory.
    shrinks = math.prod(operator.shape(attributes, shapes)) < math.prod(shapes[0])
    assume(not (name == "conv_transpose" and len(shapes[0]) == 4 and shrinks))
    batch = data.draw(st.integers(1, 3))
    ledger = Ledger(WIDTH, batch)
    values = [Value(Storage(ledger, shape), shape) for shape in shapes]
    result = rehearsed(operator, attributes, shapes, values)
    assert result.shape == operator.shape(attributes, shapes)
    assert ledger.most == alive_at_once(build(name, attributes, shapes), *inputs_of(shapes, batch))
    assert (result.storage is values[0].storage) == operator.memory.view(attributes, shapes, False)


def rehearsed(operator: Operator, attributes: Attributes, shapes: tuple[Shape, ...], values: list[Value]) -> Value:
    """The operator as an emitted file would run it, on stand-ins."""
    if isinstance(operator.source(attributes, shapes), ModuleCall):
        layer = Layer()
        layer.bind(operator.name, attributes, shapes, operator.shape(attributes, shapes))
        result = layer(*values)
    else:
        names = ", ".join(f"x{place}" for place in range(len(values)))
        text = f"lambda {names}: {source_text(operator, attributes, shapes)}"
        result = eval(text, {"torch": TORCH, "F": TORCH.nn.functional})(*values)
    assert isinstance(result, Value)
    return result


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=12)
@given(data=st.data())
def test_buffers_are_those_of_the_module(name: str, data: st.DataObject) -> None:
    operator, attributes, shapes = drawn(data, name)
    buffers = build(name, attributes, shapes).buffers()
    expected = operator.memory.buffers(attributes, shapes).bytes(WIDTH)
    assert expected == sum(buffer.nbytes for buffer in buffers)


IN_PLACE = [name for name, row in OPERATORS.items() if row.inplace and row.kind == "activation"]


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_nothing_is_made(name: str) -> None:
    text = source_text(OPERATORS[name], validate(OPERATORS[name], {}), ((4, 3, 3),))
    module: Any = eval(text, namespace())
    module.inplace = True
    assert alive_at_once(module, torch.zeros(2, 4, 3, 3)) == 2 * 4 * 3 * 3 * WIDTH
