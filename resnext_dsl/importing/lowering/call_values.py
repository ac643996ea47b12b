"""The value of one call: a view, a stored tensor, a number, a formula, or several of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resnext_dsl.importing.lowering.arithmetic_calls import (
    ARITHMETIC_CALLS,
    FORMULA_CALLS,
    NUMERIC,
    NeedsFormulaError,
)
from resnext_dsl.importing.lowering.axis_views import ValueView
from resnext_dsl.importing.lowering.known_formulas import recognized
from resnext_dsl.importing.lowering.row_calls import READ_FROM, read_row
from resnext_dsl.importing.lowering.state import Lowering, Problem, unreadable
from resnext_dsl.importing.lowering.stored_values import CallFormula, UnknownValue
from resnext_dsl.importing.lowering.structure_calls import STRUCTURE_CALLS, value_of
from resnext_dsl.importing.trace import Call
from resnext_dsl.operators.base import RuleError

NO_OPERATOR = "no operator of the language computes it"


def value_of_call(state: Lowering, call: Call) -> Any:
    """The value of the current call; a problem is kept in the state."""
    try:
        arguments = {name: state.resolved(each) for name, each in call.arguments.items()}
        return _computed(state, call.operation, arguments)
    except FormulaError as problem:
        report(state, problem.formula)
    except RuleError as problem:
        state.problems.append(Problem(state.position, str(problem), problem.hint, problem.code))
    return UnknownValue(state.position)


class FormulaError(Exception):
    """A call needs the value of a formula that no operator computes."""

    def __init__(self, formula: CallFormula) -> None:
        super().__init__(formula.operation)
        self.formula = formula


def report(state: Lowering, formula: CallFormula) -> None:
    """Keeps the problem of a formula that no operator computes: its first call that is none alone."""
    inner = next(
        (part for part in _parts(formula.operands) if isinstance(part, CallFormula)),
        None,
    )
    if inner is not None:
        report(state, inner)
    elif all(problem.call != formula.call for problem in state.problems):
        state.problems.append(Problem(formula.call, _reason(formula)))


def _reason(formula: CallFormula) -> str:
    if formula.operation in READ_FROM or formula.operation in ARITHMETIC_CALLS:
        return "no operator of the language computes it with these values"
    return NO_OPERATOR


def _parts(values: Any) -> Iterator[Any]:
    """The values in nested lists."""
    for value in values:
        if type(value) in (list, tuple):
            yield from _parts(value)
        else:
            yield value


def _computed(state: Lowering, operation: str, arguments: Mapping[str, Any]) -> Any:
    values = list(_parts(arguments.values()))
    known = operation in STRUCTURE_CALLS or operation in READ_FROM or operation in FORMULA_CALLS
    unknown = next((value for value in values if isinstance(value, UnknownValue)), None) if state.problems else None
    if unknown is not None and (known or operation in NUMERIC):
        return unknown
    if operation in NUMERIC and all(isinstance(value, int | float) for value in values):
        return NUMERIC[operation](*values)
    if not known:
        raise unreadable(NO_OPERATOR)
    if operation in STRUCTURE_CALLS:
        return _structured(state, operation, arguments)
    try:
        if operation in ARITHMETIC_CALLS:
            return ARITHMETIC_CALLS[operation](state, arguments)
        if operation in READ_FROM and not _is_part_of_formula(operation, arguments):
            return read_row(state, operation, arguments)
    except NeedsFormulaError:
        pass
    formula = CallFormula(operation, arguments, state.position)
    return recognized(state, formula) or formula


def _structured(state: Lowering, operation: str, arguments: Mapping[str, Any]) -> Any:
    value = value_of(arguments)
    if not isinstance(value, CallFormula):
        return STRUCTURE_CALLS[operation](state, arguments)
    if _of_weights(value):
        return CallFormula(operation, arguments, state.position)
    raise FormulaError(value)


def _of_weights(formula: CallFormula) -> bool:
    """Whether a formula computes with stored tensors only."""
    return all(
        _of_weights(part) if isinstance(part, CallFormula) else not isinstance(part, ValueView)
        for part in _parts(formula.operands)
    )


def _is_part_of_formula(operation: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a row cannot read the call because its value is a formula or a stored tensor."""
    value = value_of(arguments)
    if isinstance(value, ValueView) or (isinstance(value, CallFormula) and value.operation == "pad"):
        return False
    arranged = any(reading.axes != "elements" for _, reading in READ_FROM[operation])
    if isinstance(value, CallFormula) and arranged and not _of_weights(value):
        raise FormulaError(value)
    return True
