"""Solving: against the loop over single networks, against the paper, and every wrong question."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import pytest
from space_oracle import space_from

import resnext_dsl as rx
from resnext_dsl.semantics.domain import Domain
from resnext_dsl.spaces.solver import Answer, MatchTarget, UpperBound, element_of, nothing, solve
from resnext_dsl.spaces.space import Space, space

PAPER = Path(__file__).parent.parent / "data" / "resnext_paper.csv"
SMALL = """
network small {
    input image: 3x16x16
    param width = 8 in {4, 8, 12, 16}
    param depths = [1, 2]
    param ratio = 0.5
    param groups = 1 in 1..4
    require width != 12 or groups != 2, "no such machine"
    stage a repeat depths[0] { conv(width * 2, 3x3, groups=groups); relu }
    stage b repeat depths[1] { conv(width * 4, 3x3, stride=first(2, 1)); relu }
    head { avgpool(global); flatten; linear(round(10 * ratio)) }
}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Space:
    path = tmp_path_factory.mktemp("solve") / "small.arch"
    path.write_text(SMALL)
    return space(path)


def every(space: Space, domains: dict[str, list[Any]]) -> list[tuple[dict[str, Any], Any]]:
    """Every valid combination with its cost, one by one."""
    found = []
    for values in itertools.product(*domains.values()):
        candidate = dict(zip(domains, values, strict=True))
        try:
            found.append((candidate, space.bind(candidate).cost()))
        except rx.ArchError:
            continue
    return found


