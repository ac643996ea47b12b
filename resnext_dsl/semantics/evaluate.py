"""Computes expressions within bounds; an error points at the part that cannot be computed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Note, Span, did_you_mean, error
from resnext_dsl.foundation.options import Options
from resnext_dsl.operators import OPERATORS, SYMBOLS
from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.elements import element_at, list_slice
from resnext_dsl.semantics.functions import BUILTINS, INFIX, WHOLE, BadValueError, number
from resnext_dsl.semantics.init_schemes import INIT_WORDS
from resnext_dsl.semantics.recursion import too_deep
from resnext_dsl.semantics.signature import BoundArguments, bind, no_arguments, signature_of
from resnext_dsl.semantics.values import (
    FUNCTIONS,
    MISSING,
    PENDING,
    SCALARS,
    UNKNOWN,
    BuiltinValue,
    Environment,
    FunctionValue,
    List,
    OperatorValue,
    SharedValue,
    TemplateValue,
    UnsettledError,
    depth_of,
    show,
    size_of,
    type_name,
    with_article,
)
from resnext_dsl.syntax import nodes as s

SHORTCUTS = ("auto", "identity", "projection", "pad", "skip")


def as_word(value: Any) -> Any:
    """The word of an operator that is also an option word, such as `identity`; any other value as it is."""
    if isinstance(value, OperatorValue) and not value.arguments and value.operator.name in WORDS:
        return value.operator.name
    return value


WORDS = SYMBOLS | set(SHORTCUTS) | INIT_WORDS
"""Option words: names that stand for themselves unless a declaration has the name."""

_MEANINGS: dict[str, Any] = {
    **{name: BuiltinValue(name) for name in BUILTINS},
    **{word: word for word in WORDS},
    **{name: OperatorValue(operator) for name, operator in OPERATORS.items()},
}
"""The values of operators' names, of option words and of built-in functions."""

Built = TypeVar("Built")

VALUE_NAMES = frozenset({"value_in", "value_here"})
"""Names for the value that enters a template and for the running value."""

CONTEXT = VALUE_NAMES | {"channels_in", "shape_in", "channels_here", "shape_here"}
"""The same and names for their shapes; the expander gives them their values."""


NAME_BEFORE_USE = "name a value with `as NAME` before it is used"
"""The hint for a name that no value has."""


