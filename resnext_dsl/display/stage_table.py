"""Prints a network: the stage table, budget lines, the list of shipped networks.

Earlier stages pass exact numbers; this folder rounds them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

from resnext_dsl.budgets.usage import Usage
from resnext_dsl.costs.closed_form import Cost
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.units import TIME
from resnext_dsl.graph.ir import Graph, Node, Scope
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.values import show, show_shape, source_text

if TYPE_CHECKING:
    from rich.table import Table

    from resnext_dsl.budgets.latency import Timing
    from resnext_dsl.networks.network import Network

CONVENTION = "FLOPs are fused multiply-adds as fvcore counts them, batch 1"


class StageRow(NamedTuple):
    """A row of the stage table.

    Attributes:
        name: The name of the scope or node.
        level: The level in the module tree, from 0.
        output: The output shape without batch.
        block: The template or the operators, as text.
        repeats: The number of passes; 1 if it is not repeated.
        paths: Cardinality x width = channels of its grouped convolutions and splits; "" if it has none.
        cost: The cost of all its nodes.
    """

    name: str
    level: int
    output: tuple[int, ...]
    block: str
    repeats: int
    paths: str
    cost: Cost


def stage_table(network: Network, depth: int) -> list[StageRow]:
    """The rows of a network in order, down to `depth` levels of the module tree."""
    graph, costs = network.ir, [cost for _, cost in network.cost().nodes]
    rows = [StageRow(graph.nodes[0].name, 0, graph.nodes[0].shape, "input", 1, "", Cost())]
    _add_rows(graph, costs, "", list(range(1, len(graph.nodes))), 0, depth, rows)
    return rows


def _add_rows(
    graph: Graph, costs: list[Cost], prefix: str, members: list[int], level: int, depth: int, rows: list[StageRow]
) -> None:
    groups: dict[str, list[int]] = {}
    for index in members:
        rest = graph.nodes[index].name[len(prefix) :]
        groups.setdefault(prefix + rest.partition(".")[0], []).append(index)
    for name, group in groups.items():
        rows.append(_row(graph, costs, name, group, level))
        if level + 1 < depth and name in graph.scopes:
            _add_rows(graph, costs, f"{name}.", group, level + 1, depth, rows)


def _row(graph: Graph, costs: list[Cost], name: str, group: list[int], level: int) -> StageRow:
    nodes = [graph.nodes[index] for index in group]
    cost = sum((costs[index] for index in group), Cost())
    passes = _passes(graph, name)
    block = _described(graph, graph.scopes.get(name), passes, nodes)
    return StageRow(name, level, nodes[-1].shape, block, max(1, len(passes)), _paths(graph, name, nodes), cost)


def _passes(graph: Graph, name: str) -> list[Scope]:
    scope = graph.scopes.get(name)
    if scope is None or scope.kind != "passes":
        return []
    passes: list[Scope] = []
    while f"{name}.{len(passes)}" in graph.scopes:
        passes.append(graph.scopes[f"{name}.{len(passes)}"])
    return passes


def _described(graph: Graph, scope: Scope | None, passes: list[Scope], nodes: list[Node]) -> str:
    """The template with the arguments that are equal in all passes, or else the operators, as text."""
    scopes = passes or ([scope] if scope is not None else [])
    if scopes and all(s.kind == "template" and s.label == scopes[0].label for s in scopes):
        passed = frozenset().union(*(s.explicit for s in scopes))
        shared = [p for p in scopes[0].arguments if p[0] in passed and all(p in s.arguments for s in scopes)]
        return _call(scopes[0].label, shared)
    if passes:
        nodes = [node for node in nodes if node.name.startswith(f"{passes[0].name}.")]
    return _listed(operator_text(node) for node in nodes)


def _call(name: str, arguments: list[tuple[str, Any]]) -> str:
    inner = ", ".join(f"{key}={value if isinstance(value, str) else show(value)}" for key, value in arguments)
    return f"{name}({inner})" if inner else name


def _listed(texts: Iterable[str], most: int = 6) -> str:
    """Joins texts in order; a run of equal texts becomes one text with its count."""
    runs: list[list[Any]] = []
    for text in texts:
        if runs and runs[-1][0] == text:
            runs[-1][1] += 1
        else:
            runs.append([text, 1])
    shown = [text if count == 1 else f"{count} x {text}" for text, count in runs]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


def operator_text(node: Node) -> str:
    """An operator with its size: `conv 3x3 256 /2`."""
    row = OPERATORS.get(node.operator)
    size = row.size_text(node.attributes) if row is not None and row.size_text is not None else ""
    return f"{node.operator} {size}" if size else node.operator


def _paths(graph: Graph, name: str, nodes: list[Node]) -> str:
    """`cardinality x width = channels` of the grouped convolutions and even splits of a row."""
    texts: dict[str, None] = {}
    for node in nodes:
        attributes: Any = node.attributes
        if node.operator == "conv" and attributes.groups > 1:
            channels, groups = attributes.channels, attributes.groups
            texts[f"{groups} x {channels // groups} = {channels}" if groups < channels else "depthwise"] = None
    for scope in graph.scopes.values():
        if scope.kind == "paths" and (scope.name == name or scope.name.startswith(f"{name}.")):
            texts.update(dict.fromkeys(_split_text(graph, scope, nodes)))
    return ", ".join(texts)


def _split_text(graph: Graph, scope: Scope, nodes: list[Node]) -> list[str]:
    """`N x width = channels` if every path of a split begins with a convolution of the same width; else nothing."""
    widths: dict[str, int] = {}
    for node in nodes:
        if node.operator == "conv" and node.name.startswith(f"{scope.name}."):
            path = node.name[len(scope.name) + 1 :].partition(".")[0]
            widths.setdefault(path, node.shape[0])
    count = sum(1 for other in graph.scopes if other.rpartition(".")[0] == scope.name)
    if len(widths) != count or count < 2 or len(set(widths.values())) != 1:
        return []
    width = widths["0"]
    return [f"{count} x {width} = {count * width}"]


# --- numbers as text ---


def short(number: float) -> str:
    """A number with two decimals and a unit: 25.03M."""
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K")):
        if abs(number) >= size:
            return f"{number / size:.2f}{unit}"
    return f"{number:g}"


def cost_line(network: Network) -> str:
    """The cost of a network in one line, then the cost with training-only outputs, then the convention."""
    cost = network.cost()
    extra = ""
    if any(output.training_only for output in network.ir.outputs):
        extra = f"with the outputs of training: {network.cost(training=True).flops:,} FLOPs\n"
    uncounted = f"; fvcore does not count {', '.join(name for name, _ in cost.uncounted)}" if cost.uncounted else ""
    return (
        f"{cost.params:,} parameters, {cost.flops:,} FLOPs ({cost.macs:,} in convolutions and linear layers), "
        f"{cost.activations:,} activations, depth {cost.depth}\n{extra}{CONVENTION}{uncounted}"
    )


def budget_lines(usage: Iterable[Usage]) -> list[str]:
    """A line for each limit with its verdict; a measured latency has a second line with its conditions."""
    lines = []
    for _, group in groupby(usage, key=lambda line: line.limit.span):
        bounds = list(group)  # a range has two bounds
        lines.append(_budget_line(bounds))
        if bounds[-1].timing is not None:
            lines.append(f"  {timing_line(bounds[-1].timing)}")
    return lines


def _budget_line(bounds: list[Usage]) -> str:
    """The use, the bound, the share and the verdict of a limit; a range has two bounds."""
    limit, used = bounds[-1].limit, bounds[-1].used
    show = limit.row.unit.show
    name = f"budget {limit.budget}" if limit.budget else "budget"
    at = f" at {limit.conditions}" if str(limit.conditions) else ""
    comparison = limit.comparison if len(bounds) == 1 else f"in {show(bounds[0].limit.bound)} .."
    allowed = f"{comparison} {show(limit.bound)}"
    if used is None:
        return f"{name}{at}: {limit.subject} {allowed} not measured; `--measure` does"
    share = f" ({100 * used / limit.bound:.1f}%)" if limit.bound else ""
    verdict = "ok" if all(bound.met for bound in bounds) else "EXCEEDED"
    return f"{name}{at}: {limit.subject} {show(used)} {allowed}{share} {verdict}"


def timing_line(timing: Timing) -> str:
    """The statistics, the conditions and the machine of a latency, as text."""
    spread = f"half of them within {TIME.show(timing.low)} to {TIME.show(timing.high)}"
    used = "".join(f", {name} {value}" for name, value in timing.settings.items())
    return (
        f"median of {timing.runs} runs, {spread}, input {timing.batch}x{show_shape(timing.input)} in {timing.dtype}, "
        f"on {timing.machine}: {timing.device}, {timing.threads} threads, torch {timing.torch}, {timing.layout}{used}"
    )


def print_table(network: Network, rows: list[StageRow], to_error: bool = False) -> None:
    """Prints the stage table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=network.name, title_justify="left", caption=CONVENTION, caption_justify="left")
    with_paths = any(row.paths for row in rows)
    for header in ("stage", "output", "block", "repeats"):
        table.add_column(header, justify="right" if header == "repeats" else "left", overflow="fold")
    if with_paths:
        table.add_column("cardinality x width", overflow="fold")
    table.add_column("parameters", justify="right")
    table.add_column("FLOPs", justify="right")
    for row in rows:
        name = "  " * row.level + (row.name.rpartition(".")[2] if row.level else row.name)
        cells = [name, show_shape(row.output), row.block, str(row.repeats)]
        cells += [row.paths] if with_paths else []
        table.add_row(*cells, f"{row.cost.params:,}", short(row.cost.flops))
    table.add_section()
    cost = network.cost()
    total = ["total", "", "", ""] + ([""] if with_paths else [])
    table.add_row(*total, f"{cost.params:,}", short(cost.flops))
    print_rich(table, to_error)


