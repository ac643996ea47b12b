"""Views of a value: its axes split, joined, moved, cut and repeated, without a node for any of it.

A node of the graph has the axes batch (0), channels (1) and sides (2, 3, ...). A view has dimensions, each made of
atoms of these axes, outermost first. A reshape splits and joins atoms, a permute moves them. Windows cut the
axes before any atoms are taken. An operator turns a view into nodes if it needs its dimensions in the order of the
language.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape

SAMPLES = 1_000_003
"""Stands for the number of samples in sizes: a prime, so that only the batch and its multiples are divisible by it."""

REPEATED = -1
"""The axis of an atom that repeats elements."""


class Atom(NamedTuple):
    """A part of an axis: `size` elements at a distance of `stride`."""

    axis: int
    stride: int
    size: int


Dimension = tuple[Atom, ...]
"""The atoms of a dimension, outermost first; none for a dimension of size 1."""


class AxisWindow(NamedTuple):
    """The part of an axis that a view sees: `length` elements from `start`, at a distance of `step`."""

    axis: int
    start: int
    length: int
    step: int = 1


class ValueView(NamedTuple):
    """A value as the source sees it.

    Attributes:
        node: The position of a node.
        dimensions: The atoms of each dimension.
        windows: The cut axes.
        path: The path of the module that last changed the view.
    """

    node: int
    dimensions: tuple[Dimension, ...]
    windows: tuple[AxisWindow, ...] = ()
    path: str = ""


def whole(node: int, shape: Shape, path: str = "") -> ValueView:
    """The value of a node with its own dimensions."""
    return ValueView(node, tuple([axis_atoms(axis, size) for axis, size in enumerate((SAMPLES, *shape))]), (), path)


def axis_atoms(axis: int, size: int) -> Dimension:
    """The dimension that is a whole axis."""
    return (Atom(axis, 1, size),) if size != 1 else ()


def size_of(dimension: Dimension) -> int:
    """The size of a dimension."""
    return math.prod([atom.size for atom in dimension])


def sizes_of(view: ValueView) -> tuple[int, ...]:
    """The sizes of a view."""
    return tuple([size_of(dimension) for dimension in view.dimensions])


def joined(atoms: Iterable[Atom]) -> Dimension:
    """The atoms with neighbours joined that follow each other on one axis."""
    result: list[Atom] = []
    for atom in atoms:
        last = result[-1] if result else None
        if last is not None and last.axis == atom.axis and last.stride == atom.stride * atom.size:
            result[-1] = Atom(atom.axis, atom.stride, last.size * atom.size)
        elif last is not None and last.axis == atom.axis == REPEATED:
            result[-1] = Atom(REPEATED, 0, last.size * atom.size)
        else:
            result.append(atom)
    return tuple(result)


def axes_in(dimension: Dimension) -> set[int]:
    """The axes that a dimension has atoms of."""
    return {atom.axis for atom in dimension}


def reshaped(view: ValueView, sizes: Sequence[int]) -> tuple[Dimension, ...] | None:
    """The dimensions of the view with other sizes; None if a size cuts an axis where it cannot be cut."""
    left = list(joined([atom for dimension in view.dimensions for atom in dimension]))
    dimensions = []
    for size in sizes:
        dimension, left = _taken(left, size)
        if dimension is None:
            return None
        dimensions.append(dimension)
    return None if left else tuple(dimensions)


def _taken(left: list[Atom], size: int) -> tuple[Dimension | None, list[Atom]]:
    """The first atoms with this size, and the other atoms."""
    taken = []
    while size > 1:
        if not left:
            return None, left
        atom, *rest = left
        if size % atom.size == 0:
            taken.append(atom)
            size //= atom.size
            left = rest
        elif atom.size % size == 0 and atom.axis != 0:
            inner = atom.size // size
            taken.append(Atom(atom.axis, atom.stride * inner, size))
            left = [Atom(atom.axis, atom.stride, inner), *rest]
            size = 1
        else:
            return None, left
    return tuple(taken), left


def resolved_sizes(view_sizes: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes with the number that -1 stands for."""
    if -1 not in sizes:
        return tuple(sizes)
    known = math.prod([size for size in sizes if size != -1])
    return tuple([math.prod(view_sizes) // known if size == -1 else size for size in sizes])


def without_repeats(view: ValueView) -> ValueView:
    """The view with size 1 where elements are repeated."""
    if not any(atom.axis == REPEATED for dimension in view.dimensions for atom in dimension):
        return view
    dimensions = [tuple([atom for atom in dimension if atom.axis != REPEATED]) for dimension in view.dimensions]
    return view._replace(dimensions=tuple(dimensions))


def windowed(view: ValueView, window: AxisWindow) -> ValueView:
    """The view with one more axis cut; a window on a cut axis counts from its start."""
    before = next((one for one in view.windows if one.axis == window.axis), None)
    if before is not None:
        start = before.start + window.start * before.step
        window = AxisWindow(window.axis, start, window.length, before.step * window.step)
    others = tuple([one for one in view.windows if one.axis != window.axis])
    return view._replace(windows=tuple(sorted((*others, window))))
