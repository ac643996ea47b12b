"""What people and scripts read of two networks compared. Numbers are exact, percentages rounded."""

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
    """What a side of a comparison was asked for as: a spec and the settings that it was given."""

    spec: str
    settings: dict[str, str]

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.spec} with {settings}" if settings else self.spec


def heading(found: Comparison, a: Side, b: Side) -> str:
    """The sides, whether they differ, and how their parameters, inputs, outputs and initialisation do."""
    blocks = ["\n".join([f"A  {a}", f"B  {b}", _verdict(found)])]
    titled = ("parameters", found.parameters), ("input", found.inputs), ("outputs", found.outputs), ("init", found.init)
    blocks += ["\n".join([title, *_pair_lines(pairs)]) for title, pairs in titled if pairs]
    return "\n\n".join(blocks)


def print_differences(found: Comparison) -> None:
    """Prints the stage tables of both sides in one, then what differs in their structure and budgets."""
    notes = [_convention(found)]
    depth_a, depth_b = found.a.cost().depth, found.b.cost().depth
    if depth_a != depth_b:
        notes.append(f"depth {depth_a} -> {depth_b}")
    limits = [_limit_line(pair) for pair in found.limits if not pair.equal]
    for title, lines in (("structure", list(_change_lines(found))), ("budgets", limits)):
        notes += ["", title, *lines] if lines else []
    print_rich(_table(found), notes=notes)


def _verdict(found: Comparison) -> str:
    if not found.differs:
        return "no difference"
    if found.same_graph:
        return "the same architecture" + (
            f"; {found.other_names:,} operators have other names" * bool(found.other_names)
        )
    a, b = found.a.cost(), found.b.cost()
    equal = (a.params, a.flops) == (b.params, b.flops)
    if found.same_architecture:
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


def _table(found: Comparison) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for header in ("stage", "", "output", "block"):
        table.add_column(header, overflow="fold")
    for header in ("parameters", "FLOPs", "activations"):
        table.add_column(header, justify="right")
    for pair in found.rows:
        for cells in _row_lines(pair):
            table.add_row(*cells)
    table.add_section()
    for cells in _three_lines("total", None, None, found.a.cost(), found.b.cost()):
        table.add_row(*cells)
    return table


def _row_lines(pair: RowPair) -> Iterator[list[str]]:
    """A line of an equal part, or of a part that one side has; A, B and the change of another."""
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
    made_alike = a is None or b is None or _block(a) == _block(b)
    for side, row, cost, first in (("A", a, cost_a, name), ("B", b, cost_b, "")):
        output = show_shape(row.output) if row is not None else ""
        block = "" if row is None or made_alike else _block(row)
        yield [first, side, output, block, *_figures(cost)]
    yield ["", "change", "", "", *(_change_text(getattr(cost_a, m), getattr(cost_b, m)) for m in SHOWN)]


def _row_name(pair: RowPair) -> str:
    own = [row.name.rpartition(".")[2] for row in pair if row is not None]
    return "  " * pair.row.level + " -> ".join(dict.fromkeys(own))


def _block(row: StageRow) -> str:
    """What a row is made of, and how often; a list of operators in brackets, a template's call without."""
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


def _convention(found: Comparison) -> str:
    names = dict.fromkeys(name for side in (found.a, found.b) for name, _ in side.cost().uncounted)
    return CONVENTION + (f"; fvcore does not count {', '.join(sorted(names))}" if names else "")


# --- structure ---


def _change_lines(found: Comparison) -> Iterator[str]:
    """A line for each change; what happens alike to several operators of the same scopes is one line."""
    patterns = Patterns(found.a.ir, found.b.ir)
    lines: dict[tuple[object, ...], list[StructuralChange]] = {}
    for change in found.changes:
        lines.setdefault(_line_key(change), []).append(change)
    for changes in lines.values():
        first = changes[0]
        if first.kind == "reshaped":
            operators = "1 operator gives" if first.operators == 1 else f"{first.operators} operators give"
            yield f"  ~ {first.part}: {operators} another shape"
            continue
        names = " -> ".join(_names_text(patterns, side) for side in _sides(changes))
        yield f"  {SIGNS[first.kind]} {names}{_count(first)}{_what(changes)}"


def _line_key(change: StructuralChange) -> tuple[object, ...]:
    scopes = tuple(starred(names[0]).rpartition(".")[0] if names else "" for names in (change.a, change.b))
    return change.kind, change.part, scopes, change.details, len(change.a), len(change.b)


def _sides(changes: list[StructuralChange]) -> list[list[tuple[str, ...]]]:
    """The names on both sides, once where they are the same."""
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


def _what(changes: list[StructuralChange]) -> str:
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


def differences_json(found: Comparison, a: Side, b: Side) -> dict[str, Any]:
    """A comparison as JSON.

    Keys: `a`, `b` (spec, settings, name, fingerprint), `differs`, `same_architecture`, `parameters`, `inputs`,
    `outputs`, `init` (name, a, b: text or null), `stages` (name, level, a, b: line of `summary --json` or null,
    change: b less a), `cost` (a, b, change), `structure` (kind, part, a, b: names, changed: attribute to [a, b], holds,
    operators), `budgets` (a, b: line of `check --json` or null, differs), `convention`.
    """
    cost_a, cost_b = found.a.cost(), found.b.cost()
    return {
        "a": _side_json(a, found.a),
        "b": _side_json(b, found.b),
        "differs": found.differs,
        "same_architecture": found.same_architecture,
        "parameters": [pair._asdict() for pair in found.parameters],
        "inputs": [pair._asdict() for pair in found.inputs],
        "outputs": [pair._asdict() for pair in found.outputs],
        "init": [pair._asdict() for pair in found.init],
        "stages": [_stage_json(pair) for pair in found.rows],
        "cost": {
            "a": _whole_json(cost_a),
            "b": _whole_json(cost_b),
            "change": _less(_whole_json(cost_b), _whole_json(cost_a)),
        },
        "structure": [_change_json(change) for change in found.changes],
        "budgets": [_limit_json(pair) for pair in found.limits],
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
