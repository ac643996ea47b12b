"""Turns views into nodes: slices, subsamples, shuffles, pixel shuffles and `flatten`, if an operator needs them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from resnext_dsl.importing.lowering.axis_views import (
    REPEATED,
    SAMPLES,
    Atom,
    AxisWindow,
    Dimension,
    ValueView,
    axes_in,
    axis_atoms,
    joined,
    size_of,
)
from resnext_dsl.importing.lowering.state import Lowering, unreadable
from resnext_dsl.operators.base import Shape
from resnext_dsl.operators.ranks import rank_of
from resnext_dsl.operators.spatial import PAIRS

CHANNELS = 1
"""The axis of the channels."""

REARRANGED = "its value is a map whose axes are rearranged in a way that no operator of the language computes"
SPREAD = "the channels of its value are spread over several axes"
MOST_SHUFFLES = 3


def settled(state: Lowering, view: ValueView) -> ValueView:
    """The view without windows: nodes cut the axes."""
    if not view.windows:
        return view
    for window in view.windows:
        if window.axis == CHANNELS:
            view = view._replace(node=_sliced(state, view, window))
    sides = [window for window in view.windows if window.axis != CHANNELS]
    if sides:
        view = view._replace(node=_cropped(state, view, sides))
    return view._replace(windows=())


def _sliced(state: Lowering, view: ValueView, window: AxisWindow) -> int:
    if window.step != 1:
        raise unreadable("it takes channels at a distance, which no operator of the language does")
    draft = state.nodes[view.node]
    if draft.operator == "concat":
        start = 0
        for source in draft.inputs:
            count = state.shape(source)[0]
            if (start, count) == (window.start, window.length):
                return source
            start += count
    arguments = {"start": window.start, "stop": window.start + window.length}
    return state.add("slice", arguments, [view.node], view.path)


def _cropped(state: Lowering, view: ValueView, windows: Sequence[AxisWindow]) -> int:
    """The rows and columns from a start at a distance: `pad` with negative numbers, then `subsample`."""
    shape = state.shape(view.node)
    names = PAIRS[-rank_of(shape) :]
    removed, stride = {}, [1] * rank_of(shape)
    for window in windows:
        side = window.axis - 2
        reach = window.start + (window.length - 1) * window.step + 1
        rest = shape[side + 1] - reach
        before, after = names[side]
        removed[before] = -window.start
        removed[after] = -(rest if window.step == 1 or rest >= window.step else 0)
        stride[side] = window.step
    node = view.node
    if any(removed.values()):
        node = state.add("pad", {name: number for name, number in removed.items() if number}, [node], view.path)
    return state.add("subsample", {"stride": tuple(stride)}, [node], view.path) if max(stride) > 1 else node


def channel_atoms(view: ValueView) -> list[Atom]:
    """The atoms of the channels in all dimensions, in the order of the axis."""
    atoms = [atom for dimension in view.dimensions for atom in dimension if atom.axis == CHANNELS]
    return sorted(atoms, key=lambda atom: -atom.stride)


def rearranged(state: Lowering, view: ValueView, order: Sequence[Atom]) -> ValueView:
    """The view on a node whose channels have this order of atoms: `shuffle` moves them."""
    node, shape = view.node, state.shape(view.node)
    base = channel_atoms(view)
    if math.prod([atom.size for atom in base]) != shape[0] or len({*base}) < len(base):
        raise unreadable(REARRANGED)
    for groups, unit in _shuffles([atom.size for atom in base], [base.index(atom) for atom in order]):
        node = state.add("shuffle", {"groups": groups, "unit": unit}, [node], view.path)
    moved, stride = {}, shape[0]
    for atom in order:
        stride //= atom.size
        moved[atom] = Atom(CHANNELS, stride, atom.size)
    dimensions = [tuple([moved.get(atom, atom) for atom in dimension]) for dimension in view.dimensions]
    return view._replace(node=node, dimensions=tuple(dimensions))


def _shuffles(sizes: Sequence[int], order: Sequence[int]) -> list[tuple[int, int]]:
    """The shuffles (groups, unit) that put the atoms of an axis in an order; at most `MOST_SHUFFLES`."""
    start = tuple(range(len(sizes)))
    known: dict[tuple[int, ...], list[tuple[int, int]]] = {start: []}
    frontier = [start]
    for _ in range(MOST_SHUFFLES):
        if tuple(order) in known:
            break
        following = []
        for state in frontier:
            for turned, groups, unit in _turns(state, sizes):
                if turned not in known:
                    known[turned] = [*known[state], (groups, unit)]
                    following.append(turned)
        frontier = following
    if tuple(order) not in known:
        raise unreadable(REARRANGED)
    return known[tuple(order)]


def _turns(order: tuple[int, ...], sizes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Each order that one shuffle gives: [groups][rest][unit] -> [rest][groups][unit]."""
    for first, second in combinations(range(1, len(order) + 1), 2):
        head, middle, tail = order[:first], order[first:second], order[second:]
        groups, unit = math.prod([sizes[place] for place in head]), math.prod([sizes[place] for place in tail])
        yield (*middle, *head, *tail), groups, unit


