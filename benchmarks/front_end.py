"""Times text to verified graph, and `check` as a process, against torchvision's constructor and `import torch`.

python benchmarks/front_end.py
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from timing import interleaved, line, machine, process, verdict

import resnext_dsl as rx

SPECS = Path(__file__).parent.parent / "specs"
LIMITS = {"resnext50_32x4d": 10.0, "resnext50_32x4d_a": 250.0}
CHECK_LIMIT = 250.0


def main() -> None:
    """Prints the figures."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from references import torchvision

    print(machine())
    construct = torchvision.models.resnext50_32x4d
    for name, limit in LIMITS.items():
        path = SPECS / f"{name}.arch"
        ours, peer = interleaved(15, lambda path=path: rx.load(path), construct)
        gc.collect()
        nodes = len(rx.load(path).ir.nodes)
        print(line(f"text -> verified graph, {name}, {nodes} nodes", ours, peer, "torchvision's constructor"))
        print(verdict(ours, limit))
    command = str(Path(sys.executable).with_name("resnext-dsl"))
    check = process([command, "check", str(SPECS / "resnext50_32x4d.arch")], environment())
    ours, peer = interleaved(25, check, process([sys.executable, "-c", "import torch"], environment()))
    print(line("`resnext-dsl check` as a process", ours, peer, "`python -c 'import torch'`"))
    print(verdict(ours, CHECK_LIMIT))


def environment() -> dict[str, str]:
    """The environment of this process, with bytecode kept, as installed packages have it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


if __name__ == "__main__":
    main()
