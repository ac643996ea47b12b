"""Calls that change the view of a value: reshape, permute, slice, split, expand and the like.

They add no nodes, except that a slice of rearranged channels needs the channels in order. On stored tensors they add
steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resnext_dsl.importing.lowering.axis_views import (
    REPEATED,
    SAMPLES,
    Atom,
    AxisWindow,
    ValueView,
    joined,
    reshaped,
    resolved_sizes,
    size_of,
    sizes_of,
    windowed,
)
from resnext_dsl.importing.lowering.state import Lowering, unreadable
from resnext_dsl.importing.lowering.stored_values import CallFormula, Weight
from resnext_dsl.importing.lowering.view_nodes import CHANNELS, as_node, outermost, settled, with_channels

Arguments = Mapping[str, Any]
Viewable = ValueView | Weight


def value_of(arguments: Arguments) -> Any:
    """The value that a call is applied to."""
    return arguments["self"] if "self" in arguments else arguments.get("input")


def value_sizes(value: Any) -> tuple[int, ...]:
    """The sizes of a value or a stored tensor."""
    if isinstance(value, ValueView):
        return sizes_of(value)
    if isinstance(value, Weight):
        return value.shape
    raise unreadable("its sizes are not known")


def place_of(dimension: int, count: int) -> int:
    """The position of a dimension that may count from the end."""
    return dimension + count if dimension < 0 else dimension


def with_sizes(state: Lowering, value: Viewable, sizes: Sequence[int]) -> Viewable:
    """The value with other sizes."""
    known = value_sizes(value)
    wanted = resolved_sizes(known, tuple(sizes))
    if math.prod(wanted) != math.prod(known):
        raise unreadable(f"it gives {list(known)} the sizes {list(wanted)}")
    if isinstance(value, Weight):
        return value.then("reshape", wanted, wanted) if wanted != known else value
    value = settled(state, value)
    dimensions = reshaped(value, wanted)
    if dimensions is None:
        node = as_node(state, value)
        value = state.whole(node, state.call.path)
        dimensions = reshaped(value, wanted)
    if dimensions is None:
        raise unreadable(f"it cuts the axes of {_shown(known)} into {_shown(wanted)}")
    return value._replace(dimensions=dimensions, path=state.call.path)


def _shown(sizes: Sequence[int]) -> str:
    return "x".join("batch" if size == SAMPLES else str(size) for size in sizes)


def _reshape(state: Lowering, arguments: Arguments) -> Any:
    sizes = arguments.get("size", arguments.get("shape"))
    return with_sizes(state, value_of(arguments), [sizes] if isinstance(sizes, int) else sizes)


def _like(state: Lowering, arguments: Arguments) -> Any:
    return with_sizes(state, value_of(arguments), value_sizes(arguments["other"]))


def _flatten(state: Lowering, arguments: Arguments) -> Any:
    value = value_of(arguments)
    sizes = value_sizes(value)
    start = place_of(arguments.get("start_dim", 0), len(sizes))
    end = place_of(arguments.get("end_dim", -1), len(sizes))
    joined_size = math.prod(sizes[start : end + 1])
    return with_sizes(state, value, (*sizes[:start], joined_size, *sizes[end + 1 :]))


def _unflatten(state: Lowering, arguments: Arguments) -> Any:
    value = value_of(arguments)
    sizes = value_sizes(value)
    place = place_of(arguments["dim"], len(sizes))
    parts = resolved_sizes(sizes[place : place + 1], tuple(arguments["sizes"]))
    return with_sizes(state, value, (*sizes[:place], *parts, *sizes[place + 1 :]))


def _permute(state: Lowering, arguments: Arguments) -> Any:
    dims = arguments["dims"]
    return permuted(state, value_of(arguments), dims)


def permuted(state: Lowering, value: Viewable, dims: Sequence[int]) -> Viewable:
    """The value with its dimensions in another order."""
    count = len(value_sizes(value))
    order = tuple([place_of(dim, count) for dim in dims])
    if isinstance(value, Weight):
        return value.then("permute", order, tuple([value.shape[place] for place in order]))
    return value._replace(dimensions=tuple([value.dimensions[place] for place in order]), path=state.call.path)


def _transpose(state: Lowering, arguments: Arguments) -> Any:
    value = value_of(arguments)
    count = len(value_sizes(value))
    order = list(range(count))
    one, two = place_of(arguments.get("dim0", 0), count), place_of(arguments.get("dim1", 1), count)
    order[one], order[two] = two, one
    return permuted(state, value, order)


def _squeeze(state: Lowering, arguments: Arguments) -> Any:
    value = value_of(arguments)
    sizes = value_sizes(value)
    dims = arguments.get("dim")
    listed = range(len(sizes)) if dims is None else [dims] if isinstance(dims, int) else dims
    places = {place_of(dim, len(sizes)) for dim in listed}
    return with_sizes(state, value, [size for place, size in enumerate(sizes) if size != 1 or place not in places])


def _unsqueeze(state: Lowering, arguments: Arguments) -> Any:
    value = value_of(arguments)
    sizes = list(value_sizes(value))
    sizes.insert(place_of(arguments["dim"], len(sizes) + 1), 1)
    return with_sizes(state, value, sizes)


def _expand(state: Lowering, arguments: Arguments) -> Any:
    value = value_of(arguments)
    wanted = arguments["size"] if "size" in arguments else value_sizes(arguments["other"])
    return expanded(state, value, wanted)


def expanded(state: Lowering, value: Viewable, wanted: Sequence[int]) -> Viewable:
    """The value with elements repeated along dimensions of size 1."""
    sizes = value_sizes(value)
    added = len(wanted) - len(sizes)
    sizes = (1,) * added + sizes
    target = tuple([size if new == -1 else new for size, new in zip(sizes, wanted, strict=True)])
    if isinstance(value, Weight):
        return value.then("expand", target, target) if target != value.shape else value
    dimensions = ((),) * added + value.dimensions
    repeated = [
        (Atom(REPEATED, 0, new),) if size == 1 and new != 1 else dimension
        for dimension, size, new in zip(dimensions, sizes, target, strict=True)
    ]
    return value._replace(dimensions=tuple(repeated), path=state.call.path)


def _slice(state: Lowering, arguments: Arguments) -> Any:
    dim, start, end = arguments.get("dim", 0), arguments.get("start"), arguments.get("end")
    return cut(state, value_of(arguments), dim, start, end, arguments.get("step", 1))


def _narrow(state: Lowering, arguments: Arguments) -> Any:
    start = arguments["start"]
    return cut(state, value_of(arguments), arguments["dim"], start, start + arguments["length"])


def cut(state: Lowering, value: Viewable, dim: int, start: int | None, end: int | None, step: int = 1) -> Viewable:
    """The elements of a value from a start to an end along one dimension."""
    sizes = value_sizes(value)
    place = place_of(dim, len(sizes))
    first, last, step = slice(start, end, step).indices(sizes[place])
    count = len(range(first, last, step))
    if count == sizes[place]:
        return value
    if count == 0:
        raise unreadable("it takes no elements")
    if isinstance(value, Weight):
        if step != 1:
            raise unreadable("it takes elements of a stored tensor at a distance")
        shape = (*sizes[:place], count, *sizes[place + 1 :])
        return value.then("narrow", (place, first, count), shape)
    return _window(state, value, place, first, count, step)._replace(path=state.call.path)


def _window(state: Lowering, view: ValueView, place: int, first: int, count: int, step: int) -> ValueView:
    """The view with a window on the axis that the dimension is, or on the channels that it is the outermost part of."""
    atoms = joined(view.dimensions[place])
    atom = atoms[0]
    if atom.axis == 0:
        raise unreadable("it takes some samples of a batch apart")
    extent = _extent(state, view, atom.axis)
    if len(atoms) > 1 or atom.stride * atom.size != extent or (atom.stride > 1 and atom.axis != CHANNELS):
        view = (
            with_channels(state, view, place)
            if size_of(atoms) == _channels(state, view)
            else outermost(state, view, place)
        )
        (atom,) = joined(view.dimensions[place])
    window = AxisWindow(atom.axis, first * atom.stride, count * atom.stride, step)
    if step > 1 and atom.stride > 1:
        raise unreadable("it takes channels at a distance, which no operator of the language does")
    kept = (Atom(atom.axis, atom.stride, count),) if count > 1 else ()
    dimensions = (*view.dimensions[:place], kept, *view.dimensions[place + 1 :])
    return windowed(view._replace(dimensions=dimensions), window)


def _extent(state: Lowering, view: ValueView, axis: int) -> int:
    """The size of an axis that the view sees."""
    if axis == REPEATED:
        raise unreadable("it takes elements of a repeated axis")
    for window in view.windows:
        if window.axis == axis:
            return window.length
    return state.shape(view.node)[axis - 1]


def _channels(state: Lowering, view: ValueView) -> int:
    return _extent(state, view, CHANNELS)


def _select(state: Lowering, arguments: Arguments) -> Any:
    return selected(state, value_of(arguments), arguments["dim"], arguments["index"])


def selected(state: Lowering, value: Viewable, dim: int, index: int) -> Viewable:
    """One element along a dimension, without the dimension."""
    sizes = value_sizes(value)
    place = place_of(dim, len(sizes))
    start = place_of(index, sizes[place])
    part = cut(state, value, place, start, start + 1)
    return without(state, part, {place})


def without(state: Lowering, value: Viewable, places: set[int]) -> Viewable:
    """The value without dimensions of size 1."""
    if isinstance(value, ValueView):  # windows stay
        dimensions = [each for place, each in enumerate(value.dimensions) if place not in places]
        return value._replace(dimensions=tuple(dimensions), path=state.call.path)
    return with_sizes(state, value, [size for place, size in enumerate(value.shape) if place not in places])


def _split(state: Lowering, arguments: Arguments) -> Any:
    value, dim = value_of(arguments), arguments.get("dim", 0)
    total = value_sizes(value)[dim]
    size = arguments.get("split_size", arguments.get("split_sizes", arguments.get("split_size_or_sections")))
    if isinstance(size, int):
        size = [min(size, total - start) for start in range(0, total, size)]
    return parts(state, value, dim, size)


def parts(state: Lowering, value: Viewable, dim: int, sizes: Sequence[int]) -> tuple[Viewable, ...]:
    """Neighbouring parts of a value with these sizes."""
    ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    return tuple([cut(state, value, dim, end - size, end) for size, end in zip(sizes, ends, strict=True)])


def _chunk(state: Lowering, arguments: Arguments) -> Any:
    value, dim, chunks = value_of(arguments), arguments.get("dim", 0), arguments["chunks"]
    total = value_sizes(value)[dim]
    size = -(-total // chunks)
    return parts(state, value, dim, [min(size, total - start) for start in range(0, total, size)])


def _unbind(state: Lowering, arguments: Arguments) -> Any:
    value, dim = value_of(arguments), arguments.get("dim", 0)
    return tuple([selected(state, value, dim, index) for index in range(value_sizes(value)[dim])])


def _getitem(state: Lowering, arguments: Arguments) -> Any:
    value, index = value_of(arguments), arguments["index"]
    if isinstance(value, tuple | list):
        return value[index]
    raise unreadable("it indexes a value by something else than slices and numbers")


def _size(state: Lowering, arguments: Arguments) -> Any:
    sizes = value_sizes(value_of(arguments))
    dim = arguments.get("dim")
    return sizes if dim is None else sizes[dim]


def _same(state: Lowering, arguments: Arguments) -> Any:
    return value_of(arguments)


def _cast(state: Lowering, arguments: Arguments) -> Any:
    wanted = str(arguments.get("dtype") or "float32").removeprefix("torch.")
    if wanted not in ("float32", "None"):
        state.notes.setdefault(f"`{state.call.path or 'the model'}` casts a value to {wanted}; the import does not.")
    return value_of(arguments)


def _nothing(state: Lowering, arguments: Arguments) -> Any:
    return None


StructureRule = Callable[[Lowering, Arguments], Any]

STRUCTURE_CALLS: dict[str, StructureRule] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view"), _reshape),
    **dict.fromkeys(("view_as", "reshape_as"), _like),
    "flatten": _flatten,
    "unflatten": _unflatten,
    "permute": _permute,
    **dict.fromkeys(("transpose", "t", "swapaxes"), _transpose),
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    **dict.fromkeys(("expand", "expand_as"), _expand),
    "slice": _slice,
    "narrow": _narrow,
    "select": _select,
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "chunk": _chunk,
    "unbind": _unbind,
    "getitem": _getitem,
    **dict.fromkeys(("size", "sym_size"), _size),
    **dict.fromkeys(("contiguous", "clone", "detach", "alias", "lift_fresh_copy", "identity", "requires_grad"), _same),
    **dict.fromkeys(("to", "_to_copy", "float", "type_as"), _cast),
    **dict.fromkeys(("_assert", "_assert_async", "_assert_scalar", "_assert_tensor_metadata"), _nothing),
}
"""The calls that change the view of a value, by operation."""

SHAPED_FORMULAS = frozenset({"view", "reshape", "reshape_as", "view_as", "unsqueeze", "squeeze", "expand_as", "expand"})
"""Structure calls that may stand inside a formula of stored tensors."""


def is_formula_of_weights(value: Any) -> bool:
    """Whether a value is computed from stored tensors only."""
    if isinstance(value, CallFormula):
        return all(is_formula_of_weights(operand) for operand in value.operands if _is_value(operand))
    return isinstance(value, Weight)


def _is_value(operand: Any) -> bool:
    return isinstance(operand, CallFormula | Weight | ValueView)
