"""Domains, dimensions, conditions: what candidates a space has."""

from __future__ import annotations

import json
import random

import pytest
from dimension_oracle import TWIN, as_set, drawn_twin
from hypothesis import given, settings
from hypothesis import strategies as st
from space_oracle import space_from

import resnext_dsl as rx
from resnext_dsl.semantics.domain import Domain
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.dimensions import Dimension


def of(declared: str, body: str = "") -> rx.Network:
    """A network with some declarations."""
    return rx.loads(
        f"network n {{\n input image: 3x8x8\n param other = 2 in 1..4\n{declared}\n conv(other, 1x1); {body}\n}}"
    )


def domain(declared: str) -> Domain:
    """The domain of the parameter `a`."""
    found = of(declared).parameters["a"].domain
    assert found is not None
    return found


# --- domains ---


@pytest.mark.parametrize(
    ("declared", "values", "shown"),
    [
        ("param a = 1 in {1, 4, 2}", (1, 4, 2), "{1, 4, 2}"),
        ("param a = 1.0 in {1, 0.5}", (1.0, 0.5), "{1.0, 0.5}"),
        ("param a = 3 in 1..4", (1, 2, 3, 4), "1..4"),
        ("param a = 8 in 8..20 step 8", (8, 16), "8..20 step 8"),
        ("param a = 0.3 in 0.1..0.5 step 0.1", (0.1, 0.2, 0.3, 0.4, 0.5), "0.1..0.5 step 0.1"),
        ("param a = 0.0 in -1..1 step 0.5", (-1.0, -0.5, 0.0, 0.5, 1.0), "-1.0..1.0 step 0.5"),
        ("param a = 4 in 2..5 log", (2, 3, 4, 5), "2..5 log"),
        ("param a = true in {true, false}", (True, False), "{true, false}"),
        ("param a = [1, 4] in [1..2, {4, 8}]", ((1, 4), (1, 8), (2, 4), (2, 8)), "[1..2, {4, 8}]"),
    ],
)
def test_the_values_of_a_domain(declared: str, values: tuple[object, ...], shown: str) -> None:
    found = domain(declared)
    assert found.elements() == values
    assert found.size == len(values)
    assert str(found) == shown
    assert all(value in found for value in found.elements())


def test_a_range_of_floats_has_infinitely_many_values() -> None:
    for declared in ("param a = 0.5 in 0..1", "param a = 0.5 in 1e-3..1 log", "param a = [1, 0.5] in [1..2, 0..1]"):
        found = domain(declared)
        assert found.size is None
        with pytest.raises(ValueError, match="has infinitely many values"):
            found.elements()
    assert 0.7 in domain("param a = 0.5 in 0..1")
    assert 1.5 not in domain("param a = 0.5 in 0..1")


@given(st.integers(-50, 50), st.integers(1, 9), st.integers(1, 30), st.integers(0, 3))
def test_stepped_floats_are_the_decimals_one_writes(low: int, step: int, count: int, digits: int) -> None:
    scale = 10**digits
    wanted = [float(f"{(low + place * step) / scale:.{digits}f}") for place in range(count)]
    found = Domain(low=low / scale, high=(low + (count - 1) * step) / scale, step=step / scale)
    assert list(found.elements()) == wanted
    assert all(found.place_of(value) == place for place, value in enumerate(wanted))


WRONG = [
    ("param a = 5 in 1..4", "E205", "the default of `a` (=5) is not in its domain 1..4"),
    ("param a = 1 in 4..1", "E205", "the range 4..1 is empty"),
    ("param a = 1 in 1..4 step 0", "E205", "the step must be above 0; found 0"),
    ("param a = 1 in 0..4 log", "E205", "a range with `log` must begin above 0; found 0"),
    ("param a = 1 in {1, 2, 1}", "E102", "`1` occurs twice in the domain"),
    ("param a = 1 in {1, 1.5}", "E204", "the parameter is an int; its domain contains 1.5"),
    ("param a = 1 in 1..4.5", "E204", "the parameter is an int; its domain contains 4.5"),
    ("param a = relu in {relu, 3}", "E204", "the parameter is an operator; its domain contains 3"),
    ('param a = "x" in 1..2', "E204", "the parameter is a string; its domain contains 1"),
    ("param a = 1 in [1..2]", "E204", "a domain in `[ ]` needs a list as the default; found 1"),
    ("param a = [1, 2] in [1..2]", "E205", "a list of 2 elements needs 2 domains; found 1"),
    ("param a = [1, 3] in [1..2, 1..2]", "E205", "the default of `a` (=[1, 3]) is not in its domain [1..2, 1..2]"),
    ("param a = [1, relu] in [1..2, {relu, 4}]", "E204", "the parameter is an operator; its domain contains 4"),
    ("param a = 1 in 1..2 when 3", "E204", "a condition must be true or false; found 3"),
    ("param a = 1 in 1..2 when a > 1", "E101", "unknown name `a`"),
    ("param a = 1 in 1..2 when nothing", "E101", "unknown name `nothing`"),
]


