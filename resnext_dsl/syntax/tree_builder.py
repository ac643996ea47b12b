"""Builds the syntax tree: one method for each rule of the grammar, called by the parser as it reduces."""

from __future__ import annotations

from typing import Any

from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.expression_builder import ExpressionBuilder
from resnext_dsl.syntax.lexer import Token


class Builder(ExpressionBuilder):
    """Makes the nodes of a file: imports, declarations, statements, and the expressions in them."""

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(source, options)
        self._lines = source.text.split("\n")

    # --- pieces ---

    def _alias(self, keyword: Token | None, name: Token | None) -> s.Name | None:
        return self._name(name) if name is not None else None

    def _to(self, first: Token, aliases: list[Token] | None, end: Any) -> Span:
        """The span of a statement: up to the last name after `as`, or up to `end`."""
        return self._span(first, aliases[-1] if aliases else end)

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
            self._span(keyword, close), self._name(name), self._present(entries), self._doc(keyword)
        )

    def derived(self, children: list[Any]) -> s.Derived:
        keyword, name, base, arguments, close, entries = children
        inner, end = entries or ((), close)
        span = self._span(keyword, end)
        return s.Derived(span, self._name(name), self._name(base), arguments or (), inner, self._doc(keyword))

    def entries(self, children: list[Any]) -> tuple[tuple[Any, ...], Token]:
        *entries, close = children
        return self._present(entries), close

    # --- declarations ---

    def param(self, children: list[Any]) -> s.Param:
        keyword, name, kind, default, domain, _, condition = children
        span = self._span(keyword, condition or domain or default)
        declared = self._name(kind) if kind is not None else None
        return s.Param(span, self._name(name), declared, default, domain, condition, self._doc(keyword))

    def domain_list(self, children: list[Any]) -> s.ListDomain:
        opening, *elements, close = children
        return s.ListDomain(self._span(opening, close), self._present(elements))

    def domain_set(self, children: list[Any]) -> s.SetDomain:
        *items, close = children
        values = self._present(items)
        return s.SetDomain(self._span(values[0], close), values)

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
        return self._present(children)

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
        return s.Init(self._span(keyword, close), self._present(rules))

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
        return s.Budget(self._span(keyword, close), declared, arguments, self._present(limits))

    def limit_bound(self, children: list[Any]) -> s.LimitDeclaration:
        measure, comparison, value = children
        if comparison.text == "!=":
            self._wrong("E002", "a limit cannot use `!=`", self._span(comparison, comparison), "use <=, <, >=, > or ==")
        return s.LimitDeclaration(self._span(measure, value), measure, ((comparison.text, value),))

    def limit_box(self, children: list[Any]) -> s.LimitDeclaration:
        measure, low, high = children
        return s.LimitDeclaration(self._span(measure, high), measure, ((">=", low), ("<=", high)))

    def measure(self, children: list[Any]) -> s.MeasureReference:
        *path, name, call = children
        arguments, end = call or (None, name)
        words = tuple(s.Name(self._span(token, token), token.text) for token in path)
        return s.MeasureReference(self._span((*path, name)[0], end), words, self._name(name), arguments)

    def amount(self, children: list[Any]) -> s.Amount:
        span = self._span(children[0], children[0])
        text = children[0].text
        digits = text.rstrip("BKMGTimnsu")
        return s.Amount(span, *self._ratio(digits, span), text[len(digits) :])

    def _part(
        self, keyword: Token, name: Token, passes: Any, body: s.Block, aliases: list[Token] | None
    ) -> s.PartDeclaration:
        count, index = passes or (None, None)
        span = self._to(keyword, aliases, body)
        named = self._names(aliases)
        return s.PartDeclaration(span, keyword.text, self._name(name), count, index, body, named, self._doc(keyword))

    def stem(self, children: list[Any]) -> s.PartDeclaration:
        keyword, body, _, aliases = children
        return self._part(keyword, keyword, None, body, aliases)

    head = stem

    def stage(self, children: list[Any]) -> s.PartDeclaration:
        keyword, name, passes, body, _, aliases = children
        return self._part(keyword, name, passes, body, aliases)

    def passes(self, children: list[Any]) -> tuple[Any, s.Name | None]:
        _, count, keyword, index = children
        return count, self._alias(keyword, index)

    def output(self, children: list[Any]) -> s.OutputDeclaration:
        keyword, name, _, when, _, value, body = children
        last = body or value or when or name
        condition = self._name(when) if when is not None else None
        return s.OutputDeclaration(self._span(keyword, last), self._name(name), condition, value, body)

    # --- statements ---

    def block(self, children: list[Any]) -> s.Block:
        *statements, close = children
        body = self._present(statements)
        return s.Block(self._span(body[0] if body else close, close), body)

    def call(self, children: list[Any]) -> tuple[tuple[s.CallArgument, ...], Token]:
        arguments, close = children
        return arguments or (), close

    def apply(self, children: list[Any]) -> s.Apply:
        callee, call, _, aliases = children
        arguments, end = call or ((), callee)
        return s.Apply(self._to(callee, aliases, end), self._name(callee), arguments, self._names(aliases))

    def use(self, children: list[Any]) -> s.Use:
        keyword, value, _, aliases = children
        return s.Use(self._to(keyword, aliases, value), value, self._names(aliases))

    def shared(self, children: list[Any]) -> s.Shared:
        keyword, name, callee, call = children
        arguments, end = call or ((), callee)
        applied = s.Apply(self._span(callee, end), self._name(callee), arguments, ())
        return s.Shared(self._span(keyword, end), self._name(name), applied)

    def repeat(self, children: list[Any]) -> s.Repeat:
        keyword, count, as_, index, body, _, aliases = children
        span = self._to(keyword, aliases, body)
        return s.Repeat(span, count, self._alias(as_, index), body, self._names(aliases))

    def for_each(self, children: list[Any]) -> s.ForEach:
        keyword, targets, iterable, body, _, aliases = children
        span = self._to(keyword, aliases, body)
        return s.ForEach(span, self._names(targets), iterable, body, self._names(aliases))

    def condition(self, children: list[Any]) -> s.If:
        *parts, _, otherwise, _, aliases = children
        keyword = parts[0]
        kept = [part for part in parts if not isinstance(part, Token) and part is not None]
        branches = tuple(zip(kept[::2], kept[1::2], strict=True))
        span = self._to(keyword, aliases, otherwise or kept[-1])
        return s.If(span, branches, otherwise, self._names(aliases))

    def split(self, children: list[Any]) -> s.Split:
        keyword, count, sliced, as_, index, body, _, merge, call, _, aliases = children
        arguments, end = call or ((), merge)
        merged = s.Apply(self._span(merge, end), self._name(merge), arguments, ())
        paths = () if isinstance(body, s.Block) else body
        block = body if isinstance(body, s.Block) else None
        span = self._to(keyword, aliases, end)
        counter = self._alias(as_, index)
        return s.Split(span, count, sliced is not None, counter, block, paths, merged, self._names(aliases))

    def paths(self, children: list[Any]) -> tuple[s.ListedPath, ...]:
        return self._present(children[:-1])

    def path_repeat(self, children: list[Any]) -> s.PathRepeat:
        keyword, count, as_, index, paths = children
        return s.PathRepeat(self._span(keyword, count), count, self._alias(as_, index), paths)

    def path_for(self, children: list[Any]) -> s.PathFor:
        keyword, targets, iterable, paths = children
        return s.PathFor(self._span(keyword, iterable), self._names(targets), iterable, paths)

    def path_if(self, children: list[Any]) -> s.PathIf:
        *parts, _, otherwise = children
        keyword = parts[0]
        kept = [part for part in parts if not isinstance(part, Token) and part is not None]
        branches = tuple(zip(kept[::2], kept[1::2], strict=True))
        return s.PathIf(self._span(keyword, kept[0]), branches, otherwise)

    def path(self, children: list[Any]) -> s.Block:
        keyword, body = children
        return s.Block(self._span(keyword, body), body.statements)

    def residual(self, children: list[Any]) -> s.Residual:
        keyword, call, body, _, shortcut, _, aliases = children
        arguments = call[0] if call else ()
        span = self._to(keyword, aliases, shortcut or body)
        return s.Residual(span, arguments, body, shortcut, self._names(aliases))
