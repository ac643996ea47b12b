"""Searches the networks of `families.arch` for those that read handwritten digits best, and cheapest.

`python examples/search_digits.py` prints the front and writes it as a page. A second run goes on with the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import resnext_dsl as rx

SPEC = Path(__file__).with_name("families.arch")


def main() -> None:
    """Searches, prints and writes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=60)
    options.add_argument("--storage", default="sqlite:///search_digits.db")
    arguments = options.parse_args()
    results = rx.search(
        str(SPEC),
        maximize="accuracy",
        minimize="flops",
        budget="box",
        trials=arguments.trials,
        workers=2,
        evaluator="digits",
        storage=arguments.storage,
    )
    print(f"{len(results.trials)} networks trained, each in the box and each another")
    for trial in results.front:
        print(f"{trial.metrics['accuracy']:.1%}  {trial.metrics['flops']:,} FLOPs  {trial.candidate}")
    results.report("search_digits.html")


if __name__ == "__main__":
    main()
