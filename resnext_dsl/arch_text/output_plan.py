"""Divides a network among its outputs: the statements of the network itself, and those of one other output only."""

from __future__ import annotations

from collections.abc import Sequence

from resnext_dsl.arch_text.dataflow import Item, StatementList, in_statements
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Output


class OutputPlan(NamedTuple):
    """An output beside the main one.

    Attributes:
        name: Its name.
        training_only: Whether it exists in training only.
        is_list: Whether it is a list of outputs, `NAME.0`, `NAME.1`, ...
        values: The value that its body starts from; without a body its own values.
        placed: The statements of its body; None if it has none.
    """

    name: str
    training_only: bool
    is_list: bool
    values: tuple[int, ...]
    placed: StatementList | None


def main_outputs(graph: Graph) -> list[Output]:
    """The main output, or the outputs of a network that ends in a list."""
    outputs = graph.outputs
    if not outputs[0].name.endswith(".0"):
        return [outputs[0]]
    base = outputs[0].name[:-1]
    count = 1
    while count < len(outputs) and outputs[count].name == f"{base}{count}":
        count += 1
    return list(outputs[:count])


def other_outputs(graph: Graph) -> list[tuple[str, bool, list[Output]]]:
    """The other outputs: name, whether it is a list, and the outputs of the list."""
    groups: list[tuple[str, bool, list[Output]]] = []
    for output in graph.outputs[len(main_outputs(graph)) :]:
        name, dot, number = output.name.rpartition(".")
        if dot and groups and groups[-1][0] == name and str(len(groups[-1][2])) == number:
            groups[-1][2].append(output)
        elif dot and number == "0":
            groups.append((name, True, [output]))
        else:
            groups.append((output.name, False, [output]))
    return groups


def divided(graph: Graph, items: Sequence[Item]) -> tuple[list[Item], list[OutputPlan]]:
    """The items of the network itself, and the plans of the other outputs with the items that only they need."""
    groups = other_outputs(graph)
    ends = [[output.node for output in main_outputs(graph)], *([one.node for one in group[2]] for group in groups)]
    needed = _needed(items, ends)
    kept = {id(item) for item in items if id(item) in needed}
    plans: list[OutputPlan] = []
    for bit, (name, is_list, outputs) in enumerate(groups, 1):
        training = outputs[0].training_only
        values = tuple([output.node for output in outputs])
        region = [item for item in items if needed.get(id(item)) == 1 << bit]
        inside = {value for item in region for value in item.outputs}
        entries = {value for item in region for value in item.inputs} - inside
        if not is_list and region and len(entries) == 1 and values[0] in inside:
            (entry,) = entries
            placed = in_statements(region, entry, entries, values)
            plans.append(OutputPlan(name, training, False, (entry,), placed))
            kept -= {id(item) for item in region}
        else:
            plans.append(OutputPlan(name, training, is_list, values, None))
    return [item for item in items if id(item) in kept], plans


def _needed(items: Sequence[Item], ends: Sequence[Sequence[int]]) -> dict[int, int]:
    """For each item, the outputs that need it, as bits."""
    giver = {value: item for item in items for value in item.outputs}
    needed: dict[int, int] = {}
    for bit, nodes in enumerate(ends):
        pending = list(nodes)
        while pending:
            item = giver.get(pending.pop())
            if item is not None and not needed.get(id(item), 0) >> bit & 1:
                needed[id(item)] = needed.get(id(item), 0) | 1 << bit
                pending += item.inputs
    return needed
