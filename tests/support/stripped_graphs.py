"""Graphs in the form of those that are read from torch modules: modules with classes, and no trace of the text."""

from __future__ import annotations

from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.ir import Graph, Scope

NOWHERE = Span(Source("<graph>", ""), 0, 0)


def stripped(graph: Graph) -> Graph:
    """The graph without parts, kinds, spans and arguments; paths, shortcuts and passes of one operator are no modules."""
    new_names: dict[str, str] = {"": ""}
    scopes: dict[str, Scope] = {"": Scope("", "network", "Net", (), NOWHERE)}
    gone: dict[str, str] = {}
    for name, scope in graph.scopes.items():
        if not name:
            continue
        parent, _, last = name.rpartition(".")
        if scope.kind in ("paths", "path", "shortcut"):
            new_names[name] = new_names[parent]
            gone[name] = f"{gone.get(parent, '')}{last}_"
            continue
        base = new_names[parent]
        new = f"{base}.{gone.get(parent, '')}{last}" if base else f"{gone.get(parent, '')}{last}"
        new_names[name] = new
        label = "".join(word.capitalize() for word in scope.label.split("_"))
        if scope.kind != "template":
            label = "Sequential"
        module = None if scope.module is None else scope.module
        scopes[new] = Scope(new, "template", label, (), NOWHERE, module=module)
    nodes = []
    for node in graph.nodes:
        last = node.name.rpartition(".")[2]
        base = new_names[node.scope]
        name = f"{gone.get(node.scope, '')}{last}"
        nodes.append(node._replace(name=f"{base}.{name}" if base else name, scope=base, span=NOWHERE, trail=()))
    return Graph(graph.name, tuple(nodes), scopes, (), graph.outputs)
