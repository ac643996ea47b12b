"""Sizes of traced values: ints that know their value and tell which conditions of a model depend on them."""

from __future__ import annotations

import sys
from typing import Any

import torch

from resnext_dsl.importing.place_lines import is_of_torch


class TracedSize(int):
    """A size of a value in the example.

    Attributes:
        node: The node of the value.
        axis: The axis of the size.
        conditions: The lines of the model that compare a size; comparisons add theirs.
    """

    node: Any
    axis: int
    conditions: set[str]

    def _note(self) -> None:
        frame = sys._getframe(2)
        if not is_of_torch(frame.f_code.co_filename):
            self.conditions.add(f"{frame.f_code.co_filename}:{frame.f_lineno}")

    def __eq__(self, other: object) -> bool:
        self._note()
        return int(self) == other

    def __ne__(self, other: object) -> bool:
        self._note()
        return int(self) != other

    def __lt__(self, other: Any) -> bool:
        self._note()
        return int(self) < other

    def __le__(self, other: Any) -> bool:
        self._note()
        return int(self) <= other

    def __gt__(self, other: Any) -> bool:
        self._note()
        return int(self) > other

    def __ge__(self, other: Any) -> bool:
        self._note()
        return int(self) >= other

    def __hash__(self) -> int:
        return hash(int(self))


def traced_sizes(shape: torch.Size, node: Any, conditions: set[str]) -> tuple[TracedSize, ...]:
    """The sizes of a value."""
    sizes = []
    for axis, number in enumerate(shape):
        size = TracedSize(number)
        size.node, size.axis, size.conditions = node, axis, conditions
        sizes.append(size)
    return tuple(sizes)


def sides_of_one(sizes: Any) -> Any:
    """The node whose sides, in order, are the sizes; None if they are other numbers."""
    if not isinstance(sizes, list | tuple) or not all(isinstance(size, TracedSize) for size in sizes) or not sizes:
        return None
    nodes = {id(size.node) for size in sizes}
    in_order = [size.axis for size in sizes] == list(range(2, 2 + len(sizes)))
    return sizes[0].node if len(nodes) == 1 and in_order else None
