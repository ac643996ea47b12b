"""A spec is resolved once and gives the same network for the same values, and it imports only what a question needs."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from typing import Any

import pytest

import resnext_dsl as rx
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.graph.invariants import InvariantError
from resnext_dsl.networks import spec as specs
from resnext_dsl.networks.loading import source_of, spec_of
from resnext_dsl.networks.spec import Spec
from resnext_dsl.semantics.spec_files import SpecFile, text_source
from resnext_dsl.spaces.space import Space

TEXT = """
network small {
    input image: 3x16x16
    param width = 16 in {4, 8, 12, 16}
    param depth = 2 in 1..3
    param wide = false in {true, false}
    template unit(c) { residual { conv(c, 3x3); bn; relu } }
    stem { conv(width, 3x3) }
    stage a repeat depth { unit(width * 2 if wide else width) }
    head { avgpool(global); flatten; linear(10) }
    require depth < 3, "two units at most"
    budget { params <= 1M }
}
"""
MET = TEXT
EXCEEDED = TEXT.replace("1M", "1K")


def spec_from(text: str) -> Spec:
    return spec_of(text_source(text, "<spec>", DEFAULTS), None)


SELF = """
network small {
    input image: 3x8x8
    param k = 3 in 1..8
    param depths = [1, 2]
    param flag = true
    param kernel = 3x3
    param kind = "a"
    param act = relu
    param next = k
    stem { conv(k, kernel) }
    if flag and kind == "a" { act }
    repeat depths[0] { conv(next, 1x1) }
}
"""


@pytest.mark.parametrize("name", ["k", "depths", "flag", "kernel", "act", "next"])
@pytest.mark.parametrize("text", ["{0}", "[{0}]", "{0} + 1", "1 if {0} else 2", "max({0}, 1)", "{0}[0]", "conv({0})"])
def test_a_value_that_refers_to_its_own_parameter_is_an_unknown_name(name: str, text: str) -> None:
    spec = spec_from(SELF)
    value = text.format(name)
    with pytest.raises(rx.ArchError) as caught:
        spec.network({name: value})
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E101"
    assert diagnostic.message == f"`{name}` has no value here, because its own value is computed from it"
    assert diagnostic.span is not None
    assert (diagnostic.span.source.name, diagnostic.span.text) == (f"<override {name}>", name)


def test_a_value_can_refer_to_the_parameters_above() -> None:
    network = spec_from(SELF).network({"next": "k + 1", "k": 4})
    assert [node.shape[0] for node in network.ir.nodes] == [3, 4, 4, 5]


@pytest.mark.parametrize(
    ("entry", "column"),
    [
        ("param k = k", 11),
        ("param k: list = [k]", 18),
        ("param k = 3 in {k}", 17),
        ("param k = 3 in 1..k", 19),
        ("param k = 2 * f()\n fn f() = k", 11),
    ],
)
def test_a_parameter_that_refers_to_itself_is_an_unknown_name(entry: str, column: int) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(f"let k = 5\nnetwork n {{ input image: 3x8x8\n{entry}\nconv(k, 3x3) }}")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E101"
    assert diagnostic.message == "`k` has no value here, because its own value is computed from it"
    assert diagnostic.span is not None
    assert diagnostic.span.column == column


@pytest.mark.parametrize("value", ["", " ", "(", ")", "[", "1\n2", '"', "//", "image", "small", "conv", "range", "x(1"])
@pytest.mark.parametrize("name", ["k", "depths", "flag", "kernel", "kind", "act"])
def test_no_value_raises_another_exception_than_an_arch_error(name: str, value: str) -> None:
    spec = spec_from(SELF)
    for override in (value, [value], object(), None, 1j, float("nan"), {}, b"x", [None]):
        with contextlib.suppress(rx.ArchError):
            spec.network({name: override})


def test_a_mistake_of_the_package_is_an_arch_error_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise InvariantError("node `a` has no name\nand more")

    spec = spec_from(TEXT)
    monkeypatch.setattr(specs, "check_invariants", broken)
    with pytest.raises(rx.ArchError) as caught:
        spec.network()
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E801", "internal error: InvariantError: node `a` has no name")
    assert re.fullmatch(
        r"please report it with the spec, the command and these calls: .*spec.py:\d+ _network, test_spec.py:\d+ broken",
        diagnostic.hint,
    )
    assert isinstance(caught.value.__cause__, InvariantError)


def placed(network: rx.Network) -> list[Any]:
    """The nodes of a network with the offsets of their spans, which are of its own reading of the text."""
    return [node._replace(span=node.span.start, trail=()) for node in network.ir.nodes]


@pytest.mark.parametrize("name", ["resnext50_32x4d", "googlenet"])
def test_equal_values_give_equal_graphs(name: str) -> None:
    spec = spec_of(source_of(name, DEFAULTS), None)
    first = spec.network({"resolution": 64})
    other = spec.network({"classes": 10})
    again = [spec.network({"resolution": 64}) for _ in range(2)]
    assert all(network.ir == first.ir for network in again)
    assert all(network.fingerprint == first.fingerprint for network in again)
    assert all(network.init == first.init for network in again)
    assert spec.network({"classes": 10}).ir == other.ir
    assert other.ir != first.ir


def test_a_network_does_not_depend_on_the_networks_before_it() -> None:
    spec = spec_from(TEXT)
    values = [{"width": 4}, {"depth": 1, "wide": True}, {}, {"width": 12, "depth": 1}, {"width": 4}]
    assert [placed(spec.network(row)) for row in values] == [placed(rx.loads(TEXT, **row)) for row in values]


def test_an_error_leaves_the_spec_as_it_was() -> None:
    spec = spec_from(TEXT)
    before = spec.network()
    with pytest.raises(rx.RequirementError, match="two units at most"):
        spec.network({"depth": 3})
    with pytest.raises(rx.ArchError, match="`width` must be an int"):
        spec.network({"width": 1.5})
    assert spec.network().ir == before.ir


def test_names_are_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[SpecFile] = []
    real = specs.resolve

    def counted(spec_file: SpecFile) -> Any:
        resolved.append(spec_file)
        return real(spec_file)

    monkeypatch.setattr(specs, "resolve", counted)
    spec = spec_from(TEXT)
    for width in (4, 8, 12):
        spec.network({"width": width})
    assert resolved == [spec.spec_file]


def test_a_space_of_a_spec_has_its_parameters_without_the_fixed_ones() -> None:
    spec = spec_from(TEXT)
    space = Space(spec, {"width": 8})
    assert space.spec is spec
    assert space.fixed == {"width": 8}
    assert space.network.parameters["width"].value == 8
    assert [dimension.name for dimension in space.dimensions] == ["depth", "wide"]
    assert [dict(candidate) for candidate in space] == [
        {"depth": depth, "wide": wide} for depth in (1, 2) for wide in (True, False)
    ]
    assert placed(space.bind({"depth": 1})) == placed(rx.loads(TEXT, width=8, depth=1))
    assert [dimension.name for dimension in Space(spec, {}).dimensions] == ["width", "depth", "wide"]


IMPORTED = """
import sys
import resnext_dsl as rx
try:
    rx.loads({text!r}).check()
    print("met")
except rx.BudgetError as problem:
    print(problem.diagnostics[0].hint)
packages = ("numpy", "torch", "resnext_dsl.columns.price", "resnext_dsl.spaces")
print(*[name for name in packages if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("text", "answer", "imported"),
    [
        (MET, "met", ""),
        (EXCEEDED, "`--set width=4` would meet it, with 462", "numpy resnext_dsl.columns.price"),
    ],
    ids=["met", "exceeded"],
)
def test_only_an_exceeded_budget_imports_numpy_and_none_imports_a_space(text: str, answer: str, imported: str) -> None:
    program = IMPORTED.format(text=text)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert first.startswith(answer)
    assert second == imported


def test_the_command_checks_a_budget_without_numpy() -> None:
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom resnext_dsl.cli.app import app\n"
        "done = CliRunner().invoke(app, ['check', 'resnext50_32x4d'])\n"
        "print(done.exit_code, done.stdout.count('budget: '), done.stdout.count(' ok'))\n"
        "print(*[name for name in ('numpy', 'torch', 'pydantic', 'networkx') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["0 3 3", ""]
