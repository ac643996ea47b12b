"""Each row against torch (shape, parameters, refusals) and fvcore (FLOPs, activations), on drawn arguments."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_cases import AS_STRICT_AS_TORCH, CASES, build, counted, inputs_of

from resnext_dsl.operators import OPERATORS, Attributes, Operator, RuleError, Shape, validate


def check_row(operator: Operator, attributes: Attributes, shapes: tuple[Shape, ...]) -> None:
    module, inputs = build(operator.name, attributes, shapes), inputs_of(shapes)
    output = operator.shape(attributes, shapes)
    with torch.no_grad():
        assert tuple(module(*inputs).shape) == (1, *output)
    assert operator.parameters(attributes, shapes) == sum(one.numel() for one in module.parameters())
    flops = operator.flops(attributes, shapes) if operator.flops is not None else None
    assert (flops or 0, operator.activations(output)) == counted(module, inputs)


def refused_by_torch(operator: Operator, attributes: Attributes, shapes: tuple[Shape, ...]) -> bool:
    """Whether torch raises, or gives a value without elements (as a transposed convolution may)."""
    try:
        value = build(operator.name, attributes, shapes)(*inputs_of(shapes))
    except (RuntimeError, ValueError, AssertionError):
        return True
    return bool(value.numel() == 0)


@pytest.mark.parametrize("name", sorted(AS_STRICT_AS_TORCH))
@settings(max_examples=40)
@given(data=st.data())
def test_a_row_takes_what_torch_takes_and_counts_as_fvcore(name: str, data: st.DataObject) -> None:
    arguments, shapes = data.draw(CASES[name])
    operator = OPERATORS[name]
    attributes = validate(operator, arguments, shapes[0])
    try:
        operator.shape(attributes, shapes)
    except RuleError:
        assert refused_by_torch(operator, attributes, shapes)
    else:
        check_row(operator, attributes, shapes)


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - AS_STRICT_AS_TORCH))
@settings(max_examples=12)
@given(data=st.data())
def test_a_row_counts_as_torch_and_fvcore(name: str, data: st.DataObject) -> None:
    arguments, shapes = data.draw(CASES[name])
    check_row(OPERATORS[name], validate(OPERATORS[name], arguments, shapes[0]), shapes)


@pytest.mark.parametrize("name", ["add", "mul", "mean", "maximum", "concat"])
@pytest.mark.parametrize("count", [1, 2, 3, 257, 5000])
def test_a_merge_takes_any_number_of_values(name: str, count: int) -> None:
    operator, shapes = OPERATORS[name], ((2, 1, 1),) * count
    attributes = validate(operator, {})
    values = [torch.randn(1, 2, 1, 1, dtype=torch.float64) for _ in shapes]
    stacked = torch.stack(values)
    expected = {
        "add": stacked.sum(0),
        "mul": stacked.prod(0),
        "mean": stacked.mean(0),
        "maximum": stacked.amax(0),
        "concat": torch.cat(values, 1),
    }
    torch.testing.assert_close(build(name, attributes, shapes)(*values), expected[name])
