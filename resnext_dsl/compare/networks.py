"""Compares the parameters, interface, structure, cost and budgets of two networks.

It returns data; `differences` prints them. FLOPs follow the convention of `resnext_dsl.costs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from resnext_dsl.budgets.usage import Usage
from resnext_dsl.compare.align import Alignment, align
from resnext_dsl.compare.structure import StructuralChange, changes
from resnext_dsl.display.stage_table import StageRow, stage_table
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph import ir as graphs
from resnext_dsl.networks.network import Network
from resnext_dsl.semantics.values import show_shape, source_text


class TextPair(NamedTuple):
    """A name with its value on each side, as text; None if a side lacks it."""

    name: str
    a: str | None
    b: str | None


class RowPair(NamedTuple):
    """A row of the stage table on both sides; None if a side lacks the part."""

    a: StageRow | None
    b: StageRow | None

    @property
    def row(self) -> StageRow:
        """The row of the first side that has one."""
        row = self.a or self.b
        assert row is not None
        return row

    @property
    def equal(self) -> bool:
        """Whether both sides have the row and only the name of the part may differ."""
        return self.a is not None and self.b is not None and self.a._replace(name=self.b.name) == self.b


class LimitPair(NamedTuple):
    """A limit of the budgets on both sides; None if a side lacks it."""

    a: Usage | None
    b: Usage | None

    @property
    def equal(self) -> bool:
        """Whether both sides have the limit with the same bound and the same verdict."""
        if self.a is None or self.b is None:
            return False
        return self.a.limit.bound == self.b.limit.bound and verdict(self.a) == verdict(self.b)


class Comparison(NamedTuple):
    """The differences between two networks.

    Attributes:
        a: The first network.
        b: The second network.
        parameters: The parameters whose values differ.
        inputs: The input, if its name or shape differs.
        outputs: The outputs that differ in shape, in their operator, or in whether they exist in training only.
        init: The fields of modules whose rules of initialisation differ.
        rows: The aligned stage tables, with equal rows, without the inputs.
        same_architecture: Whether the fingerprints of the networks are equal.
        same_graph: Whether the graphs as written are equal, apart from names. If the architectures are equal and the
            graphs are not, splits have other forms.
        changes: The changes from the first graph to the second; in the same graph, only names change.
        other_names: In the same graph, the number of operators of the first network whose name the second lacks.
        limits: All limits of both networks, equal or not.
    """

    a: Network
    b: Network
    parameters: tuple[TextPair, ...]
    inputs: tuple[TextPair, ...]
    outputs: tuple[TextPair, ...]
    init: tuple[TextPair, ...]
    rows: tuple[RowPair, ...]
    same_architecture: bool
    same_graph: bool
    changes: tuple[StructuralChange, ...]
    other_names: int
    limits: tuple[LimitPair, ...]

    @property
    def differs(self) -> bool:
        """Whether anything differs other than comments, the file, and the name of the network."""
        interface = self.parameters or self.inputs or self.outputs or self.init
        limits = any(not pair.equal for pair in self.limits)
        return bool(interface or not self.same_graph or self.other_names or limits)

    def of_part(self, name: str) -> Comparison:
        """The comparison with the rows and changes of one part, scope or operator only."""
        rows = [pair for pair in self.rows if any(row and _lies_in(row.name, name) for row in pair)]
        inside = [c for c in self.changes if any(_lies_in(n, name) or _lies_in(name, n) for n in c.a + c.b)]
        return self._replace(rows=tuple(rows), changes=tuple(inside))


def compare(a: Network, b: Network, depth: int = 1) -> Comparison:
    """Compares two networks.

    Args:
        a: The first network.
        b: The second network.
        depth: The number of levels of the module tree in the table.

    Raises:
        ArchError: If a network cannot take the input shape of one of its budgets.
    """
    alignment = align(a.ir, b.ir)
    same = graphs.fingerprint(a.ir) == graphs.fingerprint(b.ir)
    differences = changes(a.ir, b.ir, alignment)
    return Comparison(
        a,
        b,
        parameters=_pairs(_parameters(a), _parameters(b)),
        inputs=_pairs(_input(a), _input(b)),
        outputs=_outputs(a, b, alignment),
        init=_pairs(_init(a), _init(b)),
        rows=_rows(stage_table(a, depth)[1:], stage_table(b, depth)[1:], a, b, alignment),
        same_architecture=same or a.fingerprint == b.fingerprint,
        same_graph=same,
        changes=tuple(change for change in differences if not same or change.kind == "renamed"),
        other_names=_other_names(a, b) if same else 0,
        limits=_limits(a.usage(), b.usage()),
    )


def verdict(usage: Usage | None) -> str:
    """The verdict on a limit: "kept", "exceeded", "open" if it was not measured, "" if there is no limit."""
    if usage is None:
        return ""
    return "open" if usage.used is None else "kept" if usage.met else "exceeded"


def _lies_in(name: str, outer: str) -> bool:
    return name == outer or name.startswith(f"{outer}.")


# --- comparison by name ---


def _pairs(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[TextPair, ...]:
    return tuple(TextPair(name, a.get(name), b.get(name)) for name in _merged(a, b) if a.get(name) != b.get(name))


def _merged(a: Iterable[str], b: Iterable[str]) -> list[str]:
    """The names of both, in order; between two common names, names of `a` come before names of `b`."""
    known = dict.fromkeys(a)
    behind: dict[str, list[str]] = {}
    shared = {"": None}
    for name in b:
        if name in known:
            shared[name] = None
        else:
            behind.setdefault(next(reversed(shared)), []).append(name)
    merged: list[str] = []
    waiting = behind.get("", [])
    for name in known:
        if name in shared:
            merged += waiting
            waiting = behind.get(name, [])
        merged.append(name)
    return merged + waiting


def _parameters(network: Network) -> dict[str, str]:
    return {name: source_text(parameter.value) for name, parameter in network.parameters.items()}


def _input(network: Network) -> dict[str, str]:
    node = network.ir.nodes[0]
    return {node.name: show_shape(node.shape)}


def _init(network: Network) -> dict[str, str]:
    """Each field with its rule of initialisation; the last of several rules for one field holds."""
    rules: dict[str, str] = {}
    operators = {node.module_name for node in network.ir.nodes}
    for rule in network.init:
        arguments = ", ".join(f"{name}={source_text(value)}" for name, value in rule.arguments)
        owner = rule.path if rule.path in operators else f"{rule.path}.{rule.operator}"
        rules[f"{owner}.{rule.field}".lstrip(".")] = f"{rule.scheme}({arguments})" if arguments else rule.scheme
    return rules


def _outputs(a: Network, b: Network, alignment: Alignment) -> tuple[TextPair, ...]:
    """Differences of outputs; the text names the operator of an output if it differs between the graphs."""
    nodes_b = {output.name: output.node for output in b.ir.outputs}
    moved = {
        output.name
        for output in a.ir.outputs
        if output.name in nodes_b
        and output.node in alignment.pairs
        and nodes_b[output.name] in alignment.back
        and alignment.pairs[output.node] != nodes_b[output.name]
    }
    first_a, first_b = a.ir.outputs[0].name, b.ir.outputs[0].name
    main = {"the first": first_a}, {"the first": first_b}
    both = {first_a, first_b} <= {output.name for output in a.ir.outputs} & set(nodes_b)
    return (*_pairs(_output_texts(a, moved), _output_texts(b, moved)), *(_pairs(*main) if both else ()))


def _output_texts(network: Network, moved: set[str]) -> dict[str, str]:
    texts = {}
    for output in network.ir.outputs:
        node = network.ir.nodes[output.node]
        training = " in training only" if output.training_only else ""
        source = f" from {node.name}" if output.name in moved else ""
        texts[output.name] = show_shape(node.shape) + training + source
    return texts


def _other_names(a: Network, b: Network) -> int:
    names = {node.name for node in b.ir.nodes}
    return sum(node.name not in names for node in a.ir.nodes if node.operator != "input")


# --- tables and limits ---


def _rows(
    rows_a: list[StageRow], rows_b: list[StageRow], a: Network, b: Network, alignment: Alignment
) -> tuple[RowPair, ...]:
    """The rows of both tables: scopes are paired by name, operators by the alignment of the graphs."""
    # Keys end in a sign, which no name has: two operators, or an operator and a scope, may share a name.
    pairs, back = alignment.pairs, alignment.back
    keys_a = {node.name: f"{node.name}{'=' if i in pairs else '-'}" for i, node in enumerate(a.ir.nodes)}
    keys_b = {node.name: f"{alignment.name_in_a(node.name)}+" for node in b.ir.nodes}
    keys_b |= {b.ir.nodes[j].name: f"{a.ir.nodes[i].name}=" for j, i in back.items()}
    left = {keys_a.get(row.name, row.name): row for row in rows_a}
    right = {keys_b.get(row.name) or alignment.name_in_a(row.name): row for row in rows_b}
    keys = _in_tree_order("", _children(left), _children(right))
    return tuple(RowPair(left.get(key), right.get(key)) for key in keys)


def _children(names: Iterable[str]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for name in names:
        children.setdefault(name.rpartition(".")[0], []).append(name)
    return children


def _in_tree_order(parent: str, a: dict[str, list[str]], b: dict[str, list[str]]) -> list[str]:
    """The names of both tables, each followed by its children."""
    ordered: list[str] = []
    for name in _merged(a.get(parent, ()), b.get(parent, ())):
        ordered += [name, *_in_tree_order(name, a, b)]
    return ordered


def _limits(a: tuple[Usage, ...], b: tuple[Usage, ...]) -> tuple[LimitPair, ...]:
    left, right = {_limit_key(usage): usage for usage in a}, {_limit_key(usage): usage for usage in b}
    return tuple(LimitPair(left.get(key), right.get(key)) for key in _merged(left, right))


def _limit_key(usage: Usage) -> str:
    limit = usage.limit
    return f"{limit.budget}({limit.conditions}) {limit.subject} {limit.comparison}"
