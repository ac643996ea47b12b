"""The targets of `init` rules: the nodes that a path, an operator and a field select.

Some checks need the text only; the others need the expanded network.
"""

from __future__ import annotations

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
        inside: Scope -> the names directly in it.
        fields: Scope or module -> operator with weights in it -> the fields that such operators have.
    """

    def __init__(self, graph: Graph) -> None:
        self.nodes: dict[str, Node] = {}
        for node in graph.nodes[1:]:
            self.nodes.setdefault(node.module_name, node)
        self.inside: dict[str, dict[str, None]] = {}
        self.fields: dict[str, dict[str, set[str]]] = {}
        scopes = [scope.module_name for name, scope in graph.scopes.items() if name]
        for name in (*scopes, *self.nodes):
            outer, _, local = name.rpartition(".")
            self.inside.setdefault(outer, {})[local] = None
        for node in self.nodes.values():
            if OPERATORS[node.operator].init_fields:
                self._count(node, fields_of(graph, node))

    def _count(self, node: Node, fields: tuple[str, ...]) -> None:
        path = node.module_name
        while path:
            self.fields.setdefault(path, {}).setdefault(node.operator, set()).update(fields)
            path = path.rpartition(".")[0]

    def find(self, words: Iterable[s.Name]) -> str:
        """The name that a path stands for; ArchError at its first unknown word."""
        name = ""
        for word in words:
            if word.text not in self.inside.get(name, ()):
                raise _unknown(word, name, self.inside.get(name, ()))
            name = f"{name}.{word.text}" if name else word.text
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
    fields = tree.fields.get(rule.path, {})
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
    operators = list(tree.fields.get(name, ()))
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
