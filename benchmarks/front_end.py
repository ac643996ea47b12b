"""Times text to graph, and `check` as a process, against constructors of torchvision and timm and `import torch`.

python benchmarks/front_end.py
"""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from pathlib import Path

from timing import interleaved, line, machine, process, verdict

import resnext_dsl as rx

SPECS = Path(__file__).parent.parent / "specs"
LIMITS = {"resnext50_32x4d": 10.0, "resnext50_32x4d_a": 250.0}
CHECK_LIMIT = 250.0
SHARES = {"hrnet_w18": 0.1, "nasnetalarge": 0.1}
"""Networks of timm, and the largest share of the time of timm's constructor."""


def main() -> None:
    """Prints the figures."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from references import timm, torchvision

    print(machine())
    construct = torchvision.models.resnext50_32x4d
    for name, limit in LIMITS.items():
        path = SPECS / f"{name}.arch"
        ours, peer = interleaved(15, lambda path=path: rx.load(path), construct)
        gc.collect()
        nodes = len(rx.load(path).ir.nodes)
        print(line(f"text -> verified graph, {name}, {nodes} nodes", ours, peer, "torchvision's constructor"))
        print(verdict(ours, limit))
    for name, share in SHARES.items():
        path = SPECS / f"{name}.arch"
        ours, peer = interleaved(7, lambda path=path: rx.load(path), partial(timm.create_model, name))
        gc.collect()
        nodes = len(rx.load(path).ir.nodes)
        print(line(f"text -> verified graph, {name}, {nodes} nodes", ours, peer, "timm's constructor"))
        print(verdict(ours, round(share * peer.median, 1)))
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
