"""What candidates cost together is what each of them costs by itself, and a bad column is one clear error."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_examples import ALL, BLOCK, Example
from space_oracle import METHODS, bound, candidates, check, compare, space_from
from space_random import columns_near, drawn_space

import resnext_dsl as rx
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.costs.fvcore_count import measure
from resnext_dsl.foundation.options import Options
from resnext_dsl.semantics.spec_files import SHIPPED, shipped_names
from resnext_dsl.spaces.space import Space

EXAMPLES = list(ALL.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=ALL)
def test_every_construct_costs_what_each_network_does(example: Example) -> None:
    found = check(space_from(example.text), example.columns, exact=example.closed)
    if not example.closed:
        assert found.method == METHODS[2]
        assert found.reason


@pytest.mark.parametrize(
    "example", [pytest.param(ALL[name], id=name, marks=pytest.mark.slow if i % 2 else ()) for i, name in enumerate(ALL)]
)
def test_many_candidates_cost_what_a_few_do(example: Example) -> None:
    """Of thousands of candidates each is looked up: in any order, and however often."""
    space, rows = space_from(example.text), candidates(example.columns)
    wanted = [bound(space, row) for row in rows]
    picked = np.random.default_rng(0).integers(len(rows), size=3000)
    columns = {name: [values[place] for place in picked] for name, values in example.columns.items()}
    many = space.cost(columns)
    _, first = np.unique(picked, return_index=True)
    compare(
        many._replace(**{name: getattr(many, name)[first] for name in (*COST_MEASURES, "valid", "overflowed")}),
        [wanted[picked[place]] for place in first],
        [rows[picked[place]] for place in first],
    )
    for name in COST_MEASURES:
        figures = getattr(many, name)
        assert (figures == figures[first][np.searchsorted(picked[first], picked)]).all()


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


# --- bounds, overflow, warnings ---


def test_steps_are_those_of_a_candidate() -> None:
    text = BLOCK + "network n { input x: 3x8x8\n param n = 2; param w = 4\n repeat n { block(w); block(w + 1) } }"
    for most in (40, 100, 150, 200, 400):
        try:
            space = space_from(text, Options(max_steps=most))
        except rx.ArchError:
            continue
        check(space, {"n": [0, 1, 2, 4, 8, 16], "w": [4] * 6}, exact=False)


def test_operators_are_those_of_a_candidate() -> None:
    text = "network n { input x: 3x8x8\n param n = 2; param w = 4\n conv(w, 1x1); repeat n { relu } }"
    check(space_from(text, Options(max_nodes=10)), {"n": [0, 1, 9, 10, 11, 12], "w": [4, 5] * 3}, exact=False)


def test_calls_nest_as_deep_as_in_one_network() -> None:
    templates = "".join(f"template t{i}(w) {{ residual {{ repeat 1 {{ t{i + 1}(w) }} }} }}\n" for i in range(18))
    text = (
        templates
        + "template t18(w) { conv(w, 1x1) }\nnetwork n { input x: 3x8x8\n param w = 3; param n = 2; repeat n { t0(w) } }"
    )
    check(space_from(text), {"w": [3, 4, 5], "n": [1, 2, 3]}, METHODS[:2], exact=False)


def test_functions_nest_as_deep_as_in_one_network() -> None:
    functions = "".join(f"fn f{i}(w) = (1 + (f{i + 1}(w) if w > 0 else 2))\n" for i in range(60))
    text = functions + "fn f60(w) = w\nnetwork n { input x: 3x8x8\n param w = 3; conv(f0(w), 1x1) }"
    check(space_from(text), {"w": [0, 3, 4, 5]}, METHODS[:2], exact=False)


def test_too_many_parameters_in_one_number_are_counted_candidate_by_candidate() -> None:
    names = [f"p{i}" for i in range(12)]
    declared = "\n".join(f"param {name} = 1" for name in names)
    space = space_from(
        f"network n {{ input x: 3x8x8\n{declared}\nconv({' + '.join(names)}, 3x3); if p0 > 2 {{ conv(p1, 1x1) }} }}"
    )
    numbers = np.random.default_rng(1).integers(0, 5, size=(12, 300))
    found = check(space, dict(zip(names, numbers, strict=True)), METHODS[:1], exact=False)
    assert found.method == METHODS[1]
    assert "combinations of parameters meet" in found.reason


def test_candidates_beyond_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnext_dsl.columns.price.CHUNK", 7)
    example = ALL["networks: dense"]
    check(space_from(example.text), example.columns, METHODS[1:2])


def test_overflow_leaves_the_others_alone() -> None:
    space = space_from("network n { input x: 3x8x8\n param w = 4; conv(w, 3x3); conv(w, 3x3) }")
    found = check(space, {"w": [4, 2**31 - 1, 2**26, 2**29, 0]})
    assert found.overflowed.tolist() == [False, True, False, True, False]
    assert found.valid.tolist() == [True, False, True, False, False]
    # The largest width whose FLOPs still have 63 bits: 64 * 9 * (3 w + w * w).
    largest = int((2**63 / 576) ** 0.5) - 2
    found = check(space, {"w": [largest - 100, largest + 100, 4]}, METHODS[:2])
    assert found.valid.tolist() == [True, False, True]


def test_check_imports_no_numpy() -> None:
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom resnext_dsl.cli.app import app\n"
        "assert CliRunner().invoke(app, ['check', 'resnet18', 'vgg11']).exit_code == 0\n"
        "import resnext_dsl as rx\nrx.load('resnet18').cost()\n"
        "heavy = ('numpy', 'torch', 'pydantic', 'networkx')\n"
        "assert not [name for name in heavy if name in sys.modules]\n"
        "import resnext_dsl.spaces\nassert callable(rx.space) and 'numpy' in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_only_space_is_looked_up_late() -> None:
    assert rx.space is rx.space
    with pytest.raises(AttributeError, match="has no attribute 'spice'"):
        rx.spice  # noqa: B018


# --- random spaces ---


@settings(max_examples=25)
@given(st.integers(0, 10**9))
def test_random_spaces(seed: int) -> None:
    hold_random(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000, 50))
def test_many_random_spaces(first: int) -> None:
    for seed in range(first, first + 50):
        hold_random(seed)


def hold_random(seed: int) -> None:
    source = random.Random(seed)
    space = drawn_space(source, 6)
    columns = columns_near(space, source, 8, 0.3)
    if columns:
        check(space, columns, METHODS[:2], exact=False)


LARGE = {"resnext50_32x4d_a", "resnext50_32x4d_b", "inception_resnet_v2"}
"""A network of each of their candidates takes most of a second."""


def hold_shipped(name: str, seed: int, count: int) -> None:
    source = random.Random(seed)
    space = rx.space(name)
    columns = columns_near(space, source, count, source.choice((0.1, 0.3, 0.6)))
    if columns:
        found = check(space, columns, METHODS[:1], exact=False)
        assert found.method != METHODS[2], found.reason


@pytest.mark.parametrize("name", sorted(set(shipped_names()) - LARGE))
def test_shipped_networks(name: str) -> None:
    hold_shipped(name, 0, 6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("name", shipped_names())
def test_shipped_networks_widely(name: str, seed: int) -> None:
    hold_shipped(name, seed, 8 if name in LARGE else 40)


def resnext_candidates(count: int, seed: int) -> dict[str, list[int]]:
    source = random.Random(seed)
    return {
        "cardinality": [source.choice([1, 2, 4, 8, 16, 32]) for _ in range(count)],
        "width": [source.randint(1, 8) for _ in range(count)],
        "depth1": [source.randint(0, 3) for _ in range(count)],
        "depth2": [source.randint(1, 4) for _ in range(count)],
    }


FOUR = """
network n {
    input image: 3x32x32
    param cardinality = 4; param width = 4; param depth1 = 1; param depth2 = 1
    template block(channels, d, stride = 1) {
        residual {
            let wide = cardinality * d
            conv(wide, 1x1); bn; relu; conv(wide, 3x3, stride=stride, groups=cardinality); bn; relu
            conv(channels, 1x1); bn
        }
        relu
    }
    stem { conv(16, 3x3); bn; relu }
    stage a repeat depth1 { block(32, width) }
    stage b repeat depth2 { block(64, width * 2, stride=first(2, 1)) }
    head { avgpool(global); flatten; linear(10) }
}
"""


def hold_fvcore(count: int, seed: int) -> None:
    """Every candidate's compiled module counted by fvcore itself."""
    space = space_from(FOUR)
    columns = resnext_candidates(count, seed)
    found = space.cost(columns)
    assert found.method == METHODS[0]
    for place, row in enumerate(candidates(columns)):
        counted = measure(space.bind(row).compile(form="written"), (3, 32, 32)).cost
        assert found.valid[place]
        assert tuple(int(getattr(found, name)[place]) for name in COST_MEASURES) == tuple(
            getattr(counted, name) for name in COST_MEASURES
        )


def test_candidates_cost_what_fvcore_counts() -> None:
    hold_fvcore(12, 0)


@pytest.mark.slow
def test_many_candidates_cost_what_fvcore_counts() -> None:
    hold_fvcore(200, 1)


def test_what_values_share_of_a_text_changes_no_network(tmp_path: Path) -> None:
    text = (SHIPPED / "resnext50_32x4d.arch").read_text().replace("bottleneck", "bottleneck, aggregated", 1)
    spec = tmp_path / "blocks.arch"
    spec.write_text(text)
    space = rx.space(spec, resolution=64)
    for width, block in ((4, "bottleneck"), (8, "aggregated"), (4, "bottleneck"), (5, "aggregated")):
        values = {"width": width, "cardinality": 4, "block": block}
        assert told(space.bind(values)) == told(rx.load(spec, resolution=64, **values))


def told(network: rx.Network) -> list[Any]:
    """The nodes of a network, whose spans are of its own reading, with the places of these."""
    return [node._replace(span=node.span.start, trail=()) for node in network.ir.nodes]