def with_channels(state: Lowering, view: ValueView, place: int) -> ValueView:
    """The view on a node whose channels are one dimension of the view, in order."""
    view = settled(state, view)
    shape = state.shape(view.node)
    if place == 1 and view.dimensions is state.axes(shape):
        return view
    if not -len(view.dimensions) <= place < len(view.dimensions):
        raise unreadable(f"its value has {len(view.dimensions)} axes")
    atoms = joined(view.dimensions[place])
    plain = axis_atoms(CHANNELS, shape[0])
    if atoms != plain and len(view.dimensions) == 2 and axes_in(atoms) != {CHANNELS}:
        return state.whole(as_node(state, view), view.path)
    if atoms != plain:
        if axes_in(atoms) - {CHANNELS}:
            raise unreadable(f"the channels of its value are not along axis {place}")
        if size_of(atoms) != shape[0]:
            raise unreadable(SPREAD)
        view = rearranged(state, view, view.dimensions[place])
    if any(atom.axis == REPEATED for dimension in view.dimensions for atom in dimension):
        raise unreadable("its value is repeated along an axis")
    dimensions = list(view.dimensions)
    dimensions[place] = plain
    return view._replace(dimensions=tuple(dimensions))


def outermost(state: Lowering, view: ValueView, place: int) -> ValueView:
    """The view on a node whose channels begin with the atom of one dimension of the view."""
    view = settled(state, view)
    dimension = joined(view.dimensions[place])
    if axes_in(dimension) != {CHANNELS}:
        raise unreadable(REARRANGED)
    if len(dimension) > 1 or dimension[0].stride * dimension[0].size != state.shape(view.node)[0]:
        atoms = view.dimensions[place]
        view = rearranged(state, view, [*atoms, *(atom for atom in channel_atoms(view) if atom not in atoms)])
    dimensions = list(view.dimensions)
    dimensions[place] = joined(view.dimensions[place])
    return view._replace(dimensions=tuple(dimensions))


def as_node(state: Lowering, view: ValueView) -> int:
    """The node whose own axes are the dimensions of the view.

    Raises:
        RuleError: E610 if no operators of the language arrange the value so.
    """
    view = settled(state, view)
    shape = state.shape(view.node)
    if view.dimensions is state.axes(shape) or is_whole(view.dimensions, shape):
        return view.node
    if any(atom.axis == REPEATED for dimension in view.dimensions for atom in dimension):
        raise unreadable("its value is repeated along an axis")
    if joined(view.dimensions[0]) != axis_atoms(0, SAMPLES):
        raise unreadable("it mixes the samples of a batch")
    if len(view.dimensions) == 2:
        return _flattened(state, view)
    if len(view.dimensions) != len(state.shape(view.node)) + 1:
        raise unreadable(f"{REARRANGED}: it has {len(view.dimensions)} axes")
    if any(axes_in(dimension) - {CHANNELS, 2, 3} for dimension in view.dimensions[1:]):
        raise unreadable(REARRANGED)
    if axes_in(view.dimensions[1]) - {CHANNELS}:
        view = _unshuffled(state, view)
    elif any(CHANNELS in axes_in(dimension) for dimension in view.dimensions[2:]):
        return _shuffled(state, view)
    view = with_channels(state, view, 1)
    if not is_whole(view.dimensions, state.shape(view.node)):
        raise unreadable(REARRANGED)
    return view.node


