"""Builds the syntax tree: one method for each rule of the grammar, called by the parser as it reduces."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from resnext_dsl.foundation.diagnostics import Diagnostic, Span
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.lexer import Token

SUFFIXES = {"K": 3, "M": 6, "G": 9, "T": 12}


class Builder:
    """Makes tree nodes of a source; what a literal or a declaration has wrong in itself is noted here."""

    def __init__(self, source: Source, options: Options) -> None:
        self.source = source
        self.options = options
        self.diagnostics: list[Diagnostic] = []
        self._lines = source.text.split("\n")

    # --- pieces ---

    def _span(self, first: Any, last: Any) -> Span:
        start = first.start if isinstance(first, Token) else first.span.start
        end = last.end if isinstance(last, Token) else last.span.end
        return Span(self.source, start, end)

    def _name(self, token: Token) -> s.Name:
        span = Span(self.source, token.start, token.end)
        if token.text.startswith("__"):
            self._wrong("E103", f"the name `{token.text[:40]}` starts with two underscores", span, "use one at most")
        return s.Name(span, token.text)

    def _names(self, tokens: list[Token] | None) -> tuple[s.Name, ...]:
        return tuple(self._name(token) for token in tokens or ())

    def _alias(self, keyword: Token | None, name: Token | None) -> s.Name | None:
        return self._name(name) if name is not None else None

    def _wrong(self, code: str, message: str, span: Span, hint: str = "") -> None:
        self.diagnostics.append(Diagnostic(code, message, span, hint=hint))

    def _doc(self, first: Token) -> str:
        """The `##` lines directly above a declaration that is the first thing on its line."""
        line, column = self.source.position(first.start)
        line -= 1
        if self._lines[line][: column - 1].strip(" \t\f;"):
            return ""
        lines: list[str] = []
        while line > 0 and self._lines[line - 1].lstrip().startswith("##"):
            line -= 1
            lines.append(self._lines[line].lstrip().lstrip("#").strip())
        return "\n".join(reversed(lines))

    def _given(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(child for child in children if child is not None)

    # --- file ---

    def file(self, children: list[Any]) -> list[Any]:
        return [child for child in children if child is not None]

    def import_all(self, children: list[Any]) -> s.Import:
        keyword, path = children
        return s.Import(self._span(keyword, path), self.string([path]).value, "", None)  # type: ignore[arg-type]

    def import_from(self, children: list[Any]) -> s.Import:
        keyword, place, _, *names = children
        span = self._span(keyword, names[-1][2])
        pairs = tuple((name, alias) for name, alias, _ in names)
        if isinstance(place, Token):
            return s.Import(span, self.string([place]).value, "", pairs)  # type: ignore[arg-type]
        return s.Import(span, "", place, pairs)

    def library(self, children: list[Any]) -> str:
        return ".".join(token.text for token in children)

    def imported(self, children: list[Any]) -> tuple[s.Name, s.Name, Token]:
        token, _, alias = children
        name = self._name(token)
        return name, self._name(alias) if alias is not None else name, alias or token

    def network(self, children: list[Any]) -> s.NetworkDeclaration:
        keyword, name, *entries, close = children
        return s.NetworkDeclaration(
            self._span(keyword, close), self._name(name), self._given(entries), self._doc(keyword)
        )

    def derived(self, children: list[Any]) -> s.Derived:
        keyword, name, base, arguments, close, entries = children
        inner, end = entries or ((), close)
        span = self._span(keyword, end)
        return s.Derived(span, self._name(name), self._name(base), arguments or (), inner, self._doc(keyword))

    def entries(self, children: list[Any]) -> tuple[tuple[Any, ...], Token]:
        *entries, close = children
        return self._given(entries), close

    # --- declarations ---

    def param(self, children: list[Any]) -> s.Param:
        keyword, name, kind, default, domain, _, condition = children
        span = self._span(keyword, condition or domain or default)
        declared = self._name(kind) if kind is not None else None
        return s.Param(span, self._name(name), declared, default, domain, condition, self._doc(keyword))

    def domain_list(self, children: list[Any]) -> s.ListDomain:
        opening, *elements, close = children
        return s.ListDomain(self._span(opening, close), self._given(elements))

    def domain_set(self, children: list[Any]) -> s.SetDomain:
        *items, close = children
        given = self._given(items)
        return s.SetDomain(self._span(given[0], close), given)

    def domain_range(self, children: list[Any]) -> s.RangeDomain:
        low, high, _, step = children
        return s.RangeDomain(self._span(low, step or high), low, high, step, log=False)

    def domain_log(self, children: list[Any]) -> s.RangeDomain:
        low, high, word = children
        return s.RangeDomain(self._span(low, word), low, high, None, log=True)

    def let(self, children: list[Any]) -> s.Let:
        keyword, name, value = children
        return s.Let(self._span(keyword, value), self._name(name), value, self._doc(keyword))

    def function(self, children: list[Any]) -> s.Fn:
        keyword, name, parameters, body = children
        span = self._span(keyword, body)
        return s.Fn(span, self._name(name), self._names(parameters), body, self._doc(keyword))

    def names(self, children: list[Any]) -> list[Token]:
        return children

    def template(self, children: list[Any]) -> s.Template:
        keyword, name, formals, body = children
        return s.Template(self._span(keyword, body), self._name(name), formals or (), body, self._doc(keyword))

    def template_bare(self, children: list[Any]) -> s.Template:
        keyword, name, body = children
        return self.template([keyword, name, (), body])

    def formals(self, children: list[Any]) -> tuple[s.Formal, ...]:
        return self._given(children)

    def formal(self, children: list[Any]) -> s.Formal:
        name, default = children
        return s.Formal(self._span(name, default or name), self._name(name), default)

    def require(self, children: list[Any]) -> s.Require:
        keyword, condition, reason = children
        text = self.string([reason]).value if reason is not None else ""
        return s.Require(self._span(keyword, reason or condition), condition, str(text))

    def default(self, children: list[Any]) -> s.Default:
        keyword, operator, arguments, close = children
        return s.Default(self._span(keyword, close), self._name(operator), arguments or ())

    def init(self, children: list[Any]) -> s.Init:
        keyword, *rules, close = children
        return s.Init(self._span(keyword, close), self._given(rules))

    def init_rule(self, children: list[Any]) -> s.InitDeclaration:
        *words, field, scheme, call = children
        arguments, end = call or ((), scheme)
        *path, operator = self._names(words)
        span = self._span(words[0], end)
        return s.InitDeclaration(span, tuple(path), operator, self._name(field), self._name(scheme), arguments)

    def input(self, children: list[Any]) -> s.Input:
        keyword, name, shape = children
        return s.Input(self._span(keyword, shape), self._name(name), shape)

    def budget(self, children: list[Any]) -> s.Budget:
        keyword, name, call, *limits, close = children
        declared = self._name(name) if name is not None else None
        arguments = call[0] if call else ()
        return s.Budget(self._span(keyword, close), declared, arguments, self._given(limits))

    def limit_bound(self, children: list[Any]) -> s.LimitDeclaration:
        measure, comparison, value = children
        if comparison.text == "!=":
            self._wrong("E002", "a budget cannot be `!=`", self._span(comparison, comparison), "use <=, <, >=, > or ==")
        return s.LimitDeclaration(self._span(measure, value), measure, ((comparison.text, value),))

    def limit_box(self, children: list[Any]) -> s.LimitDeclaration:
        measure, low, high = children
        return s.LimitDeclaration(self._span(measure, high), measure, ((">=", low), ("<=", high)))

    def measure(self, children: list[Any]) -> s.MeasureReference:
        *path, name, call = children
        arguments, end = call or (None, name)
        words = tuple(s.Name(Span(self.source, token.start, token.end), token.text) for token in path)
        return s.MeasureReference(self._span((*path, name)[0], end), words, self._name(name), arguments)

    def amount(self, children: list[Any]) -> s.Amount:
        span = self._span(children[0], children[0])
        text = children[0].text
        digits = text.rstrip("BKMGTimnsu")
        return s.Amount(span, self._decimal(digits, span), text[len(digits) :])

    def _part(self, keyword: Token, name: Token, passes: Any, body: s.Block, alias: Token | None) -> s.PartDeclaration:
        count, index = passes or (None, None)
        span = self._span(keyword, alias or body)
        named = self._name(alias) if alias is not None else None
        return s.PartDeclaration(span, keyword.text, self._name(name), count, index, body, named, self._doc(keyword))

    def stem(self, children: list[Any]) -> s.PartDeclaration:
        keyword, body, _, alias = children
        return self._part(keyword, keyword, None, body, alias)

    head = stem

    def stage(self, children: list[Any]) -> s.PartDeclaration:
        keyword, name, passes, body, _, alias = children
        return self._part(keyword, name, passes, body, alias)

    def passes(self, children: list[Any]) -> tuple[Any, s.Name | None]:
        _, count, keyword, index = children
        return count, self._alias(keyword, index)

    def output(self, children: list[Any]) -> s.OutputDeclaration:
        keyword, name, _, when, _, value, body = children
        last = body or value or when or name
        condition, source = (self._name(token) if token is not None else None for token in (when, value))
        return s.OutputDeclaration(self._span(keyword, last), self._name(name), condition, source, body)

    # --- statements ---

    def block(self, children: list[Any]) -> s.Block:
        *statements, close = children
        given = self._given(statements)
        first = given[0] if given else close
        return s.Block(self._span(first, close), given)

    def call(self, children: list[Any]) -> tuple[tuple[s.CallArgument, ...], Token]:
        arguments, close = children
        return arguments or (), close

    def apply(self, children: list[Any]) -> s.Apply:
        callee, call, _, alias = children
        arguments, end = call or ((), callee)
        return s.Apply(self._span(callee, alias or end), self._name(callee), arguments, self._alias(_, alias))

    def use(self, children: list[Any]) -> s.Use:
        keyword, value = children
        return s.Use(self._span(keyword, value), self._name(value))

    def repeat(self, children: list[Any]) -> s.Repeat:
        keyword, count, as_, index, body, as_too, alias = children
        span = self._span(keyword, alias or body)
        return s.Repeat(span, count, self._alias(as_, index), body, self._alias(as_too, alias))

    def for_each(self, children: list[Any]) -> s.ForEach:
        keyword, targets, iterable, body, _, alias = children
        span = self._span(keyword, alias or body)
        return s.ForEach(span, self._names(targets), iterable, body, self._alias(_, alias))

    def condition(self, children: list[Any]) -> s.If:
        *parts, _, otherwise, as_, alias = children
        keyword = parts[0]
        kept = [part for part in parts if not isinstance(part, Token) and part is not None]
        branches = tuple(zip(kept[::2], kept[1::2], strict=True))
        span = self._span(keyword, alias or otherwise or kept[-1])
        return s.If(span, branches, otherwise, self._alias(as_, alias))

    def split(self, children: list[Any]) -> s.Split:
        keyword, count, sliced, as_, index, body, _, merge, call, as_too, alias = children
        arguments, end = call or ((), merge)
        merged = s.Apply(self._span(merge, end), self._name(merge), arguments, None)
        paths = () if isinstance(body, s.Block) else body
        block = body if isinstance(body, s.Block) else None
        span = self._span(keyword, alias or end)
        names = self._alias(as_, index), self._alias(as_too, alias)
        return s.Split(span, count, sliced is not None, names[0], block, paths, merged, names[1])

    def paths(self, children: list[Any]) -> tuple[s.Block, ...]:
        return self._given(children[:-1])

    def path(self, children: list[Any]) -> s.Block:
        keyword, body = children
        return s.Block(self._span(keyword, body), body.statements)

    def residual(self, children: list[Any]) -> s.Residual:
        keyword, call, body, _, shortcut, as_, alias = children
        arguments = call[0] if call else ()
        span = self._span(keyword, alias or shortcut or body)
        return s.Residual(span, arguments, body, shortcut, self._alias(as_, alias))

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

    def number(self, children: list[Any]) -> s.Literal:
        token = children[0]
        span = self._span(token, token)
        digits, power = (token.text[:-1], SUFFIXES[token.text[-1]]) if token.text[-1] in SUFFIXES else (token.text, 0)
        if digits.isdigit():
            return s.Literal(span, self._integer(digits, span) * 10**power)
        exact = self._decimal(digits, span).scaleb(power)
        return s.Literal(span, int(exact) if power and exact == exact.to_integral_value() else float(exact))

    def _decimal(self, digits: str, span: Span) -> Decimal:
        if len(digits) > 100 or abs(int(digits.lower().partition("e")[2][:8] or 0)) > 300:
            self._wrong("E205", f"the number `{span.text[:40]}` is out of range", span, "1e-300 to 1e300")
            return Decimal(1)
        return Decimal(digits)

    def _integer(self, digits: str, span: Span) -> int:
        if len(digits) > self.options.max_digits:
            found = f"the integer has {len(digits)} digits; at most {self.options.max_digits} are allowed"
            self._wrong("E404", found, span, "the bound is the option `max_digits`")
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
        return s.ListOf(self._span(opening, close), self._given(items))

    def comprehension(self, children: list[Any]) -> s.Comprehension:
        opening, element, _, targets, iterable, _, condition, close = children
        span = self._span(opening, close)
        return s.Comprehension(span, element, self._names(targets), iterable, condition)
