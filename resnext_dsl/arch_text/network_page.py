"""The whole text of a network: its input, its parts, its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnext_dsl.arch_text.argument_solver import parameter_words, shortcut_words
from resnext_dsl.arch_text.argument_text import shape_words, value_words
from resnext_dsl.arch_text.block_templates import BlockTemplate, TemplateMaker, with_shortcuts
from resnext_dsl.arch_text.body_folding import folded
from resnext_dsl.arch_text.branches import BranchFinder
from resnext_dsl.arch_text.dataflow import Item, Placed, in_statements
from resnext_dsl.arch_text.library_calls import LIBRARY, with_library
from resnext_dsl.arch_text.module_units import UnitFinder
from resnext_dsl.arch_text.operator_items import OperatorItems
from resnext_dsl.arch_text.skeletons import mapped
from resnext_dsl.arch_text.stage_plan import RootStep, parts_of, stage_names
from resnext_dsl.arch_text.statement_text import Phrases
from resnext_dsl.arch_text.step_tree import (
    ENTRY,
    Body,
    CallStep,
    DeclaredStep,
    RepeatStep,
    ResidualStep,
    SharedStep,
    Step,
    UseStep,
    all_steps,
    bodies,
)
from resnext_dsl.arch_text.word_choice import NameTable, snake_case, valid_name
from resnext_dsl.formatter.format import format_text
from resnext_dsl.formatter.page import STEP
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.ir import Graph, Output, reachable
from resnext_dsl.operators.base import Shape

SIDES = {0: "features", 1: "signal", 2: "image", 3: "clip"}
"""Names for inputs by rank, if the graph has none that is valid."""


LONGEST_BRANCH = 64
"""A branch of a split between the stages has steps of at most this number of operators."""


class Page(NamedTuple):
    """A text that is not checked yet, and the nodes in its order."""

    text: str
    order: list[int]


class OutputPlan(NamedTuple):
    """An output beside the main one.

    Attributes:
        name: Its name.
        training_only: Whether it exists in training only.
        values: The values that its body starts from, or its own values.
        placed: The statements of its body; None if it has none.
    """

    name: str
    training_only: bool
    values: tuple[int, ...]
    placed: Placed | None


def page_of(graph: Graph, name: str, comment: str) -> Page:
    """The text of a graph."""
    writer = NetworkWriter(graph, name)
    return writer.page(comment)


class NetworkWriter:
    """Writes one network.

    Attributes:
        graph: The graph.
        names: The names of the file and the network.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.names = NameTable()
        self.network = self.names.give(name)
        for output in graph.outputs:
            self.names.reserve(output.name.partition(".")[0])
        self.input = self.names.give(self._input_name())
        self.values: dict[int, str] = {0: self.input}
        self.operators = OperatorItems(graph)
        self.defaults: dict[str, dict[str, Any]] = {}
        self.maker = TemplateMaker(graph, self.operators, self.names)
        self.template_names: dict[int, str] = {}
        self.instances: dict[int | str, str] = {}
        self.libraries: dict[str, set[str]] = {}

    def _input_name(self) -> str:
        name = self.graph.nodes[0].name
        rank = len(self.graph.nodes[0].shape) - 1
        return name if name == valid_name(name) and not self.names.has(name) else SIDES.get(rank, "image")

    def page(self, comment: str) -> Page:
        """The text, with the nodes in its order."""
        kept = reachable(self.graph, [output.node for output in self.graph.outputs]) - {0}
        root = UnitFinder(self.graph, kept).root()
        self.maker.make(root)
        main, outputs = self._regions(self.maker.root_items(root))
        results = [output.node for output in self._main()]
        main = BranchFinder(self._shape, self._in_one_stage).joined(
            main, [*results, *(value for output in outputs for value in output.values)]
        )
        placed = in_statements(main, 0, (0,), results)
        order = [0, *placed.order]
        for output in outputs:
            if output.placed is not None:
                order += output.placed.order
        body = self._parts(placed, outputs)
        lines = [f"# {line}".rstrip() for line in comment.splitlines()]
        libraries = self._libraries()
        lines += [*libraries, *([""] if libraries else [])]
        lines += [f"network {self.network} {{", *self._indented(body), "}"]
        text = format_text(Source(f"{self.network}.arch", "\n".join(lines) + "\n"))
        return Page(text, order)

    def _indented(self, lines: Sequence[str]) -> list[str]:
        return [" " * STEP + line if line else "" for line in lines]

    # --- outputs ---

    def _main(self) -> list[Output]:
        """The main output, or the outputs of a network that ends in a list."""
        outputs = self.graph.outputs
        name = outputs[0].name
        if not name.endswith(".0"):
            return [outputs[0]]
        base = name[:-1]
        count = 1
        while count < len(outputs) and outputs[count].name == f"{base}{count}":
            count += 1
        return list(outputs[:count])

    def _groups(self) -> list[tuple[str, list[Output]]]:
        """The other outputs, those of a list together."""
        groups: list[tuple[str, list[Output]]] = []
        for output in self.graph.outputs[len(self._main()) :]:
            name, dot, number = output.name.rpartition(".")
            if dot and number.isdigit() and groups and groups[-1][0] == name and len(groups[-1][1]) == int(number):
                groups[-1][1].append(output)
            elif dot and number == "0":
                groups.append((name, [output]))
            else:
                groups.append((output.name, [output]))
        return groups

    def _regions(self, items: list[Item]) -> tuple[list[Item], list[OutputPlan]]:
        """The items of the network itself, and the outputs with the items that only they need."""
        giver = {value: item for item in items for value in item.outputs}
        groups = self._groups()
        needed: dict[int, int] = {}
        for bit, nodes in enumerate([[o.node for o in self._main()], *([o.node for o in g] for _, g in groups)]):
            pending = list(nodes)
            seen: set[int] = set()
            while pending:
                item = giver.get(pending.pop())
                if item is not None and id(item) not in seen:
                    seen.add(id(item))
                    needed[id(item)] = needed.get(id(item), 0) | 1 << bit
                    pending += item.inputs
        plans: list[OutputPlan] = []
        kept = {id(item) for item in items if id(item) in needed}
        for bit, (name, outputs) in enumerate(groups, 1):
            training = outputs[0].training_only
            values = tuple([output.node for output in outputs])
            region = [item for item in items if needed.get(id(item)) == 1 << bit]
            inside = {value for item in region for value in item.outputs}
            entries = {value for item in region for value in item.inputs if value not in inside}
            if len(outputs) == 1 and region and len(entries) == 1:
                (entry,) = entries
                plans.append(OutputPlan(name, training, (entry,), in_statements(region, entry, entries, list(values))))
                kept -= {id(item) for item in region}
            else:
                plans.append(OutputPlan(name, training, values, None))
        return [item for item in items if id(item) in kept], plans

    # --- parts ---

    def _parts(self, placed: Placed, outputs: list[OutputPlan]) -> list[str]:
        """The lines of the network's body."""
        shape = self.graph.nodes[0].shape
        lines = [f"input {self.input}: {shape_words(shape)}", ""]
        roots = self._root_steps(placed)
        plans = parts_of(roots)
        stages = stage_names(plans, self.names.give)
        read = {value for output in outputs for value in output.values}
        steps = list(placed.steps)
        read |= {value for step in steps for inner in all_steps((step,)) for value in _read(inner)}
        for plan, stage in zip(plans, stages, strict=True):
            last = steps[plan.stop - 1]
            if plan.kind in ("stage", "stem") and placed.items[plan.stop - 1] is not None:
                ends = placed.items[plan.stop - 1].outputs
                if len(ends) == 1 and ends[0] in read:
                    self.values[ends[0]] = stage or plan.kind
                    steps[plan.stop - 1] = last._replace(names=())
        for output in outputs:
            for value in output.values:
                self._name_root(steps, placed, value)
        phrases = Phrases(self.defaults, self._value, self._call, self._instance)
        parts = [self._part_body(steps[plan.start : plan.stop]) for plan in plans]
        tails = [self._part_body(output.placed.steps) for output in outputs if output.placed is not None]
        called = self._called([*parts, *tails])
        self.template_names = {one: self.names.give(snake_case(self.maker.templates[one].label)) for one in called}
        for number in called:
            lines += self._template_lines(self.maker.templates[number])
        if called:
            lines.append("")
        for module in self._shared([*parts, *tails]):
            lines.append(f"shared {self._instance(module)} = {phrases.head(self.maker.declared[module])}")
        for plan, stage, body in zip(plans, stages, parts, strict=True):
            if not plan.kind:
                lines += phrases.lines(body, 0)
                continue
            head = f"stage {stage}" if plan.kind == "stage" else plan.kind
            if plan.kind == "stage" and len(body) == 1 and isinstance(body[0], RepeatStep) and not body[0].names:
                head += f" repeat {value_words('depth', body[0].count)}"
                body = body[0].body
            lines += phrases.braced(head, body, room=116)
        for output in outputs:
            lines += self._output_lines(output, phrases)
        return lines

    def _shape(self, value: int) -> Shape:
        return self.graph.nodes[value].shape

    def _in_one_stage(self, before: Item, merge: Item) -> bool:
        """Whether an operator may join a branch of a merge between the stages: both belong to one module."""
        one, other = (self.graph.nodes[item.order[0]].scope.partition(".")[0] for item in (before, merge))
        return one == other and len(before.order) <= LONGEST_BRANCH

    def _instance(self, module: int | str) -> str:
        """The name of a shared instance of the network."""
        if module not in self.instances:
            self.instances[module] = self.names.give(str(module).rpartition(".")[2])
        return self.instances[module]

    def _shared(self, parts: Sequence[Body]) -> list[str]:
        """The shared instances that the network declares, in the order of their first uses."""
        uses = [step.instance for part in parts for step in all_steps(part) if isinstance(step, SharedStep)]
        return list(dict.fromkeys(map(str, uses)))

    def _called(self, parts: Sequence[Body]) -> list[int]:
        """The templates that some bodies call, and those that these call, inner ones first."""
        called: set[int] = set()
        pending = [*parts, tuple([self.maker.declared[module] for module in self._shared(parts)])]
        while pending:
            for step in all_steps(pending.pop()):
                call = step.call if isinstance(step, DeclaredStep) else step
                if isinstance(call, CallStep) and isinstance(call.template, int) and call.template not in called:
                    called.add(call.template)
                    pending.append(self.maker.templates[call.template].body)
        return sorted(called)

    def _libraries(self) -> list[str]:
        """The lines that import templates of the library."""
        return [f"from {file} import {', '.join(sorted(used))}" for file, used in sorted(self.libraries.items())]

    def _call(self, step: CallStep, others: list[str]) -> str:
        """The text of a call."""
        if isinstance(step.template, str):
            entry = LIBRARY[step.template]
            self.libraries.setdefault(entry.file, set()).add(step.template)
            name = step.template
            known = [(one, one, entry.defaults.get(one)) for one in entry.parameters]
        else:
            template = self.maker.templates[step.template]
            name = self.template_names[step.template]
            known = [(one.name, one.kind, one.default) for one in template.parameters]
        required: list[str] = []
        optional: list[str] = []
        for (parameter, kind, default), value in zip(known, step.arguments, strict=True):
            text = value_words(kind, value)
            if default is None:
                required.append(text)
            elif text != value_words(kind, default):
                optional.append(f"{parameter}={text}")
        parts = [*required, *others, *optional]
        return f"{name}({', '.join(parts)})" if parts else name

    def _template_lines(self, template: BlockTemplate) -> list[str]:
        """The declaration of a template."""
        taken = [template.names.give("value", numbered=True) for _ in range(template.values)]
        required = [parameter_words(one) for one in template.parameters if one.default is None]
        optional = [parameter_words(one) for one in template.parameters if one.default is not None]
        known = {ENTRY: "value_in"} | {ENTRY - 1 - place: name for place, name in enumerate(taken)}

        def value(number: int) -> str:
            if number not in known:
                known[number] = template.names.give("y", numbered=True)
            return known[number]

        instances: dict[int | str, str] = {}

        def instance(number: int | str) -> str:
            if number not in instances:
                instances[number] = template.names.give("cell", numbered=True)
            return instances[number]

        phrases = Phrases(self.defaults, value, self._call, instance)
        head = f"template {self.template_names[template.number]}({', '.join([*required, *taken, *optional])})"
        return phrases.braced(head, template.body, room=116)

    def _part_body(self, steps: Sequence[Step]) -> Body:
        body = folded(with_library(tuple(steps)))
        stated = any(isinstance(step, ResidualStep) and step.kind == "body" for step in all_steps(body))
        return mapped(with_shortcuts(body, stated), _plain, lambda value: value, self.maker.kinds_of)

    def _name_root(self, steps: list[Any], placed: Placed, value: int) -> None:
        """Gives a value of the network a name, if it has none."""
        if value in self.values:
            return
        for place, item in enumerate(placed.items):
            if item is not None and value in item.outputs and not steps[place].names:
                steps[place] = steps[place]._replace(names=item.outputs)

    def _output_lines(self, output: OutputPlan, phrases: Phrases) -> list[str]:
        when = " when training" if output.training_only else ""
        values = ", ".join(map(self._value, output.values))
        source = values if len(output.values) == 1 and "." not in output.name else f"[{values}]"
        head = f"output {valid_name(output.name)}{when} from {source}"
        if output.placed is None:
            return [head]
        return phrases.braced(head, self._part_body(output.placed.steps), room=116)

    def _value(self, value: int) -> str:
        """The name of a value in the network's frame."""
        if value not in self.values:
            self.values[value] = self.names.give("y", numbered=True)
        return self.values[value]

    def _root_steps(self, placed: Placed) -> list[RootStep]:
        steps = []
        nodes = self.graph.nodes
        shape = nodes[0].shape
        for step, item in zip(placed.steps, placed.items, strict=True):
            before = shape
            if item is None:
                assert isinstance(step, UseStep)
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
    return getattr(step, "others", ())


def _plain(kind: str, value: Any, at: Any) -> Any:
    return shortcut_words(value) if kind == "shortcut" else value
