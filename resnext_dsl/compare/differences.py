"""Prints a comparison of two networks, as tables and as JSON. Numbers are exact, percentages are rounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from resnext_dsl.compare.networks import Comparison, LimitPair, RowPair, TextPair, verdict
from resnext_dsl.compare.structure import Patterns, StructuralChange, starred
from resnext_dsl.costs.closed_form import Cost, NetworkCost
from resnext_dsl.display.stage_table import CONVENTION, StageRow, cost_json, print_rich
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.semantics.values import show_shape

if TYPE_CHECKING:
    from rich.table import Table

    from resnext_dsl.budgets.usage import Usage
    from resnext_dsl.networks.network import Network

SIGNS = {"changed": "~", "removed": "-", "added": "+", "renamed": "=", "reshaped": "~"}
SHOWN = ("params", "flops", "activations")


class Side(NamedTuple):
    """A side of a comparison, as the command line names it: a spec and its settings."""

    spec: str
    settings: dict[str, str]

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.spec} with {settings}" if settings else self.spec


def heading(comparison: Comparison, a: Side, b: Side) -> str:
    """The sides, the verdict, and the differences of parameters, inputs, outputs and initialisation, as text."""
    blocks = ["\n".join([f"A  {a}", f"B  {b}", _verdict(comparison)])]
    titled = (
        ("parameters", comparison.parameters),
        ("input", comparison.inputs),
        ("outputs", comparison.outputs),
        ("init", comparison.init),
    )
    blocks += ["\n".join([title, *_pair_lines(pairs)]) for title, pairs in titled if pairs]
    return "\n\n".join(blocks)


def print_differences(comparison: Comparison) -> None:
    """Prints one stage table for both sides, then the differences of structure and budgets."""
    notes = [_convention(comparison)]
    depth_a, depth_b = comparison.a.cost().depth, comparison.b.cost().depth
    if depth_a != depth_b:
        notes.append(f"depth {depth_a} -> {depth_b}")
    limits = [_limit_line(pair) for pair in comparison.limits if not pair.equal]
    for title, lines in (("structure", list(_change_lines(comparison))), ("budgets", limits)):
        notes += ["", title, *lines] if lines else []
    print_rich(_table(comparison), notes=notes)


def _verdict(comparison: Comparison) -> str:
    if not comparison.differs:
        return "no difference"
    if comparison.same_graph:
        return "the same architecture" + (
            f"; {comparison.other_names:,} operators have other names" * bool(comparison.other_names)
        )
    a, b = comparison.a.cost(), comparison.b.cost()
    equal = (a.params, a.flops) == (b.params, b.flops)
    if comparison.same_architecture:
        return "one architecture, its splits spelled in two ways"
    return "the architectures differ" + ("; parameters and FLOPs are equal" if equal else "")


def _pair_lines(pairs: Iterable[TextPair]) -> list[str]:
    pairs = tuple(pairs)
    width = max(len(pair.name) for pair in pairs)
    return [f"  {pair.name:{width}}  {_pair_text(pair)}" for pair in pairs]


def _pair_text(pair: TextPair) -> str:
    if pair.b is None:
        return f"{pair.a} (only in A)"
    return f"{pair.b} (only in B)" if pair.a is None else f"{pair.a} -> {pair.b}"


# --- the table ---


def _table(comparison: Comparison) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for header in ("stage", "", "output", "block"):
        table.add_column(header, overflow="fold")
    for header in ("parameters", "FLOPs", "activations"):
        table.add_column(header, justify="right")
    for pair in comparison.rows:
        for cells in _row_lines(pair):
            table.add_row(*cells)
    table.add_section()
    for cells in _three_lines("total", None, None, comparison.a.cost(), comparison.b.cost()):
        table.add_row(*cells)
    return table


def _row_lines(pair: RowPair) -> Iterator[list[str]]:
    """The table rows of a part: one row if the sides are equal or one side lacks it; else A, B and the change."""
    a, b = pair
    name = _row_name(pair)
    if a is None or b is None:
        side = "only in A" if b is None else "only in B"
        yield [name, side, show_shape(pair.row.output), _block(pair.row), *_figures(pair.row.cost)]
    elif pair.equal:
        yield [name, "", show_shape(a.output), "", *_figures(a.cost)]
    else:
        yield from _three_lines(name, a, b, a.cost, b.cost)


def _three_lines(name: str, a: StageRow | None, b: StageRow | None, cost_a: Cost, cost_b: Cost) -> Iterator[list[str]]:
    equal_blocks = a is None or b is None or _block(a) == _block(b)
    for side, row, cost, first in (("A", a, cost_a, name), ("B", b, cost_b, "")):
        output = show_shape(row.output) if row is not None else ""
        block = "" if row is None or equal_blocks else _block(row)
        yield [first, side, output, block, *_figures(cost)]
    yield ["", "change", "", "", *(_change_text(getattr(cost_a, m), getattr(cost_b, m)) for m in SHOWN)]


def _row_name(pair: RowPair) -> str:
    names = [row.name.rpartition(".")[2] for row in pair if row is not None]
    return "  " * pair.row.level + " -> ".join(dict.fromkeys(names))


def _block(row: StageRow) -> str:
    """The content of a row and its repeats; a list of operators is in brackets, a call of a template is not."""
    if row.repeats == 1:
        return row.block
    listed = ", " in row.block and not row.block.endswith(")")
    return f"{row.repeats} x ({row.block})" if listed else f"{row.repeats} x {row.block}"


def _figures(cost: Cost) -> list[str]:
    return [f"{getattr(cost, measure):,}" for measure in SHOWN]


def _change_text(a: int, b: int) -> str:
    if a == b:
        return "="
    return f"{b - a:+,}" + (f" ({_percent(100 * (b - a) / a)})" if a else "")


def _percent(share: float) -> str:
    return f"{share:+.1f}%" if abs(share) >= 0.05 else f"{share:+.1g}%"


def _convention(comparison: Comparison) -> str:
    names = dict.fromkeys(name for side in (comparison.a, comparison.b) for name, _ in side.cost().uncounted)
    return CONVENTION + (f"; fvcore does not count {', '.join(sorted(names))}" if names else "")


# --- structure ---


def _change_lines(comparison: Comparison) -> Iterator[str]:
    """A line for each change; equal changes of several operators in the same scopes share a line."""
    patterns = Patterns(comparison.a.ir, comparison.b.ir)
    lines: dict[tuple[object, ...], list[StructuralChange]] = {}
    for change in comparison.changes:
        lines.setdefault(_line_key(change), []).append(change)
    for changes in lines.values():
        first = changes[0]
        if first.kind == "reshaped":
            operators = "1 operator gives" if first.operators == 1 else f"{first.operators} operators give"
            yield f"  ~ {first.part}: {operators} another shape"
            continue
        names = " -> ".join(_names_text(patterns, side) for side in _sides(changes))
        yield f"  {SIGNS[first.kind]} {names}{_count(first)}{_content(changes)}"


def _line_key(change: StructuralChange) -> tuple[object, ...]:
    scopes = tuple(starred(names[0]).rpartition(".")[0] if names else "" for names in (change.a, change.b))
    return change.kind, change.part, scopes, change.details, len(change.a), len(change.b)


def _sides(changes: list[StructuralChange]) -> list[list[tuple[str, ...]]]:
    """The names on both sides; one side only if both are equal."""
    sides = [[change.a for change in changes], [change.b for change in changes]]
    return sides[:1] if sides[0] == sides[1] else [side for side in sides if side[0]]


def _names_text(patterns: Patterns, groups: list[tuple[str, ...]]) -> str:
    """`conv2.*.conv1`, or `conv2.*.{conv1, bn1}` of several operators."""
    texts = [patterns.text(names) for names in groups]
    if len(texts) == 1:
        return texts[0]
    before, dot, _ = texts[0].rpartition(".")
    return f"{before}{dot}{{{', '.join(text.rpartition('.')[2] for text in texts)}}}"


def _count(change: StructuralChange) -> str:
    count = max(len(change.a), len(change.b))
    return f" ({count})" if count > 1 else ""


def _content(changes: list[StructuralChange]) -> str:
    details = ", ".join(f"{detail.attribute} {detail.a} -> {detail.b}" for detail in changes[0].details)
    text = details or ", ".join(change.holds for change in changes if change.holds)
    return f": {text}" if text else ""


# --- budgets ---


def _limit_line(pair: LimitPair) -> str:
    usage = pair.a or pair.b
    assert usage is not None
    limit = usage.limit
    name = f"{limit.budget}: " if limit.budget else ""
    at = f" at {limit.conditions}" if str(limit.conditions) else ""
    if pair.a is None or pair.b is None:
        return f"  {name}{limit.subject}{at} {_limit_text(usage)} (only in {'A' if pair.b is None else 'B'})"
    return f"  {name}{limit.subject}{at} {_limit_text(pair.a)} -> {_limit_text(pair.b)}"


def _limit_text(usage: Usage) -> str:
    show = usage.limit.row.unit.show
    used = f"{show(usage.used)} " if usage.used is not None else ""
    mark = verdict(usage)
    return f"{used}{usage.limit.comparison} {show(usage.limit.bound)} {mark.upper() if mark == 'exceeded' else mark}"


# --- JSON ---


def differences_json(comparison: Comparison, a: Side, b: Side) -> dict[str, Any]:
    """A comparison as JSON.

    The keys:

    - `a`, `b`: spec, settings, name, fingerprint.
    - `differs`, `same_architecture`: bools.
    - `parameters`, `inputs`, `outputs`, `init`: a list of name, a, b (text or null).
    - `stages`: a list of name, level, a, b (stage of `summary --json` or null), change (b minus a).
    - `cost`: a, b, change (b minus a).
    - `structure`: a list of kind, part, a, b (names), changed (attribute -> [a, b]), holds, operators.
    - `budgets`: a list of a, b (limit of `check --json` or null), differs.
    - `convention`: the convention of the FLOPs, as text.
    """
    cost_a, cost_b = comparison.a.cost(), comparison.b.cost()
    return {
        "a": _side_json(a, comparison.a),
        "b": _side_json(b, comparison.b),
        "differs": comparison.differs,
        "same_architecture": comparison.same_architecture,
        "parameters": [pair._asdict() for pair in comparison.parameters],
        "inputs": [pair._asdict() for pair in comparison.inputs],
        "outputs": [pair._asdict() for pair in comparison.outputs],
        "init": [pair._asdict() for pair in comparison.init],
        "stages": [_stage_json(pair) for pair in comparison.rows],
        "cost": {
            "a": _whole_json(cost_a),
            "b": _whole_json(cost_b),
            "change": _less(_whole_json(cost_b), _whole_json(cost_a)),
        },
        "structure": [_change_json(change) for change in comparison.changes],
        "budgets": [_limit_json(pair) for pair in comparison.limits],
        "convention": CONVENTION,
    }


def _side_json(side: Side, network: Network) -> dict[str, object]:
    return {**side._asdict(), "name": network.name, "fingerprint": network.fingerprint}


def _stage_json(pair: RowPair) -> dict[str, object]:
    a, b = (cost_json(row.cost if row is not None else Cost()) for row in pair)
    sides = {side: _row_json(row) if row is not None else None for side, row in zip("ab", pair, strict=True)}
    return {"name": pair.row.name, "level": pair.row.level, **sides, "change": _less(b, a)}


def _row_json(row: StageRow) -> dict[str, object]:
    return {
        "name": row.name,
        "output": list(row.output),
        "block": row.block,
        "repeats": row.repeats,
        "paths": row.paths,
        **cost_json(row.cost),
    }


def _whole_json(cost: NetworkCost) -> dict[str, int]:
    return {**cost_json(cost), "depth": cost.depth}


def _less(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    return {name: number - right[name] for name, number in left.items()}


def _change_json(change: StructuralChange) -> dict[str, object]:
    changed = {detail.attribute: [detail.a, detail.b] for detail in change.details}
    return {
        "kind": change.kind,
        "part": change.part,
        "a": list(change.a),
        "b": list(change.b),
        "changed": changed,
        "holds": change.holds,
        "operators": change.operators,
    }


def _limit_json(pair: LimitPair) -> dict[str, object]:
    sides = {side: usage.to_json() if usage else None for side, usage in zip("ab", pair, strict=True)}
    return {**sides, "differs": not pair.equal}
