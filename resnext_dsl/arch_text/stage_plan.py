"""Groups the statements of a network into stem, stages and head, by the module tree and by resolution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Part
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Shape

DOMINANT = 0.5
"""A module with more than this share of the nodes is the trunk of the network, and its children are the stages."""

FEWEST = 3
"""A group of statements is a stage only if it has this many operators."""

FEWEST_BESIDE_BLOCKS = 8
"""The same for a group without a block in a network that has blocks."""


class RootStep(NamedTuple):
    """A statement of the network.

    Attributes:
        path: The names of the modules around it.
        nodes: The number of operators that it expands to.
        block: Whether it is a block: a call of a template, or has bodies.
        operator: The operator, if it is one.
        before, after: The shape of the running value.
    """

    path: tuple[str, ...]
    nodes: int
    block: bool
    operator: str
    before: Shape
    after: Shape


class PartPlan(NamedTuple):
    """A part of the network: its kind ("stem", "stage", "head", or "" for statements between parts) and its name."""

    kind: str
    name: str
    start: int
    stop: int


def parts_of(steps: Sequence[RootStep], known: Sequence[Part] = ()) -> list[PartPlan]:
    """The parts, in order; together they have every statement.

    Args:
        steps: The statements of the network.
        known: The parts of the graph, which the text keeps; if there are none, they are inferred.
    """
    if not steps:
        return []
    if known:
        return _known_parts(steps, {part.name: part.kind for part in known if part.kind != "output"})
    head = _head(steps)
    groups = _by_resolution(steps, _by_module(steps, 0, head, 0))
    plans: list[PartPlan] = []
    begun = False
    fewest = FEWEST_BESIDE_BLOCKS if any(step.block for step in steps) else FEWEST
    for start, stop, name in groups:
        blocks = any(step.block for step in steps[start:stop])
        begun = begun or blocks
        many = sum(step.nodes for step in steps[start:stop]) >= fewest
        plans.append(PartPlan("stage" if many or blocks else "", name if begun else "", start, stop))
    plans = _joined(_with_stem(steps, plans))
    if head < len(steps):
        plans.append(PartPlan("head", "head", head, len(steps)))
    return plans


def _known_parts(steps: Sequence[RootStep], kinds: dict[str, str]) -> list[PartPlan]:
    plans: list[PartPlan] = []
    place = 0
    for name, run in groupby(steps, key=lambda step: step.path[0] if step.path and step.path[0] in kinds else ""):
        stop = place + len(list(run))
        kind = kinds.get(name, "")
        if kind in ("stem", "head") and any(plan.kind == kind for plan in plans):
            kind = ""
        plans.append(PartPlan(kind, name, place, stop))
        place = stop
    return _joined(plans)


def _head(steps: Sequence[RootStep]) -> int:
    """The first statement of the head: the last global pooling, or the last `flatten`, if only features follow."""
    place = len(steps)
    for at in range(len(steps) - 1, -1, -1):
        step = steps[at]
        if step.block or step.operator == "use":
            break
        if len(step.after) == 1 or all(side == 1 for side in step.after[1:]):
            place = at
            continue
        break
    if place < len(steps):
        return place
    last = steps[-1]
    return len(steps) - 1 if not last.block and last.operator not in ("use", "") else len(steps)


def _by_module(steps: Sequence[RootStep], start: int, stop: int, depth: int) -> list[tuple[int, int, str]]:
    """Runs of statements of one module; the trunk is cut at its children."""
    total = sum(step.nodes for step in steps[start:stop])
    groups: list[tuple[int, int, str]] = []
    place = start
    for key, run in groupby(steps[start:stop], key=lambda step: step.path[depth : depth + 1]):
        members = list(run)
        end = place + len(members)
        nodes = sum(step.nodes for step in members)
        deeper = any(len(step.path) > depth + 1 for step in members)
        if key and deeper and nodes > DOMINANT * total and len(members) > 1:
            groups += _by_module(steps, place, end, depth + 1)
        else:
            groups.append((place, end, members[0].path[depth] if key else ""))
        place = end
    return groups


def _by_resolution(steps: Sequence[RootStep], groups: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Joins groups of one statement, and cuts groups without a module of their own, if the resolution changes."""
    result: list[tuple[int, int, str]] = []
    loose_from = -1
    trunk: tuple[str, ...] = ()
    for start, stop, name in groups:
        single = stop - start == 1 and (name.isdigit() or not steps[start].block)
        loose = single or not name
        if steps[start].path[:1] != trunk:
            loose_from, trunk = -1, steps[start].path[:1]
        if not loose:
            loose_from = -1
            result.append((start, stop, name))
            continue
        for at in range(start, stop):
            step = steps[at]
            reduces = len(step.after) > 1 and len(step.before) == len(step.after) and step.after[1:] < step.before[1:]
            if loose_from < 0 or (reduces and at > loose_from):
                loose_from = at
                result.append((at, at + 1, name))
            else:
                first, _, old = result[-1]
                result[-1] = (first, at + 1, old or name)
    return result


def _with_stem(steps: Sequence[RootStep], plans: list[PartPlan]) -> list[PartPlan]:
    """The parts before the first block become the stem."""
    count = 0
    while count < len(plans) and not any(step.block for step in steps[plans[count].start : plans[count].stop]):
        count += 1
    if count in (0, len(plans)):
        if count and len(plans) == 1:
            return [plans[0]._replace(kind="")]
        return plans
    return [PartPlan("stem", "stem", plans[0].start, plans[count - 1].stop), *plans[count:]]


def _joined(plans: Sequence[PartPlan]) -> list[PartPlan]:
    """The plans with neighbours outside of stages as one."""
    result: list[PartPlan] = []
    for plan in plans:
        if result and not plan.kind and not result[-1].kind:
            result[-1] = result[-1]._replace(stop=plan.stop)
        else:
            result.append(plan)
    return result


def stage_names(plans: Sequence[PartPlan], give: Any) -> list[str]:
    """A name for each part; stages without a usable name are numbered."""
    names: list[str] = []
    numbers = 0
    for plan in plans:
        if plan.kind != "stage":
            names.append("")
            continue
        numbers += 1
        usable = plan.name and not plan.name[0].isdigit() and plan.name not in OPERATORS
        names.append(give(plan.name if usable else f"stage{numbers}"))
    return names
