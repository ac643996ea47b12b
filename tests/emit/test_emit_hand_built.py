"""Graphs that no spec has at present: graphs that a rewriting pass may return, and names that emit must refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from emit_oracle import check_equal, network

from resnext_dsl.emit import emit
from resnext_dsl.emit.text.python_names import camel_case, identifier, literal, unused
from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.invariants import check_invariants
from resnext_dsl.graph.ir import Graph, Node, Output, Part, Scope
from resnext_dsl.operators import OPERATORS, validate

HERE = Span(Source("<test>", ""), 0, 0)


class Builder:
    """Builds a graph node by node."""

    def __init__(self, shape: tuple[int, ...] = (8, 6, 6)) -> None:
        self.nodes = [Node("image", "input", None, (), shape, HERE, "")]
        self.scopes = {"": Scope("", "network", "net", (), HERE)}
        self.parts: list[Part] = []

    def scope(self, name: str, kind: Any, label: str = "", **arguments: Any) -> None:
        self.scopes[name] = Scope(name, kind, label or name.rpartition(".")[2], tuple(arguments.items()), HERE)

    def add(self, name: str, operator: str, *inputs: int, **arguments: Any) -> int:
        row = OPERATORS[operator]
        attributes = validate(row, arguments)
        shape = row.shape(attributes, tuple(self.nodes[index].shape for index in inputs))
        self.nodes.append(Node(name, operator, attributes, inputs, shape, HERE, name.rpartition(".")[0]))
        return len(self.nodes) - 1

    def graph(self, *outputs: int, name: str = "net") -> Graph:
        results = tuple(Output("main" if place == 0 else f"out{place}", node) for place, node in enumerate(outputs))
        return check_invariants(Graph(name, tuple(self.nodes), self.scopes, tuple(self.parts), results))


def test_a_scope_whose_nodes_stand_apart_is_run_by_the_one_around_it() -> None:
    builder = Builder()
    builder.scope("a", "part")
    builder.scope("b", "part")
    a1 = builder.add("a.conv1", "conv", 0, channels=8, kernel=3)
    b1 = builder.add("b.conv", "conv", a1, channels=8, kernel=3)
    a2 = builder.add("a.conv2", "conv", b1, channels=8, kernel=1)
    b2 = builder.add("b.bn", "bn", a2)
    builder.parts = [Part("a", "stage", a2), Part("b", "stage", b2)]
    model = check_equal(builder.graph(b2), ordered=False)
    calls = []
    for module in (model.a.conv1, model.b.conv, model.a.conv2, model.b.bn):
        module.register_forward_hook(lambda *_: calls.append(1))
    model(torch.zeros(1, 8, 6, 6))
    assert len(calls) == 4


def test_instances_wired_differently_get_classes_of_their_own() -> None:
    """Equal layers, other order of execution, or another operand first: never one class with the wrong wires."""
    builder = Builder()
    builder.scope("a", "part")
    value = 0
    for number, swapped in enumerate((False, True, False)):
        name = f"a.block{number}"
        builder.scope(name, "template", "block")
        one = builder.add(f"{name}.conv1", "conv", value, channels=8, kernel=1)
        two = builder.add(f"{name}.conv2", "conv", one, channels=8, kernel=1)
        order = (value, two) if swapped else (two, value)
        value = builder.add(f"{name}.slice", "slice", order[0], start=0, stop=4)
        value = builder.add(f"{name}.concat", "concat", value, order[1])
        value = builder.add(f"{name}.conv3", "conv", value, channels=8, kernel=1)
    builder.parts = [Part("a", "stage", value)]
    graph = builder.graph(value)
    check_equal(graph)
    source = emit(graph)
    assert "class Block(nn.Module)" in source
    assert "class Block2(nn.Module)" in source
    assert "self.a = Chain(block0=Block(), block1=Block2(), block2=Block())" in source


def test_layers_in_another_order_get_classes_of_their_own() -> None:
    builder = Builder()
    value = 0
    for number, first in enumerate(("bn", "relu")):
        name = f"block{number}"
        builder.scope(name, "template", "block")
        second = "relu" if first == "bn" else "bn"
        value = builder.add(f"{name}.{first}", first, value)
        value = builder.add(f"{name}.{second}", second, value)
    graph = builder.graph(value)
    check_equal(graph)
    assert "class Block2(nn.Module)" in emit(graph)


def test_a_value_of_an_optional_step_that_is_read_elsewhere_is_not_guarded() -> None:
    builder = Builder()
    value = 0
    for number, long in enumerate((True, False, True)):
        name = f"block{number}"
        builder.scope(name, "template", "block")
        one = builder.add(f"{name}.conv1", "conv", value, channels=8, kernel=1)
        if long:
            gate = builder.add(f"{name}.sigmoid", "sigmoid", one)
            half = builder.add(f"{name}.scale", "scale", gate, factor=0.5)
            one = builder.add(f"{name}.mul", "mul", half, gate)
            one = builder.add(f"{name}.add", "add", one, gate)
        value = builder.add(f"{name}.conv2", "conv", one, channels=8, kernel=1)
    check_equal(builder.graph(value))


def test_one_operator_written_where_a_template_could_stand() -> None:
    builder = Builder()
    builder.scope("s", "passes")
    value = 0
    for number in range(4):
        value = builder.add(f"s.{number}", "conv", value, channels=8 + number, kernel=1)
    graph = builder.graph(value)
    check_equal(graph)
    assert "self.s = nn.Sequential(" in emit(graph)


def test_paths_whose_numbers_have_gaps() -> None:
    builder = Builder()
    builder.scope("a", "part")
    builder.scope("a.paths", "paths")
    builder.scope("a.paths.1", "path")
    builder.scope("a.paths.3", "path")
    one = builder.add("a.paths.1.conv", "conv", 0, channels=8, kernel=1)
    two = builder.add("a.paths.3.conv", "conv", 0, channels=8, kernel=3)
    value = builder.add("a.add", "add", one, two)
    builder.parts = [Part("a", "stage", value)]
    check_equal(builder.graph(value))


def test_a_part_without_layers_is_a_module_still() -> None:
    builder = Builder()
    builder.scope("a", "part")
    value = builder.add("a.scale", "scale", 0, factor=0.5)
    builder.parts = [Part("a", "stage", value)]
    model = check_equal(builder.graph(builder.add("conv", "conv", value, channels=4, kernel=1)))
    assert hasattr(model, "a")


def test_a_sum_of_more_terms_than_python_nests() -> None:
    builder = Builder()
    builder.scope("paths", "paths")
    ends = []
    for number in range(300):
        builder.scope(f"paths.{number}", "path")
        ends.append(builder.add(f"paths.{number}.bn", "bn", 0))
    graph = builder.graph(builder.add("add", "add", *ends))
    assert len(emit(graph).splitlines()) < 60
    namespace: dict[str, Any] = {}
    exec(emit(graph), namespace)
    x = torch.randn(2, 8, 6, 6)
    assert torch.allclose(namespace["Net"]().eval()(x), 300 * x / (1 + 1e-5) ** 0.5, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["os\nimport x", "a b", "x;y", "1a", "\N{FULLWIDTH LATIN SMALL LETTER X}", "a-b", "x)"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    graph = network("conv(8, 3x3)")
    with pytest.raises(ValueError, match="not a name"):
        emit(graph._replace(name=name))
    node = graph.nodes[1]._replace(name=name)
    with pytest.raises(ValueError, match="not a name"):
        emit(graph._replace(nodes=(graph.nodes[0], node)))


@pytest.mark.parametrize("value", ["a b", 'x"', "__import__('os')", object(), [1], 1j, b"x", "é"])
def test_a_value_that_is_no_literal_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a literal"):
        literal(value)


@pytest.mark.parametrize(
    "value", [None, True, -3, 10**30, 1e-6, 0.1, float("inf"), "zeros", (1, 7), (2,), ((1, 2), True)]
)
def test_literals_give_their_values_back(value: object) -> None:
    assert eval(literal(value)) == value
    assert type(eval(literal(value))) is type(value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv_bn_act", "ConvBnAct"),
        ("resnext50_32x4d", "Resnext50_32x4d"),
        ("resnext50_32x4d_a", "Resnext50_32x4dA"),
        ("_", "Net"),
        ("_3x3", "Net3x3"),
        ("UNet", "UNet"),
    ],
)
def test_names_of_classes(name: str, expected: str) -> None:
    assert camel_case(name) == expected


@pytest.mark.parametrize("name", ["nn", "torch", "self", "list", "lambda", "Warning", "Tensor", "F", "type", "match"])
def test_names_that_mean_something_are_left_alone(name: str) -> None:
    assert unused(name, set()) == f"{name}_"


def test_names_that_are_taken_are_numbered() -> None:
    assert unused("block", {"block", "block2"}) == "block3"
    assert identifier("block") == "block"
