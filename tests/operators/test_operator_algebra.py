"""What rows say of their algebra, against torch: the tensors of modules, and values side by side."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from operator_cases import CASES, Case, build, inputs_of

from resnext_dsl.operators import OPERATORS, ModuleCall, RuleError, validate
from resnext_dsl.operators.base import REQUIRED

MULTIPLIERS = {"conv", "conv_transpose", "linear"}
CROSSING = {"layernorm", "lrn", "softmax", "concat", "shuffle", "slice", "pad_channels", *MULTIPLIERS}
RANDOM = {"dropout", "dropout2d", "drop_path"}


def valid(name: str, case: Case) -> tuple[object, tuple[tuple[int, ...], ...]]:
    arguments, shapes = case
    try:
        attributes = validate(OPERATORS[name], arguments)
        OPERATORS[name].shape(attributes, shapes)
    except RuleError:
        assume(False)
    return attributes, shapes


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=25)
@given(drawn=st.data())
def test_tensors_are_those_of_the_module(name: str, drawn: st.DataObject) -> None:
    attributes, shapes = valid(name, drawn.draw(CASES[name]))
    row = OPERATORS[name]
    found = row.algebra.tensors(attributes, shapes)
    if not isinstance(row.source(attributes, shapes), ModuleCall):
        assert found == ()
        return
    module = build(name, attributes, shapes)
    learned = {key for key, _ in module.named_parameters()}
    assert [(tensor.field, tensor.shape, tensor.learned) for tensor in found] == [
        (key, tuple(tensor.shape), key in learned) for key, tensor in module.state_dict().items()
    ]


def test_every_row_says_whether_it_is_channelwise() -> None:
    for name, row in OPERATORS.items():
        attributes = validate(row, {"groupnorm": {"groups": 2}, "scale": {"factor": 0.5}}.get(name, _required(name)))
        joined, reason = row.algebra.joined([attributes, attributes], [4, 4])
        one_slope = name == "prelu"
        assert (joined is None) is (name in CROSSING | RANDOM or one_slope), name
        assert bool(reason) is (joined is None)
        assert row.algebra.acts == ("never" if name == "identity" else "training" if name in RANDOM else "always")


def _required(name: str) -> dict[str, object]:
    known: dict[str, object] = {
        "channels": 4, "kernel": 1, "features": 4, "size": 1, "p": 0.5, "groups": 2, "factor": 2, "start": 0, "stop": 2,
        "stride": 1,
    }  # fmt: skip
    row = OPERATORS[name]
    return {key: known[key] for key, value in row.attributes.fields.items() if value is REQUIRED}


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - CROSSING - RANDOM))
@settings(max_examples=20)
@given(drawn=st.data())
def test_joined_operators_compute_the_values_side_by_side(name: str, drawn: st.DataObject) -> None:
    row = OPERATORS[name]
    attributes, shapes = valid(name, drawn.draw(CASES[name]))
    assume(not row.merges or all(shape[0] == shapes[0][0] for shape in shapes))
    joined, _ = row.algebra.joined([attributes, attributes], [shapes[0][0]] * 2)
    assume(joined is not None)
    whole = tuple((2 * shape[0], *shape[1:]) for shape in shapes)
    modules = [build(name, attributes, shapes), build(name, attributes, shapes), build(name, joined, whole)]
    for module in modules[:2]:
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    states = [module.state_dict() for module in modules]
    modules[2].load_state_dict(
        {
            key: torch.cat([states[0][key], states[1][key]]) if tensor.dim() else tensor
            for key, tensor in states[2].items()
        }
    )
    first, second = inputs_of(shapes, 2), inputs_of(shapes, 2)
    expected = torch.cat([modules[0](*first), modules[1](*second)], 1)
    found = modules[2](*(torch.cat(pair, 1) for pair in zip(first, second, strict=True)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", ["bn", "groupnorm", "prelu", "relu"])
def test_slicing_is_the_inverse_of_joining(name: str) -> None:
    row = OPERATORS[name]
    attributes = validate(row, {"groupnorm": {"groups": 4}, "prelu": {"per_channel": True}}.get(name, {}))
    part, _ = row.algebra.sliced(attributes, 8, 2)
    assert row.algebra.joined([part, part], [4, 4]) == (attributes, "")


def test_what_cannot_be_cut_says_why() -> None:
    norm = OPERATORS["groupnorm"]
    attributes = validate(norm, {"groups": 3})
    assert norm.algebra.sliced(attributes, 12, 2) == (None, "`groups` (=3) is not divisible by 2")
    slope = OPERATORS["prelu"]
    assert slope.algebra.sliced(validate(slope, {}), 8, 2) == (None, "one slope is learned for all channels")
    other = validate(norm, {"groups": 2})
    assert norm.algebra.joined([attributes, other], [12, 12]) == (None, "its groups have 4 and 6 channels")
