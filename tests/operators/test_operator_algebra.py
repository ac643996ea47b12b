"""What rows say of their algebra, against torch: the tensors of modules, and values side by side."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from operator_cases import CASES, Case, build, inputs_of

import resnext_dsl as rx
from resnext_dsl.operators import OPERATORS, ModuleCall, RuleError, Shape, validate
from resnext_dsl.rewrite.carry import FORMULAS


def valid(name: str, case: Case) -> tuple[object, tuple[tuple[int, ...], ...]]:
    arguments, shapes = case
    try:
        attributes = validate(OPERATORS[name], arguments, shapes[0])
        OPERATORS[name].shape(attributes, shapes)
    except RuleError:
        assume(False)
    return attributes, shapes


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=16)
@given(data=st.data())
def test_tensors_are_those_of_the_module(name: str, data: st.DataObject) -> None:
    attributes, shapes = valid(name, data.draw(CASES[name]))
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


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=20)
@given(data=st.data())
def test_joined_operators_compute_the_values_side_by_side(name: str, data: st.DataObject) -> None:
    row = OPERATORS[name]
    attributes, shapes = valid(name, data.draw(CASES[name]))
    assume(not row.merges or all(shape[0] == shapes[0][0] for shape in shapes))
    joined, reason = row.algebra.joined([attributes, attributes], [shapes[0][0]] * 2)
    assert bool(reason) is (joined is None)
    if joined is not None:
        one, other = side_by_side(name, attributes, joined, shapes)
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, equal_nan=True)


def side_by_side(
    name: str, attributes: Any, joined: Any, shapes: tuple[Shape, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The values of one operator on concatenations, and the concatenation of the values of two operators."""
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
    with torch.no_grad():
        expected = torch.cat([modules[0](*first), modules[1](*second)], 1)
        return modules[2](*(torch.cat(pair, 1) for pair in zip(first, second, strict=True))), expected


def differs(name: str, case: Case) -> bool:
    """Whether the same operator on concatenations computes something else, or cannot be built."""
    row = OPERATORS[name]
    try:
        attributes = validate(row, case[0], case[1][0])
        row.shape(attributes, case[1])
        row.shape(attributes, tuple((2 * shape[0], *shape[1:]) for shape in case[1]))
    except RuleError:
        return False
    if row.algebra.joined([attributes, attributes], [case[1][0][0]] * 2)[0] is not None:
        return False
    try:
        one, other = side_by_side(name, attributes, attributes, case[1])
    except RuntimeError:  # shapes of weights or values
        return True
    return one.shape != other.shape or not torch.allclose(one, other, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("name", [name for name, row in OPERATORS.items() if row.algebra.acts == "always"])
def test_a_row_that_cannot_be_joined_crosses_channels(name: str) -> None:
    """A refusal has its reason: for some case the operator on concatenations computes another value."""
    row = OPERATORS[name]
    refused = False

    def crossing(case: Case) -> bool:
        nonlocal refused
        try:
            attributes = validate(row, case[0], case[1][0])
            row.shape(attributes, case[1])
        except RuleError:
            return False
        torch.manual_seed(0)  # the search must see the same values whenever it repeats a case
        refused = refused or row.algebra.joined([attributes, attributes], [case[1][0][0]] * 2)[0] is None
        return differs(name, case)

    some = settings(max_examples=30, database=None, phases=[Phase.generate])  # any case will do: none is made smaller
    try:
        find(CASES[name], crossing, settings=some)
    except NoSuchExample:
        assert not refused


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=10)
@given(data=st.data())
def test_a_row_says_when_it_acts(name: str, data: st.DataObject) -> None:
    """An operator that acts in training only, or never, is the identity in eval mode; all others change values."""
    row = OPERATORS[name]
    attributes, shapes = valid(name, data.draw(CASES[name]))
    if row.algebra.acts == "always":
        assert not isinstance(build(name, attributes, shapes), torch.nn.Identity)
        return
    module, values = build(name, attributes, shapes), inputs_of(shapes, 2)
    assert torch.equal(module(*values), values[0])
    if row.algebra.acts == "never":
        assert torch.equal(module.train()(*values), values[0])


@pytest.mark.parametrize("name", [name for name, row in OPERATORS.items() if row.algebra.factors is not None])
@settings(max_examples=20)
@given(data=st.data())
def test_factors_and_shifts_are_those_of_the_module(name: str, data: st.DataObject) -> None:
    row = OPERATORS[name]
    attributes, shapes = valid(name, data.draw(CASES[name]))
    module = build(name, attributes, shapes)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    assert row.algebra.factors is not None
    factors = row.algebra.factors(attributes, shapes[0][0])
    factor, shift = FORMULAS[factors.formula](list(module.state_dict().values()), *factors.arguments)
    assert factors.shifts or not shift.any()
    (value,) = inputs_of(shapes, 2)
    sides = (-1, *[1] * (len(shapes[0]) - 1))
    expected = value * factor.view(sides) + shift.view(sides)
    torch.testing.assert_close(module(value).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name, row in OPERATORS.items() if row.algebra.weight is not None])
