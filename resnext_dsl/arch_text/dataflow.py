"""Orders the operators of one block as statements: a running value, and names for values that are read elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

from resnext_dsl.arch_text.step_tree import OperatorStep, Step, UseStep


class CyclicItemsError(Exception):
    """Items read each other's results, so no order of statements exists."""


class Item:
    """A statement to be placed.

    Attributes:
        inputs: The values that it reads; the first is the running value.
        outputs: The values that it gives.
        step: The statement; `others` and `names` are set when it is placed.
        order: The nodes that it expands to, in the order of expansion.
        commutes: Whether its inputs may change places.
    """

    __slots__ = ("commutes", "inputs", "order", "outputs", "step")

    def __init__(
        self, inputs: Sequence[int], outputs: Sequence[int], step: Step, order: list[int], commutes: bool = False
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.step = step
        self.order = order
        self.commutes = commutes


class Placed:
    """The steps of a body; the item of each step, None for a `use`; the nodes that they expand to."""

    __slots__ = ("items", "order", "steps")

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.items: list[Item | None] = []
        self.order: list[int] = []


def in_statements(items: Sequence[Item], entry: int, given: Iterable[int], results: Sequence[int]) -> Placed:
    """The items as statements, which end in the results.

    Args:
        items: The items, roughly in the order of execution.
        entry: The value that enters the block, the first running value.
        given: All values from outside of the block, `entry` among them.
        results: The values that the block ends in.

    Raises:
        CyclicItemsError: If the items read each other's results.
    """
    known = set(given)
    readers: dict[int, list[int]] = {}
    waits: list[int] = []
    for place, item in enumerate(items):
        missing = {value for value in item.inputs if value not in known}
        waits.append(len(missing))
        for value in missing:
            readers.setdefault(value, []).append(place)
    first_of: dict[int, list[int]] = {}
    for place, item in enumerate(items):
        for value in item.inputs if item.commutes else item.inputs[:1]:
            first_of.setdefault(value, []).append(place)
    ready = [place for place, count in enumerate(waits) if not count]
    done: set[int] = set()
    placed = Placed()
    steps = placed.steps
    running: tuple[int, ...] = (entry,)
    giver: dict[int, int] = {}
    needed: set[int] = set()
    while len(done) < len(items):
        chosen = -1
        if len(running) == 1:
            for place in first_of.get(running[0], ()):
                if place not in done and not waits[place]:
                    chosen = place
                    break
        while chosen < 0:
            if not ready:
                raise CyclicItemsError
            place = heappop(ready)
            if place not in done:
                chosen = place
        done.add(chosen)
        item = items[chosen]
        inputs = item.inputs
        if len(running) == 1 and item.commutes and running[0] in inputs:
            at = inputs.index(running[0])
            inputs = (running[0], *inputs[:at], *inputs[at + 1 :])
        if running != inputs[:1]:
            needed.add(inputs[0])
            steps.append(UseStep(inputs[:1]))
            placed.items.append(None)
        step: Any = item.step
        if len(inputs) > 1:
            needed.update(inputs[1:])
            if hasattr(step, "others") and not step.others:
                step = step._replace(others=inputs[1:])
        for value in item.outputs:
            giver[value] = len(steps)
            for reader in readers.get(value, ()):
                waits[reader] -= 1
                if not waits[reader]:
                    heappush(ready, reader)
        steps.append(step)
        placed.items.append(item)
        placed.order += item.order
        running = item.outputs
        if len(running) > 1:
            needed.update(running)
    if running != tuple(results):
        needed.update(results)
        steps.append(UseStep(tuple(results)))
        placed.items.append(None)
    _name(steps, items, giver, needed)
    return placed


def _name(steps: list[Any], items: Sequence[Item], giver: dict[int, int], needed: set[int]) -> None:
    """Names the values that later statements read."""
    of_step: dict[int, tuple[int, ...]] = {}
    for item in items:
        if needed.intersection(item.outputs):
            of_step[giver[item.outputs[0]]] = item.outputs
    for place, names in of_step.items():
        steps[place] = steps[place]._replace(names=names)
