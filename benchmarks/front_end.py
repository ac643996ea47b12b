"""Text to verified graph, and `check` as a process, against torchvision's constructor and `import torch`.

python benchmarks/front_end.py
"""

from __future__ import annotations

import gc
import statistics
import sys
from pathlib import Path

from timing import interleaved, line, machine, process

import resnext_dsl as rx

SPECS = Path(__file__).parent.parent / "specs"
LIMITS = {"resnext50_32x4d": 10.0, "resnext50_32x4d_a": 250.0}


def main() -> None:
    """Prints the figures."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from references import torchvision

    print(machine())
    construct = torchvision.models.resnext50_32x4d
    for name, limit in LIMITS.items():
        path = SPECS / f"{name}.arch"
        ours, peer = interleaved(15, lambda path=path: rx.load(path), construct)
        gc.collect()
        nodes = len(rx.load(path).ir.nodes)
        print(line(f"text -> verified graph, {name}, {nodes} nodes", ours, peer, "torchvision's constructor"))
        print(f"  bound {limit:g} ms: {'kept' if 1000 * statistics.median(ours) < limit else 'NOT kept'}")
    command = str(Path(sys.executable).with_name("resnext-dsl"))
    check = process([command, "check", str(SPECS / "resnext50_32x4d.arch")])
    ours, peer = interleaved(15, check, process([sys.executable, "-c", "import torch"]))
    print(line("`resnext-dsl check` as a process", ours, peer, "`python -c 'import torch'`"))
    print(f"  bound 250 ms: {'kept' if statistics.median(ours) < 0.25 else 'NOT kept'}")


if __name__ == "__main__":
    main()
