"""Builds the nodes of expressions: one method for each rule of the grammar, called by the parser as it reduces."""

from __future__ import annotations

from typing import Any

from resnext_dsl.foundation.diagnostics import Diagnostic, Span
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.lexer import Token

LARGEST = 10**300
"""The largest number with a point or an exponent; the smallest is its inverse."""

SUFFIXES = {"K": 3, "M": 6, "G": 9, "T": 12}


class ExpressionBuilder:
    """Makes the nodes of expressions; `Builder` adds those of statements and declarations.

    Attributes:
        diagnostics: Mistakes inside one literal, name or declaration; building goes on after each of them.
    """

    def __init__(self, source: Source, options: Options) -> None:
        self.source = source
        self.options = options
        self.diagnostics: list[Diagnostic] = []

    # --- pieces ---

    def _span(self, first: Any, last: Any) -> Span:
        start = first.start if isinstance(first, Token) else first.span.start
        end = last.end if isinstance(last, Token) else last.span.end
        return Span(self.source, start, end)

    def _name(self, token: Token) -> s.Name:
        span = Span(self.source, token.start, token.end)
        if token.text.startswith("__"):
            self._wrong(
                "E103",
                f"the name `{token.text[:40]}` starts with two underscores",
                span,
                "begin names with one underscore at most",
            )
        return s.Name(span, token.text)

    def _names(self, tokens: list[Token] | None) -> tuple[s.Name, ...]:
        return tuple(self._name(token) for token in tokens or ())

    def _wrong(self, code: str, message: str, span: Span, hint: str = "") -> None:
        self.diagnostics.append(Diagnostic(code, message, span, hint=hint))

    def _present(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(child for child in children if child is not None)

    # --- expressions ---

    def arguments(self, children: list[Any]) -> tuple[s.CallArgument, ...]:
        return tuple(
            child if isinstance(child, s.CallArgument) else s.CallArgument(child.span, None, child)
            for child in children
            if child is not None
        )

    def keyword(self, children: list[Any]) -> s.CallArgument:
        name, value = children
        return s.CallArgument(self._span(name, value), self._name(name), value)

    def conditional(self, children: list[Any]) -> s.Conditional:
        parts = tuple(child for child in children if not isinstance(child, Token))
        return s.Conditional(self._span(parts[0], parts[-1]), parts)

    def _joined(self, operator: str, children: list[Any]) -> s.Chain:
        first, *rest = children
        return s.Chain(self._span(first, rest[-1]), first, tuple((operator, operand) for operand in rest))

    def disjunction(self, children: list[Any]) -> s.Chain:
        return self._joined("or", children)

    def conjunction(self, children: list[Any]) -> s.Chain:
        return self._joined("and", children)

    def power(self, children: list[Any]) -> s.Chain:
        return self._joined("**", children)

    def _mixed(self, children: list[Any]) -> s.Chain:
        pairs = tuple((sign.text, operand) for sign, operand in zip(children[1::2], children[2::2], strict=True))
        return s.Chain(self._span(children[0], children[-1]), children[0], pairs)

    comparison = sum = product = _mixed

    def negated(self, children: list[Any]) -> s.Unary:
        keyword, operand = children
        return s.Unary(self._span(keyword, operand), "not", operand)

    def negative(self, children: list[Any]) -> s.Unary:
        sign, operand = children
        return s.Unary(self._span(sign, operand), "-", operand)

    def dimensions(self, children: list[Any]) -> s.Dimensions:
        return s.Dimensions(self._span(children[0], children[-1]), tuple(children))

    def indexed(self, children: list[Any]) -> s.Index:
        base, *rest = children
        indices = tuple(child for child in rest if not isinstance(child, Token))
        return s.Index(self._span(base, rest[-1]), base, indices)

    def list_slice(self, children: list[Any]) -> s.ListSlice:
        start, colon, stop = children
        return s.ListSlice(self._span(start or colon, stop or colon), start, stop)

    def number(self, children: list[Any]) -> s.Literal:
        token = children[0]
        span = self._span(token, token)
        digits, power = (token.text[:-1], SUFFIXES[token.text[-1]]) if token.text[-1] in SUFFIXES else (token.text, 0)
        if digits.isdigit():
            return s.Literal(span, self._integer(digits, span) * 10**power)
        numerator, denominator = self._ratio(digits, span, power)
        whole = power and numerator % denominator == 0
        return s.Literal(span, numerator // denominator if whole else numerator / denominator)

    def _ratio(self, digits: str, span: Span, power: int = 0) -> tuple[int, int]:
        """Numerator and denominator of a number times a power of ten; exact, as floats are not."""
        mantissa, _, exponent = digits.lower().partition("e")
        whole, _, fraction = mantissa.partition(".")
        if len(digits) <= 100 and abs(int(exponent[:8] or 0)) <= 300:
            number, scale = int(f"{whole}{fraction}"), int(exponent or 0) + power - len(fraction)
            numerator, denominator = (number * 10**scale, 1) if scale >= 0 else (number, 10**-scale)
            if not number or denominator <= numerator * LARGEST <= denominator * LARGEST**2:
                return numerator, denominator
        self._wrong(
            "E205", f"the number `{span.text[:40]}` is out of range", span, "numbers range from 1e-300 to 1e300"
        )
        return 1, 1

    def _integer(self, digits: str, span: Span) -> int:
        if len(digits) > self.options.max_digits:
            message = f"the integer has {len(digits)} digits; at most {self.options.max_digits} are allowed"
            self._wrong("E404", message, span, "the option `max_digits` sets the limit")
            return 1
        return int(digits)

    def shape(self, children: list[Any]) -> s.Literal:
        token = children[0]
        span = self._span(token, token)
        parts = token.text.split("x")
        if len(parts) > 8:
            self._wrong("E205", f"a shape has at most 8 sizes; found {len(parts)}", span)
            return s.Literal(span, (1, 1))
        return s.Literal(span, tuple(self._integer(part, span) for part in parts))

    def string(self, children: list[Any]) -> s.Literal:
        token = children[0]
        text = token.text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        return s.Literal(self._span(token, token), text)

    def true(self, children: list[Any]) -> s.Literal:
        return s.Literal(self._span(children[0], children[0]), True)

    def false(self, children: list[Any]) -> s.Literal:
        return s.Literal(self._span(children[0], children[0]), False)

    def name(self, children: list[Any]) -> s.Name:
        return self._name(children[0])

    def invoke(self, children: list[Any]) -> s.Invoke:
        callee, arguments, close = children
        return s.Invoke(self._span(callee, close), self._name(callee), arguments or ())

    def group(self, children: list[Any]) -> s.Expression:
        inner: s.Expression = children[1]
        return inner

    def list_of(self, children: list[Any]) -> s.ListOf:
        opening, *items, close = children
        return s.ListOf(self._span(opening, close), self._present(items))

    def comprehension(self, children: list[Any]) -> s.Comprehension:
        opening, element, _, targets, iterable, _, condition, close = children
        span = self._span(opening, close)
        return s.Comprehension(span, element, self._names(targets), iterable, condition)
