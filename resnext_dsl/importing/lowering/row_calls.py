"""Calls that a row of the operator table reads: convolutions, norms, activations, pooling and the like.

The row says which ATen operators it computes, which axes it works on, and how their arguments become attributes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from resnext_dsl.importing.lowering.axis_views import View, axis_atoms, joined, size_of
from resnext_dsl.importing.lowering.fixed_weights import as_fixed_kernel
from resnext_dsl.importing.lowering.padded_windows import absorbed, infinite_padding, with_infinite_padding
from resnext_dsl.importing.lowering.standardized import standardized
from resnext_dsl.importing.lowering.state import Lowering, unreadable
from resnext_dsl.importing.lowering.stored_values import Formula, TensorSource, Weight
from resnext_dsl.importing.lowering.view_nodes import CHANNELS, as_node, outermost, settled, with_channels
from resnext_dsl.operators import OPERATORS, Operator
from resnext_dsl.operators.base import RuleError, Shape
from resnext_dsl.operators.ranks import rank_of
from resnext_dsl.operators.readings import CallArguments, OtherRowError, Reading

VALUE_NAMES = ("self", "input")


def _readings() -> dict[str, list[tuple[Operator, Reading]]]:
    readings = defaultdict(list)
    for row in OPERATORS.values():
        for reading in row.readings:
            if reading.attributes is not None:
                for operation in reading.operations:
                    readings[operation].append((row, reading))
    return dict(readings)


READ_FROM = _readings()
"""The rows that read an ATen operator, in the order of the table."""


class Placed:
    """A value that is arranged for the axes of a reading.

    Attributes:
        node: The node that the operator reads.
        view: The view on the node.
        place: The dimension of the channels; None if the result has the axes of its node.
        arguments: The arguments of the call that are left.
        others: Further nodes that the operator reads.
    """

    def __init__(self, node: int, view: View, place: int | None, arguments: Mapping[str, Any]) -> None:
        self.node, self.view, self.place, self.arguments = node, view, place, arguments
        self.others: tuple[int, ...] = ()


def read_row(state: Lowering, operation: str, arguments: Mapping[str, Any]) -> View:
    """The value of a call that a row of the table reads.

    Raises:
        RuleError: If no row reads these arguments.
    """
    problems: list[RuleError] = []
    for row, reading in READ_FROM[operation]:
        before = len(state.nodes)
        try:
            return _applied(state, row, reading, operation, arguments)
        except RuleError as problem:
            state.forget(before)
            problems.append(problem)
    raise next((one for one in problems if not isinstance(one, OtherRowError)), problems[-1])


def _applied(state: Lowering, row: Operator, reading: Reading, operation: str, arguments: Mapping[str, Any]) -> View:
    stored, computed = _tensors(state, reading, arguments)
    names = {argument for _, argument in reading.tensors}
    value = next(arguments[name] for name in VALUE_NAMES if name in arguments)
    others = {name: each for name, each in arguments.items() if name not in names and name not in VALUE_NAMES}
    like = others.pop("like", None) if row.value_name == "like" else None
    if any(isinstance(each, Weight) for each in others.values()):
        raise OtherRowError(f"`{operation}` of a stored tensor has no operator in the language")
    value, added = infinite_padding(value) if isinstance(value, Formula) else (value, None)
    placed = _placed(state, reading, value, others)
    shapes = {field: weight.shape for field, weight in stored.items()}
    call = CallArguments(operation, {**placed.arguments, **computed}, state.shape(placed.node), shapes)
    assert reading.attributes is not None
    attributes = reading.attributes(call)
    call.finish()
    if added is not None:
        attributes = with_infinite_padding(attributes, state.shape(placed.node)[1:], added)
    if row.algebra.acts == "training" and attributes.get("p") == 0:
        return placed.view
    if row.name == "conv" and state.trace.tensors[stored["weight"].key].kind != "parameter":
        return state.whole(as_fixed_kernel(state, attributes, stored["weight"], placed.node), state.call.path)
    if isinstance(like, View):
        placed.others = (as_node(state, like),)
        attributes = {**attributes, "size": None}
    return _added(state, row, attributes, placed, stored)


def _tensors(
    state: Lowering, reading: Reading, arguments: Mapping[str, Any]
) -> tuple[dict[str, Weight], dict[str, Any]]:
    """The stored tensors of a call by field, and the attributes of a weight that is standardized before use."""
    stored: dict[str, Weight] = {}
    computed: dict[str, Any] = {}
    for field, argument in reading.tensors:
        tensor = arguments.get(argument)
        if isinstance(tensor, Formula) and field == "weight":
            stored[field], gain, computed = standardized(state, tensor)
            if gain is not None:
                stored["gain"] = gain
        elif isinstance(tensor, Weight):
            stored[field] = tensor
        elif tensor is not None:
            raise unreadable(f"its `{argument}` is computed, and the language learns it")
    return stored, computed


def _placed(state: Lowering, reading: Reading, value: Any, arguments: Mapping[str, Any]) -> Placed:
    if not isinstance(value, View):
        raise unreadable("it is applied to a stored tensor")
    if reading.axes == "map":
        node = as_node(state, value)
        return Placed(node, state.whole(node, state.call.path), None, arguments)
    if reading.axes == "elements":
        view = settled(state, value)
        return Placed(view.node, view, None, arguments)
    if reading.axes == "dim":
        return _along(state, value, arguments)
    place = 1 if reading.axes == "channels" else len(value.dimensions) - 1
    view = with_channels(state, value, place)
    return Placed(view.node, view, place, arguments)


def _along(state: Lowering, value: View, arguments: Mapping[str, Any]) -> Placed:
    """The value with the channels along the axis that the argument `dim` names, or with a part of them outermost."""
    rest = {name: each for name, each in arguments.items() if name != "dim"}
    place = arguments["dim"] % len(value.dimensions)
    value = settled(state, value)
    if size_of(value.dimensions[place]) == state.shape(value.node)[0]:
        view = with_channels(state, value, place)
        return Placed(view.node, view, place, rest)
    view = outermost(state, value, place)
    (atom,) = joined(view.dimensions[place])
    return Placed(view.node, view, None, {**rest, "across": atom.size})


def _added(
    state: Lowering, row: Operator, attributes: Mapping[str, Any], placed: Placed, stored: Mapping[str, Weight]
) -> View:
    node, shape = placed.node, state.shape(placed.node)
    sided = rank_of(shape) > 0
    features = placed.view.path if is_pooled(placed.view, shape) else None
    if row.name == "linear" and sided:
        row = OPERATORS["conv"]
        attributes = {"channels": attributes["features"], "kernel": (1,) * rank_of(shape), "bias": attributes["bias"]}
    attributes, node = absorbed(state, row, attributes, node)
    attributes = {name: each for name, each in attributes.items() if each is not None}
    index = state.add(row.name, attributes, [node, *placed.others], state.call.path, features=features)
    sources = sources_of(state, row, index, stored)
    state.nodes[index] = state.nodes[index]._replace(tensors=sources)
    return _result(state, placed, index)


def is_pooled(view: View, shape: Shape) -> bool:
    """Whether a view has features of a node that is a map of Cx1x1."""
    return len(view.dimensions) == 2 and rank_of(shape) > 0 and set(shape[1:]) == {1}


def _result(state: Lowering, placed: Placed, index: int) -> View:
    """The result with the dimensions of the argument, where the channels may be others."""
    shape = state.shape(index)
    if placed.place is None:
        if shape == state.shape(placed.node):
            return placed.view._replace(node=index)
        return state.whole(index, state.call.path)
    dimensions = list(placed.view.dimensions)
    dimensions[placed.place] = axis_atoms(CHANNELS, shape[0])
    return placed.view._replace(node=index, dimensions=tuple(dimensions))


def sources_of(state: Lowering, row: Operator, index: int, stored: Mapping[str, Weight]) -> dict[str, TensorSource]:
    """The sources of the tensors of a node's module.

    Raises:
        RuleError: E610 if a learned tensor is a buffer in the source.
    """
    draft = state.nodes[index]
    shapes: tuple[Shape, ...] = tuple([state.shape(source) for source in draft.inputs])
    sources = {}
    for tensor in row.algebra.tensors(draft.attributes, shapes):
        if tensor.field in stored:
            weight = stored[tensor.field]
            if tensor.learned and state.trace.tensors[weight.key].kind != "parameter":
                raise unreadable(f"its `{tensor.field}` is not a parameter, and the language learns it")
            sources[tensor.field] = weight.source(tensor.shape)
        elif "running_mean" in stored:
            sibling = stored["running_mean"].key.removesuffix("running_mean") + tensor.field
            if sibling in state.trace.tensors:
                sources[tensor.field] = TensorSource(sibling)
    return sources