def is_whole(dimensions: Sequence[Dimension], shape: Shape) -> bool:
    """Whether the dimensions are the axes of a shape, in order."""
    return len(dimensions) == len(shape) + 1 and all(
        joined(dimension) == axis_atoms(axis, size)
        for axis, (dimension, size) in enumerate(zip(dimensions, (SAMPLES, *shape), strict=True))
    )


def _flattened(state: Lowering, view: ValueView) -> int:
    """`flatten` of a map, whose channels may have another order."""
    shape = state.shape(view.node)
    atoms = view.dimensions[1]
    channels = [atom for atom in atoms if atom.axis == CHANNELS]
    sides = joined(atoms[len(channels) :])
    expected = tuple([atom for axis, size in enumerate(shape[1:], 2) for atom in axis_atoms(axis, size)])
    if any(atom.axis != CHANNELS for atom in atoms[: len(channels)]) or sides != expected:
        hint = "the language flattens channels first"
        raise unreadable("it flattens a map in another order than channels and then sides", hint)
    if joined(channels) != axis_atoms(CHANNELS, shape[0]):
        view = rearranged(state, view, channels)
    return state.add("flatten", {}, [view.node], view.path) if rank_of(shape) else view.node


def _unshuffled(state: Lowering, view: ValueView) -> ValueView:
    """The view on a node in which squares of pixels are channels: `pixel_unshuffle`."""
    shape = state.shape(view.node)
    factor = next(atom.size for atom in view.dimensions[1] if atom.axis != CHANNELS)
    rows, columns = Atom(2, 1, factor), Atom(3, 1, factor)
    if len(shape) != 3 or rows not in view.dimensions[1] or columns not in view.dimensions[1]:
        raise unreadable(REARRANGED)
    node = state.add("pixel_unshuffle", {"factor": factor}, [view.node], view.path)
    square = factor * factor
    moved = {rows: Atom(CHANNELS, factor, factor), columns: Atom(CHANNELS, 1, factor)}
    dimensions = [tuple([_under(atom, moved, square, factor) for atom in each]) for each in view.dimensions]
    return view._replace(node=node, dimensions=tuple(dimensions))


def _under(atom: Atom, moved: dict[Atom, Atom], square: int, factor: int) -> Atom:
    if atom in moved:
        return moved[atom]
    if atom.axis == CHANNELS:
        return Atom(CHANNELS, atom.stride * square, atom.size)
    return Atom(atom.axis, atom.stride // factor, atom.size) if atom.axis in (2, 3) else atom


def _shuffled(state: Lowering, view: ValueView) -> int:
    """`pixel_shuffle` of a map whose channels have been arranged for it."""
    shape = state.shape(view.node)
    (*_, rows), (*_, columns) = view.dimensions[2], view.dimensions[3]
    order = [*view.dimensions[1], rows, columns]
    sides = [joined(dimension[:-1]) for dimension in view.dimensions[2:]]
    square = rows.size == columns.size and rows.axis == columns.axis == CHANNELS
    if len(shape) != 3 or not square or sides != [axis_atoms(2, shape[1]), axis_atoms(3, shape[2])]:
        raise unreadable(REARRANGED)
    if order != channel_atoms(view):
        view = rearranged(state, view, order)
    return state.add("pixel_shuffle", {"factor": rows.size}, [view.node], view.path)
