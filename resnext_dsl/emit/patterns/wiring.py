"""From several blocks to the pattern of one class: the union of their steps, from which each block can be read back.

A step that a block lacks passes its first input on. With that rule, the inputs of each step in the union must resolve
to the inputs in every block. Blocks for which that fails get separate classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from resnext_dsl.emit.blocks.module_block import ForwardStep, MismatchError, ModuleBlock, Ref
from resnext_dsl.emit.patterns.pattern_tree import (
    ABSENT,
    ChoicePattern,
    ClassPattern,
    NamedPattern,
    NumberedPattern,
    OptionalPattern,
    Pattern,
    Slot,
    StepPattern,
)
from resnext_dsl.emit.patterns.unify import check_alike, merged_order, unify


def unify_blocks(blocks: Sequence[ModuleBlock], weights: Sequence[int]) -> ClassPattern:
    """The pattern of the class that makes all blocks.

    Args:
        blocks: Different blocks.
        weights: How often each of them occurs.

    Raises:
        MismatchError: If no class makes them all.
    """
    first = blocks[0]
    if len({(block.inputs, len(block.outputs), block.listed) for block in blocks}) > 1:
        raise MismatchError("different numbers of values")
    tables = [{step.name: step for step in block.steps} for block in blocks]
    names = [list(table) for table in tables]
    order = merged_order(names)
    check_alike(names, order)
    wires = _Wires(order, tables)
    outputs = wires.check_outputs([block.outputs for block in blocks])
    steps = tuple(_step(wires, tables, name) for name in order)
    pattern = ClassPattern(
        len(blocks),
        tuple(weights),
        first.inputs,
        Slot(tuple(block.in_channels for block in blocks)),
        Slot(tuple(block.out_channels for block in blocks)),
        _arguments(blocks),
        _children(blocks),
        steps,
        outputs,
        first.listed,
    )
    _check_groups(pattern)
    _check_containers(pattern)
    return pattern


def step_groups(steps: Sequence[StepPattern]) -> list[list[StepPattern]]:
    """The steps in groups: adjacent steps that the same rows lack are one group, any other step is one."""
    groups: list[list[StepPattern]] = []
    for flag, group in groupby(steps, key=lambda step: step.flag):
        together = list(group)
        groups += [[step] for step in together] if flag is None else [together]
    return groups


def is_slot(group: Sequence[StepPattern]) -> bool:
    """Whether an optional group is one module with one input, which `nn.Identity` can replace."""
    step = group[0].step
    return len(group) == 1 and step.kind == "call" and "." not in step.child and len(step.inputs) == step.outputs == 1


def passed_on(group: Sequence[StepPattern]) -> Ref:
    """The value that replaces the result of an optional group in rows that lack it."""
    inside = {step.step.name: step.step for step in group}
    ref: Ref = (group[-1].step.name, 0)
    while ref[0] in inside:
        ref = inside[ref[0]].inputs[0]
    return ref


class _Wires:
    """The inputs of each step of the union."""

    def __init__(self, order: list[str], tables: list[dict[str, ForwardStep]]) -> None:
        self.tables = tables
        self.place = {name: place for place, name in enumerate(order)}
        self.inputs = {name: self._latest([t[name].inputs for t in tables if name in t]) for name in order}
        for table in tables:
            for name, step in table.items():
                self._check(self.inputs[name], step.inputs, table)

    def check_outputs(self, outputs: list[tuple[Ref, ...]]) -> tuple[Ref, ...]:
        """The outputs of the union."""
        union = self._latest(outputs)
        for table, actual in zip(self.tables, outputs, strict=True):
            self._check(union, actual, table)
        return union

    def _latest(self, choices: list[tuple[Ref, ...]]) -> tuple[Ref, ...]:
        """For each input, the value that is computed last; rows that lack its step resolve it to one of the others."""
        if len({len(choice) for choice in choices}) > 1:
            raise MismatchError("different numbers of inputs")
        return tuple(
            max(refs, key=lambda ref: (self.place.get(ref[0], -1), ref[1])) for refs in zip(*choices, strict=True)
        )

    def _check(self, union: tuple[Ref, ...], actual: tuple[Ref, ...], table: dict[str, ForwardStep]) -> None:
        if tuple(self._resolve(ref, table) for ref in union) != actual:
            raise MismatchError("wired differently")

    def _resolve(self, ref: Ref, table: dict[str, ForwardStep]) -> Ref:
        while ref[0] and ref[0] not in table:
            if ref[1]:
                raise MismatchError("an absent step gives one value only")
            ref = self.inputs[ref[0]][0]
        return ref


def _step(wires: _Wires, tables: list[dict[str, ForwardStep]], name: str) -> StepPattern:
    steps = [table.get(name) for table in tables]
    present = [step for step in steps if step is not None]
    first = replace(present[0], inputs=wires.inputs[name], literals=(), heavy=any(step.heavy for step in present))
    keys = [key for key, _ in present[0].literals]
    for step in present:
        if replace(step, inputs=first.inputs, literals=(), heavy=first.heavy) != first:
            raise MismatchError("different steps of one name")
        if [key for key, _ in step.literals] != keys:
            raise MismatchError("different literals")
    columns = [
        Slot(tuple(ABSENT if step is None else step.literals[place][1] for step in steps)) for place in range(len(keys))
    ]
    if len(present) < len(steps) and first.kind == "call" and first.child != first.name:
        raise MismatchError("an optional use of a shared module")
    flag = None if len(present) == len(steps) else Slot(tuple(step is not None for step in steps))
    return StepPattern(first, tuple(zip(keys, columns, strict=True)), flag)


def _arguments(blocks: Sequence[ModuleBlock]) -> tuple[tuple[str, Slot], ...]:
    tables = [dict(block.arguments) for block in blocks]
    names = list(dict.fromkeys(name for table in tables for name in table))
    return tuple((name, Slot(tuple(table.get(name, ABSENT) for table in tables))) for name in names)


def _children(blocks: Sequence[ModuleBlock]) -> tuple[tuple[str, Pattern], ...]:
    tables = [dict(block.children) for block in blocks]
    order = merged_order([list(table) for table in tables])
    return tuple((name, unify([table.get(name) for table in tables])) for name in order)


def _check_groups(pattern: ClassPattern) -> None:
    """Check that only the last value of an optional group is read outside; a row that lacks it passes one value on."""
    for group in step_groups(pattern.steps):
        if group[0].flag is None or is_slot(group):
            continue
        inside = {step.step.name for step in group}
        outside = [step.step.inputs for step in pattern.steps if step.step.name not in inside]
        read = {ref for refs in [*outside, pattern.outputs] for ref in refs if ref[0] in inside}
        if read - {(group[-1].step.name, 0)} or group[-1].step.outputs > 1:
            raise MismatchError("an optional group gives several values")


def _check_containers(pattern: ClassPattern) -> None:
    """Check the lists whose items steps call.

    A list that is merged must have no optional path, because `nn.Identity` would be one path more. A list whose items
    are called by number must have the same length in all rows.
    """
    children = dict(pattern.children)
    for step in pattern.steps:
        outer = children.get(step.step.child.partition(".")[0])
        if "." in step.step.child and isinstance(outer, OptionalPattern) and outer.flag != step.flag:
            raise MismatchError("a list with another condition than its items")
        if step.step.kind == "call":
            container = inner_pattern(children, step.step.child.rpartition(".")[0])
            if isinstance(container, OptionalPattern):
                container = container.body
            if isinstance(container, NumberedPattern) and container.size() is None:
                raise MismatchError("items called by number in a list of varying length")
            if isinstance(container, ChoicePattern):
                raise MismatchError("a list here and a table there")
        elif step.step.kind != "compute":
            container = inner_pattern(children, step.step.child)
            if isinstance(container, OptionalPattern):
                container = container.body
            if isinstance(container, NumberedPattern):
                if any(isinstance(run.body, OptionalPattern) for run in container.runs):
                    raise MismatchError("paths of different number")
            elif step.step.kind == "merge":
                raise MismatchError("paths that are no list")


def inner_pattern(children: Mapping[str, Pattern], path: str) -> Pattern | None:
    """The pattern of the module at a path; None if there is no such module, or if rows differ in its place."""
    first, _, rest = path.partition(".")
    pattern = children.get(first)
    while rest and pattern is not None:
        body = pattern.body if isinstance(pattern, OptionalPattern) else pattern
        first, _, rest = rest.partition(".")
        if isinstance(body, NamedPattern):
            pattern = dict(body.children).get(first)
        else:
            pattern = body.item(int(first)) if isinstance(body, NumberedPattern) else None
    return pattern
