"""Rules that make one path of several: they move a concatenation up, towards the value that all paths start from.

A comment above each rule states it as `before -> after`, with its side conditions. A rule takes the values to
concatenate and returns the one value that replaces the concatenation, or None if it is about other operators. It
raises `Blocked` if a side condition does not hold. The rules do not compute with weights: they concatenate tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from resnext_dsl.operators import OPERATORS, value_text
from resnext_dsl.operators.algebra import WeightLayout
from resnext_dsl.operators.base import RuleError
from resnext_dsl.rewrite.workspace import Workspace

CONCAT = OPERATORS["concat"].attributes.construct({})


class Blocked(Exception):  # noqa: N818  (not an error: the answer of a rule whose side condition does not hold)
    """A side condition does not hold.

    Attributes:
        reason: The condition, in words.
        node: The node that the reason names.
    """

    def __init__(self, reason: str, node: int) -> None:
        super().__init__(reason)
        self.reason, self.node = reason, node


class Lift:
    """One attempt to make one value of several values that a merge concatenates.

    Attributes:
        work: The graph.
        place: The merge; new nodes run in its place.
        partial: Whether a concatenation may remain above the operators that became one.
        inference: Whether parameters may be summed, which changes how they train.
        consumed: Nodes that new nodes replace.
        fired: Names of the rules applied so far.
    """

    def __init__(self, work: Workspace, place: int, partial: bool = False, inference: bool = False) -> None:
        self.work, self.place, self.partial, self.inference = work, place, partial, inference
        self.consumed: set[int] = set()
        self.fired: list[str] = []
        self._start = len(work.nodes)
        self._depth = 0
        self._known: dict[tuple[int, ...], int] = {}

    def lift(self, values: Sequence[int]) -> int:
        """The one value that replaces the concatenation of values.

        Raises:
            Blocked: If no rule leads to one value.
        """
        key = tuple(values)
        if len(key) == 1:
            return key[0]
        if key not in self._known:
            self._known[key] = self._lift(key)
        return self._known[key]

    def make(self, operator: str, attributes: Any, inputs: Sequence[int], origins: Sequence[int]) -> int:
        """Add the operator that replaces several operators."""
        self.consumed.update(origins)
        try:
            return self.work.make(operator, attributes, inputs, origins[0], self.place)
        except RuleError as problem:
            raise Blocked(str(problem), origins[0]) from None

    def check_closed(self) -> None:
        """Check that no other node reads a consumed node.

        Raises:
            Blocked: If one does.
        """
        work = self.work
        for index in sorted(self.consumed):
            outside = [i for i in work.users[index] if i < self._start and i != self.place and i not in self.consumed]
            if outside or work.pinned(index):
                raise Blocked(f"the value of `{work.nodes[index].operator}` is also used outside its path", index)

    def check_unshared(self, values: Sequence[int]) -> None:
        """Check that no value comes from a node that shares its module with others.

        Raises:
            Blocked: If one does.
        """
        shared = next((value for value in values if value in self.work.shared), None)
        if shared is not None:
            raise Blocked("a path ends in a shared instance, which other places use too", shared)

    def common(self, values: Sequence[int]) -> int | None:
        """The one value that all values equal; None if they differ.

        Values are equal if they are the same node, or equal operators without tensors on equal values.
        """
        if len(set(values)) == 1:
            return values[0]
        nodes = [self.work.nodes[value] for value in values]
        first = nodes[0]
        for value, node in zip(values, nodes, strict=True):
            row = OPERATORS.get(node.operator)
            if row is None or node.operator != first.operator or node.attributes != first.attributes:
                return None
            if row.algebra.acts == "training" or self.work.tensors(value) or len(node.inputs) != len(first.inputs):
                return None
        sources = zip(*(node.inputs for node in nodes), strict=True)
        if any(self.common(inputs) is None for inputs in sources):
            return None
        self.consumed.update(value for value in values if value != values[0])
        return values[0]

    def _lift(self, values: tuple[int, ...]) -> int:
        mark, consumed, known = self.work.mark(), set(self.consumed), dict(self._known)
        self._depth += 1
        try:
            return self._ruled(values)
        except Blocked:
            if not self.partial or self._depth == 1:
                raise
            self.work.undo(mark)
            self.consumed, self._known = consumed, known
            return self.work.make("concat", CONCAT, values, self.place, self.place)
        finally:
            self._depth -= 1

    def _ruled(self, values: tuple[int, ...]) -> int:
        if len(set(values)) < len(values):
            raise Blocked(f"several paths return the same value of `{self.work.nodes[values[0]].operator}`", values[0])
        self.check_unshared(values)
        for rule in RULES:
            result = rule(self, values)
            if result is not None:
                self.fired.append(rule.__name__)
                return result
        raise Blocked(self._unlike(values), values[0])

    def _unlike(self, values: Sequence[int]) -> str:
        names = list(dict.fromkeys(self.work.nodes[value].operator for value in values))
        if len(names) > 1:
            return f"the operators of the paths differ: {' and '.join(f'`{name}`' for name in names[:3])}"
        return f"the paths start from different values of `{names[0]}`"


def weight_layout(operator: str) -> WeightLayout | None:
    """The layout of an operator's weight; None if it is no convolution or linear layer."""
    row = OPERATORS.get(operator)  # the input of a network has no row
    return None if row is None else row.algebra.weight


