"""Finds the changes between the graphs of two networks, and groups equal changes.

Names are grouped by their pattern: equal changes of `conv3.0.conv2` .. `conv3.3.conv2` are one change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Any, Literal

from resnext_dsl.compare.align import Alignment
from resnext_dsl.display.stage_table import operator_text
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node, commutes, uses_of_modules
from resnext_dsl.semantics.values import show, show_shape

Kind = Literal["changed", "reshaped", "removed", "added", "renamed"]
KINDS: tuple[Kind, ...] = ("changed", "reshaped", "removed", "added", "renamed")
"""Kinds of changes, in the order in which a part lists them."""


class Detail(NamedTuple):
    """An attribute (or `operator`, `weights` or `inputs`) with its value on each side."""

    attribute: str
    a: str
    b: str


class StructuralChange(NamedTuple):
    """One change that several operators may share.

    Attributes:
        kind: One of `KINDS`. "reshaped" means that only the output shape differs, as a result of another change.
        part: The part, or the outermost operator, of the change.
        a: The names of operators in the first graph; the name of a scope if the second graph lacks all of it.
        b: The same names in the second graph.
        details: For changed operators, the attributes that differ.
        holds: For added or removed names, their operators as text.
        operators: The number of operators.
    """

    kind: Kind
    part: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    details: tuple[Detail, ...]
    holds: str
    operators: int


class _Entry(NamedTuple):
    """A change of one operator or scope; `place` is its position in the order of both graphs."""

    place: tuple[int, int]
    kind: Kind
    part: str
    a: str
    b: str
    details: tuple[Detail, ...] = ()
    holds: str = ""
    operators: int = 1


def changes(a: Graph, b: Graph, alignment: Alignment) -> tuple[StructuralChange, ...]:
    """The changes from one graph to another, sorted by part, then by kind, then by the order of the graphs."""
    entries = [*_renamed_parts(a, alignment), *_paired(a, b, alignment)]
    entries += [*_removed(a, b, alignment), *_added(a, b, alignment)]
    entries.sort(key=lambda entry: entry.place)
    parts = {part: index for index, part in enumerate(dict.fromkeys(entry.part for entry in entries))}
    groups: dict[tuple[object, ...], list[_Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (parts[entry.part], KINDS.index(entry.kind))):
        pattern = ("", "") if entry.kind == "reshaped" else (starred(entry.a), starred(entry.b))
        groups.setdefault((entry.kind, entry.part, *pattern, entry.details, entry.holds), []).append(entry)
    return tuple(_change(group) for group in groups.values())


def _change(group: list[_Entry]) -> StructuralChange:
    first = group[0]
    names_a, names_b = (tuple(filter(None, names)) for names in zip(*((e.a, e.b) for e in group), strict=True))
    count = sum(entry.operators for entry in group)
    return StructuralChange(first.kind, first.part, names_a, names_b, first.details, first.holds, count)


# --- operators that both graphs have ---


def _paired(a: Graph, b: Graph, alignment: Alignment) -> Iterable[_Entry]:
    shared_a, shared_b = (uses_of_modules(graph).keys() for graph in (a, b))
    for i, j in alignment.pairs.items():
        x, y = a.nodes[i], b.nodes[j]
        if x.operator == "input":
            continue
        details = (*_attributes(x, y), *_modules(x, y, shared_a, shared_b), *_inputs(a, b, i, j, alignment))
        renamed = x.name != alignment.name_in_a(y.name)
        kind: Kind = "changed" if details else "renamed" if renamed else "reshaped"
        if details or renamed or x.shape != y.shape:
            yield _Entry((i, 0), kind, _part(x.name), x.name, y.name, details)


def _renamed_parts(a: Graph, alignment: Alignment) -> Iterable[_Entry]:
    for name_b, name in alignment.parts.items():
        inside = [i for i, node in enumerate(a.nodes) if _part(node.name) == name]
        yield _Entry((inside[0], -1), "renamed", name, name, name_b, operators=len(inside))


def _attributes(x: Node, y: Node) -> list[Detail]:
    before, after = dict(x.attributes or ()), dict(y.attributes or ())
    operator = [Detail("operator", x.operator, y.operator)] if x.operator != y.operator else []
    return operator + [
        Detail(name, value_text(value), value_text(after[name]))
        for name, value in before.items()
        if name in after and value_text(value) != value_text(after[name])
    ]


def _modules(x: Node, y: Node, shared_a: Container[str], shared_b: Container[str]) -> list[Detail]:
    """The change of an operator's weights: shared with other places, or its own."""
    before, after = (
        node.module if node.module is not None and node.module in shared else None
        for node, shared in ((x, shared_a), (y, shared_b))
    )
    return [Detail("weights", _owner(before), _owner(after))] if (before is None) != (after is None) else []


def _owner(module: str | None) -> str:
    return "own" if module is None else f"shared as {starred(module)}"


