"""The graph of a network: what expansion makes, passes rewrite and the compiler reads.

Nodes stand in the order of execution, each after its inputs; scopes say to which module a node belongs. `to_networkx`
gives the same graph as a networkx MultiDiGraph (imported there: it costs more than all of `check`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from resnext_dsl.foundation.diagnostics import Note, Span
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.algebra import Tensor
from resnext_dsl.operators.base import Attributes, Shape

if TYPE_CHECKING:
    import networkx
    from pydantic import BaseModel


class Node(NamedTuple):
    """One operator applied.

    Attributes:
        name: Stable hierarchical name, `conv3.0.paths.7.conv1`: its scope's name and its own.
        operator: Name of its row in the operator table; "input" for the network's input.
        attributes: The validated attributes; None for the input.
        inputs: Positions of the nodes it reads, in argument order; all smaller than its own.
        shape: Shape of its value, without batch.
        span: The statement that made it.
        scope: Name of the innermost scope that it belongs to; "" for the network itself.
        trail: The calls that led to it, outermost first.
    """

    name: str
    operator: str
    attributes: Attributes | None
    inputs: tuple[int, ...]
    shape: Shape
    span: Span
    scope: str
    trail: tuple[Note, ...] = ()


class Scope(NamedTuple):
    """A level of the module tree; its name without the last part is its parent's.

    Attributes:
        name: `conv3.0`; "" for the network.
        kind: "part" (stem, stage, head or output), "template" (an instance of one; also where a part, a pass or a
            path is nothing but that instance), "passes" (numbered children, run in turn), "pass" (one of them),
            "paths" (numbered children, side by side), "path" (one of them), "shortcut".
        label: The template's name where `kind` is "template", else the last part of the name.
        arguments: The template's parameters as bound in this instance: ints, floats, bools, strings, shapes and
            operators' names.
        span: The statement that made it.
        given: The arguments that the call gives, the others having their defaults.
    """

    name: str
    kind: Literal["network", "part", "template", "passes", "pass", "paths", "path", "shortcut"]
    label: str
    arguments: tuple[tuple[str, Any], ...]
    span: Span
    given: frozenset[str] = frozenset()


class Part(NamedTuple):
    """A stem, stage, head or output: its name (that of its scope), its kind, and the node of its value."""

    name: str
    kind: Literal["stem", "stage", "head", "output"]
    node: int


class Output(NamedTuple):
    """A result of the network; the first one is the main one."""

    name: str
    node: int
    training_only: bool = False


class Graph(NamedTuple):
    """A whole network. `scopes` holds every scope, parents before children, "" first."""

    name: str
    nodes: tuple[Node, ...]
    scopes: dict[str, Scope]
    parts: tuple[Part, ...]
    outputs: tuple[Output, ...]


def reachable(graph: Graph, outputs: Iterable[int]) -> set[int]:
    """The nodes that some of these nodes depend on, themselves included."""
    ends = set(outputs)
    read = ends.union(*[node.inputs for node in graph.nodes])
    if len(read) == len(graph.nodes):
        return read  # where every node is read, each is on a way to an output
    seen = ends
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in seen:
            seen.update(graph.nodes[index].inputs)
    return seen


def input_shapes(graph: Graph, node: Node) -> tuple[Shape, ...]:
    """The shapes of the values that a node reads."""
    return tuple([graph.nodes[source].shape for source in node.inputs])


def tensors_of(graph: Graph, node: Node) -> tuple[Tensor, ...]:
    """The parameters and buffers of a node's module."""
    if node.operator == "input":
        return ()
    return OPERATORS[node.operator].algebra.tensors(node.attributes, input_shapes(graph, node))


def commutes(node: Node) -> bool:
    """Whether the inputs of a node may change places."""
    return node.operator != "input" and OPERATORS[node.operator].commutes


def to_networkx(graph: Graph) -> networkx.MultiDiGraph:
    """The graph for networkx.

    Nodes are keyed by name and carry `operator`, `attributes` (a pydantic model; None for the input), `shape`,
    `span`, `scope` and `trail`; edges carry `position`, the
    argument of the target that they feed. The graph itself carries `name` and `outputs`.
    """
    import networkx

    outputs = {output.name: graph.nodes[output.node].name for output in graph.outputs}
    made = networkx.MultiDiGraph(name=graph.name, outputs=outputs)
    for node in graph.nodes:
        made.add_node(
            node.name,
            operator=node.operator,
            attributes=_validated(node),
            shape=node.shape,
            span=node.span,
            scope=node.scope,
            trail=node.trail,
        )
        for position, source in enumerate(node.inputs):
            made.add_edge(graph.nodes[source].name, node.name, position=position)
    return made


def _validated(node: Node) -> BaseModel | None:
    """The attributes of a node as their pydantic model, which validates them once more."""
    from resnext_dsl.operators.models import model_of

    return model_of(type(node.attributes))(**dict(node.attributes)) if node.attributes is not None else None


def fingerprint(graph: Graph) -> str:
    """A hash of what the network computes with: equal under other names, comments and orders of definition.

    Each node is hashed with its operator, its attributes and the hashes of its inputs (sorted where they may change
    places); how often each hash occurs tells shared values from repeated ones.
    """
    from hashlib import sha256

    hashes: list[str] = []
    texts: dict[tuple[str, int], tuple[str, bool]] = {}  # most networks repeat a block
    for node in graph.nodes:
        key = node.operator, id(node.attributes)
        if key not in texts:
            attributes = dict(node.attributes) if node.attributes is not None else list(node.shape)
            texts[key] = _json([node.operator, attributes])[1:-1], commutes(node)
        text, unordered = texts[key]
        inputs = [hashes[source] for source in node.inputs]
        if unordered:
            inputs.sort()
        listed = '","'.join(inputs)
        listed = f'"{listed}"' if listed else ""
        hashes.append(sha256(f"[{text},[{listed}]]".encode()).hexdigest())
    outputs = sorted(
        (hashes[output.node], output.training_only, index > 0) for index, output in enumerate(graph.outputs)
    )
    return sha256(_json([outputs, sorted(Counter(hashes).items())]).encode()).hexdigest()


def _json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
