"""The graph of a network: expansion makes it, passes rewrite it, and the compiler reads it.

Nodes are in the order of execution, each after its inputs. The scope of a node is the module that it belongs to.
`to_networkx` gives the same graph as a networkx MultiDiGraph. It imports networkx itself, because that takes longer
than all of `check`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from resnext_dsl.foundation.diagnostics import Note, Span
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.algebra import Tensor
from resnext_dsl.operators.base import Attributes, Shape
from resnext_dsl.operators.ranks import IMAGE, rank_of
from resnext_dsl.operators.rules import pads_by_size, reach, resolved_padding

if TYPE_CHECKING:
    import networkx
    from pydantic import BaseModel


class Node(NamedTuple):
    """One application of an operator.

    Attributes:
        name: Stable hierarchical name, `conv3.0.paths.7.conv1`: its scope's name and its own.
        operator: Name of its row in the operator table; "input" for the network's input.
        attributes: The validated attributes; None for the input.
        inputs: Positions of the nodes that it reads, in the order of arguments; all smaller than its own position.
        shape: Shape of its value, without batch.
        span: The statement that it comes from.
        scope: Name of its innermost scope; "" for the network itself.
        trail: The template calls that led to it, outermost first.
        module: Name of the module that it calls, if that differs from its own name: a use of a shared instance calls
            the module of the instance. The first node of a module is its owner.
    """

    name: str
    operator: str
    attributes: Attributes | None
    inputs: tuple[int, ...]
    shape: Shape
    span: Span
    scope: str
    trail: tuple[Note, ...] = ()
    module: str | None = None

    @property
    def module_name(self) -> str:
        """The name of its module, which the keys of a state_dict begin with."""
        return self.module or self.name


class Scope(NamedTuple):
    """A level of the module tree. Its name without the last part is the name of its parent.

    Attributes:
        name: `conv3.0`; "" for the network.
        kind: "network" for the whole, "part" for a stem, stage, head or output, "shortcut" for a shortcut.
            A "template" is an instance of a template, or a part, pass or path that consists of that instance only.
            A level of "passes" has numbered children that run in turn; each child is a "pass".
            A level of "paths" has numbered children side by side; each child is a "path".
        label: The template's name if `kind` is "template", else the last part of the name.
        arguments: The template's parameters as bound in this instance: ints, floats, bools, strings, shapes and
            operators' names.
        span: The statement that it comes from.
        explicit: Names of the arguments that the call states; the others have their defaults.
        module: Name of the module that it is, if that differs from its own name, as for a node.
    """

    name: str
    kind: Literal["network", "part", "template", "passes", "pass", "paths", "path", "shortcut"]
    label: str
    arguments: tuple[tuple[str, Any], ...]
    span: Span
    explicit: frozenset[str] = frozenset()
    module: str | None = None

    @property
    def module_name(self) -> str:
        """The name of its module."""
        return self.module or self.name


class Part(NamedTuple):
    """A stem, stage, head or output: its name (also the name of its scope), its kind, and the node of its value."""

    name: str
    kind: Literal["stem", "stage", "head", "output"]
    node: int


class Output(NamedTuple):
    """A result of the network. The first output is the main one."""

    name: str
    node: int
    training_only: bool = False


class Graph(NamedTuple):
    """A whole network. `scopes` holds every scope by name, parents before children, "" first."""

    name: str
    nodes: tuple[Node, ...]
    scopes: dict[str, Scope]
    parts: tuple[Part, ...]
    outputs: tuple[Output, ...]


def reachable(graph: Graph, outputs: Iterable[int]) -> set[int]:
    """The nodes that the given nodes depend on, the given nodes included."""
    ends = set(outputs)
    read = ends.union(*[node.inputs for node in graph.nodes])
    if len(read) == len(graph.nodes):
        return read  # every node is read, so each one leads to an output
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


def uses_of_modules(graph: Graph) -> dict[str, list[int]]:
    """For each module that several nodes call, these nodes in the order of execution; the first is the owner."""
    uses: dict[str, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        if node.module is not None:
            uses.setdefault(node.module, []).append(index)
    return {module: nodes for module, nodes in uses.items() if len(nodes) > 1}


def later_uses(graph: Graph) -> set[int]:
    """The nodes whose parameters another node before them owns."""
    return {index for nodes in uses_of_modules(graph).values() for index in nodes[1:]}


def commutes(node: Node) -> bool:
    """Whether the inputs of a node may change places."""
    return node.operator != "input" and OPERATORS[node.operator].commutes


def to_networkx(graph: Graph) -> networkx.MultiDiGraph:
    """The graph for networkx.

    Nodes are keyed by name. They have `operator`, `attributes` (a pydantic model; None for the input), `shape`, `span`,
    `scope`, `trail` and `module` (the name of the module that the node calls). An edge has `position`, the argument of
    the target that it feeds. The graph has `name` and `outputs`.
    """
    import networkx

    outputs = {output.name: graph.nodes[output.node].name for output in graph.outputs}
    converted = networkx.MultiDiGraph(name=graph.name, outputs=outputs)
    for node in graph.nodes:
        converted.add_node(
            node.name,
            operator=node.operator,
            attributes=_validated(graph, node),
            shape=node.shape,
            span=node.span,
            scope=node.scope,
            trail=node.trail,
            module=node.module_name,
        )
        for position, source in enumerate(node.inputs):
            converted.add_edge(graph.nodes[source].name, node.name, position=position)
    return converted


def _validated(graph: Graph, node: Node) -> BaseModel | None:
    """The attributes of a node as a pydantic model, which validates them again."""
    from resnext_dsl.operators.models import model_of

    if node.attributes is None:
        return None
    model = model_of(type(node.attributes), rank_of(graph.nodes[node.inputs[0]].shape) or IMAGE)
    return model(**dict(node.attributes))


ROUNDS = 2
"""The rounds in which hashes of shared modules reach the nodes after them."""


def fingerprint(graph: Graph) -> str:
    """A hash of the computation of a network. Names, comments and the order of definitions do not change it.

    The hash of a node covers its operator, its attributes and the hashes of its inputs. The inputs are sorted if they
    may change places. The number of nodes of each hash tells shared values from repeated ones. If several nodes call
    one module, the sorted hashes of these nodes are the hash of the module, which joins the hash of each of them.
    """
    uses = uses_of_modules(graph)
    hashes, modules = _hashes(graph, {}), []
    for _ in range(ROUNDS if uses else 0):
        known = {module: _sha(_json(sorted(hashes[index] for index in nodes))) for module, nodes in uses.items()}
        hashes = _hashes(graph, {index: known[module] for module, nodes in uses.items() for index in nodes})
        modules = sorted(known.values())
    outputs = sorted(
        (hashes[output.node], output.training_only, index > 0) for index, output in enumerate(graph.outputs)
    )
    content: list[Any] = [outputs, sorted(Counter(hashes).items()), *([modules] if modules else [])]
    return _sha(_json(content))


def _hashes(graph: Graph, modules: Mapping[int, str]) -> list[str]:
    """The hash of each node; `modules` has the hashes of shared modules by node."""
    hashes: list[str] = []
    texts: dict[tuple[str, int], tuple[str, bool]] = {}  # most networks repeat a block
    for index, node in enumerate(graph.nodes):
        key = node.operator, id(node.attributes)
        if key not in texts:
            attributes = _identifying(node.attributes) if node.attributes is not None else list(node.shape)
            texts[key] = _json([node.operator, attributes])[1:-1], commutes(node)
        text, unordered = texts[key]
        inputs = [hashes[source] for source in node.inputs]
        if unordered:
            inputs.sort()
        listed = '","'.join(inputs)
        listed = f'"{listed}"' if listed else ""
        module = f',"{modules[index]}"' if index in modules else ""
        hashes.append(_sha(f"[{text},[{listed}]{module}]"))
    return hashes


def _sha(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()


def _identifying(attributes: Attributes) -> dict[str, Any]:
    """The attributes that a fingerprint covers."""
    fields = attributes.fields
    known = identity_of(attributes)
    return {name: value for name, value in known.items() if name not in attributes.later or value != fields[name]}


def identity_of(attributes: Attributes) -> dict[str, Any]:
    """The attributes by name, in one spelling: numbers for the stride and the padding of windows, if they are fixed."""
    known = dict(attributes)
    kernel, padding = known.get("kernel"), known.get("padding")
    if known.get("stride", ()) is None and isinstance(kernel, tuple):
        known["stride"] = kernel
    if isinstance(padding, str) and isinstance(kernel, tuple) and all(isinstance(side, int) for side in kernel):
        spans = reach(kernel, known.get("dilation") or (1,) * len(kernel))
        if not pads_by_size(padding, spans, known.get("stride") or kernel):
            known["padding"] = resolved_padding(padding, spans)
    return known


def _json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
