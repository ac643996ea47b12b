"""The whole text of a network: its input, parameters, templates, parts and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnext_dsl.arch_text.argument_solver import shortcut_words
from resnext_dsl.arch_text.argument_text import shape_words, value_words
from resnext_dsl.arch_text.block_templates import TemplateMaker, with_shortcuts
from resnext_dsl.arch_text.body_folding import folded
from resnext_dsl.arch_text.branches import BranchFinder
from resnext_dsl.arch_text.dataflow import CyclicItemsError, Item, StatementList, in_statements
from resnext_dsl.arch_text.growing_lists import mark_growths
from resnext_dsl.arch_text.library_calls import with_library
from resnext_dsl.arch_text.module_units import UnitFinder
from resnext_dsl.arch_text.network_defaults import default_lines, defaults_of
from resnext_dsl.arch_text.network_parameters import RESERVED_PARAMETERS, NetworkParameters
from resnext_dsl.arch_text.operator_items import OperatorItems
from resnext_dsl.arch_text.output_plan import OutputPlan, divided, main_outputs
from resnext_dsl.arch_text.skeletons import mapped
from resnext_dsl.arch_text.stage_plan import PartPlan, RootStep, parts_of, stage_names
from resnext_dsl.arch_text.statement_text import Phrases
from resnext_dsl.arch_text.step_tree import (
    Body,
    CallStep,
    RepeatStep,
    ResidualStep,
    SharedStep,
    Step,
    UseStep,
    all_steps,
    bodies,
)
from resnext_dsl.arch_text.template_text import TemplateText
from resnext_dsl.arch_text.word_choice import NameTable, valid_name
from resnext_dsl.formatter.format import laid_out
from resnext_dsl.formatter.page import STEP, WIDTH
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.ir import Graph, reachable
from resnext_dsl.operators.base import Shape

INPUTS = ("features", "signal", "image", "clip")
"""Names for inputs by rank, if the graph has none that is valid."""

LONGEST_BRANCH = 64
"""A branch of a split between the stages has steps of at most this number of operators."""


class NetworkText(NamedTuple):
    """A text that is not checked yet, and the nodes in its order."""

    text: str
    order: list[int]


def page_of(graph: Graph, name: str, comment: str, projections: bool = False) -> NetworkText:
    """The text of a graph; without blocks if modules read each other's results, so that none can be called first."""
    try:
        return NetworkWriter(graph, name, projections).page(comment)
    except CyclicItemsError:
        return NetworkWriter(graph, name, projections, blocks=False).page(comment)