def _operator(lift: Lift, values: Sequence[int]) -> str:
    """The operator of all values; "" if they have several."""
    names = {lift.work.nodes[value].operator for value in values}
    return names.pop() if len(names) == 1 else ""


# concat(slice(x, a, b), slice(x, b, c))  ->  slice(x, a, c), or x if that is all of x
# where the slices are of one value, in its order, without gaps
def slices_undone(lift: Lift, values: Sequence[int]) -> int | None:
    """Adjacent slices of a value become one slice, or the value."""
    if _operator(lift, values) != "slice":
        return None
    work = lift.work
    nodes = [work.nodes[value] for value in values]
    bounds: list[tuple[int, int]] = [(node.attributes.start, node.attributes.stop) for node in nodes]  # type: ignore[union-attr]
    whole = lift.common([node.inputs[0] for node in nodes])
    if whole is None:
        return None
    if any(one[1] != other[0] for one, other in pairwise(bounds)):
        raise Blocked("the slices overlap, leave gaps or stand in another order", values[0])
    start, stop = bounds[0][0], bounds[-1][1]
    if (start, stop) == (0, work.nodes[whole].shape[0]):
        return whole
    attributes = OPERATORS["slice"].attributes.construct({"start": start, "stop": stop})
    return work.make("slice", attributes, [whole], values[0], lift.place)


# concat(concat(x1, x2), concat(x3, x4))  ->  concat(x1, x2, x3, x4), which the rules then rewrite
def nested_concat(lift: Lift, values: Sequence[int]) -> int | None:
    """A concatenation of concatenations becomes one."""
    if _operator(lift, values) != "concat":
        return None
    lift.consumed.update(values)
    return lift.lift([source for value in values for source in lift.work.nodes[value].inputs])


# concat(f(x1), f(x2))  ->  f(concat(x1, x2))
# where f is channel-wise, and its attributes are equal except those that depend on the channels
def channelwise(lift: Lift, values: Sequence[int]) -> int | None:
    """Channel-wise operators of one kind become one, on the concatenation."""
    operator = _operator(lift, values)
    row = OPERATORS.get(operator)
    if row is None or row.algebra.weight is not None or operator in ("slice", "concat"):
        return None
    work = lift.work
    nodes = [work.nodes[value] for value in values]
    channels = [work.shapes(value)[0][0] for value in values]
    attributes, reason = row.algebra.joined([node.attributes for node in nodes], channels)
    if attributes is None:
        raise Blocked(f"`{operator}` cannot be one operator for all paths: {reason}", values[0])
    if row.merges:
        _check_elementwise(lift, operator, values)
    columns = list(zip(*(node.inputs for node in nodes), strict=True))
    sources = [lift.lift(column) for column in columns]
    joined = lift.make(operator, attributes, sources, values)
    for tensor in work.tensors(joined):
        _lay(lift, tensor.field, values, joined, 0 if tensor.shape else None)
    return joined


