"""Networks derived of derived ones: values, defaults, requirements and budgets of every level."""

from __future__ import annotations

from pathlib import Path

import pytest

import resnext_dsl as rx

BASE = """network base {
    input image: 3x8x8
    param a = 1
    param b = 2
    param c = a + b
    param wide = 100 in 1..64
    default bn(eps=0.1)
    default conv(bias=true)
    require a < 50, "a is small"
    conv(a, 1x1); conv(b, 1x1); conv(c, 1x1); conv(wide, 1x1); bn
    budget { params <= 1 }
}
"""
MIDDLE = """from "base.arch" import base
network middle = base(a=10, b=20, wide=8) { default bn(eps=0.2); require b > 5, "b is large"; budget { params <= 2 } }
"""


def derived(folder: Path, entry: str) -> rx.Network:
    (folder / "base.arch").write_text(BASE)
    (folder / "middle.arch").write_text(MIDDLE)
    return rx.loads(f'from "middle.arch" import middle\n{entry}\n', root=folder)


def widths(network: rx.Network) -> list[int]:
    return [node.shape[0] for node in network.ir.nodes if node.operator == "conv"]


@pytest.mark.parametrize(
    ("values", "channels"),
    [("", [10, 20, 30, 8]), ("b=30", [10, 30, 40, 8]), ("a=4, c=5", [4, 20, 5, 8]), ("wide=99", [10, 20, 30, 99])],
)
def test_the_outermost_value_holds_and_defaults_follow_it(values: str, channels: list[int], tmp_path: Path) -> None:
    """The default of `wide` is outside its domain; a value that a network gives may be, too."""
    assert widths(derived(tmp_path, f"network top = middle({values})")) == channels


def test_a_default_outside_its_domain_is_an_error_unless_a_value_is_given(tmp_path: Path) -> None:
    (tmp_path / "base.arch").write_text(BASE)
    with pytest.raises(rx.ArchError, match=r"the default of `wide` \(=100\) is not in its domain 1\.\.64"):
        rx.loads('from "base.arch" import base\nnetwork top = base()', root=tmp_path)
    assert widths(rx.loads('from "base.arch" import base\nnetwork top = base(wide=80)', root=tmp_path))[-1] == 80


@pytest.mark.parametrize(
    ("entries", "eps"), [("", 0.2), (" { default bn(eps=0.3) }", 0.3), (" { default bn(momentum=0.5) }", 0.2)]
)
def test_the_outermost_default_of_an_operator_holds(entries: str, eps: float, tmp_path: Path) -> None:
    network = derived(tmp_path, f"network top = middle(){entries}")
    bias, last = network.ir.nodes[1].attributes, network.ir.nodes[-1].attributes
    assert (dict(bias or ())["bias"], dict(last or ())["eps"]) == (True, eps)


@pytest.mark.parametrize(("values", "why"), [("a=60", "a is small"), ("b=5", "b is large")])
def test_the_requirements_of_every_level_hold(values: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(rx.RequirementError, match=why):
        derived(tmp_path, f"network top = middle({values})")


def test_the_budgets_are_those_of_the_last_level(tmp_path: Path) -> None:
    assert derived(tmp_path, "network top = middle()").limits == ()
    network = derived(tmp_path, "network top = middle() { budget { params <= 3 } }")
    assert [limit.bound for limit in network.limits] == [3]