def preserved() -> list[tuple[int, int]]:
    rows = csv.DictReader(line for line in PAPER.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return [(int(row["cardinality"]), int(row["width"])) for row in rows if row["kind"] == "preserve"]


@pytest.mark.parametrize(("cardinality", "width"), preserved())
def test_matching_the_parameters_of_resnet50_gives_table_2(cardinality: int, width: int) -> None:
    target = rx.load("resnet50").cost().params
    found = solve(
        space("resnext50_32x4d", cardinality=cardinality),
        {"width": Domain(low=1, high=128)},
        [MatchTarget("params", target)],
    )
    assert found.solutions[0].values == {"width": width}


def test_matching_flops_at_cardinality_8_gives_13() -> None:
    target = rx.load("resnet50").cost().flops
    found = solve(
        space("resnext50_32x4d", cardinality=8), {"width": Domain(low=1, high=64)}, [MatchTarget("flops", target)]
    )
    assert found.solutions[0].values == {"width": 13}


@pytest.mark.parametrize(
    ("fixed", "vary", "value"),
    [
        ({"cardinality": 1}, {"width": Domain(low=4, high=160, step=4)}, 100),
        ({"cardinality": 2}, {"width": Domain(low=4, high=160, step=4)}, 64),
        ({"width": 4}, {"cardinality": Domain((1, 2, 4, 8, 16, 32, 64, 128))}, 64),
    ],
)
def test_twice_the_flops_of_resnet101_gives_the_authors_settings(fixed: Any, vary: Any, value: int) -> None:
    target = 2 * rx.load("resnet101").cost().flops
    found = solve(space("resnext101_32x4d", **fixed), vary, [MatchTarget("flops", target)])
    assert list(found.solutions[0].values.values()) == [value]


def test_one_objective_is_the_order_of_every_combination(small: Space) -> None:
    domains = {"width": [4, 8, 12, 16], "groups": [1, 2, 3, 4]}
    vary = {"width": Domain((4, 8, 12, 16)), "groups": Domain(low=1, high=4)}
    found = solve(small, vary, [MatchTarget("params", 5000)], count=100)
    networks = every(small, domains)
    assert (found.candidates, found.valid, found.met) == (16, len(networks), len(networks))
    ordered = sorted(abs(cost.params - 5000) for _, cost in networks)
    assert [abs(s.params - 5000) for s in found.solutions] == ordered
    for solution in found.solutions:
        cost = small.bind(solution.values).cost()
        assert (solution.params, solution.flops, solution.macs, solution.activations) == cost.figures
        assert solution.differences == (cost.params - 5000,)


TIES = """
network ties {
    input image: 4x16x16
    param stride = 1 in 1..3
    param bias   = true in {true, false}
    param other  = 1
    conv(4, 3x3, stride=stride, bias=bias)
    repeat other { relu }
}
"""


def test_equal_solutions_come_with_fewer_flops_then_fewer_parameters_first() -> None:
    """The strides have equal parameters; a bias has no FLOPs, and the same activations."""
    choices = Domain(low=1, high=3), Domain((True, False))
    ties = space_from(TIES, bias=False)
    same_params = solve(ties, {"stride": choices[0]}, [MatchTarget("params", 100)], count=9).solutions
    assert [(s.values["stride"], s.params, s.flops) for s in same_params] == [
        (3, 144, 144 * 36), (2, 144, 144 * 64), (1, 144, 144 * 256)
    ]  # fmt: skip
    same_flops = solve(space_from(TIES), {"bias": choices[1]}, [MatchTarget("flops", 100)], count=9).solutions
    assert [(s.values["bias"], s.params, s.flops) for s in same_flops] == [(False, 144, 36_864), (True, 148, 36_864)]
    # FLOPs come before parameters: the bias of a larger stride stands before no bias of a smaller one.
    vary = {"stride": choices[0], "bias": choices[1], "other": Domain((1,))}
    both = solve(space_from(TIES), vary, minimize=["other"], count=9)
    assert [(s.values["stride"], s.values["bias"]) for s in both.solutions] == [
        (3, False), (3, True), (2, False), (2, True), (1, False), (1, True)
    ]  # fmt: skip


def test_several_objectives_give_their_pareto_set(small: Space) -> None:
    domains = {"width": [4, 8, 12, 16], "groups": [1, 2, 3, 4]}
    vary = {"width": Domain((4, 8, 12, 16)), "groups": Domain(low=1, high=4)}
    found = solve(small, vary, [MatchTarget("params", 4000)], minimize=["activations"], maximize=["groups"])

    def objectives(values: dict[str, Any], cost: Any) -> tuple[int, ...]:
        return abs(cost.params - 4000), cost.activations, -values["groups"]

    rows = {objectives(values, cost) for values, cost in every(small, domains)}
    best = {row for row in rows if not any(all(a <= b for a, b in zip(o, row, strict=True)) and o != row for o in rows)}
    assert found.front
    assert {objectives(s.values, s) for s in found.solutions} == best


def test_a_bound_is_used_up_and_kept(small: Space) -> None:
    found = solve(small, {"width": Domain((4, 8, 12, 16))}, under=[UpperBound("flops", 1_000_000)])
    kept = [cost.flops for _, cost in every(small, {"width": [4, 8, 12, 16]}) if cost.flops <= 1_000_000]
    assert [solution.flops for solution in found.solutions] == sorted(kept, reverse=True)


def test_an_element_of_a_list_varies(small: Space) -> None:
    found = solve(
        small, {"depths[1]": Domain(low=0, high=6), "depths[0]": Domain((1, 2))}, [MatchTarget("params", 60_000)]
    )
    best = min(
        (abs(small.bind({"depths": [first, second]}).cost().params - 60_000), first, second)
        for first in (1, 2)
        for second in range(7)
    )
    assert found.solutions[0].values == {"depths[1]": best[2], "depths[0]": best[1]}


def test_five_solutions_are_given_if_no_number_is_asked_for(small: Space) -> None:
    vary = {"width": Domain(low=4, high=40, step=4)}
    goals = [MatchTarget("params", 60_000)]
    assert len(solve(small, vary, goals).solutions) == 5
    assert [len(solve(small, vary, goals, count=count).solutions) for count in (1, 6)] == [1, 6]


def test_the_reasons_of_nothing_are_counted(small: Space) -> None:
    answer = Answer((), False, 10, 8, 3, {"flops": 1_234})
    with pytest.raises(rx.RequirementError) as caught:
        raise nothing(small, answer)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message == "none of 10 combinations meets the bounds: 2 are not valid, 5 break a bound"
    assert diagnostic.hint == "the least flops is 1,234"


def test_none_is_a_proof(small: Space) -> None:
    found = solve(small, {"width": Domain((4, 8))}, under=[UpperBound("flops", 10)])
    assert found == Answer((), False, 2, 2, 0, {"flops": small.bind({"width": 4}).cost().flops})
    with pytest.raises(rx.RequirementError, match="none of 2 combinations meets the bounds: 2 break a bound"):
        raise nothing(small, found)
    within = solve(small, {"width": Domain((4, 8))}, [MatchTarget("params", 10**9)], within=0.01)
    assert not within.solutions


@pytest.mark.parametrize(
    ("vary", "goals", "code", "message"),
    [
        ({"widht": Domain((4,))}, {}, "E201", "network `small` has no parameter `widht`"),
        ({"depths[7]": Domain((4,))}, {}, "E205", "index 7 is out of range: `depths` has 2 elements, counted from 0"),
        ({"width[0]": Domain((4,))}, {}, "E204", "`width` is not a list"),
        ({"ratio": Domain(low=0.1, high=0.9)}, {}, "E205", "the domain 0.1..0.9 of `ratio` is infinite"),
        ({"width": Domain(low=1, high=10**12)}, {}, "E405", "the domains have 1,000,000,000,000 combinations"),
        ({"width": Domain((4.5, 8))}, {}, "E204", "`width` must be an int; found 4.5"),
        ({"width": Domain((4,))}, {"match": [MatchTarget("flop", 1)]}, "E208", "unknown measure `flop`"),
        ({"width": Domain((4,))}, {"under": [UpperBound("latency", 1)]}, "E208", "unknown measure `latency`"),
        ({"width": Domain((4,))}, {"minimize": ["groups"]}, "E208", "unknown measure `groups`"),
        ({"width": Domain((4,))}, {"match": []}, "E202", "no objective is given"),
    ],
)
def test_a_wrong_question_is_one_error(small: Space, vary: Any, goals: Any, code: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        solve(small, vary, **(goals or {"match": [MatchTarget("params", 1)]}))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert diagnostic.message.startswith(message)


def test_names_of_elements() -> None:
    assert element_of("depths[2]") == ("depths", 2)
    assert element_of("depths") == ("depths", None)
    assert element_of("depths[x]") == ("depths[x]", None)
    assert element_of("depths[-1]") == ("depths[-1]", None)
