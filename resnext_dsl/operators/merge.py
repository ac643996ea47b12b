"""Operators of several values. A merge of one value is that value, so a split of one path may merge too."""

from collections.abc import Callable, Sequence

from resnext_dsl.operators.activation import NoAttributes
from resnext_dsl.operators.algebra import CHANNELWISE, Algebra, crosses
from resnext_dsl.operators.base import Expression, RuleError, Shape
from resnext_dsl.operators.memory_rules import MemoryRules, Saved, SaveRule, ScalarCount, TrainingStep, saves_nothing
from resnext_dsl.operators.ranks import IMAGE, LAYOUTS, is_map, rank_of
from resnext_dsl.operators.readings import implied
from resnext_dsl.operators.row import Operator
from resnext_dsl.operators.rules import elements, no_parameters, shape_text

CHAIN = 256
"""Terms of one level of an expression. Python's compiler recurses along a chain of terms and fails near 3,000."""

ShapeRule = Callable[[NoAttributes, tuple[Shape, ...]], Shape]


def _equal_shapes(name: str) -> ShapeRule:
    def shape(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Shape:
        for place, other in enumerate(inputs):
            if other != inputs[0]:
                message = (
                    f"`{name}` needs values of equal shape; value 1 is {shape_text(inputs[0])},"
                    f" value {place + 1} is {shape_text(other)}"
                )
                raise RuleError("E304", message, _hint(inputs[0], other))
        return inputs[0]

    return shape


def _hint(expected: Shape, other: Shape) -> str:
    if len(expected) != len(other):
        return _mixed(expected, other)
    if is_map(expected) and expected[1:] == other[1:]:
        kernel = "1x1" if rank_of(expected) == IMAGE else "1"
        return f"`conv({expected[0]}, {kernel})` changes {other[0]} channels to {expected[0]}"
    return ""


def _mixed(first: Shape, second: Shape) -> str:
    """The hint for a map and a value of another rank."""
    if not (is_map(first) and is_map(second)):
        return ""
    return (
        f"one value is {LAYOUTS[rank_of(first)]}, the other {LAYOUTS[rank_of(second)]}; only `flatten` changes the rank"
    )


def _concat_shape(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Shape:
    first = inputs[0]
    for place, other in enumerate(inputs):
        if len(other) != len(first) or other[1:] != first[1:]:
            message = (
                f"`concat` needs values that differ in channels only; value 1 is {shape_text(first)},"
                f" value {place + 1} is {shape_text(other)}"
            )
            raise RuleError("E304", message, _mixed(first, other) if len(other) != len(first) else "")
    return (sum(shape[0] for shape in inputs), *first[1:])


def _mul_shape(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Shape:
    for place, shape in enumerate(inputs):
        if len(shape) != len(inputs[0]):
            rank = max(rank_of(shape), rank_of(inputs[0]))
            hint = _mixed(inputs[0], shape) or f"a gate over the channels of a map has the shape C{'x1' * rank}"
            raise RuleError("E304", _mul_message(inputs, 0, place), hint)
    result = tuple(max(sides) for sides in zip(*inputs, strict=True))
    for shape in inputs:
        if any(side not in (1, whole) for side, whole in zip(shape, result, strict=True)):
            raise RuleError("E304", _mul_message(inputs, *_conflict(inputs)))
    return result


def _conflict(inputs: tuple[Shape, ...]) -> tuple[int, int]:
    """Positions of the first two values whose shapes do not fit."""
    for second, shape in enumerate(inputs):
        for first in range(second):
            if any(a != b and 1 not in (a, b) for a, b in zip(inputs[first], shape, strict=True)):
                return first, second
    raise AssertionError("no two values are in conflict")


def _mul_message(inputs: tuple[Shape, ...], first: int, second: int) -> str:
    return (
        "`mul` needs values of equal shape, or sides of 1 that repeat;"
        f" value {first + 1} is {shape_text(inputs[first])}, value {second + 1} is {shape_text(inputs[second])}"
    )


def _chain(sign: str, terms: Sequence[str]) -> str:
    if len(terms) <= CHAIN:
        return f" {sign} ".join(terms)
    groups = [terms[start : start + CHAIN] for start in range(0, len(terms), CHAIN)]
    return _chain(sign, [f"({_chain(sign, group)})" for group in groups])


def _places(inputs: tuple[Shape, ...]) -> list[str]:
    return [f"{{{place}}}" for place in range(len(inputs))]


def _add_source(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Expression:
    return Expression(_chain("+", _places(inputs)))


def _concat_source(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Expression:
    places = _places(inputs)
    return Expression(f"torch.cat([{', '.join(places)}], 1)" if len(places) > 1 else "{0}")


def _mul_source(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Expression:
    return Expression(_chain("*", _places(inputs)))


def _maximum_source(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Expression:
    places = _places(inputs)
    if len(places) == 1:
        return Expression("{0}")
    joined = ", ".join(places)
    return Expression(f"torch.maximum({joined})" if len(places) == 2 else f"torch.stack([{joined}]).amax(0)")


def _mean_source(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Expression:
    places = _places(inputs)
    return Expression(f"({_chain('+', places)}) / {len(places)}" if len(places) > 1 else "{0}")


def _is_one_value(attributes: NoAttributes, inputs: tuple[Shape, ...], training: bool) -> bool:
    return len(inputs) == 1


def _mul_saves(attributes: NoAttributes, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    """Autograd keeps, for each product in turn, every factor whose partner has a gradient."""
    kept: list[int] = []
    products, product, flows = 0, inputs[0], run.gradients[0]
    for place in range(1, len(inputs)):
        if flows:
            kept.append(place)
        if run.gradients[place]:
            kept += [0] if place == 1 else []
            products += run.batch * elements(product) if place > 1 else 0
        product = tuple(map(max, product, inputs[place]))
        flows = flows or run.gradients[place]
    return Saved(tuple(kept), extra=ScalarCount(products))


def _maximum_saves(attributes: NoAttributes, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    if len(inputs) <= 2:
        return Saved(tuple(range(len(inputs))))
    return Saved(output=True, extra=ScalarCount(len(inputs) * run.batch * elements(inputs[0])))  # the stacked values


def _row(
    name: str,
    summary: str,
    shape: ShapeRule,
    source: Callable[..., Expression],
    saves: SaveRule = saves_nothing,
    *,
    algebra: Algebra = CHANNELWISE,
    overwritable: bool = False,
    elementwise: bool = True,
    read_from: tuple[str, ...],
) -> Operator:
    """A row; `elementwise`: it folds its values with a commutative function of two, element by element."""
    return Operator(
        name,
        "merge",
        summary,
        NoAttributes,
        shape,
        source,
        no_parameters,
        flops=None,
        memory=MemoryRules(saves, view=_is_one_value),
        algebra=algebra,
        inputs=(1, None),
        overwritable=overwritable,
        commutes=elementwise,
        pairwise=elementwise,
        readings=(implied(*read_from),),
    )


ROWS = (
    _row(
        "add",
        "Sum of values of equal shape.",
        _equal_shapes("add"),
        _add_source,
        overwritable=True,
        read_from=("add", "sub", "sum"),
    ),
    _row(
        "concat",
        "Concatenation along the channels (`torch.cat`).",
        _concat_shape,
        _concat_source,
        algebra=crosses("it puts channels in another order"),
        overwritable=True,
        elementwise=False,
        read_from=("cat", "stack"),
    ),
    _row(
        "mul",
        "Product of values; a side of 1 repeats, so a gate of Cx1x1 multiplies CxHxW.",
        _mul_shape,
        _mul_source,
        _mul_saves,
        read_from=("mul", "square"),
    ),
    _row(
        "maximum",
        "Largest of values of equal shape, element by element (`torch.maximum`).",
        _equal_shapes("maximum"),
        _maximum_source,
        _maximum_saves,
        read_from=("maximum", "amax"),
    ),
    _row(
        "mean",
        "Mean of values of equal shape.",
        _equal_shapes("mean"),
        _mean_source,
        read_from=("mean",),
    ),
)
