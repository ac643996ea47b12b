"""Calls that combine values: sums, products, concatenations, and reductions over sides or groups of channels.

A call that no operator computes alone becomes a `CallFormula`. `known_formulas` finds the operator that a formula is.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resnext_dsl.importing.lowering.axis_views import (
    Atom,
    AxisWindow,
    Dimension,
    ValueView,
    axes_in,
    axis_atoms,
    joined,
    size_of,
    sizes_of,
    windowed,
    without_repeats,
)
from resnext_dsl.importing.lowering.row_calls import is_pooled, read_row
from resnext_dsl.importing.lowering.state import Lowering, unreadable
from resnext_dsl.importing.lowering.stored_values import Weight
from resnext_dsl.importing.lowering.structure_calls import place_of, value_of
from resnext_dsl.importing.lowering.view_nodes import CHANNELS, as_node, outermost, settled, with_channels
from resnext_dsl.operators.ranks import rank_of

Arguments = Mapping[str, Any]
Number = int | float


class NeedsFormulaError(Exception):
    """No operator computes the call alone."""


def merged(state: Lowering, name: str, views: Sequence[ValueView]) -> ValueView:
    """The merge of values, element by element; sides of 1 repeat if the operator repeats them."""
    axes = state.axes(state.shape(views[0].node))
    if all(view.dimensions is axes and not view.windows for view in views):
        nodes = [view.node for view in views]
        return state.whole(state.add(name, {}, nodes, state.call.path), views[0].path)
    views = [without_repeats(settled(state, view)) for view in views]
    count = max(len(view.dimensions) for view in views)
    views = [view._replace(dimensions=((),) * (count - len(view.dimensions)) + view.dimensions) for view in views]
    ranks = {rank_of(state.shape(view.node)) for view in views}
    dimensions = _common([view.dimensions for view in views])
    if dimensions is None or len(ranks) > 1:
        nodes = [as_node(state, view) for view in views]
        return state.whole(state.add(name, {}, nodes, state.call.path), state.call.path)
    node = state.add(name, {}, [view.node for view in views], state.call.path, features=_features(state, views))
    return ValueView(node, dimensions, (), views[0].path)


def _features(state: Lowering, views: Sequence[ValueView]) -> str | None:
    """The path of the module that made features of all values, which are maps of Cx1x1."""
    pooled = all(is_pooled(view, state.shape(view.node)) for view in views)
    return views[0].path if pooled else None


def _common(lists: Sequence[tuple[Dimension, ...]]) -> tuple[Dimension, ...] | None:
    """The dimensions of values that have equal ones or size 1; None if two of them differ otherwise."""
    result = []
    for parts in zip(*lists, strict=True):
        distinct = {joined(part) for part in parts} - {()}
        if len(distinct) > 1:
            return None
        result.append(next((part for part in parts if part), ()))
    return tuple(result)


def _numbers(arguments: Arguments) -> tuple[Any, Any]:
    return value_of(arguments), arguments["other"]


NUMERIC: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "floor_divide": operator.floordiv,
    "mod": operator.mod,
    "remainder": operator.mod,
    "pow": operator.pow,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
"""Operations on sizes."""


def _add(state: Lowering, arguments: Arguments) -> Any:
    one, two = _numbers(arguments)
    alpha = arguments.get("alpha", 1)
    if isinstance(two, ValueView) and not isinstance(one, ValueView) and alpha == 1:
        one, two = two, one
    if isinstance(one, ValueView) and isinstance(two, Number) and two == 0:
        return one
    if not (isinstance(one, ValueView) and isinstance(two, ValueView)):
        raise NeedsFormulaError
    return merged(state, "add", [one, two if alpha in (1, None) else _scaled(state, two, alpha)])


def _sub(state: Lowering, arguments: Arguments) -> Any:
    one, two = _numbers(arguments)
    if isinstance(one, ValueView) and isinstance(two, Number) and two == 0:
        return one
    if not (isinstance(one, ValueView) and isinstance(two, ValueView)):
        raise NeedsFormulaError
    return merged(state, "add", [one, _scaled(state, two, -arguments.get("alpha", 1))])


def _scaled(state: Lowering, view: ValueView, factor: Number) -> ValueView:
    return view if factor == 1 else read_row(state, "mul", {"self": view, "other": float(factor)})


def _mul(state: Lowering, arguments: Arguments) -> Any:
    one, two = _numbers(arguments)
    if isinstance(two, ValueView) and not isinstance(one, ValueView):
        one, two = two, one
    if not isinstance(one, ValueView):
        raise NeedsFormulaError
    if isinstance(two, Number):
        return _scaled(state, one, two)
    if isinstance(two, ValueView):
        return merged(state, "mul", [one, two])
    if isinstance(two, Weight):
        return _layer_scaled(state, one, two)
    raise NeedsFormulaError


def _layer_scaled(state: Lowering, view: ValueView, weight: Weight) -> ValueView:
    """Each channel times a stored number, or all channels times one; the other axes of the tensor have size 1."""
    longer = [place for place, size in enumerate(weight.shape) if size > 1]
    if len(longer) > 1 or state.trace.tensors[weight.key].kind != "parameter":
        raise NeedsFormulaError
    if not longer:
        places = [place for place, each in enumerate(view.dimensions) if axes_in(each) == {CHANNELS}]
        return read_row(state, "mul", {"self": view, "other": weight, "dim": places[0] if len(places) == 1 else 1})
    dim = longer[0] - len(weight.shape)
    if size_of(view.dimensions[dim]) != math.prod(weight.shape):
        raise NeedsFormulaError
    if math.prod(weight.shape) != state.shape(settled(state, view).node)[0]:
        raise NeedsFormulaError
    return read_row(state, "mul", {"self": view, "other": weight, "dim": dim})


def _div(state: Lowering, arguments: Arguments) -> Any:
    one, two = _numbers(arguments)
    if not (isinstance(one, ValueView) and isinstance(two, Number)) or arguments.get("rounding_mode"):
        raise NeedsFormulaError
    return read_row(state, "div", {"self": one, "other": float(two)})


def _neg(state: Lowering, arguments: Arguments) -> Any:
    if not isinstance(value_of(arguments), ValueView):
        raise NeedsFormulaError
    return read_row(state, "neg", arguments)


def _square(state: Lowering, arguments: Arguments) -> Any:
    value = value_of(arguments)
    if not isinstance(value, ValueView) or arguments.get("exponent", 2) != 2:
        raise NeedsFormulaError
    return merged(state, "mul", [value, value])


def _maximum(state: Lowering, arguments: Arguments) -> Any:
    one, two = _numbers(arguments)
    if not (isinstance(one, ValueView) and isinstance(two, ValueView)):
        raise NeedsFormulaError
    return merged(state, "maximum", [one, two])


def _cat(state: Lowering, arguments: Arguments) -> Any:
    views = arguments["tensors"]
    if not all(isinstance(view, ValueView) for view in views):
        raise NeedsFormulaError
    if len(views) == 1:
        return views[0]
    place = place_of(arguments.get("dim", 0), len(views[0].dimensions))
    views = [with_channels(state, view, place) for view in views]
    ranks = {rank_of(state.shape(view.node)) for view in views}
    others = [(*view.dimensions[:place], (), *view.dimensions[place + 1 :]) for view in views]
    if len({sizes_of(view._replace(dimensions=rest)) for view, rest in zip(views, others, strict=True)}) > 1:
        raise unreadable("its values differ in more than the sizes along one axis")
    if len(ranks) > 1 or _common(others) is None:
        nodes = [as_node(state, view) for view in views]
        return state.whole(state.add("concat", {}, nodes, state.call.path), state.call.path)
    features = _features(state, views)
    node = state.add("concat", {}, [view.node for view in views], state.call.path, features=features)
    dimensions = list(views[0].dimensions)
    dimensions[place] = axis_atoms(CHANNELS, state.shape(node)[0])
    return ValueView(node, tuple(dimensions), (), state.call.path)


def _stack(state: Lowering, arguments: Arguments) -> Any:
    views = arguments["tensors"]
    if not all(isinstance(view, ValueView) for view in views):
        raise NeedsFormulaError
    nodes = [as_node(state, view) for view in views]
    node = state.add("concat", {}, nodes, state.call.path)
    channels = state.shape(nodes[0])[0]
    dimensions = list(state.whole(nodes[0]).dimensions)
    part = (Atom(CHANNELS, channels, len(nodes)),) if len(nodes) > 1 else ()
    dimensions.insert(place_of(arguments.get("dim", 0), len(dimensions) + 1), part)
    return ValueView(node, tuple(dimensions), (), state.call.path)


REDUCTIONS = {"mean": ("avgpool", "mean"), "amax": ("maxpool", "maximum"), "sum": ("", "add")}
"""The pooling of all sides and the merge of groups of channels that a reduction is."""


def _reduce(name: str) -> Callable[[Lowering, Arguments], Any]:
    pooling, merge = REDUCTIONS[name]

    def reduce(state: Lowering, arguments: Arguments) -> Any:
        view = value_of(arguments)
        if not isinstance(view, ValueView) or str(arguments.get("dtype") or "None") not in ("None", "torch.float32"):
            raise NeedsFormulaError
        count = len(view.dimensions)
        dims = arguments.get("dim")
        listed = [dims] if isinstance(dims, int) else dims or range(count)
        places = {place_of(dim, count) for dim in listed}
        view = settled(state, without_repeats(view))
        axes = {atom.axis for place in places for atom in view.dimensions[place]}
        if axes == {CHANNELS} and len(places) == 1:
            view = _groups_merged(state, merge, view, *places)
        elif pooling and _are_sides(state, view, places, axes):
            view = view._replace(node=state.add(pooling, {"kernel": "global"}, [view.node], state.call.path))
        else:
            raise NeedsFormulaError
        kept = arguments.get("keepdim", False)
        dimensions = [() if place in places else each for place, each in enumerate(view.dimensions)]
        left = [each for place, each in enumerate(dimensions) if kept or place not in places]
        return view._replace(dimensions=tuple(left), path=state.call.path)

    return reduce


def _are_sides(state: Lowering, view: ValueView, places: set[int], axes: set[int]) -> bool:
    """Whether the dimensions are all sides of the node, and nothing else."""
    shape = state.shape(view.node)
    sides = {axis for axis, size in enumerate(shape[1:], 2) if size > 1}
    whole = math.prod([size_of(view.dimensions[place]) for place in places]) == math.prod(shape[1:])
    return rank_of(shape) > 0 and axes == sides and whole


def _groups_merged(state: Lowering, merge: str, view: ValueView, place: int) -> ValueView:
    """The merge of equal groups of channels."""
    if size_of(view.dimensions[place]) == state.shape(view.node)[0]:
        raise NeedsFormulaError
    view = outermost(state, view, place)
    (atom,) = joined(view.dimensions[place])
    dimensions = (*view.dimensions[:place], (), *view.dimensions[place + 1 :])
    parts = [
        windowed(view._replace(dimensions=dimensions), AxisWindow(CHANNELS, index * atom.stride, atom.stride))
        for index in range(atom.size)
    ]
    return merged(state, merge, parts)


def _pad(state: Lowering, arguments: Arguments) -> Any:
    value, numbers = value_of(arguments), list(arguments["pad"])
    if not isinstance(value, ValueView):
        raise NeedsFormulaError
    if not any(numbers):
        return value
    fill = arguments.get("value")
    if isinstance(fill, float) and not math.isfinite(fill):
        raise NeedsFormulaError
    sides, channels = numbers[: 2 * (len(value.dimensions) - 2)], numbers[2 * (len(value.dimensions) - 2) :]
    constant = arguments.get("mode", "constant") == "constant" and not fill
    if not any(sides) and len(channels) == 2 and channels[0] == 0 and channels[1] > 0 and constant:
        view = with_channels(state, value, 1)
        total = state.shape(view.node)[0] + channels[1]
        node = state.add("pad_channels", {"channels": total}, [view.node], state.call.path)
        dimensions = (view.dimensions[0], axis_atoms(CHANNELS, total), *view.dimensions[2:])
        return ValueView(node, dimensions, (), state.call.path)
    return read_row(state, "pad", {**arguments, "pad": numbers})


ArithmeticRule = Callable[[Lowering, Arguments], Any]

ARITHMETIC_CALLS: dict[str, ArithmeticRule] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "square": _square,
    "pow": _square,
    "maximum": _maximum,
    "cat": _cat,
    "stack": _stack,
    "mean": _reduce("mean"),
    "amax": _reduce("amax"),
    "sum": _reduce("sum"),
    "pad": _pad,
}
"""The calls that combine or reduce values, by operation."""

FORMULA_CALLS = frozenset(
    {*ARITHMETIC_CALLS, "rsub", "addcmul", "linalg_vector_norm", "norm", "sqrt", "rsqrt", "var", "exp", "reciprocal"}
)
"""The calls that may be a part of a formula; activations of a formula may be too."""