@settings(max_examples=20)
@given(data=st.data())
def test_the_layout_of_a_weight_is_that_of_the_module(name: str, data: st.DataObject) -> None:
    row = OPERATORS[name]
    layout = row.algebra.weight
    assert layout is not None
    attributes, shapes = valid(name, data.draw(CASES[name]))
    assume(getattr(attributes, "groups", 1) == 1)
    (channels, *_), weight = row.shape(attributes, shapes), build(name, attributes, shapes).state_dict()["weight"]
    assert getattr(attributes, layout.width) == channels
    assert weight.shape[layout.output_axis] == channels
    assert weight.shape[layout.input_axis] == shapes[0][0]


@pytest.mark.parametrize("name", [name for name, row in OPERATORS.items() if row.merges])
@settings(max_examples=20)
@given(data=st.data())
def test_values_that_commute_may_change_places(name: str, data: st.DataObject) -> None:
    attributes, shapes = valid(name, data.draw(CASES[name]))
    values = inputs_of(shapes, 2)
    order = data.draw(st.permutations(range(len(values))))
    moved, moved_shapes = [values[place] for place in order], tuple(shapes[place] for place in order)
    module, other = build(name, attributes, shapes), build(name, attributes, moved_shapes)
    same = torch.allclose(module(*values), other(*moved), rtol=1e-4, atol=1e-5)
    assert same is (OPERATORS[name].commutes or order == list(range(len(values))))


@pytest.mark.parametrize("name", [name for name, row in OPERATORS.items() if row.overwritable])
@settings(max_examples=20)
@given(data=st.data())
def test_a_result_that_may_be_overwritten_has_no_other_reader(name: str, data: st.DataObject) -> None:
    """Torch raises if a backward reads a value that was written over, and inputs keep their values."""
    attributes, shapes = valid(name, data.draw(CASES[name]))
    assume(not OPERATORS[name].merges or len(shapes) > 1)
    assume(name != "bn" or len(shapes[0]) > 1)
    module, values = build(name, attributes, shapes).train(), inputs_of(shapes, 2)
    before = [value.clone() for value in values]
    leaves = [value.requires_grad_() for value in values]
    torch.relu_(module(*leaves)).sum().backward()
    assert all(torch.equal(value, copy) for value, copy in zip(leaves, before, strict=True))


@pytest.mark.parametrize("name", ["add", "bn", "concat", "conv", "conv_transpose", "linear"])
def test_an_activation_may_write_over_the_usual_layers_before_it(name: str) -> None:
    assert OPERATORS[name].overwritable


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


ACTIVATIONS = [name for name, row in OPERATORS.items() if row.kind == "activation"]


@pytest.mark.parametrize("name", ACTIVATIONS)
@settings(max_examples=1)
@given(data=st.data())
def test_an_activation_works_in_place_if_torchs_module_does(name: str, data: st.DataObject) -> None:
    attributes, shapes = valid(name, data.draw(CASES[name]))
    assert OPERATORS[name].inplace is hasattr(build(name, attributes, shapes), "inplace")


@pytest.mark.parametrize("channels", [[16, 8, 16], [8, 16], [4, 16, 8]])
def test_norms_of_groups_of_other_sizes_are_not_one(channels: list[int]) -> None:
    row = OPERATORS["groupnorm"]
    attributes = [validate(row, {"groups": 2})] * len(channels)
    sizes = sorted({count // 2 for count in channels})
    reason = f"its groups have {' and '.join(map(str, sizes))} channels"
    assert row.algebra.joined(attributes, channels) == (None, reason)
    joined, reason = row.algebra.joined([validate(row, {"groups": n // 4}) for n in channels], channels)
    assert (reason, joined.groups) == ("", sum(channels) // 4)


@pytest.mark.parametrize(
    ("merge", "overwritten"), [("add", True), ("concat", True), ("mul", False), ("maximum", False), ("mean", False)]
)
def test_an_activation_writes_over_the_sum_and_the_concatenation_of_paths(merge: str, overwritten: bool) -> None:
    paths = "split 2 { conv(4, 1x1) } merge"
    text = rx.loads(f"network n {{ input x: 3x8x8\n {paths} {merge}; relu }}").emit(form="written")
    assert ("nn.ReLU(inplace=True)" in text, "nn.ReLU()" in text) == (overwritten, not overwritten)
