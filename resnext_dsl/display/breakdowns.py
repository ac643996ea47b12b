"""Splits the cost of a network by operator, by template call, or by line of the spec; prints solutions of `solve`.

FLOPs follow fvcore's convention. An operator that fvcore does not count is listed as uncounted, never as zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from resnext_dsl.costs.closed_form import Cost, NetworkCost
from resnext_dsl.display.stage_table import CONVENTION, cost_json, print_rich
from resnext_dsl.foundation.source import Source

if TYPE_CHECKING:
    from rich.table import Table

    from resnext_dsl.networks.network import Network
    from resnext_dsl.spaces.solver import Answer, MatchTarget

Line = tuple[str, int]


# --- by operator ---


def operator_rows(cost: NetworkCost) -> list[dict[str, Any]]:
    """A row for each operator: its uses, the uses that fvcore does not count, and the total cost."""
    uses = Counter(node.operator for node, _ in cost.nodes)
    silent = dict(cost.uncounted)
    return [
        {"operator": name, "uses": uses[name], "uncounted": silent.get(name, 0), **cost_json(part)}
        for name, part in cost.by_operator().items()
    ]


def print_operators(network: Network) -> None:
    """Prints the cost of each operator."""
    cost = network.cost()
    table = _table(network, "operator", "uses")
    for row in operator_rows(cost):
        all_silent = row["uncounted"] and not row["flops"]
        some = f", {row['uncounted']} uncounted" if row["uncounted"] and not all_silent else ""
        flops = "uncounted" if all_silent else f"{row['flops']:,}{some}"
        share = "" if all_silent else _share(row["flops"], cost)
        table.add_row(row["operator"], f"{row['uses']:,}", f"{row['params']:,}", flops, share)
    _finish(table, network, 1)


# --- by template ---


def template_rows(cost: NetworkCost) -> list[dict[str, Any]]:
    """A row for each place that calls a template: the number of calls, and their total cost."""
    return [
        {
            "template": place.template,
            "file": place.file,
            "line": place.line,
            "calls": part.calls,
            **cost_json(part.cost),
        }
        for place, part in cost.by_template().items()
    ]


def print_templates(network: Network) -> None:
    """Prints the cost of each template call."""
    cost = network.cost()
    table = _table(network, "template", "called at", "calls")
    for row in template_rows(cost):
        place = f"{row['file']}:{row['line']}"
        table.add_row(
            row["template"],
            place,
            f"{row['calls']:,}",
            f"{row['params']:,}",
            f"{row['flops']:,}",
            _share(row["flops"], cost),
        )
    _finish(table, network, 2, "Calls inside a call count in both.")


# --- by line ---


def line_rows(network: Network) -> list[dict[str, Any]]:
    """A row for each line that adds operators: lines of the spec first, then lines of imported files."""
    cost = network.cost()
    sources = _sources(network)
    silent = _silent_lines(cost)
    lines = cost.by_line()
    return [
        {
            "file": name,
            "line": number,
            "text": sources[name].line(number).strip(),
            "uncounted": dict(sorted(silent.get((name, number), Counter()).items())),
            **cost_json(lines[name, number]),
        }
        for name in sources
        for number in sorted(number for file, number in lines if file == name)
    ]


def margin_lines(network: Network) -> list[str]:
    """The text of the spec with parameters and share of FLOPs in the margin, then such lines of imported files."""
    cost = network.cost()
    costs, silent = cost.by_line(), _silent_lines(cost)
    lines = [_HEADER]
    for name, source in _sources(network).items():
        numbers: Iterable[int] = range(1, len(source.text.removesuffix("\n").split("\n")) + 1)
        if source is not network.source:
            lines += ["", name]
            numbers = sorted(number for file, number in costs if file == name)
        for number in numbers:
            margin = _margin(costs.get((name, number)), (name, number) in silent, cost)
            lines.append(f"{margin} {number:4d} | {source.line(number)}".rstrip())
    return [*lines, "", f"total: {cost.params:,} parameters, {cost.flops:,} FLOPs", *_footnotes(network)]


_HEADER = f"{'parameters':>12} {'FLOPs':>10}"


def _margin(part: Cost | None, silent: bool, whole: Cost) -> str:
    if part is None:
        return " " * len(_HEADER)
    params = f"{part.params:,}" if part.params else ""
    flops = "uncounted" if silent and not part.flops else _share(part.flops, whole)
    return f"{params:>12} {flops:>10}"


def _sources(network: Network) -> dict[str, Source]:
    """The files whose lines add operators, by name; the spec is first, even if none of its lines does."""
    sources = {network.source.name: network.source}
    for node, _ in network.cost().nodes:
        sources.setdefault(node.span.source.name, node.span.source)
    return sources


def _silent_lines(cost: NetworkCost) -> dict[Line, Counter[str]]:
    """For each line, the operators that fvcore does not count."""
    lines: dict[Line, Counter[str]] = {}
    for node, _ in cost.nodes:
        if node.name in cost.uncounted_nodes:
            lines.setdefault((node.span.source.name, node.span.line), Counter())[node.operator] += 1
    return lines


# --- shared by the views ---


def view_json(network: Network, by: str) -> dict[str, object]:
    """A view as JSON: `by` is operator, template or line."""
    cost = network.cost()
    rows = {"operator": operator_rows, "template": template_rows}
    return {
        "name": network.name,
        f"{by}s": line_rows(network) if by == "line" else rows[by](cost),
        "cost": {**cost_json(cost), "depth": cost.depth, "uncounted": dict(cost.uncounted)},
        "convention": CONVENTION,
    }


def _share(flops: int, whole: Cost) -> str:
    return f"{100 * flops / whole.flops:.1f}%" if whole.flops else ""


def _footnotes(network: Network) -> list[str]:
    cost, notes = network.cost(), [CONVENTION]
    if cost.uncounted:
        notes.append(f"uncounted by fvcore: {', '.join(f'{name} ({count})' for name, count in cost.uncounted)}")
    if any(output.training_only for output in network.ir.outputs):
        notes.append("outputs of training count in parameters only")
    return notes


def _table(network: Network, *headers: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=network.name, title_justify="left")
    for header in headers:
        table.add_column(header, justify="right" if header in ("uses", "calls") else "left", overflow="fold")
    for header in ("parameters", "FLOPs", "share"):
        table.add_column(header, justify="right")
    return table


def _finish(table: Table, network: Network, blanks: int, *notes: str) -> None:
    """Adds the totals and the convention, and prints the table."""
    cost = network.cost()
    table.add_section()
    share = "100.0%" if cost.flops else ""
    table.add_row("total", *[""] * blanks, f"{cost.params:,}", f"{cost.flops:,}", share)
    print_rich(table, notes=[*_footnotes(network), *notes])


def print_solutions(name: str, answer: Answer, goals: Sequence[MatchTarget], count: int) -> None:
    """Prints the solutions of `solve`, the best first."""
    from rich import box
    from rich.table import Table

    from resnext_dsl.spaces.candidate import Candidate, text_of  # with numpy, which no other function here needs

    best = answer.solutions[:count] if answer.front else answer.solutions
    kind = "Pareto front" if len(answer.solutions) > 1 and answer.front else "best"
    table = Table(box=box.SIMPLE, title=f"{name}: {kind} of {answer.candidates:,} combinations", title_justify="left")
    headers = ["parameters", "FLOPs", "activations", *(f"{goal.measure} off by" for goal in goals)]
    for header in (*best[0].values, *headers):
        table.add_column(header, justify="right")
    for solution in best:
        off = [_off(difference, goal.target) for difference, goal in zip(solution.differences, goals, strict=True)]
        figures = [f"{solution.params:,}", f"{solution.flops:,}", f"{solution.activations:,}"]
        table.add_row(*map(text_of, solution.values.values()), *figures, *off)
    notes = [f"matched: {', '.join(f'{goal.measure} {goal.target:,}' for goal in goals)}"] if goals else []
    if len(answer.solutions) > len(best):
        notes.append(f"{len(answer.solutions) - len(best)} more: --count {len(answer.solutions)} shows all")
    if answer.met < answer.candidates:
        notes.append(f"{answer.candidates - answer.valid:,} are not valid, {answer.valid - answer.met:,} break a bound")
    notes.append(f"the first: {Candidate(best[0].values)}")
    print_rich(table, notes=[*notes, CONVENTION])


def _off(difference: int, target: int) -> str:
    share = f" ({100 * difference / target:+.2f}%)" if target else ""
    return f"{difference:+,}{share}"
