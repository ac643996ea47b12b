"""Times CPU inference of resnext50_32x4d: each backend on our module against the same backend on torchvision's.

python benchmarks/inference.py [rounds] [threads]
"""

from __future__ import annotations

import statistics
import sys

from resnext_dsl.bench import bench
from resnext_dsl.bench.result_table import Report, Timed, print_report
from resnext_dsl.bench.variants import Conditions

NAME = "resnext50_32x4d"
BACKENDS = {"float32": ("eager", "onnxruntime", "openvino"), "bfloat16": ("eager", "openvino")}


def main() -> None:
    """Prints a table for each type, and our fastest backend against the fastest on torchvision's module."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for dtype, backends in BACKENDS.items():
        conditions = Conditions(dtype=dtype, threads=threads)
        report = bench(NAME, against=("torchvision",), backends=backends, conditions=conditions, rounds=rounds)
        print_report(report)
        print(verdict(report))


def verdict(report: Report) -> str:
    """The ratio of our fastest backend to theirs, and of both to torchvision's module in eager mode."""
    theirs = [timed for timed in report.timed if timed.variant.subject.peer]
    ours = [timed for timed in report.timed if not timed.variant.subject.peer]
    best, peer, eager = fastest(ours), fastest(theirs), theirs[0]
    ratio = best.ratio(peer)
    return (
        f"best of ours ({best.variant.backend}) over best on torchvision's module ({peer.variant.backend}), "
        f"{report.conditions.dtype}: {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f}); "
        f"times as fast as its eager module: {1 / best.ratio(eager).median:.2f}, {1 / peer.ratio(eager).median:.2f}\n"
    )


def fastest(timed: list[Timed]) -> Timed:
    """The variant with the smallest median."""
    return min(timed, key=lambda one: statistics.median(seconds for times in one.rounds for seconds in times))


if __name__ == "__main__":
    main()