def _check_elementwise(lift: Lift, operator: str, values: Sequence[int]) -> None:
    """Check that a merge takes the same number of values in each path, all with the channels of its result."""
    arities = sorted({len(lift.work.nodes[value].inputs) for value in values})
    if len(arities) > 1:
        raise Blocked(f"`{operator}` takes {' and '.join(map(str, arities))} values in different paths", values[0])
    for value in values:
        if any(shape[0] != lift.work.nodes[value].shape[0] for shape in lift.work.shapes(value)):
            raise Blocked(f"`{operator}` repeats one channel over the others", value)


# concat(conv(x; W1), conv(x; W2))  ->  conv(x; [W1; W2])
# where kernel, stride, padding, dilation and bias are equal and groups is 1; linear and conv_transpose likewise
def same_input(lift: Lift, values: Sequence[int]) -> int | None:
    """Multipliers of equal geometry that read one value become one."""
    operator = _operator(lift, values)
    layout = weight_layout(operator)
    if layout is None:
        return None
    work = lift.work
    nodes = [work.nodes[value] for value in values]
    source = lift.common([node.inputs[0] for node in nodes])
    if source is None:
        return None
    _check_geometry(lift, values)
    if any(getattr(node.attributes, "groups", 1) != 1 for node in nodes):
        raise Blocked(f"`groups` of `{operator}` is more than 1, on a value that all paths read", values[0])
    total = sum(node.shape[0] for node in nodes)
    joined = lift.make(operator, _attributes(work, values[0]).replaced(**{layout.width: total}), [source], values)
    _lay(lift, "weight", values, joined, layout.output_axis)
    _lay_vectors(lift, values, joined)
    return joined


