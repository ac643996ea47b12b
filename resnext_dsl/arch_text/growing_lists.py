"""Finds the blocks of a dense block: each joins all values before it, and the end joins all of them.

    a = f(x); b = g(concat(x, a)); c = h(concat(x, a, b)); concat(x, a, b, c)

In the text the running value is a list that grows: `use [value_here]; repeat 3 { block }; concat`.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnext_dsl.arch_text.module_units import Growth, ModuleUnit
from resnext_dsl.graph.ir import Graph

FEWEST = 3
"""A list grows by at least this number of blocks."""

ENTERS = "if len(value_in) == 1 { use value_in[0] } else { concat }"
"""The first statement of a block that takes a list."""

LEAVES = "use value_in + [value_here]"
"""The last statement of a block that adds its result to the list."""


def mark_growths(unit: ModuleUnit, graph: Graph, readers: Sequence[Sequence[int]]) -> None:
    """Notes the growing lists of a unit, and of the units inside it, and marks their blocks."""
    for inner in unit.units:
        mark_growths(inner, graph, readers)
    givers = {one.outputs[0]: one for one in unit.units if len(one.outputs) == 1 and not one.module}
    for index in unit.nodes:
        node = graph.nodes[index]
        if node.operator == "concat" and len(node.inputs) > FEWEST:
            growth = _growth(index, givers, graph, readers)
            if growth is not None:
                unit.growths.append(growth)


def _growth(end: int, givers: dict[int, ModuleUnit], graph: Graph, readers: Sequence[Sequence[int]]) -> Growth | None:
    values = graph.nodes[end].inputs
    joins: dict[int, int] = {}
    units: list[ModuleUnit] = []
    for place, value in enumerate(values[1:], 1):
        unit = givers.get(value)
        if unit is None or unit.inputs != values[:place] or unit.gathered is not None:
            return None
        join = _join(unit, graph) if place > 1 else -1
        if join is None:
            return None
        joins[id(unit)] = join
        units.append(unit)
    allowed = {end, *joins.values()}
    if len({*values}) < len(values) or any(not allowed.issuperset(readers[value]) for value in values[1:]):
        return None
    for unit in units:
        unit.gathered = joins[id(unit)]
    return Growth(tuple(units), values[0], end)


def _join(unit: ModuleUnit, graph: Graph) -> int | None:
    """The node of a unit that joins all its inputs, if nothing else in it reads them."""
    read = {*unit.inputs}
    first = [index for index in unit.members if not read.isdisjoint(graph.nodes[index].inputs)]
    if len(first) != 1 or graph.nodes[first[0]].operator != "concat":
        return None
    return first[0] if graph.nodes[first[0]].inputs == unit.inputs and first[0] in unit.nodes else None