@pytest.mark.parametrize(("declared", "code", "message"), WRONG, ids=[declared for declared, *_ in WRONG])
def test_what_is_no_domain_is_one_error(declared: str, code: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        of(declared)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == (code, message)
    assert found.span is not None
    assert found.span.text in declared


def test_an_override_may_leave_the_domain() -> None:
    text = TWIN.text.replace("budget { flops <= 300K; depth <= 11 }", "")
    assert rx.loads(text, depths=[7, 9], squeeze=99).parameters["depths"].value == (7, 9)


# --- dimensions ---


def test_the_dimensions_of_a_space() -> None:
    space = TWIN.space
    assert [dimension.name for dimension in space.dimensions] == [
        *("se", "squeeze", "deep", "depths[0]", "depths[1]", "act", "width")
    ]
    assert [dimension.kind for dimension in space.dimensions] == [
        *("bool", "int", "int", "int", "int"),
        "operator",
        "int",
    ]
    assert space.dimensions[1].condition == "se"
    assert space.dimensions[5].values() == ["relu", "silu", "bn(eps=0.001)"]
    assert space.size == len(TWIN.candidates()) == (1 + 1 + 3) * 4 * 3 * 4


def test_what_is_fixed_is_no_dimension() -> None:
    space = space_from(TWIN.text, se=False, width=8)
    assert {dimension.parameter for dimension in space.dimensions} == {"squeeze", "deep", "depths", "act"}
    assert space.size == 12
    assert space_from(TWIN.text, se=True).size == (1 + 3) * 48


def test_a_space_without_domains_is_its_own_network() -> None:
    space = space_from("network n { input image: 3x8x8\n param w = 4\n conv(w, 1x1) }")
    assert space.dimensions == ()
    assert space.size == 1
    assert list(space.sample(5)) == list(space) == [Candidate({})]
    assert space.bind(space.sample(1)[0]).cost().params == 12


def test_sizes_are_exact_beyond_64_bits() -> None:
    depths = ", ".join(["1..1000"] * 30)
    space = space_from(
        f"network n {{ input image: 3x8x8\n param on = true in {{true, false}}\n"
        f" param depths = [{', '.join(['1'] * 30)}] in [{depths}] when on\n conv(depths[0], 1x1); if on {{ relu }} }}"
    )
    assert space.size == 1000**30 + 1
    drawn = space.sample(200, seed=1)
    assert len(set(drawn)) == 200
    assert all(candidate in space for candidate in drawn)


@settings(max_examples=60)
@given(st.integers(0, 10**9))
def test_random_spaces_have_the_candidates_that_loops_find(seed: int) -> None:
    twin = drawn_twin(random.Random(seed))
    space = twin.space
    rows = twin.candidates()
    assert space.size == len(rows)
    everything = space.candidates_of(space.layout.at(0, space.size), space.size)
    assert len(everything) == len(set(everything))
    assert set(everything) == as_set(rows)
    assert set(space) == as_set(twin.kept())


def test_the_candidates_of_a_space_are_those_that_check_one_by_one() -> None:
    space = TWIN.space
    for budgets in ((), ("part",), ("other",), ("bound",), ("memory",)):
        name = budgets[0] if budgets else None
        wanted = as_set(TWIN.kept(*budgets)) if budgets else as_set([])
        assert set(space.candidates(name)) == wanted, name
        if budgets:
            assert wanted, name


REFUSED = [
    ("param a = 1 in 1..other", "`a` cannot vary: its domain depends on `other`, which varies too"),
    ("let top = other * 2\n param a = 1 in 1..top", "`a` cannot vary: its domain depends on `other`, which varies too"),
    (
        "fn f(x) = x + other\n param a = 1 in {1, f(1)}",
        "`a` cannot vary: its domain depends on `other`, which varies too",
    ),
    (
        "param a = other in 1..8 when other > 1",
        "`a` cannot vary: its value while its `when` does not hold depends on `other`, which varies too",
    ),
    (f"param a = 1 in 1..{2**62}", "a domain can contain ints below 4,611,686,018,427,387,903 in magnitude; found"),
    (
        "param lr = 0.5 in 0..1\n param a = 1 in 1..2 when lr > 0.5",
        "the `when` of `a` depends on `lr`, a range of floats without a step",
    ),
    (
        "param b = 1 in 1..9999\n param a = 1 in 1..2 when b > other",
        "the `when` of `a` depends on more than 10,000 combinations of values",
    ),
]


@pytest.mark.parametrize(("declared", "message"), REFUSED, ids=[declared for declared, _ in REFUSED])
def test_dimensions_have_values_of_their_own(declared: str, message: str) -> None:
    space = space_from(f"network n {{ input image: 3x8x8\n param other = 2 in 1..4\n {declared}\n conv(other, 1x1) }}")
    with pytest.raises(rx.ArchError) as caught:
        space.sample(1)
    assert message in caught.value.diagnostics[0].message
    assert space.cost({"other": [1, 2]}).valid.all()


def test_dimensions_are_json() -> None:
    space = TWIN.space
    written = json.loads(json.dumps(space.to_json()))
    assert tuple(map(Dimension.from_json, written["dimensions"])) == space.dimensions
    assert written["size"] == space.size
    assert written["budgets"] == ["", "part", "other", "memory", "bound", "never"]


# --- candidates ---


def test_a_candidate_is_a_value() -> None:
    one, same = Candidate({"width": 6, "act": "relu"}), Candidate({"width": 6, "act": "relu"})
    assert one == same
    assert hash(one) == hash(same)
    assert one != Candidate({"width": 7, "act": "relu"})
    assert one != {"width": 6, "act": "relu"}
    assert dict(one) == {"width": 6, "act": "relu"}
    assert one["width"] == 6
    with pytest.raises(KeyError):
        one["depth"]
    with pytest.raises(AttributeError, match="a candidate is immutable"):
        one._values = ()  # type: ignore[misc]
    with pytest.raises(AttributeError, match="a candidate is immutable"):
        del one._values


def test_a_candidate_prints_as_the_flags_that_reproduce_it() -> None:
    space = TWIN.space
    candidate = space.candidate({"act": "bn(eps=0.001)", "depths": [2, 5]})
    assert str(candidate) == (
        "--set se=true --set squeeze=4 --set deep=2 --set 'depths=[2, 5]' --set 'act=bn(eps=0.001)' --set width=8"
    )
    assert repr(space.candidate({"se": False})) == "Candidate(se=false, depths=[1, 2], act=relu, width=8)"


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_flags_bind_to_the_same_network(seed: int) -> None:
    import shlex

    space = TWIN.space
    (candidate,) = space.sample(1, seed, "part")
    words = shlex.split(str(candidate))
    settings_ = dict(word.split("=", 1) for word in words[1::2])
    assert rx.loads(TWIN.text, **settings_).fingerprint == space.bind(candidate).fingerprint


def test_json_of_a_candidate() -> None:
    space = TWIN.space
    for candidate in space.sample(50, budget="bound"):
        assert space.candidate(json.loads(json.dumps(candidate.to_json()))) == candidate


def test_strings_and_shapes_come_back_as_what_they_are() -> None:
    text = """network n { input image: 3x8x8
    param k = 3x3 in {1x1, 3x3}
    param mode = "relu" in {"relu", "a \\"b\\\\"}
    param acts = [relu, silu] in [{relu, silu}, {silu, bn(eps=1e-3)}]
    param names = ["a", "b"] in [{"a", "relu"}, {"b"}]
    param mixed = [1, 0.5, true] in [1..2, 0.5..1 step 0.5, {true, false}]
    conv(4 if mode == "relu" else 5, k); for act in acts { act }; conv(3 if names[0] == "relu" else 4, 1x1)
    if mixed[2] and mixed[1] > 0.5 { conv(mixed[0], 1x1) }
    }"""
    space = space_from(text)
    assert space.size == 2 * 2 * 4 * 2 * 8
    found = list(space)
    assert len(found) == space.size
    assert {candidate["mode"] for candidate in found} == {"relu", 'a "b\\'}
    assert space.screen().method == "closed form"
    costs = space.sample(space.size)
    for place in range(0, len(costs), 5):
        assert space.bind(costs[place]).cost().params == costs.costs["params"][place]
        assert space.candidate(json.loads(json.dumps(costs[place].to_json()))) == costs[place]


FOREIGN = [
    ({"widht": 8}, "E201", "the space has no dimension `widht`"),
    ({"width": 5}, "E205", "`width` (=5) is not in its domain 4..16 step 4"),
    ({"width": 8.0}, "E205", "`width` (=8.0) is not in its domain 4..16 step 4"),
    ({"depths": [1, 2, 3]}, "E205", "`depths` is a list of 2; found [1, 2, 3]"),
    ({"depths": [1, 3]}, "E205", "`depths[1]` (=3) is not in its domain {2, 5}"),
    (
        {"se": False, "squeeze": 4},
        "E205",
        "the candidate has a value for `squeeze`, which is inactive, since `se` does not hold",
    ),
    ({"act": "gelu"}, "E205", "`act` (=gelu) is not in its domain"),
]


@pytest.mark.parametrize(("values", "code", "message"), FOREIGN, ids=[str(values) for values, *_ in FOREIGN])
def test_what_is_not_of_the_space_is_refused(values: dict[str, object], code: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        TWIN.space.candidate(values)
    assert caught.value.diagnostics[0].code == code
    assert message in caught.value.diagnostics[0].message


def test_a_candidate_of_another_space_is_refused() -> None:
    space = TWIN.space
    other = space_from("network n { input image: 3x8x8\n param width = 4 in 1..8\n conv(width, 1x1) }").sample(1)[0]
    for ask in (space.bind, space.neighbours, space.mutate, space.encode):
        with pytest.raises(rx.ArchError, match=r"needs a value for|not in its domain"):
            ask(other)
    with pytest.raises(rx.ArchError, match="needs a value for `squeeze`, since `se` holds"):
        space.bind(Candidate({"se": True, "depths": (1, 2), "act": "relu", "width": 8}))
    assert other not in space
    assert space.candidate() in space