class Interpreter:
    """Evaluates expressions under one budget of steps.

    Attributes:
        context: Gives the value of a `CONTEXT` name or of a value of the network, and `MISSING` for other names. Raises
            `UnsettledError` if the value is not known here.
        quiet: Whether an unknown name raises `UnsettledError`, for callers that report no errors: a hint takes time.
    """

    def __init__(self, options: Options, context: Callable[[str], Any] | None = None, quiet: bool = False) -> None:
        self.options = options
        self.context = context
        self.quiet = quiet
        self.steps = 0
        self.depth = 0
        self._open: list[s.Fn] = []  # the functions whose calls are computed
        self._limit = 10**options.max_digits
        self._most_steps = options.max_steps

    def evaluate(self, expression: s.Expression, env: Environment) -> Any:
        """The value of an expression.

        Raises:
            ArchError: If it cannot be computed; one diagnostic, at the innermost part.
            UnsettledError: If it depends on something that failed before.
        """
        self.steps += 1
        if self.steps > self._most_steps:
            self.step(expression.span, 0)
        if isinstance(expression, s.Literal):
            return expression.value
        return _DISPATCH[type(expression)](self, expression, env)

    def bound(self, expression: s.Expression, env: Environment) -> Any:
        """The value that a name gets from an expression."""
        return self.evaluate(expression, env)

    def walked(self, expression: s.Expression, env: Environment) -> Any:
        """The value of an expression that its caller compares, hashes or copies: the walk counts as steps too."""
        value = self.evaluate(expression, env)
        if type(value) not in SCALARS:
            self.walk(value, expression.span)
        return value

    def step(self, span: Span, count: int = 1) -> None:
        """Spends steps of the budget."""
        self.steps += count
        if self.steps > self.options.max_steps:
            raise error(
                "E405",
                f"the spec needs more than {self.options.max_steps} steps of computation",
                span,
                hint="the option `max_steps` sets the limit",
            )

    def walk(self, value: Any, span: Span) -> None:
        """Spends the steps that a walk of a value takes: one for each element, as often as it occurs.

        Callers in inner loops test for `SCALARS` first, which saves the call.
        """
        if type(value) not in SCALARS:
            self.step(span, size_of(value))

    def built(self, value: Built, span: Span) -> Built:
        """A value made of others, if its size and depth are within the bounds."""
        if size_of(value) > self.options.max_nodes:
            message = f"the value would have more than {self.options.max_nodes} elements, those of inner lists included"
            raise error("E405", message, span, hint="the option `max_nodes` sets the limit")
        if depth_of(value) > self.options.max_calls:
            message = f"lists and arguments are nested deeper than {self.options.max_calls}"
            raise error("E403", message, span, hint="the option `max_calls` sets the limit")
        return value

    def whole(self, expression: s.Expression, env: Environment, what: str, least: int = 0, hint: str = "") -> int:
        """The value of an expression that must be an int of at least `least`; `hint` is for a value of another type."""
        value = self.evaluate(expression, env)
        if not is_int(value):
            hint = "use `//` to divide, or round(...)" if isinstance(value, float) else call_hint(value) or hint
            raise error("E204", f"{what} must be an int; found {show(value)}", expression.span, hint=hint)
        if value < least:
            raise error("E205", f"{what} must be at least {least}; found {value}", expression.span)
        return value

    # --- one method for each kind of expression ---

    def _name(self, expression: s.Name, env: Environment) -> Any:
        value = self.find(expression, env)
        if value is UNKNOWN:
            raise UnsettledError
        return value

    def find(self, name: s.Name, env: Environment) -> Any:
        """The meaning of a name: a declaration, a value of the network, an operator or an option word."""
        text = name.text
        value = env.get(text)
        if value is MISSING and self.context is not None:
            try:
                value = self.context(text)
            except BadValueError as bad:
                raise error(bad.code, str(bad), name.span, hint=bad.hint) from None
        if value is MISSING:
            value = _MEANINGS.get(text, MISSING)
        if value is PENDING:
            message = f"`{text}` has no value here, because its own value is computed from it"
            raise error("E101", message, name.span)
        if value is not MISSING:
            return value
        if self.quiet:
            raise UnsettledError
        raise self.unknown_name(name, env)

    def unknown_name(self, name: s.Name, env: Environment) -> ArchError:
        """The error for a name without a meaning."""
        if name.text in CONTEXT:
            return error("E105", f"`{name.text}` has a value only inside a template or a part", name.span)
        known = env.all_names() | set(OPERATORS) | set(BUILTINS) | set(CONTEXT)
        return error("E101", f"unknown name `{name.text}`", name.span, hint=did_you_mean(name.text, known))

    def _invoke(self, expression: s.Invoke, env: Environment) -> Any:
        callee = self.find(expression.callee, env)
        if callee is UNKNOWN:
            raise UnsettledError
        if isinstance(callee, BuiltinValue):
            return self._builtin(callee.name, expression, env)
        if isinstance(callee, FunctionValue):
            return self._function(callee, expression, env)
        if isinstance(callee, OperatorValue | TemplateValue):
            return self.fill_in(callee, expression.arguments, env)
        name = expression.callee.text
        if isinstance(callee, SharedValue) and expression.arguments:
            raise ArchError([no_arguments(name, expression.arguments[0].span, callee.span)])
        if isinstance(callee, SharedValue):
            return callee
        raise error("E207", f"`{name}` is {with_article(type_name(callee))}, not a function", expression.callee.span)

    def fill_in(
        self, callee: OperatorValue | TemplateValue, arguments: tuple[s.CallArgument, ...], env: Environment
    ) -> Any:
        """The operator or template with these arguments filled in, after the arguments that it has already."""
        signature = signature_of(callee)
        bound = bind(signature, arguments, partial=True)
        self.check_no_values(bound, signature.name, env)
        filled = (*callee.arguments, *((k, self.evaluate(a.value, env)) for k, a in bound.named.items()))
        places = {**callee.places, **{k: a.span for k, a in bound.named.items()}}
        value: OperatorValue | TemplateValue
        if isinstance(callee, OperatorValue):
            value = OperatorValue(callee.operator, filled, places)
        else:
            value = TemplateValue(callee.template, callee.environment, filled, places)
        return self.built(value, arguments[-1].span) if arguments else value

    def check_no_values(self, bound: BoundArguments, name: str, env: Environment) -> None:
        """Checks that no value of the network is filled in; an operator takes its values where it is applied."""
        if not bound.values:
            return
        argument = bound.values[0]
        self.evaluate(argument.value, env)  # a name without a meaning is the mistake then
        message = f"`{name}` cannot have values of the network filled in; found `{argument.span.text[:40]}`"
        hint = f"apply it with its values as a statement: `{name}(...)`; pass values to templates as arguments"
        raise error("E203", message, argument.span, hint=hint)

    def _function(self, callee: FunctionValue, expression: s.Invoke, env: Environment) -> Any:
        bound = bind(signature_of(callee), expression.arguments, callee_span=expression.callee.span)
        inner = Environment(callee.environment)
        inner.turn = None
        for name, argument in bound.named.items():
            inner.names[name] = self.evaluate(argument.value, env)
        if self.depth >= self.options.max_calls:
            raise too_deep(expression.span, self.options, callee.function if callee.function in self._open else None)
        self.depth += 1
        self._open.append(callee.function)
        try:
            return self.evaluate(callee.function.body, inner)
        except ArchError as problem:
            raise _called(problem, expression) from None
        finally:
            self.depth -= 1
            self._open.pop()

    def _builtin(self, name: str, expression: s.Invoke, env: Environment) -> Any:
        function, least, most = BUILTINS[name]
        called = expression.callee.text
        hint = f"`{called}` is the function `{name}` here" if called != name else ""
        for argument in expression.arguments:
            if argument.name is not None:
                message = f"`{name}` takes no named arguments; found `{argument.name.text}`"
                raise error("E201", message, argument.span, hint=hint)
        count = len(expression.arguments)
        if count < least or (most is not None and count > most):
            raise error(*_wrong_count(name, count, least, most), expression.span, hint=hint)
        if name in ("first", "last") and env.turn is None:
            where = "a `repeat` or a repeated stage"
            raise error("E105", f"`{name}` is allowed only inside {where}", expression.span)
        values = [self.evaluate(argument.value, env) for argument in expression.arguments]
        if name in ("first", "last"):
            turn, turns = env.turn or (0, 1)
            return values[0] if turn == (0 if name == "first" else turns - 1) else values[1]
        for value in values:
            if type(value) not in SCALARS:
                self.walk(value, expression.span)
        return self._checked(expression, lambda: function(*values), name, values)

    def _checked(self, expression: s.Expression, compute: Callable[[], Any], what: str, values: list[Any]) -> Any:
        """The result of a computation that can fail; numbers and lists stay within their bounds."""
        try:
            result = compute()
        except BadValueError as bad:
            raise error(bad.code, str(bad), expression.span, hint=bad.hint) from None
        except ZeroDivisionError:
            raise error("E206", "division by zero", expression.span) from None
        except (OverflowError, ValueError):
            raise error("E206", f"`{what}` has no result for {_listed(values)}", expression.span) from None
        except TypeError:
            hint = next(filter(None, map(call_hint, values)), "")
            raise error("E204", f"`{what}` does not accept {_kinds(values)}", expression.span, hint=hint) from None
        return self._bounded(result, expression)

    def _bounded(self, result: Any, expression: s.Expression) -> Any:
        if is_int(result) and abs(result) >= self._limit:
            digits = f"more than {self.options.max_digits} digits"
            hint = "the option `max_digits` sets the limit"
            raise error("E404", f"the result has {digits}", expression.span, hint=hint)
        if isinstance(result, float) and not abs(result) <= sys.float_info.max:
            raise error("E206", "the result is not a finite number", expression.span)
        if isinstance(result, tuple) and len(result) > self.options.max_nodes:
            hint = "the option `max_nodes` sets the limit"
            raise error(
                "E205", f"the list would have more than {self.options.max_nodes} elements", expression.span, hint=hint
            )
        return self.built(result, expression.span) if type(result) is List else result

    def _chain(self, expression: s.Chain, env: Environment) -> Any:
        signs = expression.rest[0][0]
        if signs in ("and", "or"):
            return self._logic(expression, env, signs)
        if signs == "**":
            return self._power(expression, env)
        value = self.evaluate(expression.first, env)
        for sign, operand in expression.rest:
            right = self.evaluate(operand, env)
            value = self._infix(expression, sign, value, right)
        return value

    def _logic(self, expression: s.Chain, env: Environment, sign: str) -> bool:
        for operand in (expression.first, *(operand for _, operand in expression.rest)):
            if self.truth(operand, env) == (sign == "or"):
                return sign == "or"
        return sign == "and"

    def truth(self, expression: s.Expression, env: Environment) -> bool:
        """The value of a condition, which must be a bool."""
        value = self.evaluate(expression, env)
        if not isinstance(value, bool):
            hint = f"compare it: `{expression.span.text[:40]} != 0`" if type(value) is int else call_hint(value)
            raise error("E204", f"a condition must be true or false; found {show(value)}", expression.span, hint=hint)
        return value

    def _power(self, expression: s.Chain, env: Environment) -> Any:
        operands = [self.evaluate(operand, env) for operand in (expression.first, *(o for _, o in expression.rest))]
        value = operands.pop()
        while operands:
            value = self._infix(expression, "**", operands.pop(), value)
        return value

    def _infix(self, expression: s.Expression, sign: str, left: Any, right: Any) -> Any:
        self.step(expression.span)
        if type(left) is int and type(right) is int and sign in WHOLE:
            return self._bounded(WHOLE[sign](left, right), expression)
        if type(left) not in SCALARS:
            self.walk(left, expression.span)
        if type(right) not in SCALARS:
            self.walk(right, expression.span)
        return self._checked(expression, lambda: INFIX[sign](left, right), sign, [left, right])

    def _unary(self, expression: s.Unary, env: Environment) -> Any:
        if expression.operator == "not":
            return not self.truth(expression.operand, env)
        value = self.evaluate(expression.operand, env)
        return self._checked(expression, lambda: -number(value), "-", [value])

    def _conditional(self, expression: s.Conditional, env: Environment) -> Any:
        *pairs, otherwise = expression.parts
        for value, condition in zip(pairs[::2], pairs[1::2], strict=True):
            if self.truth(condition, env):
                return self.evaluate(value, env)
        return self.evaluate(otherwise, env)

    def _dimensions(self, expression: s.Dimensions, env: Environment) -> tuple[int, ...]:
        return tuple(self.whole(part, env, "a size in a shape") for part in expression.parts)

    def _index(self, expression: s.Index, env: Environment) -> Any:
        value = self.evaluate(expression.base, env)
        for place in expression.indices:
            if not isinstance(value, tuple):
                raise error("E204", f"only a list or a shape has elements; found {show(value)}", expression.span)
            if isinstance(place, s.ListSlice):
                bounds = [None if bound is None else self.evaluate(bound, env) for bound in (place.start, place.stop)]
                value = list_slice(value, place, *bounds)
            else:
                value = element_at(value, self.evaluate(place, env), place.span)
        return value

    def _list(self, expression: s.ListOf, env: Environment) -> List:
        return self.built(List(self.evaluate(item, env) for item in expression.items), expression.span)

    def _comprehension(self, expression: s.Comprehension, env: Environment) -> List:
        items = []
        for element in self.elements(expression.iterable, env):
            inner = Environment(env)
            self.unpack(expression.targets, element, expression.iterable.span, inner)
            if expression.condition is None or self.truth(expression.condition, inner):
                items.append(self.evaluate(expression.element, inner))
        return self.built(List(items), expression.span)

    def elements(self, expression: s.Expression, env: Environment) -> tuple[Any, ...]:
        """The elements of an expression that must be a list or a shape."""
        value = self.evaluate(expression, env)
        if not isinstance(value, tuple):
            hint = f"write `range({expression.span.text[:40]})`" if type(value) is int else ""
            raise error("E204", f"`for` needs a list; found {show(value)}", expression.span, hint=hint)
        self.step(expression.span, len(value))
        return value

    def unpack(self, targets: tuple[s.Name, ...], element: Any, span: Span, env: Environment) -> None:
        """Binds the names of a `for` to an element."""
        if len(targets) == 1:
            env.names[targets[0].text] = element
            return
        if not isinstance(element, tuple) or len(element) != len(targets):
            names = ", ".join(target.text for target in targets)
            raise error("E204", f"`{names}` needs elements of {len(targets)} values; found {show(element)}", span)
        for target, part in zip(targets, element, strict=True):
            env.names[target.text] = part