def value_text(value: Any) -> str:
    """The value of an attribute as source text."""
    if isinstance(value, tuple):
        return show_shape(value)
    return value if isinstance(value, str) else "none" if value is None else show(value)


def _inputs(a: Graph, b: Graph, i: int, j: int, alignment: Alignment) -> list[Detail]:
    """The change of an operator's inputs, if both graphs have all of them; others are changes of their own."""
    read_a, read_b = a.nodes[i].inputs, b.nodes[j].inputs
    if any(source not in alignment.pairs for source in read_a) or any(k not in alignment.back for k in read_b):
        return []
    expected = [alignment.pairs[source] for source in read_a]
    if sorted(expected) == sorted(read_b) if commutes(a.nodes[i]) else expected == list(read_b):
        return []
    return [Detail("inputs", _listed(a, read_a), _listed(b, read_b))]


def _listed(graph: Graph, positions: Sequence[int]) -> str:
    return ", ".join(starred(graph.nodes[position].name) for position in positions)


# --- operators that one graph has ---


def _removed(a: Graph, b: Graph, alignment: Alignment) -> Iterable[_Entry]:
    known = {alignment.name_in_a(name) for name in b.scopes}
    places = {i: (i, 1) for i in range(len(a.nodes)) if i not in alignment.pairs}
    for name, positions in _outermost(a, places, known, {scope: scope for scope in a.scopes}).items():
        nodes = [a.nodes[i] for i in positions]
        yield _Entry(places[positions[0]], "removed", _part(name), name, "", (), _holds(name, nodes), len(nodes))


def _added(a: Graph, b: Graph, alignment: Alignment) -> Iterable[_Entry]:
    known = set(a.scopes)
    places: dict[int, tuple[int, int]] = {}
    last = 0
    for j in range(len(b.nodes)):
        last = max(last, alignment.back.get(j, last))
        if j not in alignment.back:
            places[j] = (last, 2)
    names = {name: alignment.name_in_a(name) for name in b.scopes}
    for name, positions in _outermost(b, places, known, names).items():
        nodes = [b.nodes[j] for j in positions]
        part = _part(alignment.name_in_a(name))
        yield _Entry(places[positions[0]], "added", part, "", name, (), _holds(name, nodes), len(nodes))


def _outermost(graph: Graph, places: Iterable[int], known: set[str], names: dict[str, str]) -> dict[str, list[int]]:
    """Groups nodes by their outermost scope that the other graph lacks, or by their own name if it lacks none.

    Args:
        graph: The graph of the nodes.
        places: The positions of the nodes.
        known: The scopes of the other graph.
        names: The name of each scope of this graph in `known`.
    """
    groups: dict[str, list[int]] = {}
    for position in places:
        node = graph.nodes[position]
        words = node.scope.split(".") if node.scope else []
        around = [".".join(words[: k + 1]) for k in range(len(words))]
        lacking = (name for name in around if names[name] not in known)
        groups.setdefault(next(lacking, node.name), []).append(position)
    return groups


def _holds(name: str, nodes: list[Node]) -> str:
    """The operators under a name as text: one operator with its size, several as counts."""
    if len(nodes) == 1 and nodes[0].name == name:
        return operator_text(nodes[0])
    return ", ".join(f"{count} {operator}" for operator, count in Counter(node.operator for node in nodes).items())


# --- names ---


def _part(name: str) -> str:
    return name.partition(".")[0]


def starred(name: str) -> str:
    """A name with `*` for each of its numbers."""
    return ".".join("*" if word.isdigit() else word for word in name.split("."))


class Patterns:
    """Writes many names as one pattern. It stores the numbers that follow each prefix in the graphs."""

    def __init__(self, *graphs: Graph) -> None:
        self._numbers: dict[str, set[int]] = {}
        for graph in graphs:
            for name in graph.scopes:
                before, _, last = name.rpartition(".")
                if last.isdigit():
                    self._numbers.setdefault(starred(before), set()).add(int(last))

    def text(self, names: Sequence[str]) -> str:
        """The pattern of names that differ in numbers: `conv3.*.conv2` for all numbers, `conv4.{6..22}` for some."""
        words = []
        for place, column in enumerate(zip(*(name.split(".") for name in names), strict=True)):
            before = starred(".".join(names[0].split(".")[:place]))
            words.append(self._word(before, set(map(int, column))) if column[0].isdigit() else column[0])
        return ".".join(words)

    def _word(self, before: str, numbers: set[int]) -> str:
        if len(numbers) == 1:
            return str(*numbers)
        low, high = min(numbers), max(numbers)
        if numbers == self._numbers.get(before):
            return "*"
        if len(numbers) == high - low + 1:
            return f"{{{low}..{high}}}"
        return f"{{{','.join(map(str, sorted(numbers)))}}}"
