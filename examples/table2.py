"""Prints Table 2 of the ResNeXt paper from one spec: the bottleneck widths that keep the cost of ResNet-50.

It also prints the authors' networks of twice the FLOPs of ResNet-101.

python examples/table2.py
"""

from __future__ import annotations

import resnext_dsl as rx
from resnext_dsl.semantics.domain import Domain
from resnext_dsl.spaces.solver import MatchTarget, solve

WIDTHS = {"width": Domain(low=1, high=128)}


def main() -> None:
    """Prints both tables."""
    target = rx.load("resnet50").cost()
    print(f"ResNet-50: {target.params:,} parameters, {target.flops:,} FLOPs\n")
    print("| cardinality | width that keeps the parameters | parameters | width that keeps the FLOPs | FLOPs |")
    print("|---|---|---|---|---|")
    for cardinality in (1, 2, 4, 8, 32):
        space = rx.space("resnext50_32x4d", cardinality=cardinality)
        cells = [str(cardinality)]
        for measure in ("params", "flops"):
            (best,) = solve(space, WIDTHS, [MatchTarget(measure, getattr(target, measure))], count=1).solutions
            cells += [str(best.values["width"]), f"{getattr(best, measure):,}"]
        print(f"| {' | '.join(cells)} |")

    twice = 2 * rx.load("resnet101").cost().flops
    print(f"\nTwice ResNet-101: {twice:,} FLOPs\n")
    print("| given | found | FLOPs |")
    print("|---|---|---|")
    widths, paths = Domain(low=4, high=160, step=4), Domain((1, 2, 4, 8, 16, 32, 64, 128))
    for fixed, name, domain in (
        ({"cardinality": 1}, "width", widths),
        ({"cardinality": 2}, "width", widths),
        ({"width": 4}, "cardinality", paths),
    ):
        space = rx.space("resnext101_32x4d", **fixed)
        (best,) = solve(space, {name: domain}, [MatchTarget("flops", twice)], count=1).solutions
        ((parameter, value),) = fixed.items()
        print(f"| {parameter} {value} | {name} {best.values[name]} | {best.flops:,} |")


if __name__ == "__main__":
    main()
