"""The regions of a network: the steps of its features, of its head, and of the results beside the main one."""

from __future__ import annotations

from collections.abc import Sequence

from resnext_dsl.emit.blocks.module_block import Ref
from resnext_dsl.emit.patterns.pattern_tree import StepPattern
from resnext_dsl.graph.ir import Graph

INPUT: Ref = ("", 0)


class NetworkRegions:
    """The steps of a network, divided into features, head and others.

    Attributes:
        features: Steps before the head.
        head: Steps from the start of the head that lead to the main result.
        others: Steps that only the other results need.
        main: The main result.
        to_head: Values that the head takes; its first step reads the first of them.
        to_outputs: Values of the features that `others` read and the head does not.
        whole: Whether the other results read values inside the head. One forward then has all the steps.
        features_node: The node of the first value that the head takes.
    """

    def __init__(self, graph: Graph, steps: list[StepPattern], values: dict[Ref, int]) -> None:
        refs = {node: ref for ref, node in values.items()}
        self._steps = {step.step.name: step for step in steps}
        self.main = refs[graph.outputs[0].node]
        results = [refs[output.node] for output in graph.outputs[1:]]
        self._divide(steps, _head_start(graph, steps), only_others=self.needed(results) - self.needed([self.main]))
        in_head = _names(self.head)
        self.to_head = [ref for ref in _reads(self.head, [self.main]) if ref[0] not in in_head]
        outside = self._read_by_others(results)
        self.whole = any(ref[0] in in_head for ref in outside)
        self.to_outputs = [ref for ref in outside if ref not in self.to_head and ref[0] not in in_head]
        self.features_node = values[self.to_head[0] if self.to_head else self.main]

    def needed(self, refs: Sequence[Ref]) -> set[str]:
        """Names of the steps that values depend on."""
        names: set[str] = set()
        waiting = [name for name, _ in refs if name]
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting += [source for source, _ in self._steps[name].step.inputs if source]
        return names

    def _divide(self, steps: list[StepPattern], head_start: int, only_others: set[str]) -> None:
        self.features = [step for step in steps[:head_start] if step.step.name not in only_others]
        self.head = [step for step in steps[head_start:] if step.step.name not in only_others]
        self.others = [step for step in steps if step.step.name in only_others]

    def _read_by_others(self, results: list[Ref]) -> list[Ref]:
        """Values that the other results read from features and head; the input and the main result aside."""
        inside = _names(self.others)
        return [ref for ref in _reads(self.others, results) if ref[0] not in inside and ref not in (INPUT, self.main)]


def _head_start(graph: Graph, steps: list[StepPattern]) -> int:
    heads = [part.name for part in graph.parts if part.kind == "head"]
    for place, step in enumerate(steps):
        if any(step.step.name == head or step.step.name.startswith(f"{head}.") for head in heads):
            return place
    return len(steps)


def _names(steps: Sequence[StepPattern]) -> set[str]:
    return {step.step.name for step in steps}


def _reads(steps: Sequence[StepPattern], results: Sequence[Ref]) -> list[Ref]:
    """The values that steps read, then results, each once."""
    return list(dict.fromkeys([*(ref for step in steps for ref in step.step.inputs), *results]))
