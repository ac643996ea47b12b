"""Makes templates of the units of a graph: units that differ in arguments only are calls of one template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnext_dsl.arch_text.argument_solver import ArchParameter, ArgumentSolver
from resnext_dsl.arch_text.argument_text import Defaults
from resnext_dsl.arch_text.body_folding import folded
from resnext_dsl.arch_text.body_union import BodyUnion
from resnext_dsl.arch_text.branches import BranchFinder
from resnext_dsl.arch_text.dataflow import Item, in_statements
from resnext_dsl.arch_text.growing_lists import ENTERS, LEAVES
from resnext_dsl.arch_text.library_calls import is_squeeze_excite, library_parameters, with_library
from resnext_dsl.arch_text.module_units import Growth, ModuleUnit
from resnext_dsl.arch_text.operator_items import OperatorItems
from resnext_dsl.arch_text.skeletons import Change, leaves, mapped, skeleton
from resnext_dsl.arch_text.step_tree import (
    ENTRY,
    ArgumentColumn,
    Body,
    CallStep,
    DeclaredStep,
    GatherStep,
    OperatorStep,
    OptionalStep,
    RepeatStep,
    ResidualStep,
    SharedStep,
    SplitStep,
    Step,
    TextStep,
    all_steps,
    changed_inside,
    fields_of,
    here_of,
    names_of,
    renamed,
)
from resnext_dsl.arch_text.word_choice import NameTable
from resnext_dsl.graph.ir import Graph, uses_of_modules
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import REQUIRED


class BlockTemplate:
    """A template of the text.

    Attributes:
        number: Its number among the templates.
        label: The class or template that it comes from.
        body: Its body, with formulas for arguments.
        parameters: Its parameters, those with a default last.
        values: The number of values that it takes beside the running value.
        calls: How many instances it has.
        names: The names in its text.
    """

    __slots__ = ("body", "calls", "label", "names", "number", "parameters", "values")

    def __init__(
        self, number: int, label: str, body: Body, parameters: Sequence[ArchParameter], unit: ModuleUnit
    ) -> None:
        self.number = number
        self.label = label
        self.body = body
        self.parameters = tuple(parameters)
        self.values = max(unit.takes() - 1, 0)
        self.calls = 0
        self.names: NameTable = NameTable()


class Instance:
    """A unit with its body.

    Attributes:
        unit: The unit.
        body: Its body with plain arguments; named values are numbered from 0.
        order: Its nodes in the order of the text.
        entering: The channels of the value that enters.
    """

    __slots__ = ("body", "entering", "key", "order", "unit", "values")

    def __init__(self, unit: ModuleUnit, body: Body, order: list[int], entering: int) -> None:
        self.unit = unit
        self.body = body
        self.order = order
        self.entering = entering
        self.key: Any = None
        self.values: tuple[Any, ...] = ()


class BlockPattern:
    """A body whose arguments are columns, and the instances of each row."""

    __slots__ = ("body", "rows")

    def __init__(self, body: Body, rows: list[list[Instance]]) -> None:
        self.body = body
        self.rows = rows


class TemplateMaker:
    """Makes the templates of a graph, those of inner units first.

    Attributes:
        graph: The graph.
        operators: Makes items of nodes.
        templates: The templates so far.
        item_of: The item of each unit that has a template, by its scope.
        declared: The call of each shared instance, by the name of its module.
    """

    def __init__(
        self, graph: Graph, operators: OperatorItems, names: NameTable, defaults: Defaults, projections: bool
    ) -> None:
        self.graph = graph
        self.operators = operators
        self.templates: list[BlockTemplate] = []
        self.item_of: dict[str, Item] = {}
        self._names = names
        self._uses = uses_of_modules(graph)
        self.declared: dict[str, Any] = {}
        self._defaults = defaults
        self._branches = BranchFinder(
            lambda value: graph.nodes[value].shape, lambda before, merge: True, defaults, projections
        )

    def make(self, root: ModuleUnit) -> None:
        """Makes the templates of all units inside a unit."""
        for units in by_label(root):
            self._group([self._instance(unit) for unit in units])

    def kinds_of(self, template: int | str) -> tuple[str, ...]:
        """The arguments that a template's parameters are for."""
        if isinstance(template, str):
            return library_parameters(template)
        return tuple([parameter.kind for parameter in self.templates[template].parameters])

    def items_of(self, unit: ModuleUnit) -> list[Item]:
        """The items directly inside a unit, each after those whose results it reads."""
        ends, growing = _growing(unit)
        items = [self._operator_item(index, unit) for index in unit.nodes if index not in ends]
        items += [self._unit_item(inner) for inner in unit.units if id(inner) not in growing]
        items += [self._gather(growth) for growth in unit.growths]
        items.sort(key=lambda item: item.outputs[-1])
        return in_order(items)

    def _gather(self, growth: Growth) -> Item:
        """The item of blocks that make a list grow."""
        calls = [self.item_of[unit.scope] for unit in growth.units]
        order = [node for call in calls for node in call.order]
        here = self.graph.nodes[growth.start].shape[0]
        step = GatherStep(folded([call.step for call in calls], self.kinds_of), (), here)
        return Item((growth.start,), (growth.end,), step, [*order, growth.end])

    def root_items(self, unit: ModuleUnit) -> list[Item]:
        """The items of the whole graph. Units that occur once, and units that are stages, are not calls."""
        ends, growing = _growing(unit)
        items = [self._operator_item(index, unit) for index in unit.nodes if index not in ends]
        items += [self._gather(growth) for growth in unit.growths]
        for inner in unit.units:
            if id(inner) in growing:
                continue
            item = self._unit_item(inner)
            step: Any = item.step
            number = step.template if isinstance(step, CallStep) else ""
            template = self.templates[number] if isinstance(number, int) and not inner.module else None
            if template is not None and (template.calls == 1 or self._is_stage(template.body)):
                items += self.root_items(inner)
            else:
                items.append(item)
        items.sort(key=lambda item: item.outputs[-1])
        return in_order(items)

    def _operator_item(self, index: int, unit: ModuleUnit) -> Item:
        """The item of a node; a use of an instance, if other nodes outside of shared units call its module."""
        item = self.operators.item(index)
        module = self.graph.nodes[index].module
        if module is not None and module in self._uses and not unit.in_instance:
            call: Any = item.step
            self.declared[module] = call._replace(here=0)
            item.step = SharedStep(module)
        return item

    def _unit_item(self, unit: ModuleUnit) -> Item:
        """The item of a unit: a call, or a use of an instance."""
        item = self.item_of[unit.scope]
        if unit.module:
            call: Any = item.step
            self.declared[unit.module] = call._replace(here=0)
            return Item(item.inputs, item.outputs, SharedStep(unit.module), item.order)
        return item

    def with_declarations(self, body: Body) -> Body:
        """The body, with declarations of the instances that it uses before it; instances are numbered."""
        if not self.declared:
            return body
        numbers: dict[str, int] = {}

        def numbered(steps: Body) -> Body:
            result: list[Step] = []
            for step in steps:
                if isinstance(step, SharedStep) and isinstance(step.instance, str):
                    number = numbers.setdefault(step.instance, len(numbers))
                    result.append(step._replace(instance=number))
                else:
                    result.append(changed_inside(step, numbered))
            return tuple(result)

        body = numbered(body)
        return (*(DeclaredStep(number, self.declared[module]) for module, number in numbers.items()), *body)

    def _is_stage(self, body: Body) -> bool:
        """Whether a body is a series of blocks."""
        if any(names_of(step) or isinstance(step, SplitStep | ResidualStep) for step in body):
            return False
        return any(
            isinstance(step, GatherStep)
            or (
                isinstance(step, RepeatStep)
                and any(isinstance(one, CallStep) and isinstance(one.template, int) for one in step.body)
            )
            for step in body
        )

    def _instance(self, unit: ModuleUnit) -> Instance:
        items = self.items_of(unit)
        inputs, before = unit.inputs, []
        if unit.gathered is not None and unit.gathered >= 0:
            items = [item for item in items if item.outputs != (unit.gathered,)]
            inputs, before = (unit.gathered,), [unit.gathered]
        items = self._branches.joined(items, unit.outputs)
        placed = in_statements(items, inputs[0], inputs, unit.outputs)
        steps = with_entry(tuple(placed.steps), inputs[0], self._defaults)
        body = folded(with_library(steps, self._defaults), self.kinds_of)
        numbers = {value: ENTRY - place for place, value in enumerate(inputs)}
        body = self.with_declarations(body)
        body = renamed(body, lambda value: numbers.setdefault(value, len(numbers) - len(inputs)))
        return Instance(unit, body, [*before, *placed.order], self.graph.nodes[inputs[0]].shape[0])

    def _group(self, instances: list[Instance]) -> None:
        """Makes the templates of the instances of one label."""
        stated = any(isinstance(s, ResidualStep) and s.kind == "body" for one in instances for s in all_steps(one.body))
        groups: dict[Any, list[Instance]] = {}
        for instance in instances:
            if self._is_one_call(instance):
                continue
            instance.body = with_shortcuts(instance.body, stated)
            kinds, values, places = leaves(instance.body, self.kinds_of)
            instance.values = values, places
            shape = instance.unit.takes(), len(instance.unit.outputs)
            instance.key = skeleton(instance.body), shape, kinds
            groups.setdefault(instance.key, []).append(instance)
        self._templates([self._pattern(members) for members in groups.values()])

    def _pattern(self, instances: list[Instance]) -> BlockPattern:
        """The pattern of instances that differ in arguments only."""
        rows: dict[Any, list[Instance]] = {}
        for instance in instances:
            rows.setdefault((instance.values, instance.entering), []).append(instance)
        firsts = [members[0] for members in rows.values()]
        columns = iter([ArgumentColumn(values) for values in zip(*[one.values[0] for one in firsts], strict=True)])
        places = iter([ArgumentColumn(values) for values in zip(*[one.values[1] for one in firsts], strict=True)])
        body = mapped(firsts[0].body, lambda kind, value, at: next(columns), lambda value: next(places), self.kinds_of)
        return BlockPattern(body, list(rows.values()))

    def _templates(self, patterns: list[BlockPattern]) -> None:
        """Makes one template of patterns that can be joined."""
        joined: list[BlockPattern] = []
        for pattern in sorted(patterns, key=lambda one: -len(one.body)):
            for place, other in enumerate(joined):
                union = self._joined(other, pattern)
                if union is not None:
                    joined[place] = union
                    break
            else:
                joined.append(pattern)
        for pattern in joined:
            self._template(pattern)

    def _joined(self, one: BlockPattern, other: BlockPattern) -> BlockPattern | None:
        first, second = one.rows[0][0].unit, other.rows[0][0].unit
        if (first.takes(), len(first.outputs)) != (second.takes(), len(second.outputs)) or first.gathered is not None:
            return None
        rows = [*one.rows, *other.rows]
        nodes = self.graph.nodes
        skips = [nodes[members[0].unit.inputs[0]].shape != nodes[members[0].unit.outputs[0]].shape for members in rows]
        body = BodyUnion(len(one.rows), len(other.rows), self.kinds_of).joined(one.body, other.body, skips)
        return None if body is None else BlockPattern(body, rows)

    def _is_one_call(self, instance: Instance) -> bool:
        """Whether a unit is one call of another template, which then stands in its place."""
        unit, body = instance.unit, instance.body
        step = body[0]
        if (
            len(body) > 1
            or len(unit.inputs) > 1
            or unit.gathered is not None
            or not isinstance(step, CallStep)
            or step.names
            or step.others
        ):
            return False
        self.item_of[unit.scope] = Item(unit.inputs, unit.outputs, step, instance.order)
        return True

    def _template(self, pattern: BlockPattern) -> None:
        """Makes the template of a pattern, and the calls of its instances."""
        firsts = [members[0] for members in pattern.rows]
        unit = firsts[0].unit
        names = NameTable(frozenset(), self._names)
        weights = [len(members) for members in pattern.rows]
        leaving = [self.graph.nodes[one.unit.outputs[-1]].shape[0] for one in firsts]
        gathers = unit.gathered is not None
        solver = ArgumentSolver(weights, [0 if gathers else one.entering for one in firsts], leaving, names)
        body = mapped(pattern.body, _but_flags(solver.solved), lambda value: value, self.kinds_of)
        body = _with_conditions(body, solver)
        if gathers:
            body = (TextStep(ENTERS), *body, TextStep(LEAVES))
        template = BlockTemplate(len(self.templates), unit.label, body, solver.ordered(), unit)
        template.calls = sum(weights)
        template.names = names
        self.templates.append(template)
        for row, members in enumerate(pattern.rows):
            arguments = tuple([parameter.values[row] for parameter in template.parameters])
            for instance in members:
                call = CallStep(template.number, arguments, (), (), instance.entering)
                self.item_of[instance.unit.scope] = Item(
                    instance.unit.inputs, instance.unit.outputs, call, instance.order
                )


