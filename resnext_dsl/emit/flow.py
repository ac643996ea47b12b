"""How the steps of a network fall into features, head and what else it computes."""

from __future__ import annotations

from collections.abc import Sequence

from resnext_dsl.emit.blocks import Ref
from resnext_dsl.emit.patterns import StepPattern
from resnext_dsl.graph.ir import Graph

INPUT: Ref = ("", 0)


class Flow:
    """How the steps of a network fall into features, head and what else there is.

    Attributes:
        features: Steps before the head.
        head: Steps from the head on that lead to the main result.
        others: Steps that only other results need.
        main: The main result.
        to_head: Values that the head takes; the first one is what its first step reads.
        to_outputs: Values of the features that `others` read and the head does not.
        whole: Whether the results cannot be told apart so: one forward then has all the steps.
        features_node: The node of the first value that the head takes.
    """

    def __init__(self, graph: Graph, steps: list[StepPattern], values: dict[Ref, int]) -> None:
        refs = {node: ref for ref, node in values.items()}
        self._steps = {step.step.name: step for step in steps}
        self.main = refs[graph.outputs[0].node]
        results = [refs[output.node] for output in graph.outputs[1:]]
        needed = self.of([self.main])
        only_others = self.of(results) - needed
        start = _head_start(graph, steps)
        self.features = [step for step in steps[:start] if step.step.name not in only_others]
        self.head = [step for step in steps[start:] if step.step.name not in only_others]
        self.others = [step for step in steps if step.step.name in only_others]
        made = {step.step.name for step in self.head}
        reads = [ref for step in self.head for ref in step.step.inputs] + [self.main]
        self.to_head = list(dict.fromkeys(ref for ref in reads if ref[0] not in made))
        own = {step.step.name for step in self.others}
        read = [ref for step in self.others for ref in step.step.inputs] + results
        outside = list(dict.fromkeys(ref for ref in read if ref[0] not in own and ref not in (INPUT, self.main)))
        self.whole = any(ref[0] in made for ref in outside)
        self.to_outputs = [ref for ref in outside if ref not in self.to_head and ref[0] not in made]
        first = self.to_head[0] if self.to_head else self.main
        self.features_node = values[first]

    def of(self, refs: Sequence[Ref]) -> set[str]:
        """The steps that values depend on."""
        found: set[str] = set()
        waiting = [name for name, _ in refs if name]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [source for source, _ in self._steps[name].step.inputs if source]
        return found


def _head_start(graph: Graph, steps: list[StepPattern]) -> int:
    heads = [part.name for part in graph.parts if part.kind == "head"]
    for place, step in enumerate(steps):
        if any(step.step.name == head or step.step.name.startswith(f"{head}.") for head in heads):
            return place
    return len(steps)
