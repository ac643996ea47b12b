"""The LALR(1) driver: applies the parse table of lark to tokens, in one pass and without recursion."""

from __future__ import annotations

from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.syntax.grammar import ParseTable, Reduction, table
from resnext_dsl.syntax.lexer import Token


class ParseFailure(NamedTuple):
    """A syntax error: the index of the token that does not fit, and the terminals that would fit there."""

    place: int
    expected: frozenset[str]


def run(tokens: list[Token], builder: object) -> list[Any] | ParseFailure:
    """The items of a file, from the builder's methods (named like the rules of the grammar), or the first failure."""
    grammar = table()
    actions, rules, accept, climbs = grammar.actions, grammar.rules, grammar.accept, grammar.climbs
    methods: dict[str, Any] = {}
    states: list[int] = [grammar.start]
    values: list[Any] = []
    for index, token in enumerate(tokens):
        kind = token.kind
        while True:
            action = actions[states[-1]].get(kind)
            if action is None:
                return ParseFailure(index, _expected(states))
            if action >= 0:
                states.append(action)
                values.append(token)
                break
            rule = rules[-1 - action]
            if rule.unit:
                # An operand passes some fifteen levels of precedence, through the same states each time.
                key = (states[-2], states[-1], kind)
                if key not in climbs:
                    climbs[key] = _climb(grammar, *key)
                states[-1] = climbs[key]
                continue
            length = rule.length
            taken = values[len(values) - length :]
            if length:
                del states[-length:], values[-length:]
            values.append(_reduce(rule, taken, methods, builder))
            states.append(actions[states[-1]][rule.origin])
            if states[-1] == accept and kind == "$END":
                return list(values[-1])
    raise AssertionError("the token stream has no end")


def _climb(grammar: ParseTable, below: int, top: int, kind: str) -> int:
    """The state above `below` after all unit reductions of `top` before `kind`."""
    while True:
        action = grammar.actions[top].get(kind)
        if action is None or action >= 0 or not grammar.rules[-1 - action].unit:
            return top
        top = grammar.actions[below][grammar.rules[-1 - action].origin]


def _reduce(rule: Reduction, taken: list[Any], methods: dict[str, Any], builder: object) -> Any:
    """The value of a reduction: a list for a helper rule of lark, else the node that the builder returns."""
    children: list[Any]
    if not rule.build and rule.children and rule.children[0][1]:
        # A helper rule of lark for `(...)*`: its list grows in place, since copies would take quadratic time.
        children, rest = taken[rule.children[0][0]], rule.children[1:]
    else:
        children, rest = [], rule.children
    for position, splice, nones in rest:
        if nones:
            children += [None] * nones
        if splice:
            children += taken[position]
        else:
            children.append(taken[position])
    if rule.trailing:
        children += [None] * rule.trailing
    if not rule.build:
        return children
    if rule.inline_single and len(children) == 1:
        return children[0]
    method = methods.get(rule.build)
    if method is None:
        method = methods[rule.build] = getattr(builder, rule.build)
    return method(children)


def first_failure(tokens: list[Token]) -> ParseFailure | None:
    """The first syntax error of tokens, or None if they have none."""
    result = run(tokens, _Nothing())
    return result if isinstance(result, ParseFailure) else None


class _Nothing:
    """A builder that builds nothing."""

    def __getattr__(self, name: str) -> Any:
        return list


def _expected(states: list[int]) -> frozenset[str]:
    """The terminals that can follow: a reduction counts only if the terminal can be shifted after it."""
    candidates = table().actions[states[-1]]
    return frozenset(kind for kind in candidates if not kind.islower() and _fits(states, kind))


def _fits(states: list[int], kind: str) -> bool:
    grammar = table()
    stack = list(states)
    while True:
        action = grammar.actions[stack[-1]].get(kind)
        if action is None:
            return False
        if action >= 0:
            return True
        rule = grammar.rules[-1 - action]
        if rule.length:
            del stack[-rule.length :]
        stack.append(grammar.actions[stack[-1]][rule.origin])
        if stack[-1] == grammar.accept:
            return kind == "$END"