def with_entry(body: Body, entry: int, defaults: Defaults) -> Body:
    """The body without a split at its start that only joins the entering value with a branch of it.

    split { path { identity } path { a; b } } merge mul   ->   a; b; mul(value_in)
    """
    first = body[0]
    if not isinstance(first, SplitStep) or len(first.paths) != 2 or first.sliced is not None:
        return body
    one, other = first.paths
    if other and (one or not OPERATORS[first.merge].commutes):
        return body
    branch = one or other
    here = here_of(branch[-1])
    fields = tuple([OPERATORS[first.merge].attributes.fields[name] for name in fields_of(first.merge)])
    if is_squeeze_excite(first, defaults) or REQUIRED in fields:
        return body
    return (*branch, OperatorStep(first.merge, fields, (entry,), first.names, here), *body[1:])


def with_shortcuts(body: Body, stated: bool) -> Body:
    """The body with the shortcuts of its residuals stated as bodies, or as kinds if all have one."""

    def one(step: Step) -> Step:
        step = changed_inside(step, lambda inner: with_shortcuts(inner, stated))
        if not isinstance(step, ResidualStep) or step.kind == "body":
            return step
        if stated and (step.shortcut is not None or step.kind == "identity"):
            return step._replace(kind="body", shortcut=step.shortcut or ())
        return step._replace(shortcut=None)

    return tuple([one(step) for step in body])


