"""Formulas of several calls that are one operator of the language; each rule states `before -> after`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from resnext_dsl.importing.lowering.axis_views import ValueView
from resnext_dsl.importing.lowering.row_calls import sources_of
from resnext_dsl.importing.lowering.state import Lowering
from resnext_dsl.importing.lowering.stored_values import CallFormula, Weight
from resnext_dsl.importing.lowering.view_nodes import settled, with_channels
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.readings import is_near

NORMS = frozenset({"linalg_vector_norm", "norm"})


def recognized(state: Lowering, formula: CallFormula) -> ValueView | None:
    """The value of a formula that an operator computes; None if no rule knows it."""
    for rule in RULES:
        view = rule(state, formula)
        if view is not None:
            return view
    return None


def first(formula: CallFormula) -> Any:
    """The value that the call of a formula is applied to."""
    return formula.arguments.get("self", formula.arguments.get("input"))


# relu6(x + 3) / 6  ->  hardsigmoid(x)
def _hard_sigmoid(state: Lowering, formula: CallFormula) -> ValueView | None:
    divisor = formula.arguments.get("other")
    if formula.operation == "mul" and isinstance(divisor, float):
        divisor = 1 / divisor if divisor else None
    clamped = first(formula)
    if formula.operation not in ("div", "mul") or not isinstance(divisor, int | float) or not is_near(divisor, 6):
        return None
    if not isinstance(clamped, CallFormula) or not _clamps_to_6(clamped):
        return None
    shifted = first(clamped)
    if not isinstance(shifted, CallFormula) or shifted.operation != "add" or shifted.arguments.get("other") != 3:
        return None
    value = first(shifted)
    if not isinstance(value, ValueView):
        return None
    view = settled(state, value)
    return view._replace(node=state.add("hardsigmoid", {}, [view.node], state.call.path))


def _clamps_to_6(formula: CallFormula) -> bool:
    arguments = formula.arguments
    if formula.operation == "hardtanh":
        return (arguments.get("min_val"), arguments.get("max_val")) == (0, 6)
    if formula.operation == "clamp":
        return (arguments.get("min"), arguments.get("max")) == (0, 6)
    return formula.operation == "relu6"


# x + bias + weight * x * norm(x) / (mean(norm(x)) + eps)  ->  grn(x)
def _response_norm(state: Lowering, formula: CallFormula) -> ValueView | None:
    if formula.operation != "add":
        return None
    terms = [list(_factors(term)) for term in _terms(formula)]
    terms.sort(key=len)
    if [len(term) for term in terms] != [1, 1, 3]:
        return None
    (values, biases) = (terms[0], terms[1]) if isinstance(terms[0][0], ValueView) else (terms[1], terms[0])
    factors = sorted(terms[2], key=lambda factor: [ValueView, Weight, CallFormula].index(type(factor)))
    value, bias = values[0], biases[0]
    if [type(factor) for factor in factors] != [ValueView, Weight, CallFormula] or factors[0] != value:
        return None
    if not isinstance(value, ValueView) or not isinstance(bias, Weight):
        return None
    share = _share(value, factors[2])
    if share is None:
        return None
    place, eps = share
    view = with_channels(state, value, place)
    node = state.add("grn", {"eps": eps}, [view.node], state.call.path)
    stored = {"weight": factors[1], "bias": bias}
    draft = state.nodes[node]
    tensors = sources_of(state, OPERATORS["grn"].algebra.tensors(draft.attributes, (draft.shape,)), stored)
    state.nodes[node] = state.nodes[node]._replace(tensors=tensors)
    return view._replace(node=node)


def _share(value: ValueView, formula: CallFormula) -> tuple[int, float] | None:
    """The axis of the channels and the eps of norm(x) / (mean(norm(x)) + eps)."""
    if formula.operation != "div":
        return None
    norm, shifted = formula.arguments["self"], formula.arguments["other"]
    if not isinstance(norm, CallFormula) or norm.operation not in NORMS or first(norm) != value:
        return None
    if not isinstance(shifted, CallFormula) or shifted.operation != "add":
        return None
    mean, eps = shifted.arguments["self"], shifted.arguments["other"]
    if not isinstance(mean, CallFormula) or mean.operation != "mean" or first(mean) is not norm:
        return None
    count = len(value.dimensions)
    dims = mean.arguments.get("dim")
    dim: Any = dims[0] if isinstance(dims, list | tuple) else dims
    if not isinstance(dim, int):
        return None
    place = dim % count
    sides = {dim % count for dim in norm.arguments.get("dim") or ()}
    order = norm.arguments.get("ord", norm.arguments.get("p", 2))
    if order not in (2, 2.0, "fro") or sides != set(range(1, count)) - {place} or not norm.arguments.get("keepdim"):
        return None
    return place, float(eps)


def _terms(value: Any) -> Iterator[Any]:
    """The terms of nested sums."""
    if isinstance(value, CallFormula) and value.operation == "add" and value.arguments.get("alpha", 1) == 1:
        yield from _terms(first(value))
        yield from _terms(value.arguments["other"])
    elif isinstance(value, CallFormula) and value.operation == "addcmul" and value.arguments.get("value", 1) == 1:
        yield from _terms(first(value))
        arguments = {"self": value.arguments["tensor1"], "other": value.arguments["tensor2"]}
        yield CallFormula("mul", arguments, value.call)
    else:
        yield value


def _factors(value: Any) -> Iterator[Any]:
    """The factors of nested products."""
    if isinstance(value, CallFormula) and value.operation == "mul":
        yield from _factors(first(value))
        yield from _factors(value.arguments["other"])
    else:
        yield value


RULES: tuple[Callable[[Lowering, CallFormula], ValueView | None], ...] = (_hard_sigmoid, _response_norm)
