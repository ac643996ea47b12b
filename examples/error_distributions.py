"""RegNet's question on handwritten digits: the space of networks that has more good networks.

After Radosavovic et al., "Designing Network Design Spaces", CVPR 2020, Section 3.1. Networks of similar cost are
sampled from each space and trained briefly, and the distributions of their errors are compared. One spec holds both
spaces, and its budget is the box of FLOPs.

`python examples/error_distributions.py` prints the comparison and writes the plot.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy import stats

import resnext_dsl as rx

SPEC = Path(__file__).with_name("families.arch")

SPACES = {"AnyNet": False, "regular": True}
"""Name -> whether its networks follow the rules."""


def error(flags: dict[str, object], seed: int) -> float:
    """The error of one network, in percent of the images that are held out of its training."""
    import torch

    from resnext_dsl.train.evaluators import EVALUATORS

    torch.set_num_threads(1)
    evaluate = EVALUATORS["digits"](
        epochs=4, batch_size=32, lr=0.1, warmup=1, holdout=0.7, augment="none", seed=seed, device="cpu"
    )
    return 100 * (1 - evaluate(rx.load(SPEC, **flags).compile(seed=seed))["accuracy"])


def print_table(samples: dict[str, rx.spaces.Sample], errors: dict[str, np.ndarray]) -> None:
    """Prints each space with its sample and the quantiles of its errors."""
    print("| space | share that is valid and in the box | networks | best | quarter | half | three quarters | mean |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, sample in samples.items():
        values = errors[name]
        places = " | ".join(f"{place:.1f}%" for place in np.percentile(values, [0, 25, 50, 75]))
        half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
        print(f"| {name} | {sample.fraction:.2%} | {len(values)} | {places} | {values.mean():.1f}% ± {half:.1f} |")


def print_difference(errors: dict[str, np.ndarray]) -> None:
    """Prints the distance of the distributions, and how often a network of one is better than one of the other."""
    first, second = errors.values()
    apart = stats.ks_2samp(first, second)
    better = (second[:, None] < first).mean() + (second[:, None] == first).mean() / 2
    names = list(errors)
    print(f"\nLargest distance: {apart.statistic:.3f} (Kolmogorov-Smirnov, p = {apart.pvalue:.1g}).")
    print(f"A network of {names[1]} is better than one of {names[0]} with probability {better:.2f}.")


def plot(errors: dict[str, np.ndarray], path: Path) -> None:
    """Draws the share of each space's networks whose error is below a value."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "error distributions"
    from matplotlib import pyplot as plt

    figure, panel = plt.subplots(figsize=(5.2, 3.4))
    for name, values in errors.items():
        panel.ecdf(values, label=f"{name}, mean {values.mean():.1f}%")
    panel.set_xlabel("error, %")
    panel.set_ylabel("share of networks below it")
    panel.grid(alpha=0.3)
    panel.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Samples, trains, prints and plots."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=500, help="networks of each space")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    options.add_argument("--plot", type=Path, default=Path("error_distributions.svg"))
    arguments = options.parse_args()
    samples = {
        name: rx.space(SPEC, regular=regular).sample(arguments.count, arguments.seed)
        for name, regular in SPACES.items()
    }
    flags = [{**candidate, "regular": SPACES[name]} for name, sample in samples.items() for candidate in sample]
    trained: list[float] = []
    with ProcessPoolExecutor(arguments.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for value in pool.map(error, flags, [arguments.seed] * len(flags), chunksize=4):
            trained.append(value)
            print(f"\r{len(trained)} of {len(flags)} trained", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    first = len(samples["AnyNet"])
    errors = dict(zip(samples, (np.array(trained[:first]), np.array(trained[first:])), strict=True))
    print_table(samples, errors)
    print_difference(errors)
    plot(errors, arguments.plot)


if __name__ == "__main__":
    main()
