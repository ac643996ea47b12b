"""Orders the operators of one block as statements: a running value, and names for values that are read elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

from resnext_dsl.arch_text.step_tree import Step, UseStep


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


class StatementList:
    """The steps of a body; the item of each step, None for a `use`; the nodes that they expand to."""

    __slots__ = ("items", "order", "steps")

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.items: list[Item | None] = []
        self.order: list[int] = []

    def put(self, step: Step, item: Item | None) -> None:
        """Adds a step."""
        self.steps.append(step)
        self.items.append(item)
        if item is not None:
            self.order += item.order


def in_statements(items: Sequence[Item], entry: int, outside: Iterable[int], results: Sequence[int]) -> StatementList:
    """The items as statements, which end in the results.

    Args:
        items: The items, roughly in the order of execution.
        entry: The value that enters the block, the first running value.
        outside: All values from outside of the block, `entry` among them.
        results: The values that the block ends in.

    Raises:
        CyclicItemsError: If the items read each other's results.
    """
    queue = _Queue(items, outside)
    placed = StatementList()
    running: tuple[int, ...] = (entry,)
    read: set[int] = set()
    for _ in items:
        item = queue.next(running)
        inputs = item.inputs
        if running != inputs[:1]:
            read.add(inputs[0])
            placed.put(UseStep(inputs[:1]), None)
        step: Any = item.step
        if len(inputs) > 1:
            read.update(inputs[1:])
            if hasattr(step, "others") and not step.others:
                step = step._replace(others=inputs[1:])
        placed.put(step, item)
        running = item.outputs
        if len(running) > 1:
            read.update(running)
    if running != tuple(results):
        read.update(results)
        placed.put(UseStep(tuple(results)), None)
    for place, placed_item in enumerate(placed.items):
        if placed_item is not None and not read.isdisjoint(placed_item.outputs):
            placed.steps[place] = placed.steps[place]._replace(names=placed_item.outputs)
    return placed


class _Queue:
    """Gives the items one by one, each after those whose results it reads."""

    def __init__(self, items: Sequence[Item], outside: Iterable[int]) -> None:
        self.items = items
        self._done = [False] * len(items)
        self._waits: list[int] = []
        self._waiting: dict[int, list[int]] = {}
        self._continues: dict[int, list[int]] = {}
        known = set(outside)
        for place, item in enumerate(items):
            missing = {value for value in item.inputs if value not in known}
            self._waits.append(len(missing))
            for value in missing:
                self._waiting.setdefault(value, []).append(place)
            self._continues.setdefault(item.inputs[0], []).append(place)
        self._ready = [place for place, count in enumerate(self._waits) if not count]

    def next(self, running: tuple[int, ...]) -> Item:
        """The first item that continues the running value; if there is none, the first item that is ready."""
        place = -1
        if len(running) == 1:
            later = self._continues.get(running[0], ())
            place = next((one for one in later if not self._done[one] and not self._waits[one]), -1)
        while place < 0:
            if not self._ready:
                raise CyclicItemsError("items read each other's results")
            first = heappop(self._ready)
            place = -1 if self._done[first] else first
        self._done[place] = True
        item = self.items[place]
        for value in item.outputs:
            for reader in self._waiting.get(value, ()):
                self._waits[reader] -= 1
                if not self._waits[reader]:
                    heappush(self._ready, reader)
        return item
