"""Prints two counts of one network side by side: the closed form and fvcore's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnext_dsl.costs.closed_form import Cost
from resnext_dsl.costs.fvcore_count import CountPair, FvcoreCount, module_pairs, operator_pairs
from resnext_dsl.display.stage_table import CONVENTION, cost_json, print_rich

if TYPE_CHECKING:
    from resnext_dsl.networks.network import Network

MARK = "differs"


def print_comparison(network: Network, measured: FvcoreCount, depth: int) -> str:
    """Prints the counts of modules, then the counts of operators. Modules that differ are shown at any depth.

    Args:
        network: The network, which gives the closed form.
        measured: The count of fvcore on the compiled module.
        depth: The number of levels of the module tree to show; 0 for the network alone.

    Returns:
        The verdict as a sentence.
    """
    pairs = module_pairs(network.cost(), measured)
    _print_modules(network, [pair for pair in pairs if _level(pair) <= depth or not pair.equal])
    _print_operators(network, measured)
    wrong = sum(not pair.equal for pair in pairs)
    verdict = f"{wrong:,} of them differ" if wrong else "all equal, to the digit"
    return f"{len(pairs):,} modules counted in closed form and by fvcore: {verdict}"


def _level(pair: CountPair) -> int:
    return pair.name.count(".") + 1 if pair.name else 0


def _print_modules(network: Network, pairs: list[CountPair]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=network.name, title_justify="left")
    table.add_column("module", overflow="fold")
    for measure in ("parameters", "FLOPs", "activations"):
        table.add_column(measure, justify="right")
        table.add_column("by fvcore", justify="right")
    table.add_column("")
    for pair in pairs:
        sides = zip(_shown_measures(pair.closed), _shown_measures(pair.measured), strict=True)
        figures = [f"{number:,}" for both in sides for number in both]
        table.add_row(pair.name or "total", *figures, "" if pair.equal else MARK)
    print_rich(table, notes=[f"{CONVENTION}; parameters as the module holds them"])


def _shown_measures(cost: Cost) -> tuple[int, int, int]:
    return cost.params, cost.flops, cost.activations


def _print_operators(network: Network, measured: FvcoreCount) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    table.add_column("fvcore's operator")
    for header in ("FLOPs", "by fvcore"):
        table.add_column(header, justify="right")
    table.add_column("")
    for name, ours, theirs in operator_pairs(network.cost(), measured):
        table.add_row(name, f"{ours:,}", f"{theirs:,}", "" if ours == theirs else MARK)
    uncounted = network.cost().uncounted
    listed = ", ".join(f"{name} ({count})" for name, count in uncounted)
    print_rich(table, notes=[f"uncounted by fvcore: {listed}"] if uncounted else [])


def comparison_json(network: Network, measured: FvcoreCount) -> dict[str, object]:
    """Both counts as JSON: in total, for every module, and for every operator of fvcore."""
    cost = network.cost()
    return {
        "name": network.name,
        "cost": cost_json(cost),
        "measured": cost_json(measured.cost),
        "modules": [
            {
                "name": pair.name,
                "closed": cost_json(pair.closed),
                "measured": cost_json(pair.measured),
                "equal": pair.equal,
            }
            for pair in module_pairs(cost, measured)
        ],
        "operators": [
            {"operator": name, "closed": ours, "measured": theirs, "equal": ours == theirs}
            for name, ours, theirs in operator_pairs(cost, measured)
        ],
        "uncounted": dict(cost.uncounted),
        "convention": CONVENTION,
    }