def _growing(unit: ModuleUnit) -> tuple[set[int], set[int]]:
    """The nodes and units of a unit that belong to growing lists."""
    ends = {growth.end for growth in unit.growths}
    return ends, {id(inner) for growth in unit.growths for inner in growth.units}


def _but_flags(solve: Change) -> Change:
    return lambda kind, value, at: value if kind == "flag" else solve(kind, value, at)


def _with_conditions(body: Body, solver: ArgumentSolver) -> Body:
    """The body with the conditions of its optional parts."""
    result: list[Step] = []
    open_flags: tuple[bool, ...] = ()
    for unsolved in body:
        step = changed_inside(unsolved, lambda inner: _with_conditions(inner, solver))
        if isinstance(step, ResidualStep) and step.shortcut == ():
            step = step._replace(kind="auto", shortcut=None)
        if not isinstance(step, OptionalStep):
            result.append(step)
            continue
        flags = step.flag.values
        last = result[-1] if result else None
        if isinstance(last, OptionalStep) and not last.otherwise and open_flags == tuple([not f for f in flags]):
            result[-1] = last._replace(otherwise=step.body)
            continue
        open_flags = flags
        result.append(step._replace(flag=solver.condition(flags, step.body)))
    return tuple(result)


def in_order(items: list[Item]) -> list[Item]:
    """The items, each after those whose results it reads; almost in order already."""
    giver = {value: item for item in items for value in item.outputs}
    known: set[int] = set()
    for item in items:
        if any(value in giver and value not in known for value in item.inputs):
            break
        known.update(item.outputs)
    else:
        return items
    done: set[int] = set()
    result: list[Item] = []
    for item in items:
        pending = [item]
        while pending:
            last = pending[-1]
            if id(last) in done:
                pending.pop()
                continue
            before = [giver[v] for v in last.inputs if v in giver and id(giver[v]) not in done and giver[v] is not last]
            if before and len(pending) <= len(items):
                pending += before
                continue
            pending.pop()
            done.add(id(last))
            result.append(last)
    return result