def print_rich(table: Table, to_error: bool = False, notes: Iterable[str] = ()) -> None:
    """Prints a table in the width of the terminal, and notes below it that are not folded."""
    from rich.console import Console

    stream = sys.stderr if to_error else sys.stdout
    # A file or a pipe has no width; 160 columns are enough to fold no row.
    console = Console(file=stream, width=None if stream.isatty() else 160, highlight=False, markup=False)
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True)


def summary_json(network: Network, rows: list[StageRow]) -> dict[str, object]:
    """The stage table as JSON."""
    cost = network.cost()
    return {
        "name": network.name,
        "parameters": {name: source_text(parameter.value) for name, parameter in network.parameters.items()},
        "stages": [
            {
                "name": row.name,
                "level": row.level,
                "output": list(row.output),
                "block": row.block,
                "repeats": row.repeats,
                "paths": row.paths,
                **cost_json(row.cost),
            }
            for row in rows
        ],
        "cost": {**cost_json(cost), "depth": cost.depth, "uncounted": dict(cost.uncounted)},
        "convention": CONVENTION,
    }


def cost_json(cost: Cost) -> dict[str, int]:
    """The four measures of a cost."""
    return {"params": cost.params, "flops": cost.flops, "macs": cost.macs, "activations": cost.activations}


def zoo_json(network: Network) -> dict[str, object]:
    """A shipped network as JSON."""
    cost = network.cost()
    return {"name": network.name, "input": list(network.ir.nodes[0].shape), **cost_json(cost), "doc": network.doc}


def print_zoo(networks: list[Network]) -> None:
    """Prints the shipped networks."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, caption=CONVENTION, caption_justify="left")
    for header, justify in (("network", "left"), ("input", "left"), ("parameters", "right"), ("FLOPs", "right")):
        table.add_column(header, justify=justify)  # type: ignore[arg-type]
    table.add_column("activations", justify="right")
    table.add_column("source")
    for network in networks:
        cost = network.cost()
        table.add_row(
            network.name,
            show_shape(network.ir.nodes[0].shape),
            f"{cost.params:,}",
            short(cost.flops),
            short(cost.activations),
            network.doc.partition("\n")[0],
        )
    print_rich(table)