_DISPATCH: dict[type, Callable[[Interpreter, Any, Environment], Any]] = {
    s.Name: Interpreter._name,
    s.Invoke: Interpreter._invoke,
    s.Chain: Interpreter._chain,
    s.Unary: Interpreter._unary,
    s.Conditional: Interpreter._conditional,
    s.Dimensions: Interpreter._dimensions,
    s.Index: Interpreter._index,
    s.ListOf: Interpreter._list,
    s.Comprehension: Interpreter._comprehension,
}


def call_hint(value: Any) -> str:
    """The hint for a function in the place of its result; "" for other values."""
    return f"call the function: `{show(value)}(...)`" if isinstance(value, FUNCTIONS) else ""


def _kinds(values: list[Any]) -> str:
    return " and ".join(with_article(type_name(value)) for value in values)


def _listed(values: list[Any]) -> str:
    return ", ".join(show(value) for value in values)


def _wrong_count(name: str, count: int, least: int, most: int | None) -> tuple[str, str]:
    code = "E202" if count < least else "E203"
    wanted = str(least) if most == least else f"{least} to {most}" if most is not None else f"at least {least}"
    return code, f"`{name}` takes {wanted} argument{'s' if wanted != '1' else ''}; found {count}"


def _called(problem: ArchError, expression: s.Invoke) -> ArchError:
    """The error with the call of a function added to its trail."""
    first = problem.diagnostics[0]
    note = Note(f"function `{expression.callee.text}`", expression.span)
    return ArchError(
        [
            Diagnostic(
                first.code, first.message, first.span, first.hint, first.notes, (note, *first.trail), first.severity
            )
        ]
    )
