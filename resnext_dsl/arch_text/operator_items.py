"""Nodes of a graph as items, each a statement of one operator."""

from __future__ import annotations

from typing import Any

from resnext_dsl.arch_text.argument_text import operator_text
from resnext_dsl.arch_text.dataflow import Item
from resnext_dsl.arch_text.step_tree import ActivationStep, OperatorStep, Spelled, Step, values_of_attributes
from resnext_dsl.graph.ir import Graph
from resnext_dsl.operators import OPERATORS


class OperatorItems:
    """Makes the items of a graph's nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[tuple[str, int], Spelled | tuple[Any, ...]] = {}

    def item(self, index: int) -> Item:
        """The item of a node."""
        node = self.graph.nodes[index]
        return Item(node.inputs, (index,), self.step(index), [index], OPERATORS[node.operator].commutes)

    def step(self, index: int) -> Step:
        """The statement of a node, without the values that it reads."""
        node = self.graph.nodes[index]
        here = self.graph.nodes[node.inputs[0]].shape[0]
        key = node.operator, id(node.attributes)
        known = self._known.get(key)
        if known is None:
            assert node.attributes is not None
            values = values_of_attributes(node.attributes)
            activation = OPERATORS[node.operator].kind == "activation"
            known = Spelled(operator_text(node.operator, values, [], {})) if activation else values
            self._known[key] = known
        if isinstance(known, Spelled):
            return ActivationStep(known, (), here)
        return OperatorStep(node.operator, known, (), (), here)
