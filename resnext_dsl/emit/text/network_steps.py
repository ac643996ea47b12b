"""The steps of the network's class: the state that all writers of its methods share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from resnext_dsl.emit.blocks.collect import Collector
from resnext_dsl.emit.blocks.module_block import ForwardStep, Ref
from resnext_dsl.emit.patterns.pattern_tree import StepPattern
from resnext_dsl.emit.patterns.wiring import unify_blocks
from resnext_dsl.emit.text.call_layout import broken
from resnext_dsl.emit.text.class_text import Classes, ClassText
from resnext_dsl.emit.text.forward import Writer
from resnext_dsl.emit.text.network_regions import NetworkRegions
from resnext_dsl.emit.text.python_names import unused


class NetworkSteps:
    """The steps of the network, its children, and the names that its methods share.

    Attributes:
        graph: The graph.
        class_text: The children of the network's class.
        steps: All steps, in the order of execution.
        regions: The same steps as features, head and others.
        stages: Names of the steps that run a stage.
        run_stage: Name of the method that runs a stage.
        collect_features: Name of the method that returns all values of the features that other regions read.
        checkpointing: Name of the attribute that turns gradient checkpointing on.
    """

    def __init__(self, collector: Collector, classes: Classes) -> None:
        self.graph = collector.graph
        block = replace(collector.block(""), inputs=1, outputs=())
        self.class_text = ClassText(unify_blocks([block], [1]), classes)
        self.steps = list(self.class_text.pattern.steps)
        stages = {part.name for part in self.graph.parts if part.kind == "stage"}
        self.stages = stages & {step.step.name for step in self.steps}
        children = {name for name, _ in self.class_text.pattern.children}
        self.run_stage = unused("_stage", children)
        self.collect_features = unused("_features", children)
        self.checkpointing = unused("grad_checkpointing", children)
        self._references = replace(self.class_text.references(), call=self.call, stage=self.run_stage)
        values = collector.values("")
        self._refs = {node: ref for ref, node in values.items()}
        self.regions = NetworkRegions(self.graph, self.steps, values)

    def refs(self, nodes: Iterable[int]) -> list[Ref]:
        """The values of nodes."""
        return [self._refs[node] for node in nodes]

    def call(self, step: ForwardStep, arguments: list[str]) -> str:
        """The expression that calls the module of a step."""
        child = self.class_text.access(step.child)
        if step.name in self.stages:
            return f"self.{self.run_stage}({', '.join([child, *arguments])})"
        return f"{child}({', '.join(arguments)})"

    def is_link(self, step: StepPattern) -> bool:
        """Whether a step runs a stage that takes one value and gives one."""
        return step.step.name in self.stages and len(step.step.inputs) == 1 and step.step.outputs == 1

    def write(
        self,
        steps: Sequence[StepPattern],
        names: dict[Ref, str],
        wanted: Sequence[Ref],
        kept: frozenset[str] = frozenset(),
    ) -> tuple[list[str], list[str]]:
        """Write statements for steps.

        Args:
            steps: Some of the network's steps.
            names: The variables that hold values at the start.
            wanted: The values to compute.
            kept: Variables that the statements must not overwrite.

        Returns:
            The lines, and the expressions for the wanted values.
        """
        writer = Writer(self._references, steps, names, wanted, kept)
        values = writer.write()
        return [line for text in writer.lines for line in broken(text)], values