class NetworkWriter:
    """Writes one network.

    Attributes:
        graph: The graph.
        names: The names of the file and the network.
        values: The names of values that the network has named.
    """

    def __init__(self, graph: Graph, name: str, projections: bool = False, blocks: bool = True) -> None:
        self.graph = graph
        self._projections = projections
        self._blocks = blocks
        self.names = NameTable()
        self.network = self.names.give(name)
        for word in (*RESERVED_PARAMETERS, *(output.name.partition(".")[0] for output in graph.outputs)):
            self.names.reserve(word)
        self.values: dict[int, str] = {0: self.names.give(self._input_name())}
        self._kept = reachable(graph, [output.node for output in graph.outputs]) - {0}
        self._defaults = defaults_of(graph, self._kept)
        self._maker = TemplateMaker(graph, OperatorItems(graph), self.names, self._defaults, projections)
        self._templates = TemplateText(self._maker, self._defaults, self.names)
        self._phrases = Phrases(self._defaults, self._value, self._templates.call, self._instance)
        self._instances: dict[int | str, str] = {}

    def _input_name(self) -> str:
        name = self.graph.nodes[0].name
        if name == valid_name(name) and not self.names.has(name):
            return name
        return INPUTS[min(len(self.graph.nodes[0].shape), len(INPUTS)) - 1]

    def page(self, comment: str) -> NetworkText:
        """The text, with the nodes in its order."""
        finder = UnitFinder(self.graph, self._kept, self._blocks)
        root = finder.root()
        mark_growths(root, self.graph, finder.readers)
        self._maker.make(root)
        main, outputs = divided(self.graph, self._maker.root_items(root))
        results = [output.node for output in main_outputs(self.graph)]
        ends = [*results, *(value for output in outputs for value in output.values)]
        main = BranchFinder(self._shape, self._in_one_stage, self._defaults, self._projections).joined(main, ends)
        placed = in_statements(main, 0, (0,), results)
        order = [0, *placed.order]
        for output in outputs:
            order += output.placed.order if output.placed is not None else []
        body = self._body(placed, outputs)
        imports = self._templates.imports()
        lines = [*(f"# {line}".rstrip() for line in comment.splitlines()), *imports, *([""] if imports else [])]
        lines += [f"network {self.network} {{", *(" " * STEP + line if line else "" for line in body), "}"]
        text = laid_out(Source(f"{self.network}.arch", "\n".join(lines) + "\n"))
        return NetworkText(text, order)

    # --- the body of the network ---

    def _body(self, placed: StatementList, outputs: Sequence[OutputPlan]) -> list[str]:
        plans = parts_of(self._root_steps(placed), self.graph.parts)
        stages = stage_names(plans, self.names.give)
        steps = self._named_steps(placed, plans, stages, outputs)
        parts = [self._part_body(steps[plan.start : plan.stop]) for plan in plans]
        tails = [self._part_body(output.placed.steps) if output.placed else () for output in outputs]
        declared = self._shared([*parts, *tails])
        calls: list[Any] = [self._maker.declared[module] for module in declared]
        templates = self._templates.used([*parts, *tails, tuple(calls)])
        parameters = NetworkParameters(plans, parts, tails, templates, self._maker.kinds_of)
        shape = shape_words(parameters.input_shape(self.graph.nodes[0].shape))
        groups = [
            [f"input {self.values[0]}: {shape}"],
            [*parameters.lines(), *default_lines(self._defaults)],
            [line for template in templates for line in self._templates.lines(template)],
            [
                f"shared {self._instance(one)} = {self._phrases.head(call)}"
                for one, call in zip(declared, calls, strict=True)
            ],
            [
                line
                for plan, stage, body in zip(plans, stages, parameters.parts, strict=True)
                for line in self._part_lines(plan, stage, body)
            ],
        ]
        for output, tail in zip(outputs, parameters.tails, strict=True):
            groups[-1] += self._output_lines(output, tail)
        return [line for group in groups if group for line in (*group, "")][:-1]

    def _part_lines(self, plan: PartPlan, stage: str, body: Body) -> list[str]:
        if not plan.kind:
            return self._phrases.lines(body, 0)
        head = f"stage {stage}" if plan.kind == "stage" else plan.kind
        only = body[0] if len(body) == 1 else None
        if plan.kind == "stage" and isinstance(only, RepeatStep) and not only.names:
            head += f" repeat {value_words('depth', only.count)}"
            return self._phrases.braced(head, only.body, room=WIDTH - STEP)
        return self._phrases.braced(head, body, room=WIDTH - STEP)

    def _output_lines(self, output: OutputPlan, body: Body) -> list[str]:
        when = " when training" if output.training_only else ""
        values = ", ".join(map(self._value, output.values))
        source = f"[{values}]" if output.is_list else values
        head = f"output {valid_name(output.name)}{when} from {source}"
        if output.placed is None:
            return [head]
        return self._phrases.braced(head, body, room=WIDTH - STEP)

    def _part_body(self, steps: Sequence[Step]) -> Body:
        body = folded(with_library(tuple(steps), self._defaults))
        stated = any(isinstance(step, ResidualStep) and step.kind == "body" for step in all_steps(body))
        return mapped(with_shortcuts(body, stated), _plain, lambda value: value, self._maker.kinds_of)

    # --- names ---

    def _named_steps(
        self, placed: StatementList, plans: Sequence[PartPlan], stages: Sequence[str], outputs: Sequence[OutputPlan]
    ) -> list[Any]:
        """The steps with the names that they need; the value at the end of a stage has the name of the stage."""
        steps = list(placed.steps)
        read = {value for output in outputs for value in output.values}
        read |= {value for step in all_steps(tuple(steps)) for value in _read(step)}
        for plan, stage in zip(plans, stages, strict=True):
            last = placed.items[plan.stop - 1]
            if plan.kind in ("stage", "stem") and last is not None and len(last.outputs) == 1:
                self.values.setdefault(last.outputs[0], stage or plan.kind)
                steps[plan.stop - 1] = steps[plan.stop - 1]._replace(names=())
        for place, item in enumerate(placed.items):
            if item is None or steps[place].names or read.isdisjoint(item.outputs):
                continue
            if not all(value in self.values for value in item.outputs):
                steps[place] = steps[place]._replace(names=item.outputs)
        return steps

    def _value(self, value: int) -> str:
        """The name of a value of the network."""
        if value not in self.values:
            self.values[value] = self.names.give("y", numbered=True)
        return self.values[value]

    def _instance(self, module: int | str) -> str:
        """The name of a shared instance of the network."""
        if module not in self._instances:
            self._instances[module] = self.names.give(str(module).rpartition(".")[2])
        return self._instances[module]

    def _shared(self, parts: Sequence[Body]) -> list[str]:
        """The shared instances that the network declares, in the order of their first uses."""
        uses = [step.instance for part in parts for step in all_steps(part) if isinstance(step, SharedStep)]
        return list(dict.fromkeys(map(str, uses)))

    # --- the statements of the network ---

    def _shape(self, value: int) -> Shape:
        return self.graph.nodes[value].shape

    def _in_one_stage(self, before: Item, merge: Item) -> bool:
        """Whether an operator may join a branch of a merge between the stages: both belong to one module."""
        one, other = (self.graph.nodes[item.order[0]].scope.partition(".")[0] for item in (before, merge))
        return one == other and len(before.order) <= LONGEST_BRANCH

    def _root_steps(self, placed: StatementList) -> list[RootStep]:
        steps: list[RootStep] = []
        nodes = self.graph.nodes
        shape = nodes[0].shape
        for step, item in zip(placed.steps, placed.items, strict=True):
            if item is None:
                shape = nodes[step.values[0]].shape
                steps.append(RootStep(steps[-1].path if steps else (), 0, False, "use", shape, shape))
                continue
            before, shape = nodes[item.inputs[0]].shape, nodes[item.outputs[0]].shape
            scope = nodes[item.order[0]].scope
            path = tuple(scope.split(".")) if scope else ()
            block = bool(bodies(step)) or (isinstance(step, CallStep) and isinstance(step.template, int))
            steps.append(RootStep(path, len(item.order), block, getattr(step, "operator", ""), before, shape))
        return steps


def _read(step: Any) -> tuple[int, ...]:
    """The named values that a step reads."""
    if isinstance(step, UseStep):
        return step.values
    others: tuple[int, ...] = getattr(step, "others", ())
    return others


def _plain(kind: str, value: Any, at: Any) -> Any:
    return shortcut_words(value) if kind == "shortcut" else value
