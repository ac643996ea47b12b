"""Times ResNeXt-50 written as 32 paths (form a) against the grouped convolution (form c), both in the fastest form.

python benchmarks/forms.py [rounds] [threads]
"""

from __future__ import annotations

import sys

from resnext_dsl.bench import bench
from resnext_dsl.bench.result_table import print_report
from resnext_dsl.bench.variants import Conditions

WRITTEN, GROUPED = "resnext50_32x4d_a", "resnext50_32x4d"
RUNS = (
    Conditions(),
    Conditions(batch=8),
    Conditions(batch=8, mode="train"),
)


def main() -> None:
    """Prints a table for inference and for training; the ratio to read is in the second row."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for conditions in RUNS:
        asked = conditions._replace(threads=threads)
        print_report(bench(WRITTEN, against=(GROUPED,), forms=("fastest",), conditions=asked, rounds=rounds))


if __name__ == "__main__":
    main()
