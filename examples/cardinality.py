"""The paper's question on handwritten digits: at equal FLOPs, cardinality against width and depth.

After Xie et al., CVPR 2017, Section 5.1. Networks of one cost differ in cardinality (Tables 2 and 3). Then twice the
cost is spent on depth, on width, or on more paths (Tables 4 and 5). `solve` finds the settings from one spec. Each
network is trained from several seeds.

`python examples/cardinality.py` prints the table and writes the plot.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

import resnext_dsl as rx
from resnext_dsl.semantics.domain import Domain
from resnext_dsl.spaces.solver import MatchTarget, solve

SPEC = Path(__file__).with_name("digits.arch")


class Variant(NamedTuple):
    """One network of the comparison."""

    group: str
    name: str
    settings: dict[str, Any]
    flops: int
    params: int


def variant(group: str, name: str, fixed: dict[str, Any], vary: dict[str, Domain], flops: int) -> Variant:
    """The network whose FLOPs are nearest to a number, with the values of the parameters that vary."""
    (best,) = solve(rx.space(SPEC, **fixed), vary, [MatchTarget("flops", flops)], count=1).solutions
    settings = {**fixed, **best.values}
    return Variant(group, name.format(**settings), settings, best.flops, best.params)


def variants() -> list[Variant]:
    """The networks of equal cost, then the networks of twice the cost."""
    one = rx.load(SPEC).cost().flops
    equal = [
        variant("equal FLOPs", f"{paths} x {{width}}d", {"cardinality": paths}, {"width": Domain(low=1, high=64)}, one)
        for paths in (1, 2, 4, 8)
    ]
    four = equal[2].settings["width"]
    twice = [
        variant("twice the FLOPs", "deeper: {depth} blocks", {}, {"depth": Domain(low=1, high=16)}, 2 * one),
        variant("twice the FLOPs", "wider: 1 x {width}d", {}, {"width": Domain(low=1, high=64)}, 2 * one),
        variant(
            "twice the FLOPs",
            f"more paths: {{cardinality}} x {four}d",
            {"width": four},
            {"cardinality": Domain(low=1, high=64)},
            2 * one,
        ),
    ]
    return equal + twice


def error(settings: dict[str, Any], seed: int, epochs: int) -> float:
    """The test error of one network trained from one seed, in percent."""
    import torch

    from resnext_dsl.train.evaluators import EVALUATORS

    torch.set_num_threads(1)
    evaluate = EVALUATORS["digits"](epochs=epochs, seed=seed, device="cpu", holdout=0)
    return 100 * (1 - evaluate(rx.load(SPEC, **settings).compile(seed=seed))["accuracy"])


def interval(values: np.ndarray) -> float:
    """Half of the 95% confidence interval of a mean, by Student's t."""
    return float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))


def print_table(compared: list[Variant], errors: np.ndarray) -> None:
    """Prints each network's cost and error, and its difference from the first of its group, seed by seed."""
    print("| | network | FLOPs | parameters | test error | difference from the first |")
    print("|---|---|---:|---:|---:|---:|")
    for row, values in zip(compared, errors, strict=True):
        first = next(i for i, other in enumerate(compared) if other.group == row.group)
        apart = values - errors[first]
        difference = f"{apart.mean():+.2f} ± {interval(apart):.2f}" if apart.any() else ""
        shown = f"{values.mean():.2f}% ± {interval(values):.2f}"
        print(f"| {row.group} | {row.name} | {row.flops:,} | {row.params:,} | {shown} | {difference} |")


def plot(compared: list[Variant], errors: np.ndarray, path: Path) -> None:
    """Draws every run as a dot, and each mean with its confidence interval."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "cardinality"
    from matplotlib import pyplot as plt

    groups = list(dict.fromkeys(row.group for row in compared))
    sizes = [sum(row.group == group for row in compared) for group in groups]
    figure, panels = plt.subplots(1, len(groups), figsize=(8, 3.2), sharey=True, width_ratios=sizes)
    for panel, group in zip(panels, groups, strict=True):
        rows = [index for index, row in enumerate(compared) if row.group == group]
        for place, index in enumerate(rows):
            values = errors[index]
            spread = np.linspace(-0.15, 0.15, len(values))
            panel.plot(place + spread, np.sort(values), "o", color="0.7", markersize=3, zorder=1)
            panel.errorbar(place, values.mean(), interval(values), fmt="o", color="C0", capsize=4, zorder=2)
        panel.set_xticks(range(len(rows)), [compared[index].name.replace(": ", ":\n") for index in rows])
        panel.set_xlim(-0.5, len(rows) - 0.5)
        panel.set_title(group, fontsize=10)
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel(f"test error, % ({errors.shape[1]} seeds, mean and 95%)")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Trains everything, prints the table and writes the plot."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--epochs", type=int, default=12)
    options.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    options.add_argument("--plot", type=Path, default=Path("cardinality.svg"))
    arguments = options.parse_args()
    compared = variants()
    runs = [(row.settings, seed, arguments.epochs) for row in compared for seed in range(arguments.seeds)]
    trained: list[float] = []
    with ProcessPoolExecutor(arguments.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for value in pool.map(error, *zip(*runs, strict=True)):
            trained.append(value)
            print(f"\r{len(trained)} of {len(runs)} trained", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    errors = np.array(trained).reshape(len(compared), arguments.seeds)
    print_table(compared, errors)
    plot(compared, errors, arguments.plot)


if __name__ == "__main__":
    main()
