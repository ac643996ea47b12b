"""The targets of `init` rules: the nodes that a path, an operator and a field select.

Some checks need the text only; the others need the expanded network.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable
from typing import Any

from resnext_dsl.foundation.diagnostics import MOST, ArchError, Diagnostic, did_you_mean, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.init_schemes import check_field, fields_of, with_weights
from resnext_dsl.syntax import nodes as s

LISTED = 6
"""The most names that a hint lists."""


class InitRule(NamedTuple):
    """The initial values of a field of some modules: a scheme and its arguments.

    Attributes:
        path: The name of the module that the rule applies to, with those inside it; "" for the whole network.
        written: The rule in the text.
    """

    operator: str
    field: str
    scheme: str
    arguments: tuple[tuple[str, Any], ...]
    path: str
    written: s.InitDeclaration


def check_words(rule: s.InitDeclaration, tops: Collection[str]) -> None:
    """Checks a rule against the text: the operators, and the outermost names of the network.

    Raises:
        ArchError: If the rule is wrong for every expansion of the network.
    """
    known = rule.operator.text in OPERATORS
    first = (*rule.path, rule.operator)[0]
    if (rule.path or not known) and first.text not in tops:
        raise _unknown(first, "", tops) if rule.path else _unknown_operator(first, tops)
    if known:
        check_field(rule, rule.operator.text)


def settle(rules: Iterable[InitRule], graph: Graph) -> tuple[tuple[InitRule, ...], list[Diagnostic]]:
    """The rules with their scopes or nodes and operators, and the diagnostics of the wrong rules."""
    settled: list[InitRule] = []
    diagnostics: list[Diagnostic] = []
    tree: _Tree | None = None
    for rule in rules:
        if len(diagnostics) >= MOST:
            break
        try:
            if rule.path or rule.operator not in OPERATORS:
                tree = tree or _Tree(graph)
                rule = _settled(rule, tree)  # noqa: PLW2901
            settled.append(rule)
        except ArchError as problem:
            diagnostics += problem.diagnostics
    return tuple(settled), diagnostics


class _Tree:
    """The names of the modules of a graph as a tree.

    Attributes:
        nodes: Module of one operator -> its first node.
        names: The names of all scopes and modules, in the order of the graph.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.nodes: dict[str, Node] = {}
        for node in graph.nodes[1:]:
            self.nodes.setdefault(node.module_name, node)
        self.names = dict.fromkeys([scope.module_name for name, scope in graph.scopes.items() if name])
        self.names.update(dict.fromkeys(self.nodes))
        self._sorted: list[tuple[str, int]] = []
        self._in_order: tuple[Node, ...] = ()
        self._fields: dict[str, dict[str, set[str]]] = {}

    def inside(self, scope: str) -> list[str]:
        """The names directly in a scope."""
        parts = (name.rpartition(".") for name in self.names)
        return [local for outer, _, local in parts if outer == scope]

    def fields(self, name: str) -> dict[str, set[str]]:
        """For each operator with weights in a scope or module, the fields that such operators have."""
        known = self._fields.get(name)
        if known is None:
            known = self._fields[name] = {}
            for node in self._within(name):
                if OPERATORS[node.operator].init_fields:
                    known.setdefault(node.operator, set()).update(fields_of(self._graph, node))
        return known

    def _within(self, name: str) -> list[Node]:
        """The nodes of a module and of those inside it, in the order of the graph."""
        if not self._sorted:
            self._sorted = sorted(zip(self.nodes, range(len(self.nodes)), strict=True))
            self._in_order = tuple(self.nodes.values())
        # The names that begin alike stand side by side, and `/` follows the dot.
        first, end = (bisect_left(self._sorted, (name + mark, 0)) for mark in "./")
        places = sorted(place for _, place in self._sorted[first:end])
        alone = [self.nodes[name]] if name in self.nodes else []
        return alone + [self._in_order[place] for place in places]

    def find(self, words: Iterable[s.Name]) -> str:
        """The name that a path stands for; ArchError at its first unknown word."""
        name = ""
        for word in words:
            inner = f"{name}.{word.text}" if name else word.text
            if inner not in self.names:
                raise _unknown(word, name, self.inside(name))
            name = inner
        return name


def _settled(rule: InitRule, tree: _Tree) -> InitRule:
    written = rule.written
    if rule.operator in OPERATORS:
        tree.find(written.path)
    else:
        name = tree.find((*written.path, written.operator))
        if name not in tree.nodes:
            raise _no_operator(rule, name, tree)
        rule = rule._replace(path=name, operator=tree.nodes[name].operator)
        check_field(written, rule.operator)
    fields = tree.fields(rule.path)
    if rule.operator not in fields:
        raise _without_operator(rule, list(fields))
    if rule.field not in fields[rule.operator]:
        raise _without_field(rule, rule.path in tree.nodes)
    return rule


def _unknown(word: s.Name, outer: str, inside: Collection[str]) -> ArchError:
    hint = did_you_mean(word.text, inside) or (f"it contains: {_listed(inside)}" if inside else "it is an operator")
    return error("E101", f"{f'`{outer}`' if outer else 'the network'} contains no `{word.text}`", word.span, hint=hint)


def _unknown_operator(word: s.Name, tops: Collection[str]) -> ArchError:
    hint = did_you_mean(word.text, {*OPERATORS, *tops}) or f"operators with weights: {', '.join(with_weights())}"
    return error("E101", f"unknown operator or node `{word.text}`", word.span, hint=hint)


def _no_operator(rule: InitRule, name: str, tree: _Tree) -> ArchError:
    operators = list(tree.fields(name))
    hint = f"name an operator inside it: `{name}.{operators[0]}.{rule.field}`" if operators else ""
    return error("E207", f"`{name}` is not an operator", rule.written.operator.span, hint=hint)


def _without_operator(rule: InitRule, operators: list[str]) -> ArchError:
    hint = f"its operators with weights: {', '.join(operators)}" if operators else "it has no weights"
    return error("E209", f"`{rule.path}` contains no `{rule.operator}`", rule.written.operator.span, hint=hint)


def _without_field(rule: InitRule, node: bool) -> ArchError:
    switch = "affine=true" if "affine" in OPERATORS[rule.operator].attributes.fields else "bias=true"
    switch = "standardize=scaled" if rule.field == "gain" else switch
    hint = f"`{rule.operator}(..., {switch})` has one"
    subject = f"`{rule.path}` has no" if node else f"no `{rule.operator}` in `{rule.path}` has a"
    return error("E209", f"{subject} {rule.field}", rule.written.field.span, hint=hint)


def _listed(names: Collection[str]) -> str:
    shown = sorted(names) if isinstance(names, frozenset) else list(names)
    return ", ".join(shown[:LISTED]) + (", ..." if len(shown) > LISTED else "")
