"""Columns of values: those that a parameter can have are split into axes, and a wrong one is one clear error."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from space_oracle import METHODS, bound, check, compare, space_from

import resnext_dsl as rx
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.spaces.space import Space

DERIVED = """
network base {
    input image: 3x8x8
    param w = 8
    param d = 1
    param k = w // 4 if w > 4 else 1
    require w > 4
    conv(w, 3x3)
    stage a repeat d { conv(w, k) }
    budget { params <= 1 // d }
}
"""


def test_a_derived_network_has_the_parameters_of_its_base(tmp_path: Any) -> None:
    (tmp_path / "base.arch").write_text(DERIVED)
    (tmp_path / "own.arch").write_text(
        'from "base.arch" import base\nnetwork own = base(w=12, k=3 if 1 > 0 else 2.5) { require w < 40; budget { flops <= 1G // (w - 6) } }\n'
    )
    columns = {"w": [4, 6, 8, 16, 40] * 3, "d": [0] * 5 + [1] * 5 + [3] * 5}
    found = check(rx.space(tmp_path / "own.arch"), columns)
    assert found.valid.tolist() == [False, False, True, True, False] * 3
    found = check(rx.space(tmp_path / "base.arch"), columns)
    assert not found.valid[:5].any()


def test_lists_of_operators_are_given_as_text() -> None:
    space = space_from("network n { input x: 3x8x8\n param acts = [relu, silu]\n for a in acts { conv(4, 3x3); a } }")
    check(space, {"acts": np.array(["[relu]", "[bn, silu]", "[]", "[bn(eps=1e-3), gelu, relu]"])})


def test_operators_and_templates_of_a_domain_are_read_in_the_network() -> None:
    space = space_from(
        "network n { input x: 3x8x8\n param w = 4; param act = relu in {relu, silu, bn(eps=1e-3), unit, unit(k=5)}\n"
        "template unit(k=3) { conv(w, k) }\n conv(w, 3x3); act; conv(2, 1x1) }"
    )
    domain = space.network.parameters["act"].domain
    assert domain is not None
    found = check(space, {"act": list(domain.values) * 2, "w": [4] * 5 + [8] * 5})
    assert found.valid.all()
    assert len(set(found.params.tolist())) == 8


def test_what_does_not_vary_is_fixed_or_a_single_value() -> None:
    text = "network n { input x: 3x8x8\n param w = 4; param rows = [[1, 4], [2, 8]]; param ds = [1, 2]; param f = 1.0\n"
    text += (
        "for n, c in rows { repeat n { conv(c * w, 3x3) } }; for d in ds { conv(d, 1x1) }; conv(round(w * f), 1x1) }"
    )
    space = space_from(text, rows=[[2, 3], [1, 5], [0, 7]])
    wanted = [bound(space, {"w": w, "ds": [3, 1], "f": 2}) for w in (1, 2, 3)]
    given = {"w": np.array([1, 2, 3], dtype=np.int8), "ds": [3, 1], "f": np.float32(2)}
    compare(space.cost(given), wanted, [{}, {}, {}])
    rows = [[[1, 2], [3, 4]], [[0, 1], [1, 1]]]
    check(space, {"rows": rows, "w": [1, 2]})
    check(space, {"rows": np.array(rows)}, METHODS[:1])
    assert space.cost({"rows": rows[0]}).params.tolist() == [bound(space, {"rows": rows[0]})[0]]
    assert space.cost({}).params.tolist() == [space.network.cost().params]
    assert space.cost({"w": [5, 5]}).params.tolist() == [bound(space, {"w": 5})[0]] * 2


@pytest.mark.parametrize(
    "empty", [[], np.array([]), np.array([], dtype=np.int64), np.empty((0, 3), dtype=np.int64)], ids=repr
)
def test_no_candidates_cost_nothing(empty: Any) -> None:
    name = "depths" if isinstance(empty, np.ndarray) and empty.ndim == 2 else "w"
    found = small().cost({name: empty})
    assert all(getattr(found, measure).shape == (0,) for measure in (*COST_MEASURES, "valid", "overflowed"))
    assert found.params.dtype == np.int64


# --- columns that are wrong ---


def small() -> Space:
    return space_from(
        "network n { input x: 3x8x8\n param w = 4; param f = 1.0; param b = true; param depths = [1, 2]; param act = relu\n"
        'param mode = "same"; param k = 3x3; conv(w, k, padding=mode, bias=b); act; repeat depths[0] { conv(round(w * f), 3x3) } }'
    )


WRONG = [
    ({"wdith": [1, 2]}, "E201", "network `n` has no parameter `wdith`"),
    ({"width": 3}, "E201", "network `n` has no parameter `width`"),
    ({"w": [1, 1.5]}, "E204", "`w` must be an int; found 1.5"),
    ({"w": np.array([1.0, 2.0])}, "E204", "`w` must be an int; found 1.0"),
    ({"w": 1.5}, "E204", "`w` must be an int; found 1.5"),
    ({"w": np.float64(2)}, "E204", "`w` must be an int; found 2.0"),
    ({"w": np.array(2.0)}, "E204", "`w` must be an int; found 2.0"),
    ({"w": ["8", "16"]}, "E204", '`w` must be an int; found "8"'),
    ({"w": np.array(["8", "16"])}, "E204", '`w` must be an int; found "8"'),
    ({"w": [True, 2]}, "E204", "`w` must be an int; found true"),
    ({"w": [np.True_, 2]}, "E204", "`w` must be an int; found true"),
    ({"w": np.array([True, False])}, "E204", "`w` must be an int; found true"),
    ({"w": True, "f": [1, 2]}, "E204", "`w` must be an int; found true"),
    ({"w": [1, None]}, "E204", "`w` must be an int; found None"),
    ({"w": None}, "E204", "`w` must be an int; found None"),
    ({"w": {1, 2}}, "E204", "`w` must be an int; found {1, 2}"),
    ({"w": np.array([[1, 2], [3, 4]])}, "E204", "`w` must be an int; found [1, 2]"),
    ({"w": [[1, 2], [3, 4]]}, "E204", "`w` must be an int; found [1, 2]"),
    ({"w": np.array([1, "a"], dtype=object)}, "E204", '`w` must be an int; found "a"'),
    (
        {"w": np.array(["2020-01-01"], dtype="datetime64[D]")},
        "E204",
        "`w` must be an int; found datetime.date(2020, 1, 1)",
    ),
    ({"w": np.array([1 + 2j])}, "E204", "`w` must be an int; found (1+2j)"),
    ({"w": [1, 2**63]}, "E205", "`w` must be at most 9223372036854775807 in magnitude here; found 9223372036854775808"),
    ({"w": [1, 2**70]}, "E205", f"`w` must be at most 9223372036854775807 in magnitude here; found {2**70}"),
    ({"w": [1, -(2**63)]}, "E205", f"`w` must be at most 9223372036854775807 in magnitude here; found -{2**63}"),
    (
        {"w": np.array([1, 2**63], dtype=np.uint64)},
        "E205",
        f"`w` must be at most 9223372036854775807 in magnitude here; found {2**63}",
    ),
    (
        {"w": np.array([1, -(2**63)])},
        "E205",
        f"`w` must be at most 9223372036854775807 in magnitude here; found -{2**63}",
    ),
    ({"f": ["a", 1.0]}, "E204", '`f` must be a float; found "a"'),
    ({"f": [1.0, True]}, "E204", "`f` must be a float; found true"),
    ({"f": np.array([True])}, "E204", "`f` must be a float; found true"),
    ({"f": [1.0, 2**70]}, "E205", f"`f` must be at most 9223372036854775807 in magnitude here; found {2**70}"),
    ({"b": [1, 0]}, "E204", "`b` must be a bool; found 1"),
    ({"b": np.array([1, 0])}, "E204", "`b` must be a bool; found 1"),
    ({"depths": np.array([3, 4])}, "E204", "`depths` must be a list; found 3"),
    ({"depths": [[1, 2], 3]}, "E204", "`depths` must be a list; found 3"),
    ({"depths": 3}, "E204", "`depths` must be a list; found 3"),
    (
        {"depths": [[1, 2], [3, 2**64]]},
        "E205",
        f"`depths` must be at most 9223372036854775807 in magnitude here; found {2**64}",
    ),
    (
        {"depths": np.array([[1, 2**63]], dtype=np.uint64)},
        "E205",
        f"`depths` must be at most 9223372036854775807 in magnitude here; found {2**63}",
    ),
    ({"k": [(3, 3), "(1"]}, "E002", "cannot read the value: `(` is not closed"),
    ({"k": [(3, 3), 3]}, "E204", "`k` must be a shape; found 3"),
    ({"act": ["relu", "rleu"]}, "E101", "unknown name `rleu`"),
    ({"act": ["relu", "3"]}, "E204", "`act` must be an operator; found 3"),
    ({"act": ["relu", 3]}, "E204", "`act` must be an operator; found 3"),
    ({"act": "rleu", "w": [1, 2]}, "E101", "unknown name `rleu`"),
    ({"mode": ["same", 3]}, "E204", "`mode` must be a string; found 3"),
]


@pytest.mark.parametrize(("columns", "code", "message"), WRONG, ids=[repr(columns)[:60] for columns, *_ in WRONG])
def test_what_a_parameter_cannot_have_is_one_error(columns: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        small().cost(columns)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == (code, message)


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(rx.ArchError, match="did you mean `depths`"):
        small().cost({"depth": [1]})
    with pytest.raises(rx.ArchError, match="parameters: w, f, b, depths, act, mode, k"):
        small().cost({"resolution": [1]})


def test_columns_have_one_length() -> None:
    with pytest.raises(ValueError, match=re.escape("columns of different lengths: w: 2, f: 3")):
        small().cost({"w": [1, 2], "f": np.array([1.0, 2.0, 3.0]), "b": True})
    with pytest.raises(ValueError, match="different lengths"):
        small().cost({"w": [1, 2], "depths": []} | {"f": []})


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "object"])
def test_narrow_numbers_do_not_wrap(dtype: str) -> None:
    space = small()
    numbers = [1, 100, 127] if dtype == "int8" else [1, 200, 255]
    if not dtype.startswith("u"):
        numbers.append(-100)
    check(space, {"w": np.array(numbers, dtype=dtype)}, METHODS[:2])
    low = 0 if dtype.startswith("u") else -100
    check(space, {"depths": np.array([[low, 100], [2, low], [3, 120], [1, 1]], dtype=dtype)}, METHODS[:2], exact=False)
    check(space, {"f": np.array(numbers, dtype=dtype)}, METHODS[:2])


def test_other_sequences_are_columns() -> None:
    torch = pytest.importorskip("torch")
    space = small()
    wanted = [bound(space, {"w": w}) for w in (1, 2, 3)]
    for column in (
        range(1, 4),
        (1, 2, 3),
        torch.tensor([1, 2, 3]),
        np.array([1, 2, 3])[::-1][::-1],
        [np.int8(1), 2, np.uint64(3)],
    ):
        compare(space.cost({"w": column}), wanted, [{}, {}, {}])