# concat(conv(x1; W1), conv(x2; W2))  ->  conv(concat(x1, x2); [W1; W2], groups = g1 + g2)
# where the geometry is equal, and all groups have the same number of channels in, and the same number out
def grouped(lift: Lift, values: Sequence[int]) -> int | None:
    """Convolutions of equal geometry on different values become one grouped convolution."""
    operator = _operator(lift, values)
    layout = weight_layout(operator)
    if layout is None or "groups" not in OPERATORS[operator].attributes.fields:
        return None
    work = lift.work
    nodes = [work.nodes[value] for value in values]
    _check_geometry(lift, values)
    groups: list[int] = [node.attributes.groups for node in nodes]  # type: ignore[union-attr]
    for verb, channels in (
        ("takes", [work.shapes(value)[0][0] for value in values]),
        ("makes", [node.shape[0] for node in nodes]),
    ):
        widths = sorted({count // each for count, each in zip(channels, groups, strict=True)})
        if len(widths) > 1:
            raise Blocked(f"`{operator}` {verb} {' and '.join(map(str, widths))} channels a group", values[0])
    source = lift.lift([node.inputs[0] for node in nodes])
    total = sum(node.shape[0] for node in nodes)
    attributes = _attributes(work, values[0]).replaced(**{layout.width: total}, groups=sum(groups))
    joined = lift.make(operator, attributes, [source], values)
    _lay(lift, "weight", values, joined, 0)
    _lay_vectors(lift, values, joined)
    return joined


RULES: tuple[Callable[[Lift, Sequence[int]], int | None], ...] = (
    slices_undone,
    nested_concat,
    channelwise,
    same_input,
    grouped,
)
"""The rules for concatenated values; the first rule that is about their operator decides."""


def _attributes(work: Workspace, index: int) -> Any:
    return work.nodes[index].attributes


def _check_geometry(lift: Lift, values: Sequence[int], but: Sequence[str] = ("channels", "features", "groups")) -> None:
    first = dict(_attributes(lift.work, values[0]))
    for value in values[1:]:
        other = dict(_attributes(lift.work, value))
        for name, one in first.items():
            if name not in but and one != other[name]:
                shown = f"{value_text(one)} in one path and {value_text(other[name])} in another"
                raise Blocked(f"`{name}` of `{lift.work.nodes[value].operator}` is {shown}", value)


def _lay(lift: Lift, field: str, sources: Sequence[int], target: int, axis: int | None) -> None:
    """Record the move of tensors into one: along an axis, or shared if `axis` is None.

    A target without the field takes none.
    """
    work = lift.work
    shapes = {tensor.field: tensor.shape for tensor in work.tensors(target)}
    if field not in shapes:
        return
    keys = [(source, field) for source in sources]
    if axis is None:
        work.step("share", keys, [(target, field)], len(keys))
        return
    sizes = tuple(_size(work, source, field, axis) for source in sources)
    work.step("join", keys, [(target, field)], axis, sizes)


def _lay_vectors(lift: Lift, sources: Sequence[int], target: int) -> None:
    """Record the concatenation of the tensors that have a number for each output channel."""
    for field in ("bias", "gain"):
        _lay(lift, field, sources, target, 0)


def _size(work: Workspace, index: int, field: str, axis: int) -> int:
    return next(tensor.shape[axis] for tensor in work.tensors(index) if tensor.field == field)


# add(conv(x1; W1), conv(x2; W2), y)  ->  add(conv(concat(x1, x2); [W1, W2]), y)
# where the geometry is equal, groups is 1, weights are not standardized (the variance is that of all inputs), and at
# most one of them has a bias (in inference several: b1 + b2)
def sum_of_convolutions(lift: Lift, values: Sequence[int]) -> int:
    """Multipliers whose results are added become one, on the concatenation of their inputs.

    Raises:
        Blocked: If a side condition does not hold.
    """
    work = lift.work
    lift.check_unshared(values)
    operator = _operator(lift, values)
    layout = weight_layout(operator)
    if layout is None:
        raise Blocked(
            f"the paths end in {_ends(lift, values)}; only convolutions and linear layers can be summed", values[0]
        )
    _check_geometry(lift, values, but=("groups", "bias"))
    if any(getattr(_attributes(work, value), "groups", 1) != 1 for value in values):
        raise Blocked(f"`groups` of `{operator}` is more than 1", values[0])
    if any(getattr(_attributes(work, value), "standardize", False) for value in values):
        raise Blocked(f"the weights of `{operator}` are standardized over the inputs of each path", values[0])
    biased = [value for value in values if _attributes(work, value).bias]
    if len(biased) > 1 and not lift.inference:
        reason = f"`{operator}` has a bias in {len(biased)} paths; one summed bias would train differently"
        raise Blocked(reason, biased[1])
    source = lift.lift([work.nodes[value].inputs[0] for value in values])
    joined = lift.make(operator, _attributes(work, values[0]).replaced(bias=bool(biased)), [source], values)
    _lay(lift, "weight", values, joined, layout.input_axis)
    if biased:
        kind, arguments = ("share", (1,)) if len(biased) == 1 else ("sum", ())
        work.step(kind, [(value, "bias") for value in biased], [(joined, "bias")], *arguments)
    lift.fired.append("sum_of_convolutions")
    return joined


def _ends(lift: Lift, values: Sequence[int]) -> str:
    names = list(dict.fromkeys(lift.work.nodes[value].operator for value in values))
    return " and ".join(f"`{name}`" for name in names[:3])