def by_label(root: ModuleUnit) -> list[list[ModuleUnit]]:
    """The units inside a unit in groups of one label, so that inner units have a template before outer ones.

    Units of one label at different heights are one group, except in labels that contain each other.
    """
    heights: dict[int, int] = {}
    units: list[ModuleUnit] = []
    inner: dict[str, set[str]] = {}

    def visit(unit: ModuleUnit) -> int:
        height = 0
        for one in unit.units:
            height = max(height, visit(one) + 1)
        if unit is not root:
            heights[id(unit)] = height
            units.append(unit)
            inner.setdefault(unit.label, set()).update(one.label for one in unit.units)
        return height

    visit(root)
    rank = _ranks(inner)
    groups: dict[tuple[int, int, str], list[ModuleUnit]] = {}
    for unit in sorted(units, key=lambda unit: unit.members[0]):
        place = rank.get(unit.label)
        key = (heights[id(unit)], 1, unit.label) if place is None else (place, 0, unit.label)
        groups.setdefault(key, []).append(unit)
    return [groups[key] for key in sorted(groups, key=lambda key: (*key[:2], groups[key][0].members[0]))]


def _ranks(inner: dict[str, set[str]]) -> dict[str, int]:
    """The height of each label; labels that contain each other, or such labels, have none."""
    ranks: dict[str, int] = {}
    pending = dict(inner)
    while True:
        settled = {label for label, labels in pending.items() if labels <= ranks.keys()}
        if not settled:
            return ranks
        for label in settled:
            ranks[label] = max([ranks[one] + 1 for one in pending.pop(label)], default=0)
